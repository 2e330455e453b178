"""What the screens say of the past: that this is it, which instant it is, what is still awaited."""

from datetime import UTC, datetime

from tui import formats
from tui.asking import ASKING_SHOWN_S
from tui.link import Link, LinkState
from tui.past import Past
from tui.tones import Piece, Pieces, Tone


def instant(wall_ms: int) -> str:
    """`Fri 2026-11-20 03:12:00 CET`: nobody has to guess which day or which zone."""
    try:
        then = datetime.fromtimestamp(wall_ms / 1000, UTC).astimezone()
    except (OverflowError, OSError, ValueError):
        return formats.ABSENT
    return f"{then:%a %Y-%m-%d %H:%M:%S %Z}"


def notice(past: Past, link: Link, now_s: float, now_wall_ms: int) -> tuple[Pieces, Pieces]:
    """The banner's left and right end while one is in the past."""
    shown_ms = past.shown_wall_ms
    if shown_ms is None:
        what = f"◀◀ THE PAST  {instant(past.wanted_wall_ms)}: nothing of it is here yet"
    else:
        ago = formats.duration((now_wall_ms - shown_ms) / 1000)
        what = f"◀◀ THE PAST  {instant(shown_ms)}, {ago} ago"
    if link.state is not LinkState.LIVE:
        what += f" · no link: {link.reason}" if link.reason else " · no link"
    elif past.problem:
        what += f" · no answer about {instant(past.wanted_wall_ms)}: {past.problem}"
    waiting_s = past.waiting_s(now_s)
    if link.state is LinkState.LIVE and waiting_s > ASKING_SHOWN_S:
        awaited = formats.clock_time(past.wanted_wall_ms, now_wall_ms)
        for_s = f" {waiting_s:.0f} s" if waiting_s >= 1 else ""
        return (Piece(what, Tone.STRONG),), (Piece(f"asking for {awaited} …{for_s}"),)
    return (Piece(what, Tone.STRONG),), (Piece("Home: now", Tone.MUTED),)


def status() -> Pieces:
    """What stands where it would say `live`."""
    return (Piece("◀◀ past", Tone.WARM),)


def not_known_yet() -> Pieces:
    """The banner over a node of which the fleet had not heard yet."""
    return (Piece("◀◀ THE PAST: this node was not known yet", Tone.STRONG),)


def no_sample() -> Pieces:
    """Instead of the age of a beat."""
    return (Piece("no sample of then", Tone.MUTED),)
