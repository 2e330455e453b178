"""Memory that nobody needs any more goes back to the system.

Two things keep it. A TLS handshake takes some 50 kB for a moment; where many are under way at once,
what they leave lies between what stays, and the C library keeps it for the next ones: 4 to 9 MB
after a fleet of thousands has linked. And the history works on tables of megabytes, in threads:
glibc learns from the first of them to take such blocks from the heap, and then the heap is as large
as all that has ever been worked on at once, with holes. For 19,000 nodes that was 180 MB.

Nothing that Python frees changes that. So large blocks are kept out of the heap, and what is free
in it is given back now and then, which takes glibc a millisecond or some twenty.
"""

import ctypes
import sys
from collections.abc import Callable
from functools import cache
from typing import Final

import trio

LARGE_BYTES: Final = 256 * 1024
"""A block of this size is the system's again as soon as it is freed."""

_M_MMAP_THRESHOLD: Final = -3
"""malloc.h. Setting it also ends glibc's raising it by itself, up to 32 MiB."""

REGULARLY_S: Final = 300.0
"""Between two trims where there are no bursts."""

LOOK_S: Final = 10.0
"""How long after a burst at the latest, and how often at most while it lasts."""

BURST: Final = 64
"""So many handshakes are worth it: what one leaves, the next one takes."""


@cache
def c_library() -> ctypes.CDLL | None:
    """The C library that this process runs on, where it may be glibc. Loaded once: each time makes
    a type, which stays."""
    return ctypes.CDLL(None) if sys.platform.startswith("linux") else None


def keep_large_blocks_apart() -> bool:
    """For the start of a process: blocks of `LARGE_BYTES` and more are not taken from the heap.
    False where it is not glibc."""
    mallopt = getattr(c_library(), "mallopt", None)
    return mallopt is not None and bool(mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES))


def give_back() -> bool:
    """Has the C library return whole pages that it keeps and does not use; whether there were any.

    False where it is not glibc (another system, musl), which has no such call or needs none.
    """
    trim = getattr(c_library(), "malloc_trim", None)
    return trim is not None and bool(trim(0))


async def keep_trimmed(
    handshakes: Callable[[], int], trim: Callable[[], object] = give_back
) -> None:
    """Calls `trim` a while after every burst of handshakes, and now and then, for ever.
    `handshakes` tells how many have ended, well or not, since the process began."""
    seen, trimmed_s = handshakes(), trio.current_time()
    while True:
        await trio.sleep(LOOK_S)
        count, now_s = handshakes(), trio.current_time()
        if count - seen >= BURST or now_s - trimmed_s >= REGULARLY_S:
            trim()
            seen, trimmed_s = count, now_s
