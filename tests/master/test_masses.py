"""Mass events: when many make one, and what they have in common."""

from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from master.masses import (
    HOLD_PERIODS,
    LEAST_NODES,
    LEAST_PART,
    WINDOW_PERIODS,
    Masses,
    common_ground,
)
from tests.master.assembled import assembled

PERIOD_S = 5.0


def fall(masses: Masses, node_ids: list[str], alive: int, now_s: float) -> list[tuple[str, ...]]:
    events = [masses.fell(node_id, alive, PERIOD_S, now_s) for node_id in node_ids]
    return [event for event in events if event]


def names(count: int, prefix: str = "n") -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


@pytest.mark.parametrize(
    ("fallen", "alive", "is_mass"),
    [
        (4, 4, False), (5, 5, True), (5, 16, True), (5, 17, False), (29, 100, False),
        (30, 100, True), (900, 3_000, True),
    ],
)  # fmt: skip
def test_three_in_ten_are_a_mass_and_five_at_least(fallen: int, alive: int, is_mass: bool) -> None:
    masses = Masses()
    assert bool(fall(masses, names(fallen), alive, 0.0)) is is_mass
    assert masses.holds(0.0) is is_mass


def test_event_names_who_fell_and_comes_once_however_many_follow() -> None:
    masses = Masses()
    ((first),) = fall(masses, names(100), 100, 0.0)
    assert first == tuple(names(30))
    assert masses.holds(HOLD_PERIODS * PERIOD_S)


def test_hold_lasts_two_periods_from_the_last_fall() -> None:
    masses = Masses()
    fall(masses, names(50), 100, 0.0)
    fall(masses, names(1, "late"), 100, 4.0)
    assert masses.until_s == 4.0 + HOLD_PERIODS * PERIOD_S
    assert not masses.holds(masses.until_s + 0.001)


def test_those_who_fell_long_before_do_not_count() -> None:
    masses = Masses()
    assert not fall(masses, names(4), 10, 0.0)
    assert not fall(masses, names(4, "m"), 10, WINDOW_PERIODS * PERIOD_S + 0.1)
    assert fall(masses, names(1, "o"), 10, WINDOW_PERIODS * PERIOD_S + 0.1)


def test_node_that_falls_again_and_again_is_one() -> None:
    assert not fall(Masses(), ["n0"] * 100, 100, 0.0)


def test_next_mass_after_the_hold_is_another_event() -> None:
    masses = Masses()
    assert len(fall(masses, names(50), 100, 0.0)) == 1
    assert len(fall(masses, names(50), 100, 100.0)) == 1


@given(st.lists(st.tuples(st.floats(0, 6), st.integers(0, 20)), max_size=100), st.integers(1, 40))
def test_mass_is_as_many_as_fell_within_the_window(
    falls: list[tuple[float, int]], alive: int
) -> None:
    masses, now_s, lately = Masses(), 0.0, list[tuple[float, str]]()
    for wait_s, number in falls:
        now_s += wait_s
        lately.append((now_s, str(number)))
        held = masses.holds(now_s)
        event = masses.fell(str(number), alive, PERIOD_S, now_s)
        since_s = now_s - WINDOW_PERIODS * PERIOD_S
        distinct = {node_id for at_s, node_id in lately if at_s >= since_s}
        is_mass = len(distinct) >= max(LEAST_NODES, LEAST_PART * alive)
        assert bool(event) == (is_mass and not held)
        if event:
            assert set(event) == distinct


# --- what they have in common --------------------------------------------------------------------


def fleet(**counts: int) -> dict[str, frozenset[str]]:
    """So many nodes of each rack, in one subnet, every other of which is `odd`."""
    return {
        f"{rack}{number}": frozenset({f"rack={rack}", "10.0.0.0/24", f"odd={number % 2}"})
        for rack, count in counts.items()
        for number in range(count)
    }


def test_rack_is_named_and_what_everybody_has_is_not() -> None:
    marks = fleet(a=30, b=70)
    assert common_ground(names(30, "a"), marks) == ("rack=a",)


def test_rack_is_named_before_all_of_it_has_fallen() -> None:
    assert common_ground(names(40, "b"), fleet(a=30, b=70)) == ("rack=b",)


def test_stragglers_of_others_do_not_hide_it() -> None:
    assert common_ground([*names(30, "a"), "b1", "b2"], fleet(a=30, b=70)) == ("rack=a",)


def test_nodes_from_everywhere_have_nothing_in_common() -> None:
    assert common_ground([*names(15, "a"), *names(15, "b")], fleet(a=30, b=70)) == ()


def test_few_who_share_what_most_have_may_do_so_by_chance() -> None:
    marks = fleet(a=2, b=8)
    assert common_ground(names(5, "b"), marks) == ()
    assert common_ground(names(8, "b"), fleet(a=92, b=8)) == ("rack=b",)


def test_rarest_of_several_is_named_first() -> None:
    marks = {
        node_id: mine | {"region=eu"} if node_id[0] in "ab" else mine
        for node_id, mine in fleet(a=30, b=30, c=40).items()
    }
    assert common_ground(names(30, "a"), marks) == ("rack=a", "region=eu")


def test_whole_fleet_has_nothing_in_common_that_would_explain_it() -> None:
    marks = fleet(a=30)
    assert common_ground(list(marks), marks) == ()


def test_nodes_that_were_forgotten_meanwhile_are_left_out() -> None:
    assert common_ground(["gone"], fleet(a=5)) == ()
    assert common_ground([], {}) == ()


async def test_event_names_the_nodes_that_fell_for_scripts_to_use(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        agents = {name: await master.beating(name) for name in names(LEAST_NODES + 1)}
        for agent in agents.values():
            agent.wire.swallow()
        await trio.sleep(PERIOD_S + 2.0)
        (event,) = await master.events("mass")
        assert event.text.startswith(f"{LEAST_NODES} of {len(agents)} nodes fell silent at once")
        assert set(event.nodes) < {master.node(name).node_id for name in agents}
        assert len(event.nodes) == LEAST_NODES
