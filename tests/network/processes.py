"""Real processes: a master and agents, started, watched from outside, killed and started again."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from heartline.control import Control
from heartline.exits import UnreachableError
from shared import messages as m
from shared.addresses import Address
from shared.paths import StateFolder
from tests.eventually import eventually_in_processes

DEADLINE_S: Final = 20.0
LOOPBACK: Final = "127.0.0.1"

LIMITED: Final = """
import os, resource, sys
count = int(sys.argv[1])
pairs, command = sys.argv[2 : 2 + count], sys.argv[2 + count :]
for name, value in zip(pairs[::2], pairs[1::2]):
    resource.setrlimit(int(name), (int(value), int(value)))
os.execv(command[0], command)
"""


class Program:
    """One command of ours as a process. Its output is kept in files beside its state folder."""

    def __init__(self, root: Path, *arguments: str | Path) -> None:
        self.root = root
        self.arguments = [str(each) for each in (*arguments, "--data", root)]
        self.environment: Mapping[str, str] = {}
        self.limits: Mapping[int, int] = {}
        """Of the `resource` module, soft and hard: a host that is short of something."""
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "not started"
        return self._process

    @property
    def said(self) -> str:
        """Everything that it has written to standard error, in all of its lives."""
        path = self._output("stderr")
        return path.read_text("utf-8") if path.exists() else ""

    def start(self, *more: str | Path) -> Self:
        command = [sys.executable, "-m", "heartline", *self.arguments, *map(str, more)]
        if self.limits:
            pairs = [str(number) for pair in self.limits.items() for number in pair]
            command = [sys.executable, "-c", LIMITED, str(len(pairs)), *pairs, *command]
        with self._output("stdout").open("ab") as out, self._output("stderr").open("ab") as err:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=os.environ | dict(self.environment),
            )
        return self

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        """The exit code; what a process says last is in `said`."""
        return self.process.wait(DEADLINE_S)

    def stop(self) -> int:
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """As a power cut does it."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGCONT)
                self._process.kill()
            self._process.wait(DEADLINE_S)

    def _output(self, name: str) -> Path:
        return self.root.with_name(f"{self.root.name}.{name}")


class MasterProcess(Program):
    """A master; asked over its unix socket, as its operator does."""

    def __init__(self, root: Path, **settings: float) -> None:
        super().__init__(root, "master")
        root.mkdir(mode=0o700)
        lines = [f"{name} = {value}" for name, value in ({"period_s": 1.0} | settings).items()]
        (root / "heartline.toml").write_text("[master]\n" + "\n".join(lines) + "\n")
        self.listen = f"{LOOPBACK}:0"

    def start(self, *more: str | Path) -> Self:
        """Starts it and waits until it answers; again on the same port."""
        super().start("--listen", self.listen, *more)
        folder = StateFolder(self.root)

        def is_there() -> bool:
            assert self.process.poll() is None, self.said
            with suppress(FileNotFoundError, ValueError, UnreachableError):
                description = json.loads(folder.master_json.read_bytes())
                self.listen = description["listen"][0]
                Control.open(folder).close()
                return bool(description["pid"] == self.process.pid)
            return False

        eventually_in_processes(is_there, within_s=DEADLINE_S)
        return self

    @property
    def address(self) -> str:
        return self.listen

    @property
    def port(self) -> int:
        return int(self.listen.rpartition(":")[2])

    def ask(self, build: Callable[[int], m.FromViewer], expected: type[Any]) -> Any:
        with Control.open(StateFolder(self.root)) as control:
            return control.ask(build, expected)

    def token(self, uses: int = 1) -> str:
        made = self.ask(lambda number: m.CreateToken(number, "agent", 3600, uses), m.TokenCreated)
        return str(made.token)

    def states(self) -> dict[str, str]:
        """Every node's state, by name."""
        return {name: vitals.state for name, vitals in self.vitals().items()}

    def vitals(self) -> dict[str, m.NodeVitals]:
        with Control.open(StateFolder(self.root)) as control:
            pieces = control.snapshot()
        names = {info.node_id: info.name for piece in pieces for info in piece.infos}
        return {names[each.node_id]: each for piece in pieces for each in piece.vitals}

    def events(self, kind: str, name: str) -> list[m.Event]:
        answer = self.ask(lambda number: m.ListEvents(number, 500), m.Events)
        return [each for each in answer.events if (each.event, each.name) == (kind, name)]

    def states_told(self, name: str) -> list[str]:
        """The states of a node that the event log has, oldest first."""
        return [event.after for event in self.events("state", name)]

    def revoke(self, name: str) -> None:
        self.ask(lambda number: m.RevokeNode(number, name), m.Done)

    def audit(self, action: str) -> list[dict[str, Any]]:
        lines = (self.root / "audit.jsonl").read_text("utf-8").splitlines()
        return [line for line in map(json.loads, lines) if line["action"] == action]

    def until(self, name: str, *states: str) -> float:
        """How long it took until a node was in one of these states, in seconds."""
        return eventually_in_processes(
            lambda: self.states().get(name) in states, within_s=DEADLINE_S
        )


class AgentProcess(Program):
    """An agent of one master or several."""

    def __init__(self, root: Path, name: str, masters: Sequence[str | Address] = ()) -> None:
        super().__init__(root, "agent")
        self.name = name
        self.masters = masters

    def join(self, master: MasterProcess) -> Self:
        """Joins and waits until it is up."""
        masters = [str(each) for each in self.masters] or [master.address]
        flags = [each for address in masters for each in ("--master", address)]
        self.start("--join", master.token(), "--name", self.name, *flags)
        master.until(self.name, "up")
        return self


def now_s() -> float:
    return time.monotonic()
