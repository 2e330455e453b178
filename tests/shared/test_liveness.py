"""When a node is what: every state, every event, to the instant."""

import math
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from shared.arrivals import PEAK_MOST_PERIODS, first
from shared.backoff import BACKOFF_CAP_S, FIRST_RETRY_JITTER_S
from shared.liveness import (
    AWAITED_S,
    DOWN_LEAST_PERIODS,
    DOWN_MOST_PERIODS,
    HUNG_PERIODS,
    HUNG_REASON,
    JOINING_PERIODS,
    LATE_FLOOR_S,
    LONGEST_PROMISE,
    LOOK_AGAIN_S,
    LOST_GRACE_S,
    PEAK_FACTOR,
    SEVERITY,
    SILENT_AFTER_S,
    BeatArrived,
    DeadlinePassed,
    Evidence,
    Joined,
    LinkBroke,
    Liveness,
    LivenessEvent,
    Orphaned,
    Revoked,
    SaidGoodbye,
    State,
    deadline_s,
    horizons,
    restored,
    step,
)

T = 1000.0
"""When a table's example begins."""
PERIOD_S = 5.0
UP = Liveness(State.UP, T, "", PERIOD_S, first(T, T, PERIOD_S))
"""Its clock is the master's, its last beat arrived at T and promised the next for T + 5."""
NEVER_SEEN = Liveness(State.NEVER_SEEN, T)
RESTING = {State.NEVER_SEEN, State.DOWN, State.LEFT, State.REVOKED}
"""States that silence does not change."""

LEADS_TO: dict[type[LivenessEvent], set[State]] = {
    Joined: {State.JOINING, State.UP, State.LATE, State.HUNG, State.REVOKED},
    BeatArrived: {State.UP, State.REVOKED},
    LinkBroke: set(State) - {State.UP, State.LATE, State.HUNG, State.JOINING},
    Orphaned: set(State) - {State.UP, State.LATE, State.HUNG, State.JOINING},
    SaidGoodbye: {State.LEFT, State.REVOKED},
    Revoked: {State.REVOKED},
    DeadlinePassed: set(State),
}
"""The states in which each event may leave a node."""


def beat(
    now_s: float,
    next_in_s: float = PERIOD_S,
    period_s: float = PERIOD_S,
    *,
    late_s: float = 0.0,
) -> BeatArrived:
    """One that arrives at `now_s`, `late_s` after it was sent, from an agent with our clock."""
    return BeatArrived(now_s - late_s, next_in_s, period_s)


def silent_until(node: Liveness, now_s: float, evidence: Evidence = Evidence.UNKNOWN) -> Liveness:
    """What silence alone makes of `node`, with a driver that is never late."""
    while (at_s := deadline_s(node)) is not None and at_s <= now_s:
        node = step(node, DeadlinePassed(evidence), at_s)
    return node


def first_s(node: Liveness, state: State, evidence: Evidence) -> float:
    """When silence first makes `node` that, with a driver that is never late."""
    while node.state is not state:
        at_s = deadline_s(node)
        assert at_s is not None
        node = step(node, DeadlinePassed(evidence), at_s)
    return node.since_s


def just_before(at_s: float) -> float:
    return math.nextafter(at_s, -math.inf)


# --- to the instant ------------------------------------------------------------------------------

UNREACHABLE = "unreachable: no beat, and its host does not answer"
HUNG_TOO_LONG = f"hung: {HUNG_REASON}"
NOT_BACK = "the master was restarted, and the agent did not come back"
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


HOST_ANSWERS = [
    pytest.param(6.999, State.LATE, "no beat when promised", id="late, and pinged"),
    pytest.param(7.0, State.HUNG, HUNG_REASON, id="hung a second later"),
    pytest.param(29.999, State.HUNG, HUNG_REASON, id="hung for six periods"),
    pytest.param(30.0, State.DOWN, HUNG_TOO_LONG, id="hung, down"),
]


@pytest.mark.parametrize(("silence_s", "state", "reason"), HOST_ANSWERS)
def test_node_whose_host_answers_is_hung_and_has_a_long_horizon(
    silence_s: float, state: State, reason: str
) -> None:
    now = silent_until(UP, T + silence_s, Evidence.ANSWERS)
    assert (now.state, now.reason) == (state, reason)


@pytest.mark.parametrize("evidence", [Evidence.UNKNOWN, Evidence.SILENT])
def test_where_no_kernel_tells_silence_is_as_it_is_of_a_host_that_is_gone(
    evidence: Evidence,
) -> None:
    assert silent_until(UP, T + 12.499, evidence).state is State.LATE
    assert silent_until(UP, T + 12.5, evidence).reason == UNREACHABLE


def test_one_look_that_finds_nothing_does_not_undo_what_a_host_has_answered() -> None:
    hung = silent_until(UP, T + 10, Evidence.ANSWERS)
    assert hung.answered_s == T + 10
    unsure = silent_until(hung, T + 12, Evidence.SILENT)
    assert unsure.state is State.HUNG
    assert silent_until(unsure, T + 20, Evidence.ANSWERS).state is State.HUNG


def test_host_that_goes_silent_after_its_agent_is_down_a_horizon_after_its_last_answer() -> None:
    hung = silent_until(UP, T + 10, Evidence.ANSWERS)
    silent_s = T + 10 + math.ceil(SILENT_AFTER_S / LOOK_AGAIN_S) * LOOK_AGAIN_S
    assert silent_until(hung, just_before(silent_s), Evidence.SILENT).state is State.HUNG
    late = silent_until(hung, silent_s, Evidence.SILENT)
    assert (late.state, late.reason) == (State.LATE, "its host has gone silent")
    down_s = T + 10 + DOWN_LEAST_PERIODS * PERIOD_S
    assert first_s(late, State.DOWN, Evidence.SILENT) == down_s


def test_host_that_answers_now_and_then_does_not_keep_a_dead_agent_from_being_down() -> None:
    node, evidence = UP, Evidence.ANSWERS
    while node.state is not State.DOWN:
        at_s = deadline_s(node)
        assert at_s is not None
        node = step(node, DeadlinePassed(evidence), at_s)
        evidence = Evidence.SILENT if int(at_s) % 5 else Evidence.ANSWERS
    assert node.since_s == T + (1 + HUNG_PERIODS) * PERIOD_S


@pytest.mark.parametrize(
    ("next_in_s", "late_s", "down_s"),
    [
        pytest.param(5.0, 6.0, 12.5, id="on the grid"),
        pytest.param(2.5, 3.5, 10.0, id="half a period, as on a new link"),
        pytest.param(7.5, 8.5, 15.0, id="one and a half, after another cadence"),
        pytest.param(30.0, 31.0, 60.0, id="an agent that keeps a longer period"),
        pytest.param(0.1, 1.1, 7.6, id="the shortest promise there is"),
    ],
)
def test_promise_decides_when_a_node_is_late_and_promise_and_period_when_it_is_down(
    next_in_s: float, late_s: float, down_s: float
) -> None:
    up = step(NEVER_SEEN, beat(T, next_in_s), T)
    assert deadline_s(up) == T + late_s
    assert math.isclose(first_s(up, State.DOWN, Evidence.SILENT), T + down_s)


@pytest.mark.parametrize(
    ("lateness_s", "late_s", "down_s"),
    [
        pytest.param(0.0, 6.0, 12.5, id="a good link"),
        pytest.param(0.8, 6.0, 12.5, id="within the least there is"),
        pytest.param(2.0, 7.5, 12.5, id="two seconds late once"),
        pytest.param(4.0, 10.0, 15.0, id="four"),
        pytest.param(12.0, 10.0, 25.0, id="twelve, the most that counts"),
        pytest.param(40.0, 10.0, 25.0, id="forty"),
    ],
)
def test_link_that_was_slow_is_given_more_time(
    lateness_s: float, late_s: float, down_s: float
) -> None:
    node = Liveness(State.UP, T, "", PERIOD_S, first(T, T, PERIOD_S, lateness_s))
    assert math.isclose(first_s(node, State.LATE, Evidence.SILENT), T + late_s, abs_tol=0.1)
    assert math.isclose(first_s(node, State.DOWN, Evidence.SILENT), T + down_s, abs_tol=0.3)


@pytest.mark.parametrize(
    ("peak_s", "late_s", "hung_s"), [(0.0, 6.0, 7.0), (2.0, 7.5, 10.5), (9.0, 10.0, 20.0)]
)
def test_host_that_answers_makes_no_node_hung_while_a_beat_may_be_on_its_way(
    peak_s: float, late_s: float, hung_s: float
) -> None:
    node = Liveness(State.UP, T, "", PERIOD_S, first(T, T, PERIOD_S, peak_s))
    assert math.isclose(first_s(node, State.LATE, Evidence.ANSWERS), T + late_s, abs_tol=0.1)
    assert math.isclose(first_s(node, State.HUNG, Evidence.ANSWERS), T + hung_s, abs_tol=0.1)
    assert first_s(node, State.DOWN, Evidence.ANSWERS) == T + 30.0


def test_lateness_that_brought_a_node_down_wrongly_twice_is_learnt_from() -> None:
    back = step(silent_until(UP, T + 14), beat(T + 16, late_s=11.0), T + 16)
    assert back.arrivals is not None
    assert back.arrivals.peak_s == 0.0
    down = silent_until(back, T + 36)
    assert down.state is State.DOWN
    back = step(down, beat(T + 37, late_s=27.0), T + 37)
    assert back.arrivals is not None
    assert math.isclose(back.arrivals.peak_s, 11.0, rel_tol=0.01)


def test_most_lateness_that_is_kept_is_what_the_widest_margin_needs() -> None:
    assert PEAK_FACTOR * PEAK_MOST_PERIODS == DOWN_MOST_PERIODS - 1


@pytest.mark.parametrize("state", State)
def test_beat_brings_any_node_up_that_was_not_revoked(state: State) -> None:
    beating = step(Liveness(state, T, "some reason"), beat(T + 1), T + 1)
    if state is State.REVOKED:
        assert beating.state is State.REVOKED
    else:
        since_s = T if state is State.UP else T + 1
        arrivals = first(T + 1, T + 1, PERIOD_S)
        assert beating == Liveness(State.UP, since_s, "", PERIOD_S, arrivals)


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
def test_orphaned_node_is_awaited_if_it_was_there_and_as_it_was_if_not(state: State) -> None:
    was_there = {State.JOINING, State.UP, State.LATE, State.HUNG}
    node = replace(UP, state=state)
    orphaned = step(node, Orphaned("a worker ended"), T + 1)
    if state in was_there:
        assert orphaned == replace(
            node, state=State.AWAITED, since_s=T + 1, reason="a worker ended"
        )
        assert deadline_s(orphaned) == T + 1 + AWAITED_S
    else:
        assert orphaned is node


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
    assert step(joining, beat(again_s, 2.5), again_s).state is State.UP


def test_new_link_of_a_live_node_does_not_interrupt_its_state() -> None:
    late = silent_until(UP, T + 7)
    linked = step(late, Joined(PERIOD_S), T + 8)
    assert (linked.state, linked.since_s) == (State.LATE, late.since_s)
    down_s = T + 8 + PERIOD_S + DOWN_LEAST_PERIODS * PERIOD_S
    assert first_s(linked, State.DOWN, Evidence.UNKNOWN) == down_s


def test_other_process_behind_a_new_link_may_have_another_clock() -> None:
    linked = step(UP, Joined(PERIOD_S), T + 2)
    up = step(linked, BeatArrived(77.0, PERIOD_S, PERIOD_S), T + 2)
    assert first_s(up, State.LATE, Evidence.UNKNOWN) == T + 8
    assert step(linked, BeatArrived(9e9, PERIOD_S, PERIOD_S), T + 2).arrivals == first(
        T + 2, 9e9, PERIOD_S
    )


def test_other_cadence_counts_from_the_first_beat_that_follows_it() -> None:
    slow = step(UP, beat(T, 60.0, 60.0), T)
    assert deadline_s(slow) == T + 61
    fast = step(slow, beat(T + 1, 1.0, 1.0), T + 1)
    late = silent_until(fast, T + 3)
    assert (late.state, first_s(late, State.DOWN, Evidence.SILENT)) == (State.LATE, T + 4)


def test_late_driver_moves_a_node_on_by_one_state_and_not_into_the_past() -> None:
    late = step(UP, DeadlinePassed(), T + 100)
    assert (late.state, late.since_s, deadline_s(late)) == (State.LATE, T + 100, T + 101)


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
clocks_s = st.floats(0, 1e9)
kernels = st.sampled_from(Evidence)
events: st.SearchStrategy[LivenessEvent] = st.one_of(
    st.builds(Joined, periods_s),
    st.tuples(clocks_s, periods_s, promises).map(
        lambda all_: BeatArrived(all_[0], all_[1] * all_[2], all_[1])
    ),
    st.builds(BeatArrived, clocks_s, st.floats(0.1, 600), periods_s),
    st.builds(LinkBroke, st.just("link reset")),
    st.builds(Orphaned, st.just("a worker ended")),
    st.builds(SaidGoodbye, st.just("stopped")),
    st.just(Revoked()),
    st.builds(DeadlinePassed, kernels),
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


@given(beginnings, lives, kernels)
def test_deadline_is_never_before_the_state_began_and_silence_ends_at_rest(
    node: Liveness, life: list[tuple[float, LivenessEvent]], evidence: Evidence
) -> None:
    now_s = 0.0
    for wait_s, event in life:
        now_s += wait_s
        node = step(node, event, now_s)
        at_s = deadline_s(node)
        assert (at_s is None) == (node.state in RESTING)
        if at_s is not None:
            assert step(node, DeadlinePassed(), just_before(at_s)) is node
            assert step(node, DeadlinePassed(), at_s) is not node
    looks = 0
    while (at_s := deadline_s(node)) is not None:
        now_s = max(now_s, at_s)
        node = step(node, DeadlinePassed(evidence), now_s)
        looks += 1
    assert looks <= 2 + (1 + HUNG_PERIODS) * node.period_s / LOOK_AGAIN_S
    assert node.state in RESTING


@given(
    periods_s,
    clocks_s,
    st.lists(st.tuples(st.floats(0, 50), promises), min_size=1, max_size=20),
    kernels,
)
def test_silent_node_is_late_then_down_within_the_bounds_whatever_came_before(
    period_s: float, clock_s: float, beats: list[tuple[float, float]], evidence: Evidence
) -> None:
    # `beats`: how much later than promised each arrives, and what it promises for the next.
    node, sent_s, arrived_s = step(NEVER_SEEN, Joined(period_s), T), T, T
    for lateness_s, promise in beats:
        arrived_s = max(arrived_s, sent_s + lateness_s)
        next_in_s = promise * period_s
        node = step(node, BeatArrived(sent_s + clock_s, next_in_s, period_s), arrived_s)
        sent_s += next_in_s
    arrivals = node.arrivals
    assert arrivals is not None
    late_s = first_s(node, State.LATE, evidence)
    down_s = first_s(node, State.DOWN, evidence)
    rounding_s = 1e-5 + 1e-9 * clock_s
    assert late_s - arrivals.due_s + rounding_s >= LATE_FLOOR_S
    assert late_s - arrivals.due_s <= max(LATE_FLOOR_S, period_s) + rounding_s
    counted_s = down_s - max(arrivals.due_s, arrivals.heard_s)
    if evidence is Evidence.ANSWERS:
        assert math.isclose(counted_s, HUNG_PERIODS * period_s, abs_tol=rounding_s)
    else:
        assert DOWN_LEAST_PERIODS * period_s <= counted_s + rounding_s
        assert counted_s <= DOWN_MOST_PERIODS * period_s + rounding_s


@given(periods_s, st.lists(st.floats(0, 20), min_size=1, max_size=20))
def test_what_is_said_of_the_time_to_detect_is_what_silence_then_does(
    period_s: float, lateness: list[float]
) -> None:
    node, sent_s, heard_s = step(NEVER_SEEN, Joined(period_s), T), T, T
    for late_s in lateness:
        heard_s = max(heard_s, sent_s + late_s)
        node = step(node, BeatArrived(sent_s, period_s, period_s), heard_s)
        sent_s += period_s
    said = horizons(node)
    assert said is not None
    for promised_s, state, evidence in (
        (said.late_in_s, State.LATE, Evidence.SILENT),
        (said.down_in_s, State.DOWN, Evidence.SILENT),
        (said.hung_down_in_s, State.DOWN, Evidence.ANSWERS),
    ):
        taken_s = first_s(node, state, evidence) - heard_s
        assert math.isclose(taken_s, promised_s, abs_tol=0.05)
    lost = step(node, LinkBroke("link reset"), heard_s)
    assert first_s(lost, State.DOWN, Evidence.UNKNOWN) == heard_s + said.lost_down_in_s


def test_time_to_detect_of_a_good_link_is_that_of_the_targets() -> None:
    said = horizons(UP)
    assert said is not None
    assert (said.late_in_s, said.down_in_s, said.hung_down_in_s) == (6.0, 12.5, 30.0)
    assert (said.lost_down_in_s, said.margin_s) == (3.0, 0.0)


@pytest.mark.parametrize("node", [NEVER_SEEN, LOST, JOINING, AWAITED, step(UP, Joined(5.0), T)])
def test_there_is_no_time_to_detect_of_a_node_that_does_not_beat(node: Liveness) -> None:
    assert horizons(node) is None


@given(periods_s, st.sampled_from(State))
def test_welcomed_agent_has_three_periods_for_its_first_beat(period_s: float, state: State) -> None:
    joined = step(Liveness(state, T), Joined(period_s), T + 1)
    if joined.state is State.JOINING:
        assert deadline_s(joined) == T + 1 + JOINING_PERIODS * period_s


def test_every_pair_of_state_and_event_has_an_answer() -> None:
    example: list[LivenessEvent] = [
        Joined(5), BeatArrived(5, 5, 5), LinkBroke("x"), Orphaned("x"), SaidGoodbye("x"),
        Revoked(), DeadlinePassed(),
    ]  # fmt: skip
    assert {type(event) for event in example} == set(LEADS_TO)
    for state, event in product(State, example):
        after = step(Liveness(state, T), event, T + 1e6)
        assert after.state in LEADS_TO[type(event)]
