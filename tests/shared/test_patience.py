"""When a silent or deaf peer is pinged, and when it is given up."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.patience import Silence, Verdict, judge, next_look_s
from shared.settings import LinkSettings

SETTINGS = LinkSettings(ping_after_s=10, read_timeout_s=45, write_timeout_s=15)
HEARD_S = 100.0
NEVER = -1.0


@pytest.mark.parametrize(
    ("silence", "after_s", "verdict"),
    [
        pytest.param(Silence(HEARD_S, None, NEVER), 9.999, Verdict.WAIT, id="just heard"),
        pytest.param(Silence(HEARD_S, None, NEVER), 10.0, Verdict.PING, id="silent"),
        pytest.param(Silence(HEARD_S, None, HEARD_S + 10), 19.999, Verdict.WAIT, id="pinged"),
        pytest.param(Silence(HEARD_S, None, HEARD_S + 10), 20.0, Verdict.PING, id="pinged again"),
        pytest.param(Silence(HEARD_S, None, HEARD_S + 40), 44.999, Verdict.WAIT, id="given time"),
        pytest.param(Silence(HEARD_S, None, HEARD_S + 40), 45.0, Verdict.SILENT, id="no answer"),
        pytest.param(Silence(HEARD_S, None, HEARD_S - 1), 10.0, Verdict.PING, id="answered before"),
        pytest.param(Silence(HEARD_S, HEARD_S, NEVER), 14.999, Verdict.PING, id="deaf so far"),
        pytest.param(Silence(HEARD_S, HEARD_S, HEARD_S), 15.0, Verdict.SLOW, id="deaf"),
        pytest.param(
            Silence(HEARD_S, HEARD_S - 50, NEVER), 0.0, Verdict.SLOW, id="deaf, and talks"
        ),
        pytest.param(Silence(HEARD_S, None, NEVER), 1e6, Verdict.SILENT, id="nobody looked"),
    ],
)
def test_peer_is_judged_to_the_instant(silence: Silence, after_s: float, verdict: Verdict) -> None:
    assert judge(silence, SETTINGS, HEARD_S + after_s) is verdict


def eighths(least_s: float, most_s: float) -> st.SearchStrategy[float]:
    """Seconds that can be added without rounding."""
    return st.integers(math.ceil(least_s * 8), int(most_s * 8)).map(lambda n: n / 8)


times_s = eighths(0, 1e6)


@st.composite
def patiences(draw: st.DrawFn) -> LinkSettings:
    ping_after_s = draw(eighths(0.5, 300))
    read_timeout_s = draw(eighths(max(1, ping_after_s + 0.125), 600))
    write_timeout_s = draw(eighths(1, 600))
    return LinkSettings(
        ping_after_s=ping_after_s, read_timeout_s=read_timeout_s, write_timeout_s=write_timeout_s
    )


silences = st.builds(Silence, times_s, st.none() | times_s, st.just(NEVER) | times_s)


@given(silences, patiences())
def test_next_look_is_the_very_instant_at_which_something_has_to_be_done(
    silence: Silence, settings: LinkSettings
) -> None:
    at_s = next_look_s(silence, settings)
    assert judge(silence, settings, at_s) is not Verdict.WAIT
    assert judge(silence, settings, math.nextafter(at_s, -math.inf)) is Verdict.WAIT


@given(silences, patiences())
def test_ping_puts_the_next_look_off(silence: Silence, settings: LinkSettings) -> None:
    at_s = next_look_s(silence, settings)
    if judge(silence, settings, at_s) is Verdict.PING:
        pinged = Silence(silence.heard_s, silence.blocked_s, at_s)
        assert next_look_s(pinged, settings) > at_s


@given(silences, patiences(), times_s)
def test_whatever_the_peer_does_puts_the_next_look_off(
    silence: Silence, settings: LinkSettings, later_s: float
) -> None:
    at_s = next_look_s(silence, settings)
    heard = Silence(silence.heard_s + later_s, silence.blocked_s, silence.pinged_s)
    assert next_look_s(heard, settings) >= at_s
    if silence.blocked_s is not None:
        for blocked_s in (None, silence.blocked_s + later_s):
            taken = Silence(silence.heard_s, blocked_s, silence.pinged_s)
            assert next_look_s(taken, settings) >= at_s


@given(times_s, patiences())
def test_peer_that_never_answers_is_pinged_now_and_then_and_given_up_at_the_read_timeout(
    heard_s: float, settings: LinkSettings
) -> None:
    silence, pings_s = Silence(heard_s, None, NEVER), list[float]()
    while judge(silence, settings, next_look_s(silence, settings)) is Verdict.PING:
        pings_s.append(next_look_s(silence, settings))
        silence = Silence(heard_s, None, pings_s[-1])
    assert next_look_s(silence, settings) == heard_s + settings.read_timeout_s
    assert len(pings_s) == math.ceil(settings.read_timeout_s / settings.ping_after_s) - 1


def test_agent_bears_with_a_master_that_is_frozen_for_forty_seconds() -> None:
    # Last heard of up to a beat of five seconds before it froze, and slow for a while after it.
    period_s, frozen_s, slow_s = 5.0, 40.0, 10.0
    silence = Silence(HEARD_S, None, HEARD_S + 40.0)
    at_s = HEARD_S + period_s + frozen_s + slow_s
    assert judge(silence, LinkSettings(), at_s) is not Verdict.SILENT
