"""Which nodes are shown, in which order, under which headings; and when they may move."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from shared.liveness import State
from shared.messages import Delta, Snapshot, raw
from tests.tui.fleets import MONO_MS, WALL_MS, core, info, vitals
from tui.cells import cells
from tui.columns import COLUMNS
from tui.filters import parse_filter
from tui.fleet import Fleet
from tui.look import Sight
from tui.moment import Moment
from tui.placement import content_widths, fit
from tui.view import REORDER_S, Arrangement, Group, View, key_of, labels_of

NOW = Moment(MONO_MS, WALL_MS)

NODES: Mapping[str, tuple[str, str, int | None]] = {
    "web-2": (State.UP, "web", 9_000),
    "web-10": (State.UP, "web", 100),
    "db-1": (State.DOWN, "db", 5_000),
    "db-2": (State.UP, "db", 7_000),
    "spare": (State.UP, "", None),
}


def fleet() -> Fleet:
    made = Fleet()
    infos = tuple(info(n, labels={"role": r} if r else {}) for n, (_, r, _) in NODES.items())
    beats = tuple(vitals(n, s, core=busy(c)) for n, (s, _, c) in NODES.items())
    made.apply(Snapshot(MONO_MS, infos, beats, True), 0.0)
    return made


def busy(cpu_bp: int | None) -> Any:
    return raw(core(cpu_busy_bp=cpu_bp))


def shown(view: View) -> list[str]:
    return [row.title if isinstance(row, Group) else row.profile.name for row in view.rows]


def arranged(of: Fleet | None = None, **changes: Any) -> View:
    view = View()
    view.arrangement = Arrangement(**changes)
    view.sync(of or fleet(), NOW, 0.0)
    return view


def test_plain_view_is_the_fleet_as_it_stands() -> None:
    of = fleet()
    view = arranged(of)
    assert view.rows is of.rows
    assert view.shown == 5
    assert shown(view) == ["db-1", "db-2", "spare", "web-2", "web-10"]


def test_rows_are_sorted_by_a_column_the_unknown_last() -> None:
    assert shown(arranged(order="cpu")) == ["web-2", "db-2", "db-1", "web-10", "spare"]
    backwards = arranged(order="cpu", is_reversed=True)
    assert shown(backwards) == ["web-10", "db-1", "db-2", "web-2", "spare"]


@pytest.mark.parametrize("column", [column.key for column in COLUMNS])
def test_every_column_is_an_order(column: str) -> None:
    view = arranged(order=column)
    assert sorted(shown(view)) == sorted(NODES)


def test_names_sort_as_people_count() -> None:
    assert shown(arranged(order="name")) == ["db-1", "db-2", "spare", "web-2", "web-10"]
    assert shown(arranged(order="name", is_reversed=True))[:2] == ["web-10", "web-2"]


def test_faults_only_and_filters_narrow_the_view() -> None:
    assert shown(arranged(is_faults_only=True)) == ["db-1"]
    view = arranged(filter=parse_filter("label:role=web cpu>50"))
    assert shown(view) == ["web-2"]
    assert view.shown == 1


def test_groups_stand_under_headings_the_one_with_the_worst_node_first() -> None:
    view = arranged(group="role")
    assert shown(view) == [
        "role=db",
        "db-1",
        "db-2",
        "no role",
        "spare",
        "role=web",
        "web-2",
        "web-10",
    ]


def test_folded_group_shows_its_heading_only_and_still_counts() -> None:
    view = arranged(group="role", folded=frozenset({"web", ""}))
    assert shown(view) == ["role=db", "db-1", "db-2", "no role", "role=web"]
    assert view.shown == 5


def test_order_holds_within_groups() -> None:
    assert shown(arranged(group="role", order="cpu"))[1:3] == ["db-2", "db-1"]


def test_values_are_the_latest_and_rows_stay_for_a_second() -> None:
    of = fleet()
    view = arranged(of, order="cpu")
    before = view.version
    of.apply(Delta(MONO_MS, vitals=(vitals("web-10", core=busy(9_900)),)), 0.1)
    view.sync(of, NOW, REORDER_S / 2)
    assert view.version == before
    assert shown(view)[3] == "web-10"
    row = view.at(3)
    assert not isinstance(row, Group)
    assert row.core.cpu_busy_bp == 9_900
    view.sync(of, NOW, REORDER_S)
    assert shown(view)[0] == "web-10"
    assert view.version > before


def test_change_of_state_moves_rows_at_once() -> None:
    of = fleet()
    view = arranged(of, is_faults_only=True)
    of.apply(Delta(MONO_MS, vitals=(vitals("web-2", State.LATE),)), 0.1)
    view.sync(of, NOW, 0.1)
    assert shown(view) == ["db-1", "web-2"]


def test_rows_that_do_not_depend_on_values_are_not_put_in_order_again() -> None:
    of = fleet()
    view = arranged(of, filter=parse_filter("web"))
    before = view.version
    view.sync(of, NOW, 100.0)
    assert view.version == before


def test_new_arrangement_takes_effect_at_once() -> None:
    of = fleet()
    view = arranged(of)
    view.arrangement = replace(view.arrangement, order="cpu")
    view.sync(of, NOW, 0.0)
    assert shown(view)[0] == "web-2"


def test_row_is_found_by_its_key() -> None:
    view = arranged(group="role")
    for number, row in enumerate(view.rows):
        assert view.row_of(key_of(row)) == number
    assert view.row_of("id-nobody") is None


def test_labels_are_those_that_any_node_has() -> None:
    assert labels_of(fleet().rows) == ["role"]


def test_heading_sums_up_its_nodes() -> None:
    view = arranged(group="role")
    placed = fit(COLUMNS, 300, content_widths(view.rows))
    heading = view.rows[view.row_of("group web") or 0]
    sight = Sight(NOW)
    drawn = {
        place.column.key: "".join(text for text, _ in pieces)
        for place, pieces in zip(
            placed, cells(heading, sight, placed, is_current=True), strict=True
        )
    }
    assert drawn["state"] == "▾ 2"
    assert drawn["name"] == "role=web"
    assert drawn["cpu"].endswith(" 46%")
    assert drawn["load"] == "2.84"
    assert drawn["received"] == "2.4M"
    assert drawn["fullest"].strip() == "63%"
    assert drawn["temperature"] == "54°"


def test_heading_tells_what_is_the_matter_and_counts_only_the_living() -> None:
    view = arranged(group="role")
    placed = fit(COLUMNS, 300, content_widths(view.rows))
    drawn = {
        place.column.key: "".join(text for text, _ in pieces)
        for place, pieces in zip(
            placed, cells(view.rows[0], Sight(NOW), placed, is_current=True), strict=True
        )
    }
    assert drawn["note"] == "✗ 1 down"
    assert drawn["cpu"].endswith(" 70%")
