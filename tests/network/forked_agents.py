"""Starting and signalling the agents of `tests.network.noting_agents`, which are nobody's children
here."""

import os
import select
import signal
import subprocess
import sys
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

import msgspec

from tests.network.lossy_link import LossyLink
from tests.network.noting_agents import Order
from tests.network.real_fleet import ROOT, STOP_S


class Forks:
    """What starts agents, in the namespace of a line. They end with it."""

    def __init__(self, line: LossyLink) -> None:
        self._process: Final = subprocess.Popen(
            line.inside([sys.executable, "-m", "tests.network.noting_agents"]),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(STOP_S)

    def start(self, order: Order) -> "ForkedAgent":
        """Another agent."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode(order) + b"\n")
        self._process.stdin.flush()
        return ForkedAgent(int(self._process.stdout.readline()))


class ForkedAgent:
    """One of them."""

    def __init__(self, pid: int) -> None:
        self._descriptor: Final = os.pidfd_open(pid)

    def signal(self, number: signal.Signals) -> None:
        """Sends it a signal, if it is still there."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, number)

    def has_ended(self) -> bool:
        """Whether it is no more."""
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        return bool(poll.poll(0))

    def close(self) -> None:
        """Lets go of it."""
        os.close(self._descriptor)
