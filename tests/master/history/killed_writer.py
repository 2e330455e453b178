"""A process that writes a history and is killed: what it says is confirmed has to be there.

    python -m tests.master.history.killed_writer FILE

Each line on standard input is a list of samples' numbers to be stored again, and the first new one:
a child begins, opens the history and writes until it is killed. It says `pid N` first, then a
number for each sample that was confirmed. When it is gone, `end` and how it ended is said.
"""

import os
import sys
from pathlib import Path

import msgspec
import trio

from master.history import folding
from master.history import history as history_module
from master.history.history import History
from master.history.journal import shard_of
from master.history.taken import Sample
from master.history.upkeep import Upkeep
from shared.messages import FamilySample, encode_body
from shared.metrics import Core
from shared.settings import HistorySettings

NODES = 70
"""In more shards than one."""

BEGIN_MS = 499_000 * 3_600_000
STEP_MS = 2_000
"""Between two samples, whatever node they are of: a window is over every second or so."""


def sample(number: int) -> Sample:
    """Each number is a sample of one of the nodes."""
    return Sample(
        f"{number % NODES:04x}",
        f"boot {number // 10_000}",
        0,
        number,
        at_ms(number),
        STEP_MS * NODES,
        encode_body(Core(cpu_busy_bp=number)),
        is_late=False,
    )


def at_ms(number: int) -> int:
    return BEGIN_MS + number * STEP_MS


def say(text: str) -> None:
    os.write(sys.stdout.fileno(), f"{text}\n".encode())


async def write_for_ever(path: Path, again: list[int], number: int) -> None:
    settings = HistorySettings(
        compact_every_s=86_400,  # `keep_up` does it all the time
        keep_samples_days=36_500,
        keep_1m_days=36_500,
        keep_15m_days=36_500,
        keep_2h_days=36_500,
    )
    history = History.open(path, settings, now_wall_ms=lambda: at_ms(number))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(history.run)
        nursery.start_soon(keep_up, history._upkeep)
        for each in again:
            assert history.take(sample(each), lambda each=each: say(str(each)))  # type: ignore[misc]
        while True:
            for _ in range(20):
                assert history.take(sample(number), lambda each=number: say(str(each)))  # type: ignore[misc]
                number += 1
            data = msgspec.Raw(encode_body([number]))
            history.take_family("0001", at_ms(number), FamilySample("cpu", 0, 0, 60_000, data))
            await trio.sleep(0.004)


async def keep_up(upkeep: Upkeep) -> None:
    while True:
        for shard in range(shard_of(NODES) + 1):
            await upkeep.compact(shard)
            await upkeep.fold(shard)
        await upkeep.retain()
        await upkeep.check()
        await trio.sleep(0.01)


def main() -> None:
    history_module.COMMIT_S = 0.01  # type: ignore[misc]
    folding.SLICE_WINDOWS = 4  # type: ignore[misc]
    path = Path(sys.argv[1])
    for line in sys.stdin:
        *again, number = msgspec.json.decode(line, type=list[int])
        pid = os.fork()
        if pid == 0:
            trio.run(write_for_ever, path, again, number)
        say(f"pid {pid}")
        _, status = os.waitpid(pid, 0)
        say(f"end {os.waitstatus_to_exitcode(status)}")


if __name__ == "__main__":
    main()
