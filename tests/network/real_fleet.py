"""A master and agents as processes of their own, the faults that befall them, and what the master
makes of it.

Instants are wall time in milliseconds, as events carry it: everything runs on one host.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from heartline.control import Control
from heartline.running import running_master
from master.outages import EVIDENCE_S
from shared import messages as m
from shared.clock import wall_ms
from shared.errors import UserError
from shared.liveness import State
from shared.paths import StateFolder
from tests.eventually import LOOK_EVERY_S, eventually_in_processes
from tests.network.enrolled import enrol_offline
from tests.network.lossy_link import LossyLink

ROOT: Final = Path(__file__).parents[2]
START_S: Final = 60.0
STOP_S: Final = 10.0
EVENTS: Final = 500
JUDGED_S: Final = 2 * EVIDENCE_S
SETTLED_BEATS: Final = 3
"""After which an agent keeps to the master's cadence in everything."""

OPEN_DOOR: Final = """\
handshakes_per_s = 2000
unauthenticated_connections = 5000
unauthenticated_connections_per_address = 5000
"""
"""A fleet behind one address, that has never been seen there before."""

_GIVEN_UP: Final = frozenset({State.LOST, State.DOWN, State.LEFT})
_HEARTLINE: Final = (sys.executable, "-m", "heartline")
_AGENT_FLEET: Final = (sys.executable, "-m", "tests.network.agent_fleet")


class RealFleet:
    """One master and its agents, below `root`. A context manager: kills what it has started.

    `hosts` are the nodes whose agents are processes of their own (`start_agent`), `crowd` those
    that share one (`start_crowd`). With a `line`, everything runs at its two ends. `program` is
    what the master is started with.
    """

    def __init__(
        self,
        root: Path,
        *,
        period_s: float,
        hosts: Sequence[str] = (),
        crowd: int = 0,
        line: LossyLink | None = None,
        listen: str = "127.0.0.1:0",
        program: Sequence[str] = _HEARTLINE,
    ) -> None:
        self.root: Final = root
        self.folder: Final = StateFolder(root / "master")
        self.hosts: Final = tuple(hosts)
        self.crowd: Final = tuple(f"crowd-{number:04}" for number in range(crowd))
        self._line: Final = line
        self._processes: list[subprocess.Popen[bytes]] = []
        self._control: Control | None = None
        self.folder.ensure()
        self.folder.config.write_text(f"[master]\nperiod_s = {period_s}\n{OPEN_DOOR}")
        (root / "crowd").mkdir()
        folders = [root / name for name in self.hosts]
        folders += [root / "crowd" / name for name in self.crowd]
        enrol_offline(self.folder, [StateFolder(folder) for folder in folders])
        data = ["--data", str(self.folder.root)]
        self.master: Final = self._start(*program, "master", *data, "--listen", listen)

    def __enter__(self) -> Self:
        try:
            eventually_in_processes(self._is_listening, within_s=START_S)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    @property
    def control(self) -> Control:
        """A viewer's link to the master, over its unix socket."""
        if self._control is None:
            self._control = Control.open(self.folder)
        return self._control

    def address(self, host: str = "") -> str:
        """Where the master is dialled; through the line, by the address of the other end."""
        running = running_master(self.folder)
        assert running is not None
        (listening,) = running.addresses
        return f"{host or listening.host}:{listening.port}"

    def start_agent(
        self,
        name: str,
        *,
        at: str = "",
        folder: Path | None = None,
        program: Sequence[str] = _HEARTLINE,
        environment: Mapping[str, str] | None = None,
    ) -> "subprocess.Popen[bytes]":
        """The agent of a host of `hosts`; `at` is its end of the line."""
        data = ["--data", str(folder or self.root / name), "--master", self.address(at)]
        return self._start(*program, "agent", *data, environment=environment)

    def start_crowd(
        self, *, at: str = "", program: Sequence[str] = _AGENT_FLEET
    ) -> "subprocess.Popen[bytes]":
        """All of `crowd`, in one process."""
        return self._start(*program, self.address(at), str(self.root / "crowd"))

    def wait_all_up(self) -> int:
        """Until every node that was enrolled is up; returns an instant after that."""
        eventually_in_processes(
            lambda: all(each.state == State.UP for each in self.vitals().values()),
            within_s=START_S,
        )
        return wall_ms() + 1

    def wait_beaten(self, name: str, beats: int) -> None:
        """Until the node has been seen so often, from now on."""
        seen: set[int | None] = set()

        def is_seen() -> bool:
            seen.add(self.vitals()[name].seen_mono_ms)
            return len(seen) > beats

        eventually_in_processes(is_seen, within_s=START_S)

    def wait_all_seen(self, after_ms: int, *, within_s: float) -> None:
        """Until every node has been seen after that instant."""
        eventually_in_processes(
            lambda: all((each.seen_wall_ms or 0) > after_ms for each in self.vitals().values()),
            within_s=within_s,
        )

    def vitals(self) -> dict[str, m.NodeVitals]:
        """Every node as it is now, by name."""
        pieces = self.control.snapshot()
        names = {info.node_id: info.name for piece in pieces for info in piece.infos}
        return {names[each.node_id]: each for piece in pieces for each in piece.vitals}

    def time_to_detect(self, name: str) -> m.TimeToDetect:
        """How soon the master says that it would notice if the node fell silent now."""
        detail = self.control.ask(lambda request: m.GetNode(request, name), m.NodeDetail)
        assert detail.time_to_detect is not None
        return detail.time_to_detect

    def address_of(self, name: str) -> str:
        """Where the node's present link comes from, with its port."""
        infos = [info for piece in self.control.snapshot() for info in piece.infos]
        (address,) = [info.address for info in infos if info.name == name]
        return address

    def events(self, event: str = "state") -> list[m.Event]:
        """The latest events of one kind, oldest first."""
        asked = self.control.ask(lambda request: m.ListEvents(request, EVENTS), m.Events)
        return [each for each in asked.events if each.event == event]

    def changes(self, name: str, since_ms: int) -> list[m.Event]:
        """What has become of a node since then, oldest first."""
        asked = self.control.ask(lambda request: m.ListEvents(request, EVENTS, name), m.Events)
        return [e for e in asked.events if e.event == "state" and e.wall_ms >= since_ms]

    def falls(self, since_ms: int) -> list[m.Event]:
        """By what nodes have been given up since then. Late or hung for a moment they may be on any
        machine that is busy with other tests."""
        return [e for e in self.events() if e.wall_ms >= since_ms and e.after in _GIVEN_UP]

    def wait_for(self, name: str, state: State, since_ms: int, *, within_s: float) -> m.Event:
        """The first event since then by which the node has come into a state.

        Raises:
            TimeoutError: there was none in time.
        """
        until_s = time.monotonic() + within_s
        while True:
            changes = self.changes(name, since_ms)
            for change in changes:
                if change.after == state:
                    return change
            if time.monotonic() > until_s:
                raise TimeoutError(f"{name} is not {state} after {within_s:g} s: {changes}")
            time.sleep(LOOK_EVERY_S)

    def wait_judged(self, name: str, since_ms: int) -> m.Outage:
        """The node's first outage since then, once its cause is known."""
        found: list[m.Outage] = []

        def is_judged() -> bool:
            asked = self.control.ask(lambda request: m.ListOutages(request, node=name), m.Outages)
            found[:] = [e for e in asked.outages if e.noticed_wall_ms >= since_ms and e.cause]
            return bool(found)

        eventually_in_processes(is_judged, within_s=JUDGED_S)
        return found[0]

    def _start(
        self, *command: str, environment: Mapping[str, str] | None = None
    ) -> "subprocess.Popen[bytes]":
        log = self.root / f"log-{len(self._processes)}"
        with log.open("wb") as output:
            process = subprocess.Popen(
                self._line.inside(command) if self._line else command,
                cwd=ROOT,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self._processes.append(process)
        return process

    def _is_listening(self) -> bool:
        if self.master.poll() is not None:
            raise AssertionError((self.root / "log-0").read_text())
        try:
            Control.open(self.folder).close()
        except UserError:
            return False
        return running_master(self.folder) is not None

    def _end(self) -> None:
        if self._control is not None:
            self._control.close()
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait(STOP_S)


def kill(process: "subprocess.Popen[Any]") -> int:
    """Kills a process outright; returns when."""
    at_ms = wall_ms()
    process.kill()
    process.wait(STOP_S)
    return at_ms


def stop(process: "subprocess.Popen[Any]") -> int:
    """Stops a process, whose kernel goes on answering for it; returns when."""
    at_ms = wall_ms()
    process.send_signal(signal.SIGSTOP)
    return at_ms


def go_on(process: "subprocess.Popen[Any]") -> int:
    """Undoes `stop`; returns when."""
    at_ms = wall_ms()
    process.send_signal(signal.SIGCONT)
    return at_ms
