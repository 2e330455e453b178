"""Graphs out of the master's history: what is asked for, and how what comes is drawn."""

from collections.abc import Mapping
from itertools import count

from shared import messages as m
from shared.metrics import Core
from tui.curves import Curves, Dot, Stretch, with_tail
from tui.trail import FIELDS, Trail

HOUR_MS = 3_600_000
DAY = Stretch("id-db-1", 0, 24 * HOUR_MS, 96)


def series(
    request: int, step_ms: int, cpu: Mapping[int, tuple[float | None, int | None]]
) -> m.Series:
    """An answer in which only the processors were measured, by the beginning of each step."""
    empty = tuple(None for _ in cpu)
    told = (
        m.SeriesOf("cpu_busy_bp", empty, *zip(*cpu.values(), strict=True)),
        *(m.SeriesOf(f.metric, empty, empty, empty) for f in list(FIELDS.values())[1:]),
    )
    counts = tuple(1 for _ in cpu)
    return m.Series(request, DAY.node_id, step_ms, step_ms, tuple(cpu), counts, told)


def asked() -> tuple[Curves, list[m.FromViewer]]:
    sent: list[m.FromViewer] = []
    return Curves(sent.append, count(1)), sent


def told(step_ms: int, cpu: Mapping[int, tuple[float | None, int | None]]) -> Curves:
    curves, _ = asked()
    curves.want(DAY, 0.0, is_past=False)
    assert curves.take(series(1, step_ms, cpu), 0.0)
    return curves


def test_dot_is_the_mean_of_what_is_in_it_and_remembers_the_highest() -> None:
    curves = told(HOUR_MS, {0: (2_500, 3_000), HOUR_MS: (7_500, 10_000)})
    first, *rest = curves.dots(DAY, "cpu", 12)
    assert first == Dot(0.5, 1.0)
    assert rest == [None] * 11


def test_step_that_is_longer_than_a_dot_fills_all_of_its_dots() -> None:
    dots = told(6 * HOUR_MS, {0: (5_000, 6_000)}).dots(DAY, "cpu", 24)
    assert [dot is not None for dot in dots] == [True] * 6 + [False] * 18


def test_stretch_without_samples_is_a_gap_and_what_was_not_measured_too() -> None:
    hours = {*range(15), 20, 21}
    cpu = {hour * HOUR_MS: (5_000.0, 5_000) for hour in sorted(hours)}
    curves = told(HOUR_MS, cpu)
    assert [bool(dot) for dot in curves.dots(DAY, "cpu", 24)] == [
        hour in hours for hour in range(24)
    ]
    assert curves.dots(DAY, "memory", 24) == [None] * 24


def test_samples_that_are_further_apart_than_steps_leave_no_gaps() -> None:
    minute = Stretch(DAY.node_id, 0, 60_000, 60)
    cpu = {second * 1_000: (5_000.0, 5_000) for second in range(0, 60, 5)}
    curves, _ = asked()
    curves.want(minute, 0.0, is_past=False)
    curves.take(series(1, 1_000, cpu), 0.0)
    assert None not in curves.dots(minute, "cpu", 60)


def test_live_graph_is_asked_for_again_when_it_has_gone_on_by_a_dot() -> None:
    curves, sent = asked()
    curves.want(DAY, 0.0, is_past=False)
    later = DAY._replace(begin_wall_ms=899_000, end_wall_ms=DAY.end_wall_ms + 899_000)
    curves.want(later, 0.0, is_past=False)
    assert len(sent) == 1
    curves.take(m.Failed(1, "not-read", "no"), 0.0)
    much_later = DAY._replace(begin_wall_ms=901_000, end_wall_ms=DAY.end_wall_ms + 901_000)
    curves.want(much_later, 0.0, is_past=False)
    assert len(sent) == 2


def test_in_the_past_every_instant_is_asked_for() -> None:
    curves, sent = asked()
    curves.want(DAY, 0.0, is_past=True)
    curves.take(m.Failed(1, "not-read", "no"), 0.0)
    curves.want(DAY._replace(begin_wall_ms=1, end_wall_ms=DAY.end_wall_ms + 1), 0.0, is_past=True)
    assert len(sent) == 2


def test_title_says_where_the_values_come_from() -> None:
    curves, _ = asked()
    curves.want(DAY, 0.0, is_past=False)
    assert curves.source(DAY.node_id) == "asking …"
    curves.take(series(1, 60_000, {0: (1, 1)}), 0.0)
    assert curves.source(DAY.node_id) == "from the 1-min tier"
    curves.want(DAY._replace(points=5), 0.0, is_past=False)
    curves.take(m.Failed(2, "not-read", "the disk is on fire"), 0.0)
    assert curves.source(DAY.node_id) == "the disk is on fire"


def test_another_nodes_answer_is_not_drawn() -> None:
    curves = told(HOUR_MS, {0: (5_000, 5_000)})
    assert curves.dots(DAY._replace(node_id="id-web-1"), "cpu", 4) == (None,) * 4


def test_live_samples_follow_what_the_history_has() -> None:
    trail = Trail()
    trail.add(9_000, 1_000, Core(cpu_busy_bp=10_000))
    dots = with_tail([Dot(0.1, 0.1), None, Dot(0.2, 0.2), None, None], trail, "cpu", 9_500, 1_000)
    assert dots == [Dot(0.1, 0.1), None, Dot(0.2, 0.2), None, Dot(1.0, 1.0)]
