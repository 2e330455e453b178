"""When a node is what: every state, every event, to the instant."""

import math
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.backoff import BACKOFF_CAP_S, FIRST_RETRY_JITTER_S
from shared.liveness import (
    AWAITED_S,
    DOWN_PERIODS,
    JOINING_PERIODS,
    LATE_MARGIN_S,
    LONGEST_PROMISE,
    LOST_GRACE_S,
    SEVERITY,
    BeatArrived,
    DeadlinePassed,
    Joined,
    LinkBroke,
    Liveness,
    LivenessEvent,
    Revoked,
    SaidGoodbye,
    State,
    deadline_s,
    restored,
    step,
)

T = 1000.0
"""When a table's example begins."""
PERIOD_S = 5.0
UP = Liveness(State.UP, T, "", T, PERIOD_S, PERIOD_S)
NEVER_SEEN = Liveness(State.NEVER_SEEN, T)
RESTING = {State.NEVER_SEEN, State.DOWN, State.LEFT, State.REVOKED}
"""States that silence does not change."""

LEADS_TO: dict[type[LivenessEvent], set[State]] = {
    Joined: {State.JOINING, State.UP, State.LATE, State.HUNG, State.REVOKED},
    BeatArrived: {State.UP, State.REVOKED},
    LinkBroke: set(State) - {State.UP, State.LATE, State.HUNG, State.JOINING},
    SaidGoodbye: {State.LEFT, State.REVOKED},
    Revoked: {State.REVOKED},
    DeadlinePassed: set(State),
}
"""The states in which each event may leave a node."""


def silent_until(node: Liveness, now_s: float) -> Liveness:
    """What silence alone makes of `node`, with a driver that is never late."""
    while (at_s := deadline_s(node)) is not None and at_s <= now_s:
        node = step(node, DeadlinePassed(), at_s)
    return node


def just_before(at_s: float) -> float:
    return math.nextafter(at_s, -math.inf)


# --- to the instant ------------------------------------------------------------------------------

UNREACHABLE = "unreachable: no beat"
NOT_BACK = "did not come back after the master's restart"
LOST = step(UP, LinkBroke("link reset"), T)
JOINING = step(NEVER_SEEN, Joined(PERIOD_S), T)
AWAITED = restored(State.UP, "", T)
BOUNDARIES = [
    pytest.param(UP, 0.0, State.UP, "", id="up"),
    pytest.param(UP, 5.999, State.UP, "", id="up until the promise and a second"),
    pytest.param(UP, 6.0, State.LATE, "no beat when promised", id="late"),
    pytest.param(UP, 12.499, State.LATE, "no beat when promised", id="late for 2.5 periods"),
    pytest.param(UP, 12.5, State.DOWN, UNREACHABLE, id="down"),
    pytest.param(LOST, 0.0, State.LOST, "link reset", id="lost at once"),
    pytest.param(LOST, 2.999, State.LOST, "link reset", id="lost for its grace"),
    pytest.param(
        LOST, 3.0, State.DOWN, "link reset, and the agent did not come back", id="lost, down"
    ),
    pytest.param(JOINING, 14.999, State.JOINING, "", id="joining for three periods"),
    pytest.param(JOINING, 15.0, State.DOWN, "no beat after joining", id="joining, down"),
    pytest.param(AWAITED, 44.999, State.AWAITED, "the master was restarted", id="awaited"),
    pytest.param(AWAITED, 45.0, State.DOWN, NOT_BACK, id="awaited, down"),
    pytest.param(NEVER_SEEN, 1e9, State.NEVER_SEEN, "", id="never seen"),
]


@pytest.mark.parametrize(("node", "silence_s", "state", "reason"), BOUNDARIES)
def test_silence_changes_a_node_at_the_instant_that_is_promised(
    node: Liveness, silence_s: float, state: State, reason: str
) -> None:
    now = silent_until(node, T + silence_s)
    assert (now.state, now.reason) == (state, reason)


@pytest.mark.parametrize(
    ("next_in_s", "late_s", "down_s"),
    [
        pytest.param(5.0, 6.0, 12.5, id="on the grid"),
        pytest.param(2.5, 3.5, 12.5, id="half a period, as on a new link"),
        pytest.param(7.5, 8.5, 12.5, id="one and a half, after another cadence"),
        pytest.param(30.0, 31.0, 50.0, id="an agent that keeps a longer period"),
        pytest.param(0.1, 1.1, 12.5, id="the shortest promise there is"),
    ],
)
def test_promise_decides_when_a_node_is_late_and_the_period_when_it_is_down(
    next_in_s: float, late_s: float, down_s: float
) -> None:
    up = step(NEVER_SEEN, BeatArrived(next_in_s, PERIOD_S), T)
    assert deadline_s(up) == T + late_s
    late = step(up, DeadlinePassed(), T + late_s)
    assert late.state is State.LATE
    assert math.isclose(deadline_s(late) or 0, T + down_s)


@pytest.mark.parametrize("state", State)
def test_beat_brings_any_node_up_that_was_not_revoked(state: State) -> None:
    beating = step(Liveness(state, T, "some reason"), BeatArrived(5.0, PERIOD_S), T + 1)
    if state is State.REVOKED:
        assert beating.state is State.REVOKED
    else:
        since_s = T if state is State.UP else T + 1
        assert beating == Liveness(State.UP, since_s, "", T + 1, 5.0, PERIOD_S)


@pytest.mark.parametrize("state", State)
def test_broken_link_makes_lost_only_of_who_was_there(state: State) -> None:
    was_there = {State.JOINING, State.UP, State.LATE, State.HUNG}
    node = Liveness(state, T, "as it was")
    broken = step(node, LinkBroke("link reset"), T + 1)
    if state in was_there:
        assert (broken.state, broken.since_s, broken.reason) == (State.LOST, T + 1, "link reset")
    else:
        assert broken is node


@pytest.mark.parametrize("state", State)
def test_goodbye_is_believed_of_anybody_but_the_revoked(state: State) -> None:
    left = step(Liveness(state, T), SaidGoodbye("stopped: SIGTERM"), T + 1)
    if state is State.REVOKED:
        assert left.state is State.REVOKED
    else:
        assert (left.state, left.since_s, left.reason) == (State.LEFT, T + 1, "stopped: SIGTERM")


def test_node_that_links_again_within_the_grace_of_lost_is_not_down() -> None:
    again_s = T + FIRST_RETRY_JITTER_S + 0.1
    joining = step(silent_until(LOST, again_s), Joined(PERIOD_S), again_s)
    assert joining.state is State.JOINING
    assert step(joining, BeatArrived(2.5, PERIOD_S), again_s).state is State.UP


def test_new_link_of_a_live_node_does_not_interrupt_its_state() -> None:
    late = silent_until(UP, T + 7)
    linked = step(late, Joined(PERIOD_S), T + 8)
    assert (linked.state, linked.since_s) == (State.LATE, late.since_s)
    assert deadline_s(linked) == T + 8 + DOWN_PERIODS * PERIOD_S


def test_other_cadence_counts_from_the_first_beat_that_follows_it() -> None:
    slow = step(UP, BeatArrived(60.0, 60.0), T)
    assert deadline_s(slow) == T + 61
    fast = step(slow, BeatArrived(1.0, 1.0), T + 1)
    late = step(fast, DeadlinePassed(), T + 3)
    assert (late.state, deadline_s(late)) == (State.LATE, T + 3.5)


def test_late_driver_moves_a_node_on_by_one_state_and_not_into_the_past() -> None:
    late = step(UP, DeadlinePassed(), T + 100)
    assert (late.state, late.since_s, deadline_s(late)) == (State.LATE, T + 100, T + 100)


def test_agent_has_dialled_before_it_is_no_longer_awaited() -> None:
    assert AWAITED_S > BACKOFF_CAP_S
    assert LOST_GRACE_S > FIRST_RETRY_JITTER_S


@pytest.mark.parametrize("state", State)
def test_restart_of_the_master_awaits_who_should_live_and_keeps_the_rest(state: State) -> None:
    after = restored(state, "as before", T)
    expected = {State.JOINING, State.UP, State.LATE, State.HUNG, State.LOST, State.AWAITED}
    if state in expected:
        assert (after.state, after.since_s) == (State.AWAITED, T)
        assert deadline_s(after) == T + AWAITED_S
    else:
        assert (after.state, after.reason) == (state, "as before")
        assert deadline_s(after) is None


def test_order_of_severity_has_every_state_once() -> None:
    assert sorted(SEVERITY) == sorted(State)
    assert SEVERITY.index(State.DOWN) < SEVERITY.index(State.UP) < SEVERITY.index(State.LEFT)


# --- whatever happens ----------------------------------------------------------------------------

periods_s = st.floats(1, 60)
promises = st.floats(0.5, LONGEST_PROMISE)
events: st.SearchStrategy[LivenessEvent] = st.one_of(
    st.builds(Joined, periods_s),
    st.tuples(periods_s, promises).map(lambda both: BeatArrived(both[0] * both[1], both[0])),
    st.builds(BeatArrived, st.floats(0.1, 600), periods_s),
    st.builds(LinkBroke, st.just("link reset")),
    st.builds(SaidGoodbye, st.just("stopped")),
    st.just(Revoked()),
    st.just(DeadlinePassed()),
)
lives = st.lists(st.tuples(st.floats(0, 100), events), max_size=30)
beginnings = st.builds(restored, st.sampled_from(State), st.just(""), st.just(0.0))


@given(beginnings, lives)
def test_no_sequence_of_events_leads_where_an_event_cannot(
    node: Liveness, life: list[tuple[float, LivenessEvent]]
) -> None:
    now_s = 0.0
    for wait_s, event in life:
        now_s += wait_s
        before, node = node, step(node, event, now_s)
        assert node.state in LEADS_TO[type(event)]
        if before.state is State.REVOKED:
            assert node is before
        if node.state is not before.state:
            assert node.since_s == now_s
            assert node.reason or node.state in {State.UP, State.JOINING}
        else:
            assert node.since_s >= before.since_s


@given(beginnings, lives)
def test_deadline_is_never_before_the_state_began_and_silence_ends_at_rest(
    node: Liveness, life: list[tuple[float, LivenessEvent]]
) -> None:
    now_s = 0.0
    for wait_s, event in life:
        now_s += wait_s
        node = step(node, event, now_s)
        at_s = deadline_s(node)
        assert (at_s is None) == (node.state in RESTING)
        if at_s is not None:
            assert at_s >= node.since_s
            early = step(node, DeadlinePassed(), just_before(at_s))
            assert early is node
            assert step(node, DeadlinePassed(), at_s).state is not node.state
    steps = 0
    while (at_s := deadline_s(node)) is not None:
        node = step(node, DeadlinePassed(), at_s)
        steps += 1
    assert steps <= 2
    assert node.state in RESTING


@given(periods_s, st.lists(st.tuples(st.floats(0.01, 50), st.floats(0.1, 600)), max_size=20))
def test_deadline_moves_later_with_every_beat_that_promises_as_much(
    period_s: float, beats: list[tuple[float, float]]
) -> None:
    node, now_s = step(NEVER_SEEN, Joined(period_s), T), T
    for wait_s, next_in_s in beats:
        now_s += wait_s
        before, node = node, step(node, BeatArrived(next_in_s, period_s), now_s)
        before_s, after_s = deadline_s(before), deadline_s(node)
        assert before_s is not None
        assert after_s is not None
        if before.state is State.UP and next_in_s >= before.next_in_s:
            assert after_s > before_s
        assert after_s == now_s + next_in_s + LATE_MARGIN_S


@given(periods_s, st.floats(0.1, 600))
def test_node_is_late_before_it_is_down_and_down_after_two_and_a_half_periods_of_its_own(
    period_s: float, next_in_s: float
) -> None:
    up = step(NEVER_SEEN, BeatArrived(next_in_s, period_s), T)
    late_s = deadline_s(up)
    assert late_s is not None
    late = step(up, DeadlinePassed(), late_s)
    down_s = deadline_s(late)
    assert late.state is State.LATE
    assert down_s is not None
    kept_period_s = max(period_s, next_in_s / LONGEST_PROMISE)
    assert math.isclose(down_s, T + DOWN_PERIODS * kept_period_s)
    assert late_s <= down_s + 1e-6
    assert step(late, DeadlinePassed(), down_s).state is State.DOWN


@given(periods_s, st.sampled_from(State))
def test_welcomed_agent_has_three_periods_for_its_first_beat(period_s: float, state: State) -> None:
    joined = step(Liveness(state, T), Joined(period_s), T + 1)
    if joined.state is State.JOINING:
        assert deadline_s(joined) == T + 1 + JOINING_PERIODS * period_s


def test_every_pair_of_state_and_event_has_an_answer() -> None:
    example: list[LivenessEvent] = [
        Joined(5), BeatArrived(5, 5), LinkBroke("x"), SaidGoodbye("x"), Revoked(), DeadlinePassed()
    ]  # fmt: skip
    assert {type(event) for event in example} == set(LEADS_TO)
    for state, event in product(State, example):
        after = step(Liveness(state, T), event, T + 1e6)
        assert after.state in LEADS_TO[type(event)]
