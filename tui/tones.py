"""What a piece of text means, apart from how a theme paints it.

The pure views answer in `Piece`s; the style sheet has one rule for each `Tone`. A state is always
told by a shape and a word as well as its tone, so that colour is never the only difference.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple, TypeAlias

from shared.liveness import State


class Tone(StrEnum):
    """How a piece is meant. The style sheet's rule is `.tone--NAME`."""

    PLAIN = "plain"
    STRONG = "strong"
    MUTED = "muted"
    """Second to what stands beside it."""
    FAINT = "faint"
    """Structure: tracks, separators."""
    BRAND = "brand"
    CALM = "calm"
    WARM = "warm"
    """A value worth an eye."""
    HOT = "hot"
    """A value worth a hand."""
    SERIES = "series"
    """What is drawn over time, without being good or bad."""
    OTHER = "other"
    """A second thing drawn beside it."""
    UP = "up"
    JOINING = "joining"
    AWAITED = "awaited"
    LATE = "late"
    HUNG = "hung"
    LOST = "lost"
    DOWN = "down"
    AWAY = "away"
    """Not expected to be here: left, revoked, never seen."""


class Piece(NamedTuple):
    """A run of text of one tone, without control characters."""

    text: str
    tone: Tone = Tone.PLAIN


Pieces: TypeAlias = tuple[Piece, ...]


class Mark(NamedTuple):
    """How a state is drawn: one cell of shape, and its tone."""

    shape: str
    tone: Tone


_MARKS: Final[Mapping[str, Mark]] = {
    State.DOWN: Mark("✗", Tone.DOWN),
    State.LOST: Mark("◇", Tone.LOST),
    State.HUNG: Mark("■", Tone.HUNG),
    State.LATE: Mark("▲", Tone.LATE),
    State.AWAITED: Mark("◔", Tone.AWAITED),
    State.JOINING: Mark("◌", Tone.JOINING),
    State.UP: Mark("●", Tone.UP),
    State.NEVER_SEEN: Mark("·", Tone.AWAY),
    State.LEFT: Mark("○", Tone.AWAY),
    State.REVOKED: Mark("⊘", Tone.AWAY),
}
_UNKNOWN: Final = Mark("?", Tone.LATE)

DEGRADED: Final = "!"
"""Follows the word of a state when something else is wrong with the node."""

FLAPPING: Final = "≈"
"""Follows it when the node comes and goes."""


def mark(state: str) -> Mark:
    """How `state` is drawn; a state that only a newer master knows gets a question mark."""
    return _MARKS.get(state, _UNKNOWN)


def meter(ratio: float, width: int, tone: Tone) -> Pieces:
    """A bar of `width` cells, filled from the left by halves; more than nothing always shows."""
    halves = max(round(min(ratio, 1.0) * width * 2), ratio > 0)
    full, half = divmod(halves, 2)
    rest = width - full - half
    track = "━" * rest if half or not rest else "╺" + "━" * (rest - 1)
    return Piece("━" * full + "╸" * half, tone), Piece(track, Tone.FAINT)
