"""The agent as a witness of itself: when it looks, and what it can tell."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
import trio
from trio.testing import MockClock

from agent.clocks import Instant
from agent.witness import Witness

Result = TypeVar("Result")


@pytest.fixture(autouse=True)
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Virtual time does not wait for them."""

    async def inline(
        work: Callable[[], Result],
        *,
        abandon_on_cancel: bool,
    ) -> Result:
        await trio.lowlevel.checkpoint()
        return work()

    monkeypatch.setattr(trio.to_thread, "run_sync", inline)


def virtual_clocks() -> Instant:
    now_ms = round(trio.current_time() * 1000)
    return Instant(now_ms, now_ms, now_ms)


async def test_it_looks_as_often_as_the_agent_beats_from_the_next_beat_on(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    periods_s = [5.0]
    looks_s: list[float] = []

    def looked() -> bool:
        looks_s.append(trio.current_time())
        return True

    witness = Witness(
        tmp_path / "words",
        "boot",
        period_s=lambda: periods_s[-1],
        quiet_s=20.0,
        sampled=looked,
        clocks=virtual_clocks,
    )
    began_s = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(witness.run)
        await trio.sleep(6.5)
        periods_s.append(1.0)
        witness.acknowledged(2, 2)
        await trio.sleep(2.75)
        periods_s.append(3.0)
        witness.acknowledged(5, 5)
        await trio.sleep(4.0)
        nursery.cancel_scope.cancel()
    assert [at_s - began_s for at_s in looks_s] == [0.0, 5.0, 6.5, 7.5, 8.5, 9.25, 12.25]
