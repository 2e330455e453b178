"""The view model: what comes in, in which order it stands, how old it is, and what it survives."""

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.liveness import SEVERITY, State
from shared.messages import Delta, NodeInfo, Snapshot, Trouble, raw
from shared.metrics import Core
from tests.tui.fleets import MONO_MS, WALL_MS, core, info, snapshot, vitals
from tui.fleet import Fleet
from tui.moment import MasterClock, Moment
from tui.node import Node, Profile, natural_key

NOW_S = 100.0


def fleet_of(**states: str) -> Fleet:
    fleet = Fleet()
    fleet.apply(snapshot(states), NOW_S)
    return fleet


def names(fleet: Fleet) -> list[str]:
    return [node.profile.name for node in fleet.rows]


def now() -> Moment:
    return Moment(MONO_MS, WALL_MS)


# --- order and counts ---------------------------------------------------------------


def test_problems_come_first_then_names() -> None:
    fleet = Fleet()
    states = list(State)
    random.Random(1).shuffle(states)
    fleet.apply(snapshot({f"n-{state}": state for state in states}), NOW_S)
    assert [node.state for node in fleet.rows] == list(SEVERITY)


def test_names_are_ordered_as_people_count() -> None:
    assert names(fleet_of(**dict.fromkeys(("web-10", "Web-9", "web-1", "db"), "up"))) == [
        "db",
        "web-1",
        "Web-9",
        "web-10",
    ]


@given(st.lists(st.text(max_size=8)))
def test_any_names_can_be_ordered(texts: list[str]) -> None:
    assert len(sorted(map(natural_key, texts))) == len(texts)


def test_state_of_a_newer_master_is_shown_as_it_is_between_problems_and_the_rest() -> None:
    fleet = fleet_of(a=State.UP, b="quarantined", c=State.DOWN, d=State.JOINING)
    assert [node.state for node in fleet.rows] == ["down", "quarantined", "joining", "up"]
    assert ("quarantined", 1) in fleet.counts


def test_node_with_trouble_goes_before_those_without() -> None:
    fleet = fleet_of(a=State.UP, b=State.UP, c=State.UP, d=State.JOINING)
    trouble = (Trouble("filesystems", "stuck", 41, "statvfs has not returned"),)
    changed = (vitals("b", troubles=trouble), vitals("c", conflict=True))
    fleet.apply(Delta(MONO_MS, vitals=changed), NOW_S)
    assert names(fleet) == ["d", "b", "c", "a"]


def test_counts_are_by_state_the_worst_first() -> None:
    fleet = fleet_of(a=State.UP, b=State.DOWN, c=State.UP, d=State.LATE)
    assert fleet.counts == [("down", 1), ("late", 1), ("up", 2)]


# --- snapshots and deltas ---------------------------------------------------------------


def test_snapshot_takes_effect_only_when_it_is_whole() -> None:
    fleet = fleet_of(old=State.UP)
    fleet.apply(snapshot({"new-1": State.UP}, last=False), NOW_S)
    assert names(fleet) == ["old"]
    fleet.apply(snapshot({"new-2": State.UP}), NOW_S)
    assert names(fleet) == ["new-1", "new-2"]


def test_infos_and_vitals_may_come_in_different_pieces() -> None:
    fleet = Fleet()
    fleet.apply(Snapshot(MONO_MS, (info("a"),), (), False), NOW_S)
    fleet.apply(Snapshot(MONO_MS, (), (vitals("a", State.LATE),), True), NOW_S)
    assert [(node.profile.name, node.state) for node in fleet.rows] == [("a", "late")]


def test_half_a_snapshot_is_forgotten_with_its_link() -> None:
    fleet = fleet_of(old=State.UP)
    fleet.apply(snapshot({"half": State.UP}, last=False), NOW_S)
    fleet.link_lost()
    assert not fleet.is_current
    assert names(fleet) == ["old"]
    fleet.apply(snapshot({"new": State.UP}), NOW_S)
    assert fleet.is_current
    assert names(fleet) == ["new"]


def test_delta_changes_a_node_in_its_place_without_a_resort() -> None:
    fleet = fleet_of(a=State.UP, b=State.UP)
    rows = fleet.rows
    fleet.apply(Delta(MONO_MS, vitals=(vitals("b", core=raw(core(cpu_busy_bp=9900))),)), NOW_S)
    assert fleet.rows is rows
    assert fleet.rows[1].core.cpu_busy_bp == 9900


def test_delta_that_changes_a_state_moves_the_row_and_the_counts() -> None:
    fleet = fleet_of(a=State.UP, b=State.UP)
    assert fleet.counts == [("up", 2)]
    fleet.apply(Delta(MONO_MS, vitals=(vitals("b", State.DOWN),)), NOW_S)
    assert names(fleet) == ["b", "a"]
    assert fleet.counts == [("down", 1), ("up", 1)]


def test_renamed_node_moves_to_its_new_place() -> None:
    fleet = fleet_of(a=State.UP, b=State.UP)
    fleet.apply(Delta(MONO_MS, infos=(info("z", node_id="id-a"),)), NOW_S)
    assert names(fleet) == ["b", "z"]


def test_forgotten_node_is_gone_and_forgetting_twice_is_harmless() -> None:
    fleet = fleet_of(a=State.UP, b=State.UP)
    for _ in range(2):
        fleet.apply(Delta(MONO_MS, gone=("id-a",)), NOW_S)
        assert names(fleet) == ["b"]
    assert fleet.row_of("id-a") is None
    assert fleet.row_of("id-b") == 0


def test_node_known_by_vitals_alone_is_shown_by_its_id() -> None:
    fleet = fleet_of()
    fleet.apply(Delta(MONO_MS, vitals=(vitals("a"),)), NOW_S)
    assert names(fleet) == ["id-a"]


def test_node_known_by_info_alone_has_never_been_seen() -> None:
    fleet = fleet_of()
    fleet.apply(Delta(MONO_MS, infos=(info("a"),)), NOW_S)
    (node,) = fleet.rows
    assert (node.state, node.age_s(now()), node.core) == ("never-seen", None, Core())


def test_viewer_that_is_too_slow_is_told_by_how_much() -> None:
    fleet = fleet_of(a=State.UP)
    fleet.apply(Delta(MONO_MS, behind_ms=2_300), NOW_S)
    assert fleet.behind_s == 2.3
    fleet.apply(Delta(MONO_MS), NOW_S)
    assert fleet.behind_s == 0


@given(st.randoms(use_true_random=False))
def test_deltas_in_any_order_leave_the_same_fleet_as_a_snapshot(rng: random.Random) -> None:
    states = {f"n{number}": rng.choice(list(State)) for number in range(8)}
    fleet = Fleet()
    fleet.apply(snapshot(dict.fromkeys(states, State.NEVER_SEEN)), NOW_S)
    for name in rng.sample(list(states), len(states)):
        fleet.apply(Delta(MONO_MS, vitals=(vitals(name, states[name]),)), NOW_S)
        assert fleet.rows
    whole = fleet_of(**states)
    assert names(fleet) == names(whole)
    assert fleet.counts == whole.counts
    assert [fleet.row_of(node.profile.node_id) for node in fleet.rows] == list(range(8))


# --- age ---------------------------------------------------------------


def test_age_grows_with_the_viewers_own_clock_when_nothing_comes() -> None:
    fleet = fleet_of(a=State.UP)
    (node,) = fleet.rows
    assert node.age_s(fleet.moment(NOW_S, WALL_MS)) == 2.0
    fleet.link_lost()
    assert node.age_s(fleet.moment(NOW_S + 60, WALL_MS)) == 62.0


def test_age_from_before_the_masters_start_is_by_the_wall_clocks() -> None:
    node = Node(Profile(info("a")), vitals("a", seen_mono_ms=None, seen_wall_ms=WALL_MS - 90_000))
    assert node.age_s(now()) == 90.0


def test_age_is_never_negative() -> None:
    node = Node(Profile(info("a")), vitals("a", age_ms=-500))
    assert node.age_s(now()) == 0.0


def test_numbers_are_stale_after_two_and_a_half_periods() -> None:
    profile = Profile(info("a"))
    assert not Node(profile, vitals("a", age_ms=12_500)).is_stale(now())
    assert Node(profile, vitals("a", age_ms=12_501)).is_stale(now())


@pytest.mark.parametrize("state", [State.DOWN, State.LOST, State.LEFT, State.AWAITED])
def test_numbers_of_a_node_that_is_not_heard_are_stale_however_young(state: State) -> None:
    assert Node(Profile(info("a")), vitals("a", state, age_ms=10)).is_stale(now())


def test_problem_is_whatever_stands_before_those_that_are_simply_up() -> None:
    fleet = fleet_of(**{f"n-{state}": state for state in State})
    problems = [node.state for node in fleet.rows if node.is_problem]
    assert problems == ["down", "lost", "hung", "late", "awaited", "joining"]
    assert Node(Profile(info("a")), vitals("a", conflict=True)).is_problem


def test_new_snapshot_brings_the_clock_of_its_own_master() -> None:
    fleet = fleet_of(a=State.UP)
    other = Snapshot(50_000, (info("a"),), (vitals("a", seen_mono_ms=49_000),), True)
    fleet.apply(other, NOW_S + 10)
    assert fleet.rows[0].age_s(fleet.moment(NOW_S + 10, WALL_MS)) == 1.0


def test_clock_believes_the_frame_that_was_delayed_least() -> None:
    clock = MasterClock()
    clock.heard(1_000, 10.0)
    clock.heard(2_000, 11.5)  # half a second late
    reading_ms = clock.reading_ms(12.0)
    assert reading_ms is not None
    assert abs(reading_ms - 3_000) < 2


def test_clock_follows_a_master_that_is_slower() -> None:
    clock = MasterClock()
    for second in range(1_000):
        clock.heard(round(second * 999.9), float(second))  # 100 ppm slow
    reading_ms = clock.reading_ms(1_000.0)
    assert reading_ms is not None
    assert abs(reading_ms - 999_900) < 5


def test_clock_before_the_first_frame_says_nothing() -> None:
    assert MasterClock().reading_ms(1.0) is None


# --- what comes from elsewhere ---------------------------------------------------------------


@pytest.mark.parametrize(
    "garbage",
    [raw("text"), raw([-1]), raw({"cpu": 1}), raw([[["deep"]]]), raw(["x"] * 3)],
    ids=["text", "negative", "map", "nested", "strings"],
)
def test_sample_that_cannot_be_read_is_a_node_without_numbers(garbage: msgspec.Raw) -> None:
    assert Node(Profile(info("a")), vitals("a", core=garbage)).core == Core()


def test_node_that_never_beat_has_no_numbers() -> None:
    assert Node(Profile(info("a")), vitals("a", core=raw(None))).core == Core()


HOSTILE = "evil\x1b[2J\x07\u202egnp.exe\r\n"


def test_no_control_character_survives_the_model() -> None:
    hostile_info = NodeInfo(
        "id", HOSTILE, {HOSTILE: HOSTILE}, HOSTILE, HOSTILE, HOSTILE, 0, HOSTILE, (HOSTILE,)
    )
    trouble = Trouble(HOSTILE, HOSTILE, 1, HOSTILE)
    changed = vitals("a", HOSTILE, reason=HOSTILE, troubles=(trouble,))
    node = Node(Profile(hostile_info), changed)
    profile = node.profile
    shown = [
        profile.name,
        profile.address,
        profile.os,
        profile.agent_version,
        profile.note,
        *profile.labels,
        *profile.labels.values(),
        *profile.filesystems,
        node.state,
        node.reason,
    ]
    assert all(text.isprintable() and "\u202e" not in text for text in shown)


def test_fullest_filesystem_is_named_by_its_mount_point() -> None:
    node = Node(Profile(info("a", filesystems=("/", "/srv"))), vitals("a"))
    assert node.fullest_filesystem == "/srv"


def test_index_beyond_the_inventory_names_no_filesystem() -> None:
    node = Node(Profile(info("a", filesystems=("/",))), vitals("a"))
    assert node.fullest_filesystem == ""


def test_reason_tells_everything_that_is_wrong() -> None:
    trouble = Trouble("disks", "failed", 9, "permission denied")
    node = Node(
        Profile(info("a")),
        vitals("a", State.LATE, reason="beat overdue", conflict=True, troubles=(trouble,)),
    )
    assert node.reason == ("beat overdue · identity in use twice · disks failed: permission denied")
