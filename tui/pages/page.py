"""What a page of the node view is: a pure function from a scene to lines.

Every page says how old its data is, and what is missing and why: `paint` puts that around whatever
the page itself draws.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias, cast

from shared.messages import Event
from tui import formats
from tui.curves import Curves, Stretch
from tui.focus import Focus
from tui.look import Sight
from tui.node import STALE_PERIODS, Node
from tui.outages import COUNTED_EVERY_S, Record
from tui.pages.parts import Field, cell, heading, muted, table
from tui.spans import SPANS, Span
from tui.tones import Piece, Pieces, Tone


class Zoom(NamedTuple):
    """How much time graphs show."""

    step_s: int = 1
    """What one dot stands for, of the samples that came while one looked."""
    span: Span | None = None
    """Instead, as much out of the master's history."""


ZOOMS: Final = (Zoom(1), Zoom(2), *(Zoom(span=span) for span in SPANS))
"""The shortest first."""


@dataclass(frozen=True, slots=True)
class Choices:
    """What the user has chosen on the pages."""

    process_order: str = "cpu"
    is_reversed: bool = False
    is_tree: bool = False
    text: str = ""
    """Only processes that contain it."""
    zoom: Zoom = ZOOMS[0]
    outage: int = 0
    """The number of the outage whose evidence is shown; 0: the latest."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What a page is made from. Width and height are in cells."""

    node: Node
    focus: Focus
    sight: Sight
    width: int
    height: int
    choices: Choices = Choices()
    events: Sequence[Event] = ()
    record: Record | None = None
    curves: Curves | None = None
    stretch: Stretch | None = None
    """What graphs show out of `curves`; None: they show the trail of the focus."""
    title: str = ""
    """How much that is."""


class Sheet(NamedTuple):
    """The lines of a page: those that scroll, and those above that do not."""

    body: Sequence[Pieces]
    head: Sequence[Pieces] = ()


Draw: TypeAlias = Callable[[Scene], Sheet]


@dataclass(frozen=True, slots=True)
class Page:
    """One page. To add one is to add a row to `tui.pages.PAGES`."""

    key: str
    title: str
    short: str
    """The title where there is little room."""
    hotkey: str
    families: tuple[str, ...]
    """What it is drawn from, by the names of `shared.metrics.FAMILIES`."""
    draw: Draw
    has_graphs: bool = False
    has_record: bool = False
    """Whether it shows what the master counts now and then."""


def paint(page: Page, scene: Scene) -> Sheet:
    """The page with the age of its data above and what is missing below."""
    sheet = page.draw(scene)
    head = [freshness(page, scene), *sheet.head]
    return Sheet([*sheet.body, *_absences(page, scene)], head)


def freshness(page: Page, scene: Scene) -> Pieces:
    """How old each family of a page is, and how often it comes."""
    pieces: list[Piece] = [Piece(" ")]
    for family in page.families:
        if len(pieces) > 1:
            pieces.append(Piece(" · ", Tone.FAINT))
        pieces.append(Piece(f"{family} ", Tone.MUTED))
        pieces.append(_age(family, scene))
    if page.has_record and scene.record is not None:
        pieces += _record_age(scene.record, scene)
    if page.has_graphs and scene.curves is not None and scene.stretch is not None:
        source = scene.curves.source(scene.node.profile.node_id)
        pieces.append(Piece(f"   graphs: {scene.title}, {source}", Tone.BRAND))
    return tuple(pieces)


def _age(family: str, scene: Scene) -> Piece:
    sample = scene.focus.samples.get(family)
    if sample is None:
        return Piece(_why_none(family, scene), Tone.WARM)
    age_s = sample.age_s(scene.sight.moment)
    is_old = age_s * 1000 > STALE_PERIODS * sample.period_ms
    every = f", every {formats.age(sample.period_ms / 1000)}" if sample.period_ms else ""
    text = f"{formats.age(age_s)} ago{every}"
    if sample.data is None:
        text += ", not understood: sent by another version"
    return Piece(text, Tone.WARM if is_old or sample.data is None else Tone.MUTED)


def _record_age(record: Record, scene: Scene) -> Pieces:
    age_s = record.age_s(scene.sight.moment)
    if age_s is None:
        return ()
    is_old = age_s > STALE_PERIODS * COUNTED_EVERY_S
    text = f"{formats.age(age_s)} ago, every {formats.age(COUNTED_EVERY_S)}"
    return Piece("availability ", Tone.MUTED), Piece(text, Tone.WARM if is_old else Tone.MUTED)


def _why_none(family: str, scene: Scene) -> str:
    inventory = scene.focus.inventory
    off = inventory is not None and any(
        info.family == family and not info.enabled for info in inventory.families
    )
    if off:
        return "switched off by the host's own settings"
    trouble = next((t for t in scene.node.vitals.troubles if t.family == family), None)
    return "not measured: see below" if trouble else "has not come yet"


def _absences(page: Page, scene: Scene) -> list[Pieces]:
    """What the page could not show, and why."""
    rows: list[tuple[Pieces, Pieces, Pieces]] = []
    for trouble in scene.node.troubles:
        if trouble.family in page.families:
            how = f"{trouble.state} for {formats.age(trouble.age_s)}"
            rows.append((muted(trouble.family), cell(how, Tone.WARM), cell(trouble.text)))
    for family in page.families:
        sample = scene.focus.samples.get(family)
        if sample is None or sample.data is None:
            continue
        absent = cast("dict[str, str]", getattr(sample.data, "absent", {}))
        rows += ((muted(family), cell(what), muted(why)) for what, why in sorted(absent.items()))
        if left_out := cast("int", getattr(sample.data, "left_out", 0)):
            text = f"{formats.count(left_out)} more rows that the agent does not send"
            rows.append((muted(family), cell("left out"), muted(text)))
    if not rows:
        return []
    fields = (Field("family"), Field("what"), Field("why", most=200, is_flexible=True))
    _, lines = table(fields, rows, scene.width)
    return [(), heading("Not known here"), *lines]


def waiting(kind: str) -> list[Pieces]:
    """What stands where data would be, before it has come."""
    return [(), muted(f" No {kind} yet.")]
