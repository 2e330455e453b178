"""Before the detector holds silence against a node: unread bytes, the kernel's word, the master's
own health, and how many others fell silent."""

import math
from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from master.detector import Detector, Probe
from master.sweeper import Sweeper
from shared.liveness import (
    LOOK_AGAIN_S,
    BeatArrived,
    Evidence,
    Joined,
    LinkBroke,
    Liveness,
    LivenessEvent,
    Revoked,
    SaidGoodbye,
    State,
)

PERIOD_S = 5.0
TICK_S = 0.05


class Witness:
    """A link that shows what a test says."""

    def __init__(self) -> None:
        self.shows = Evidence.SILENT
        self.unread = False
        self.pinged_s: list[float] = []

    def ping(self, now_s: float) -> None:
        self.pinged_s.append(now_s)

    def evidence(self) -> Evidence:
        return self.shows

    def has_unread(self) -> bool:
        return self.unread


class Court:
    """Some nodes that are up since their beat at 0, in virtual time."""

    def __init__(self, nodes: int = 1) -> None:
        self.sweeper = Sweeper()
        self.detector = Detector(self.sweeper, self)
        self.links = {f"n{number}": Witness() for number in range(nodes)}
        self.is_well = True
        self.now_s = 0.0
        self.told: list[tuple[float, str, State]] = []
        self.masses: list[tuple[tuple[str, ...], int]] = []
        self.flaps: list[tuple[float, bool]] = []
        for node_id in self.links:
            self.detector.know(node_id, Liveness(State.NEVER_SEEN, 0.0))
            self.beat(node_id)
        self.told.clear()

    def beat(self, node_id: str = "n0") -> None:
        self.apply(BeatArrived(self.now_s, PERIOD_S, PERIOD_S), node_id)

    def apply(self, event: LivenessEvent, node_id: str = "n0") -> None:
        self.detector.apply(node_id, event, self.now_s)

    def until(self, at_s: float) -> None:
        """Sweeps until then, as often as a real sweeper does."""
        while self.now_s < at_s - 1e-9:
            self.now_s = min(at_s, self.now_s + TICK_S)
            self.sweeper.sweep(self.now_s)

    def state(self, node_id: str = "n0") -> State:
        return self.detector[node_id].state

    def probe(self, node_id: str) -> Probe | None:
        return self.links.get(node_id)

    def changed(self, node_id: str, before: Liveness, after: Liveness) -> None:
        self.told.append((self.now_s, node_id, after.state))

    def master_is_well(self, now_s: float) -> bool:
        return self.is_well

    def mass_event(self, node_ids: tuple[str, ...], alive: int) -> None:
        self.masses.append((node_ids, alive))

    def flapping_changed(self, node_id: str, *, is_on: bool) -> None:
        assert self.detector.is_flapping(node_id) is is_on
        self.flaps.append((self.now_s, is_on))


# --- unread bytes --------------------------------------------------------------------------------


def test_bytes_that_wait_to_be_read_are_not_silence_for_as_long_as_they_wait() -> None:
    court = Court()
    court.links["n0"].unread = True
    court.until(60.0)
    assert court.told == []
    court.links["n0"].unread = False
    court.until(60.5)
    assert court.state() is State.LATE


def test_node_that_has_joined_is_given_the_time_it_takes_to_read_its_first_beat() -> None:
    court = Court()
    court.apply(LinkBroke("link reset"))
    court.apply(Joined(PERIOD_S))
    court.links["n0"].unread = True
    court.until(60.0)
    assert court.state() is State.JOINING
    court.links["n0"].unread = False
    court.until(61.0)
    assert court.state() is State.DOWN


# --- the kernel's word ---------------------------------------------------------------------------


def test_late_node_is_pinged_at_once_and_then_every_second() -> None:
    court = Court()
    court.until(12.0)
    pinged_s = court.links["n0"].pinged_s
    gaps = [later - sooner for sooner, later in pairwise(pinged_s)]
    assert math.isclose(pinged_s[0], 6.0, abs_tol=TICK_S)
    assert all(math.isclose(gap_s, 1.0, abs_tol=2 * TICK_S) for gap_s in gaps)


def test_what_was_acknowledged_before_the_ping_is_no_evidence() -> None:
    court = Court()
    court.links["n0"].shows = Evidence.ANSWERS
    court.until(6.9)
    assert court.state() is State.LATE
    court.until(7.2)
    assert court.state() is State.HUNG


def test_host_that_stops_answering_becomes_late_again_and_down_sooner() -> None:
    court = Court()
    court.links["n0"].shows = Evidence.ANSWERS
    court.until(10.0)
    court.links["n0"].shows = Evidence.SILENT
    court.until(40.0)
    states = [state for _, _, state in court.told]
    assert states == [State.LATE, State.HUNG, State.LATE, State.DOWN]
    assert math.isclose(court.told[-1][0], 17.5, abs_tol=1.1)


@given(st.lists(st.sampled_from(Evidence), min_size=40, max_size=40))
def test_whatever_the_kernel_shows_silence_is_down_between_its_two_horizons(
    shown: list[Evidence],
) -> None:
    court = Court()
    for second, evidence in enumerate(shown):
        court.links["n0"].shows = evidence
        court.until(second + 1.0)
    assert court.state() is State.DOWN
    down_s = court.told[-1][0]
    assert 12.5 <= down_s <= 30.0 + LOOK_AGAIN_S + 2 * TICK_S


def test_node_whose_link_is_gone_has_no_witness_and_is_judged_by_time() -> None:
    court = Court()
    court.links.clear()
    court.until(20.0)
    assert [state for _, _, state in court.told] == [State.LATE, State.DOWN]
    assert math.isclose(court.told[-1][0], 12.5, abs_tol=2 * TICK_S)


# --- the master's own health ---------------------------------------------------------------------


def test_master_that_is_not_well_declares_nobody_down_until_it_is() -> None:
    court = Court()
    court.is_well = False
    court.until(60.0)
    assert court.state() is State.LATE
    court.is_well = True
    court.until(61.1)
    assert court.state() is State.DOWN


def test_beat_that_comes_while_the_master_is_not_well_is_taken_as_ever() -> None:
    court = Court()
    court.is_well = False
    court.until(30.0)
    court.beat()
    assert court.state() is State.UP
    court.until(35.9)
    assert court.state() is State.UP


# --- many at once --------------------------------------------------------------------------------


def test_many_that_fall_silent_together_are_one_event_and_down_is_put_off_once() -> None:
    court = Court(10)
    for at_s in (5.0, 10.0, 15.0, 20.0, 25.0, 30.0):
        court.until(at_s)
        for number in range(5, 10):
            court.beat(f"n{number}")
    ((fallen, alive),) = court.masses
    assert (set(fallen), alive) == ({f"n{number}" for number in range(5)}, 10)
    downs = {node_id: at_s for at_s, node_id, state in court.told if state is State.DOWN}
    assert set(downs) == set(fallen)
    assert all(16.0 <= at_s <= 16.0 + 2 * TICK_S for at_s in downs.values())


def test_few_of_many_are_no_mass_and_not_put_off() -> None:
    court = Court(30)
    for at_s in (5.0, 10.0, 15.0):
        court.until(at_s)
        for number in range(5, 30):
            court.beat(f"n{number}")
    assert court.masses == []
    downs = [at_s for at_s, _, state in court.told if state is State.DOWN]
    assert len(downs) == 5
    assert all(math.isclose(at_s, 12.5, abs_tol=2 * TICK_S) for at_s in downs)


def test_node_that_goes_from_hung_to_late_has_not_fallen_a_second_time() -> None:
    court = Court(5)
    for link in court.links.values():
        link.shows = Evidence.ANSWERS
    court.until(22.0)
    for link in court.links.values():
        link.shows = Evidence.SILENT
    court.until(28.0)
    assert len(court.masses) == 1


# --- coming and going ----------------------------------------------------------------------------


def come_and_go(court: Court, times: int) -> None:
    for _ in range(times):
        court.apply(LinkBroke("link reset"))
        court.until(court.now_s + 10.0)
        court.apply(Joined(PERIOD_S))
        court.beat()


def test_return_counts_by_way_of_joining_too() -> None:
    court = Court()
    come_and_go(court, 4)
    assert court.flaps == [(court.now_s, True)]


def test_return_from_lateness_alone_does_not_count() -> None:
    court = Court()
    for _ in range(10):
        court.until(court.now_s + 7.0)
        court.beat()
    assert court.flaps == []


def test_return_after_a_goodbye_does_not_count() -> None:
    court = Court()
    for _ in range(10):
        court.apply(LinkBroke("link reset"))
        court.apply(Joined(PERIOD_S))
        court.apply(SaidGoodbye("stopped"))
        court.apply(Joined(PERIOD_S))
        court.beat()
    assert court.flaps == []


def test_flapping_ends_by_itself_even_of_a_node_that_is_gone() -> None:
    court = Court()
    come_and_go(court, 4)
    court.apply(SaidGoodbye("stopped"))
    court.until(court.now_s + 1_000.0)
    assert [is_on for _, is_on in court.flaps] == [True, False]


def test_forgotten_node_is_not_told_steady() -> None:
    court = Court()
    come_and_go(court, 4)
    court.detector.forget("n0")
    court.until(court.now_s + 1_000.0)
    assert len(court.flaps) == 1


# --- whatever happens ----------------------------------------------------------------------------

happenings = st.one_of(
    st.just("beat"),
    st.just("forget"),
    st.just("know"),
    st.sampled_from([Joined(PERIOD_S), LinkBroke("link reset"), SaidGoodbye("stopped"), Revoked()]),
)


@given(
    st.lists(
        st.tuples(st.floats(0, 8), st.integers(0, 5), happenings, st.sampled_from(Evidence)),
        max_size=60,
    )
)
def test_counts_of_states_are_those_of_the_nodes_and_every_change_is_told(
    life: list[tuple[float, int, str | LivenessEvent, Evidence]],
) -> None:
    court = Court(6)
    known = dict.fromkeys(court.links, State.UP)
    for wait_s, number, happening, evidence in life:
        court.until(court.now_s + wait_s)
        known |= {changed: state for _, changed, state in court.told}
        court.told.clear()
        node_id = f"n{number}"
        court.links[node_id].shows = evidence
        match happening:
            case "forget":
                court.detector.forget(node_id)
                known.pop(node_id, None)
            case "know":
                court.detector.forget(node_id)
                court.detector.know(node_id, Liveness(State.NEVER_SEEN, court.now_s))
                known[node_id] = State.NEVER_SEEN
            case "beat" if node_id in known:
                court.beat(node_id)
            case str():
                pass
            case event if node_id in known:
                court.apply(event, node_id)
            case _:
                pass
        known |= {changed: state for _, changed, state in court.told}
        court.told.clear()
        assert {node_id: court.state(node_id) for node_id in known} == known
        counted = {state: count for state, count in court.detector._states.items() if count}
        assert counted == Counter(known.values())
