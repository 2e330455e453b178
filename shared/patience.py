"""How long one end of a link waits for the other: pure decisions, for whoever keeps the time.

A silent peer is pinged every `ping_after_s` and given up after `read_timeout_s`; a peer that takes
nothing of what is sent is given up after `write_timeout_s`. Both ends do this on their own: the
shorter timeout wins.

Whatever the peer does makes the next look later, never earlier: whoever keeps the time may sleep
until the look that was next when it fell asleep. Only that the kernel begins to refuse what is sent
may make it earlier, and this side knows when it does.
"""

from enum import Enum

from msgspec import Struct

from shared.settings import LinkSettings


class Verdict(Enum):
    """What to do about a peer."""

    WAIT = "wait"
    PING = "ping"
    SILENT = "silent"
    """Nothing was heard for too long: give the link up."""
    SLOW = "slow"
    """Nothing was taken for too long: give the link up."""


class Silence(Struct, frozen=True, gc=False):
    """What one end knows of the other, on its own monotonic clock."""

    heard_s: float
    """When bytes last arrived."""
    blocked_s: float | None
    """Since when the peer has taken nothing of what waits; None when nothing waits."""
    pinged_s: float
    """When it was last pinged."""


def next_look_s(silence: Silence, settings: LinkSettings) -> float:
    """When `judge` will first say something other than WAIT, unless the peer does something."""
    at_s = min(_ping_at_s(silence, settings), silence.heard_s + settings.read_timeout_s)
    if silence.blocked_s is not None:
        at_s = min(at_s, silence.blocked_s + settings.write_timeout_s)
    return at_s


def judge(silence: Silence, settings: LinkSettings, now_s: float) -> Verdict:
    """What to do about the peer now."""
    blocked_s = silence.blocked_s
    if blocked_s is not None and now_s >= blocked_s + settings.write_timeout_s:
        return Verdict.SLOW
    if now_s >= silence.heard_s + settings.read_timeout_s:
        return Verdict.SILENT
    if now_s >= _ping_at_s(silence, settings):
        return Verdict.PING
    return Verdict.WAIT


def _ping_at_s(silence: Silence, settings: LinkSettings) -> float:
    return max(silence.heard_s, silence.pinged_s) + settings.ping_after_s
