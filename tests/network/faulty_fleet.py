"""A master and its agents as processes of their own, and everything that can befall them: see
`tests.network.fault_schedule`.

Whatever ends without having been told to is started again, as a service manager does it.
"""

import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self, assert_never

from heartline.control import Control
from heartline.exits import UnreachableError
from shared import messages as m
from shared.liveness import State
from shared.paths import StateFolder
from tests.eventually import eventually_in_processes
from tests.network.enrolled import enrol_offline
from tests.network.fault_schedule import Fault, Kind, instants
from tests.network.forked_agents import ForkedAgent, Forks
from tests.network.lossy_link import MASTER_HOST, LossyLink, host_of
from tests.network.noting_agents import Note, Order, read_notes
from tests.network.real_fleet import OPEN_DOOR, ROOT, START_S, STOP_S
from tests.network.small_disk import SmallDisk

LOOK_EVERY_S: Final = 0.1
START_AGAIN_S: Final = 1.0
"""Between two starts of something that ends at once."""

PORT: Final = 7700
"""In a network namespace of its own."""

MASTER_DISK_KIB: Final = 32 * 1024
AGENT_DISK_KIB: Final = 512

LINK: Final = "[link]\nread_timeout_s = 5\nwrite_timeout_s = 4\nping_after_s = 1.5\n"
MASTER: Final = f"[master]\nperiod_s = 1\n{OPEN_DOOR}[history]\ncompact_every_s = 2\n{LINK}"
MEASURED: Final = ("cpu", "memory")
FAMILIES: Final = (
    "swap", "disks", "filesystems", "network", "sensors", "users", "system", "processes",
    "connections", "routes",
)  # fmt: skip
AGENT: Final = (
    "[agent]\nwatching = false\nspool_hours = {spool_hours}\n"
    + "".join(f"[agent.families.{name}]\nenabled = false\n" for name in FAMILIES)
    + "".join(f"[agent.families.{name}]\nperiod_s = 1\n" for name in MEASURED)
    + LINK
)
SPOOL_HOURS: Final = 24.0
FORGETFUL_HOURS: Final = 8 / 3600


class FaultyFleet:
    """All of it, below `root`. A context manager: ends what it has started.

    `full_disks` are the hosts whose disk can be filled, `forgetful` those whose spool has room for
    some seconds.
    """

    def __init__(
        self, root: Path, *, hosts: int, full_disks: Sequence[int], forgetful: Sequence[int]
    ) -> None:
        self.root: Final = root
        self.folder: Final = StateFolder(root / "master")
        self.names: Final = [f"host-{number:02}" for number in range(hosts)]
        self.started: Final = Counter[str]()
        """How often each program was started."""
        self._forgetful: Final = frozenset(forgetful)
        self._disks: dict[str, SmallDisk] = {}
        self._agents: dict[str, ForkedAgent] = {}
        self._cuts = Counter[str]()
        self._down: set[str] = set()
        self._started_s: dict[str, float] = {}
        self._master: subprocess.Popen[bytes] | None = None
        with ExitStack() as stack:
            self._line = stack.enter_context(LossyLink())
            for name in ["master", *(self.names[number] for number in full_disks)]:
                size_kib = MASTER_DISK_KIB if name == "master" else AGENT_DISK_KIB
                disk = SmallDisk(root / name, size_kib)
                self._disks[name] = stack.enter_context(disk)
            self._set_up()
            self._forks = stack.enter_context(Forks(self._line))
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        try:
            self._look_after()
            eventually_in_processes(self.is_all_up, within_s=START_S)
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

    # --- what befalls it --------------------------------------------------------------------------

    def suffer(self, faults: Sequence[Fault]) -> None:
        """All of these, each in its time. Afterwards nothing is at fault any more."""
        began_s = time.monotonic()
        for at_s, is_end, fault in instants(faults):
            self.look_after_for(began_s + at_s - time.monotonic())
            if is_end:
                self.end(fault)
            else:
                self.begin(fault)

    def look_after_for(self, for_s: float) -> None:
        """Starts again what has ended by itself, so long."""
        until_s = time.monotonic() + for_s
        while (left_s := until_s - time.monotonic()) > 0:
            self._look_after()
            time.sleep(min(left_s, LOOK_EVERY_S))

    def begin(self, fault: Fault) -> None:
        """The fault is there."""
        name = self.names[fault.host] if fault.host >= 0 else "master"
        match fault.kind:
            case Kind.AGENT_KILLED | Kind.MASTER_KILLED:
                self._down.add(name)
                self._signal(name, signal.SIGKILL)
            case Kind.AGENT_STOPPED | Kind.MASTER_STOPPED:
                self._signal(name, signal.SIGSTOP)
            case Kind.AGENT_RESTARTED | Kind.MASTER_RESTARTED:
                self._down.add(name)
                self._signal(name, signal.SIGTERM)
            case Kind.AGENT_DISK_FULL | Kind.MASTER_DISK_FULL:
                self._disks[name].fill()
            case Kind.LINK_CUT:
                self._cut(fault.host)
            case Kind.ALL_LINKS_CUT:
                for number in range(len(self.names)):
                    self._cut(number)
            case _:
                assert_never(fault.kind)

    def end(self, fault: Fault) -> None:
        """It is over."""
        name = self.names[fault.host] if fault.host >= 0 else "master"
        match fault.kind:
            case Kind.AGENT_STOPPED | Kind.MASTER_STOPPED:
                self._signal(name, signal.SIGCONT)
            case (
                Kind.AGENT_KILLED
                | Kind.MASTER_KILLED
                | Kind.AGENT_RESTARTED
                | Kind.MASTER_RESTARTED
            ):
                self._down.discard(name)
            case Kind.AGENT_DISK_FULL | Kind.MASTER_DISK_FULL:
                self._disks[name].empty()
            case Kind.LINK_CUT:
                self._mend(fault.host)
            case Kind.ALL_LINKS_CUT:
                for number in range(len(self.names)):
                    self._mend(number)
            case _:
                assert_never(fault.kind)

    def stop_master(self) -> int:
        """In an orderly way, for good; returns its exit code."""
        self._down.add("master")
        assert self._master is not None
        self._master.send_signal(signal.SIGTERM)
        return self._master.wait(STOP_S)

    # --- what it is now ---------------------------------------------------------------------------

    def control(self) -> Control:
        """An operator's link to the master."""
        return Control.open(self.folder)

    def is_all_up(self) -> bool:
        """Whether every node is; starts what has ended by itself."""
        self._look_after()
        with suppress(UnreachableError), self.control() as control:
            vitals = [each for piece in control.snapshot() for each in piece.vitals]
            return len(vitals) == len(self.names) and all(v.state == State.UP for v in vitals)
        return False

    def events(self) -> list[m.Event]:
        """The last five hundred, oldest first."""
        with self.control() as control:
            return list(control.ask(lambda request: m.ListEvents(request, 500), m.Events).events)

    def node_ids(self) -> dict[str, str]:
        """Of every node, by its name."""
        with self.control() as control:
            infos = [info for piece in control.snapshot() for info in piece.infos]
        return {info.name: info.node_id for info in infos}

    def notes(self, name: str) -> list[Note]:
        """Every sample that the agents of a host have taken."""
        return read_notes(self._notes(name))

    def logs(self) -> dict[str, str]:
        """What each has said, in all of its lives."""
        return {path.stem: path.read_text("utf-8") for path in sorted(self.root.glob("*.log"))}

    # --- the processes ----------------------------------------------------------------------------

    def _set_up(self) -> None:
        folders = [StateFolder(self.root / name) for name in self.names]
        enrol_offline(self.folder, folders)
        self.folder.config.write_text(MASTER)
        for number, folder in enumerate(folders):
            hours = FORGETFUL_HOURS if number in self._forgetful else SPOOL_HOURS
            folder.config.write_text(AGENT.format(spool_hours=hours))

    def _look_after(self) -> None:
        now_s = time.monotonic()
        for name in ("master", *self.names):
            again_s = self._started_s.get(name, -START_AGAIN_S) + START_AGAIN_S
            if name in self._down or not self._has_ended(name) or now_s < again_s:
                continue
            self._started_s[name] = now_s
            self.started[name] += 1
            if name == "master":
                self._start_master()
            else:
                self._start_agent(name)

    def _has_ended(self, name: str) -> bool:
        if name == "master":
            return self._master is None or self._master.poll() is not None
        return name not in self._agents or self._agents[name].has_ended()

    def _start_master(self) -> None:
        program = [sys.executable, "-m", "heartline", "master", "--data", str(self.folder.root)]
        with (self.root / "master.log").open("ab") as log:
            self._master = subprocess.Popen(
                self._line.inside([*program, "--listen", f"{MASTER_HOST}:{PORT}"]),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _start_agent(self, name: str) -> None:
        number = self.names.index(name)
        order = Order(
            folder=str(self.root / name),
            notes=str(self._notes(name)),
            master=f"{host_of(number)}:{PORT}",
            log=str(self.root / f"{name}.log"),
            is_forgetful=number in self._forgetful,
        )
        if name in self._agents:
            self._agents[name].close()
        self._agents[name] = self._forks.start(order)

    def _signal(self, name: str, number: signal.Signals) -> None:
        # What is stopped and killed is killed: one that has ended by itself is not there.
        if name != "master":
            if name in self._agents:
                self._agents[name].signal(number)
        elif self._master is not None:
            self._master.send_signal(number)

    def _cut(self, number: int) -> None:
        host = host_of(number)
        self._cuts[host] += 1
        self._line.cut(host)

    def _mend(self, number: int) -> None:
        host = host_of(number)
        self._cuts[host] -= 1
        if not self._cuts[host]:
            self._line.mend(host)

    def _notes(self, name: str) -> Path:
        return self.root / f"{name}.notes"

    def _end(self) -> None:
        with self._stack:
            for agent in self._agents.values():
                agent.signal(signal.SIGKILL)
                agent.close()
            if self._master is not None:
                self._master.kill()
                self._master.wait(STOP_S)
