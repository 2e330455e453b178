"""The last day of a node in one line: a cell for each stretch of time, by the worst in it.

A cell tells by its shape as well as its tone. Of a stretch before the node was first seen, or
before all that has been told of it, nothing is known, and that is what its cell says. Pure.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from shared.causes import Cause
from shared.liveness import SEVERITY, State
from shared.messages import Event, Outage
from tui.outages import OUTAGES_ASKED
from tui.tones import Piece, Pieces, Tone, mark

DAY_MS: Final = 86_400_000
UNKNOWN: Final = ""
"""The state of which nothing is known."""

_UP: Final = Piece("━", Tone.UP)
"""A line: what is not on it stands out."""

_UNKNOWN: Final = Piece("·", Tone.FAINT)

_WORST_FIRST: Final = (*(state for state in SEVERITY if state is not State.UP), State.UP, UNKNOWN)
_RANKS: Final = {state: rank for rank, state in enumerate(_WORST_FIRST)}
_RANK_OF_NEWER: Final = _RANKS[State.UP] - 0.5
"""A state that only a newer master knows."""

_WORDS: Final = {State.DOWN: "away", UNKNOWN: "not known"}

_MARKS_H: Final = (24, 18, 12, 6)
"""Hours ago that the axis names."""


class Span(NamedTuple):
    """What a node was from one instant to another, on the master's wall clock."""

    from_wall_ms: int
    to_wall_ms: int
    state: str


def history(
    state: Span,
    events: Iterable[Event],
    outages: Sequence[Outage] | None,
    first_seen_wall_ms: int,
) -> list[Span]:
    """What is known of a node's past, in no order, and overlapping.

    `state` is its present one, up to now; `events` are the node's own, oldest first, and so are
    `outages`: between those that are told it was there. None: they are not known.
    """
    now_ms = state.to_wall_ms
    changes = [event for event in events if event.event == "state"]
    ends_ms = [*(event.wall_ms for event in changes[1:]), state.from_wall_ms]
    spans = [state]
    spans += (
        Span(event.wall_ms, end_ms, event.after)
        for event, end_ms in zip(changes, ends_ms, strict=False)
    )
    if changes and changes[0].before not in {"", State.NEVER_SEEN}:
        spans.append(Span(first_seen_wall_ms, changes[0].wall_ms, changes[0].before))
    if outages is not None:
        all_told = len(outages) < OUTAGES_ASKED
        told_from_ms = first_seen_wall_ms if all_told else outages[0].from_wall_ms
        spans.append(Span(told_from_ms, now_ms, State.UP))
    for outage in outages or ():
        until_ms = now_ms if outage.to_wall_ms is None else outage.to_wall_ms
        spans.append(Span(outage.from_wall_ms, until_ms, state_in(outage)))
    return spans


def states(
    spans: Iterable[Span], begin_wall_ms: int, end_wall_ms: int, cells: int
) -> Sequence[str]:
    """The worst state in each of `cells` equal parts of the time from begin to end."""
    worst: list[str] = [UNKNOWN] * cells
    length_ms = end_wall_ms - begin_wall_ms
    for span in spans:
        from_ms, to_ms = span.from_wall_ms - begin_wall_ms, span.to_wall_ms - begin_wall_ms
        if to_ms < 0 or from_ms > length_ms or to_ms < from_ms:
            continue
        first = min(max(0, from_ms) * cells // length_ms, cells - 1)
        last = min(-(-to_ms * cells // length_ms), cells) - 1
        for place in range(first, max(first, last) + 1):
            worst[place] = min(worst[place], span.state, key=_rank)
    return worst


def strip(drawn: Iterable[str]) -> Pieces:
    """The states as cells, those that are alike in one piece."""
    pieces: list[Piece] = []
    for state in drawn:
        text, tone = sign(state)
        if pieces and pieces[-1].tone is tone and pieces[-1].text[-1] == text:
            text = pieces.pop().text + text
        pieces.append(Piece(text, tone))
    return tuple(pieces)


def legend(drawn: Iterable[str]) -> Pieces:
    """What the shapes mean that stand in the strip, the worst first."""
    return tuple(_explained(sorted(set(drawn), key=_rank)))


def axis(width: int) -> Pieces:
    """How long ago it was, beneath a strip of `width` cells."""
    line = ""
    for hours in _MARKS_H:
        at = round((24 - hours) * width / 24)
        label = f"╵{hours}h ago" if hours == _MARKS_H[0] else f"╵{hours}h"
        if at >= len(line) + bool(line) and at + len(label) + len(" now") <= width:
            line = line.ljust(at) + label
    return (Piece(line + "now".rjust(width - len(line)), Tone.MUTED),)


def sign(state: str) -> Piece:
    """One cell."""
    if state == State.UP:
        return _UP
    return _UNKNOWN if state == UNKNOWN else Piece(*mark(state))


def _explained(found: Iterable[str]) -> Iterator[Piece]:
    for state in found:
        yield sign(state)
        yield Piece(f" {_WORDS.get(state, state)}   ", Tone.MUTED)


def _rank(state: str) -> float:
    return _RANKS.get(state, _RANK_OF_NEWER)


def state_in(outage: Outage) -> State:
    """How a node is said to have been during an outage."""
    if outage.planned:
        return State.LEFT
    match outage.cause:
        case Cause.MASTER_AWAY:
            return State.AWAITED
        case Cause.PROCESS_HUNG:
            return State.HUNG
        case _:
            return State.DOWN
