"""How reliably the node is there: its last day as a line, its availability, its outages and why.

One outage is chosen, the latest at first, and its evidence stands beneath it. The page fits the
screen by itself: the rows around the chosen one are shown.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from shared.causes import Cause, lasting
from shared.liveness import State
from shared.messages import Outage
from tui import formats, strip
from tui.outages import cause_of, lasted_s, noticed_s, percent, ratio_of, window
from tui.pages.page import Scene, Sheet, waiting
from tui.pages.parts import INDENT, Field, cell, heading, muted, remark, table, width_of
from tui.shortening import shorten
from tui.since import master_wall_ms
from tui.tones import Piece, Pieces, Tone, mark

_FIELDS: Final = (
    Field(""),
    Field("last seen"),
    Field("away for", is_number=True),
    Field("noticed after", is_number=True, leaves=1),
    Field("cause", most=160, is_flexible=True),
)
_LEAST_ROWS: Final = 3

_GOOD: Final = 0.999
_POOR: Final = 0.99

_EVIDENCE_INDENT: Final = 7

_TONES: Final[Mapping[str, Tone]] = {
    Cause.AGENT_KILLED: Tone.HOT,
    Cause.HOST_REBOOTED: Tone.WARM,
    Cause.NETWORK_CUT: Tone.WARM,
    Cause.PROCESS_HUNG: Tone.HUNG,
}


def outages(scene: Scene) -> Sheet:
    """The strip, availability, and a row for each outage, the latest first."""
    head = [*_day(scene), *_availability(scene)]
    record = scene.record
    if record is None or record.outages is None:
        return Sheet([*head, *waiting("outages")])
    if not record.outages:
        return Sheet([*head, (), remark("It has never been away.")])
    newest_first = record.outages[::-1]
    chosen = chosen_place(scene)
    count = f"{chosen + 1} of {len(newest_first)}"
    rows = [_row(outage, scene, is_chosen=p == chosen) for p, outage in enumerate(newest_first)]
    titles, lines = table(_FIELDS, rows, scene.width)
    evidence = list(_evidence(newest_first[chosen], scene.width))
    head += [(), heading("Outages", count), titles]
    room = max(_LEAST_ROWS, scene.height - len(head) - len(evidence))
    first = min(max(0, chosen - room // 2), max(0, len(lines) - room))
    before, after = lines[first : chosen + 1], lines[chosen + 1 : first + room]
    return Sheet([*head, *before, *evidence, *after])


def chosen_place(scene: Scene) -> int:
    """Which outage is chosen, counted from the latest; that one while none is."""
    known = scene.record.outages if scene.record else None
    numbers = [outage.number for outage in reversed(known or ())]
    return numbers.index(scene.choices.outage) if scene.choices.outage in numbers else 0


def chosen_outage(scene: Scene) -> Outage | None:
    """The outage that is chosen; None: there are none."""
    known = scene.record.outages if scene.record else None
    return known[::-1][chosen_place(scene)] if known else None


def outage_beside(scene: Scene, steps: int) -> int:
    """The number of the outage so many rows below the chosen one; 0: there are none."""
    known = scene.record.outages if scene.record else None
    if not known:
        return 0
    newest_first = known[::-1]
    place = min(max(0, chosen_place(scene) + steps), len(newest_first) - 1)
    return newest_first[place].number


def _day(scene: Scene) -> list[Pieces]:
    width = scene.width - 2 * INDENT
    node = scene.node
    now_ms = master_wall_ms(node, scene.sight.moment)
    present = strip.Span(min(node.vitals.since_wall_ms, now_ms), now_ms, node.state)
    if node.state == State.NEVER_SEEN:
        spans = []
    else:
        known = scene.record.outages if scene.record else None
        first_ms = node.profile.first_seen_wall_ms
        spans = strip.history(present, scene.events, known, first_ms)
    drawn = strip.states(spans, now_ms - strip.DAY_MS, now_ms, width)
    lines = (strip.strip(drawn), strip.axis(width), strip.legend(drawn))
    indent = Piece(" " * INDENT)
    return [heading("The last 24 hours"), *((indent, *line) for line in lines)]


def _availability(scene: Scene) -> list[Pieces]:
    record = scene.record
    if record is None:
        return []
    pieces: list[Piece] = []
    for each in record.availability:
        ratio = ratio_of(each)
        if ratio is not None:
            tone = Tone.UP if ratio >= _GOOD else Tone.WARM if ratio >= _POOR else Tone.HOT
            pieces += (Piece(f"  {window(each)} ", Tone.MUTED), Piece(percent(ratio), tone))
    known_s = max((each.known_s for each in record.availability), default=0)
    longest_s = max((each.window_s for each in record.availability), default=0)
    if pieces and known_s < longest_s:
        pieces.append(Piece(f"  known for {formats.duration(known_s)}", Tone.MUTED))
    lines: list[Pieces] = [(), (*heading("Availability"), *pieces)] if pieces else []
    if soon := record.time_to_detect:
        words = (
            f"  late {_seconds(soon.late_ms)}, down {_seconds(soon.down_ms)},"
            f" hung and down {_seconds(soon.hung_down_ms)} after a beat"
        )
        lines.append((*heading("Would be noticed"), Piece(words, Tone.MUTED)))
    return lines


def _seconds(milliseconds: int) -> str:
    return lasting(milliseconds / 1000)


def _row(outage: Outage, scene: Scene, *, is_chosen: bool) -> tuple[Pieces, ...]:
    moment = scene.sight.moment
    now_ms = master_wall_ms(scene.node, moment)
    shape, tone = mark(strip.state_in(outage))
    is_open = outage.to_wall_ms is None and not outage.planned
    cause_tone = Tone.DOWN if is_open else _TONES.get(outage.cause, Tone.PLAIN)
    return (
        (Piece("▸ " if is_chosen else "  ", Tone.BRAND), Piece(shape, tone)),
        cell(
            formats.clock_time(outage.from_wall_ms, moment.wall_ms),
            Tone.STRONG if is_chosen else Tone.PLAIN,
        ),
        cell(lasting(lasted_s(outage, now_ms))),
        muted(lasting(noticed_s(outage))),
        cell(cause_of(outage), cause_tone),
    )


def _evidence(outage: Outage, width: int) -> Iterator[Pieces]:
    lines: Sequence[str] = outage.evidence or ("no evidence yet",)
    for place, line in enumerate(lines):
        branch = "└ " if place == len(lines) - 1 else "├ "
        lead: Pieces = (Piece(" " * _EVIDENCE_INDENT), Piece(branch, Tone.FAINT))
        yield (*lead, Piece(shorten(line, width - width_of(lead)), Tone.MUTED))
