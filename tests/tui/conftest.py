"""The dashboard is looked at when it has done what it was asked to, however busy the machine is.

Textual's own test waits until the process takes little of the processor's time. On a busy machine
it is given little, and would be looked at half-way.
"""

import asyncio
from collections.abc import Iterator
from typing import Any, Final
from unittest import mock

import pytest

from tests.zones import in_zone

QUIET_S: Final = 0.02
"""Longer than any of the dashboard's timers that belong to a painting: they come every 1/60 s."""

OWN_STEPS: Final = 2
"""What the event loop does to end one sleep: the timer, and the sleeper's own next step."""

MOST_LOOKS: Final = 500
"""A dashboard that never comes to rest is looked at all the same: the test then says what is
wrong."""


class Steps:
    """Counts what event loops have done."""

    def __init__(self) -> None:
        self.taken = 0
        run = asyncio.Handle._run  # pyright: ignore[reportAttributeAccessIssue]

        def counted(handle: Any) -> None:
            self.taken += 1
            run(handle)

        self.patch = mock.patch.object(asyncio.Handle, "_run", counted)


@pytest.fixture(autouse=True)
def rest_is_nothing_to_do(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Waiting for the dashboard ends when its event loop has had nothing to do for a while: every
    timer that was due has been heeded by then, and all that followed from it."""
    steps = Steps()

    async def wait_for_idle(min_sleep: float = QUIET_S, max_sleep: float = 1) -> None:
        loop: Any = asyncio.get_running_loop()
        for _ in range(MOST_LOOKS):
            before = steps.taken
            await asyncio.sleep(QUIET_S)
            if steps.taken - before <= OWN_STEPS and not loop._ready:
                return

    monkeypatch.setattr("textual.pilot.wait_for_idle", wait_for_idle)
    monkeypatch.setattr("textual.app.wait_for_idle", wait_for_idle)
    with steps.patch:
        yield


@pytest.fixture
def utc() -> Iterator[None]:
    """Times of the day are the same wherever this runs."""
    with in_zone("UTC"):
        yield
