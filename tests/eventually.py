"""Waiting for what has to happen: look, and look again; only the deadline is a matter of time."""

import time
from collections.abc import Callable
from typing import Final

import trio

DEADLINE_S: Final = 10.0
"""Far beyond what anything here takes: a busy machine makes a test slow, not wrong."""

LOOK_EVERY_S: Final = 0.01


async def eventually(condition: Callable[[], object], *, within_s: float = DEADLINE_S) -> None:
    """Returns when `condition` is true; other tasks run meanwhile.

    Raises:
        trio.TooSlowError: it did not become true within `within_s` seconds.
    """
    with trio.fail_after(within_s):
        while not condition():
            await trio.sleep(LOOK_EVERY_S)


def eventually_in_processes(
    condition: Callable[[], object], *, within_s: float = DEADLINE_S
) -> float:
    """The same where other processes do the work; returns how many seconds it took.

    Raises:
        TimeoutError: it did not become true within `within_s` seconds.
    """
    began_s = time.monotonic()
    while not condition():
        if time.monotonic() - began_s > within_s:
            raise TimeoutError(f"did not happen within {within_s:g} s")
        time.sleep(LOOK_EVERY_S)
    return time.monotonic() - began_s
