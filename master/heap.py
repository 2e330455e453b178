"""Memory that handshakes have used and nobody needs any more goes back to the system.

A TLS handshake takes some 50 kB for a moment. Where many are under way at once, what they leave
lies between what stays, and the C library keeps it for the next ones: 4 to 9 MB after a fleet of
thousands has linked, for as long as the process lives. Nothing that Python frees changes that;
glibc gives it back when it is asked to, in a millisecond or two.
"""

import ctypes
import sys
from collections.abc import Callable
from typing import Final

import trio

LOOK_S: Final = 10.0
"""How long after a burst at the latest, and how often at most while it lasts."""

BURST: Final = 64
"""So many handshakes are worth it: what one leaves, the next one takes."""


def give_back() -> bool:
    """Has the C library return whole pages that it keeps and does not use; whether there were any.

    False where it is not glibc (another system, musl), which has no such call or needs none.
    """
    if not sys.platform.startswith("linux"):
        return False
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return trim is not None and bool(trim(0))


async def trim_after_bursts(
    handshakes: Callable[[], int], trim: Callable[[], object] = give_back
) -> None:
    """Calls `trim` a while after every burst of handshakes, for ever. `handshakes` tells how many
    have ended, well or not, since the process began."""
    seen = handshakes()
    while True:
        await trio.sleep(LOOK_S)
        count = handshakes()
        if count - seen >= BURST:
            trim()
            seen = count
