"""What `heartline up` runs: a master and this host's agent on one state folder.

What runs already is used and left alone: a master that answers on the folder's socket is not
started again, nor an agent whose node is up. `close` stops what was started here, the master last,
so that whoever is linked to it can say goodbye.
"""

import sys
import time
from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct

from agent.identity import IdentityFolder
from heartline.bell import Bell, Departure
from heartline.control import Control
from heartline.exits import NotFoundError, UnreachableError
from heartline.import_path import import_path
from heartline.running import RunningMaster, running_master
from heartline.supervision import Keeper, Service
from shared import messages as m
from shared.addresses import Address
from shared.errors import UserError
from shared.liveness import State
from shared.paths import StateFolder

MASTER_READY_S: Final = 30.0
"""From starting the master to its first answer, on a slow disk with a large registry."""

BEAT_S: Final = 20.0
"""From starting the agent to its first beat: making a key, enrolling, linking."""

TOKEN_LIFE_S: Final = 600
"""The agent joins within seconds; a slow host gets a second chance."""

_LOOK_EVERY_S: Final = 0.05


class Left(Exception):  # noqa: N818 - not an error
    """The user has asked to leave before everything was up."""


class Options(Struct, frozen=True):
    """What the children are given beside the state folder."""

    shared: tuple[str, ...] = ()
    """Flags of both."""
    master: tuple[str, ...] = ()
    """Flags of the master."""
    master_environment: Mapping[str, str] = {}
    """Variables of the master."""


class Stack:
    """A master and what belongs to it. Start, use, `close`; from one thread."""

    def __init__(
        self,
        folder: StateFolder,
        options: Options,
        bell: Bell,
        departure: Departure,
        say: Callable[[str], None],
    ) -> None:
        self.folder: Final = folder
        self._options = options
        self._bell = bell
        self._departure = departure
        self._say = say
        self._keepers: list[Keeper] = []
        self.on_end: Callable[[], None] | None = None
        """Called, from another thread, when a child has ended for good."""

    def __repr__(self) -> str:
        return f"<Stack on {self.folder.root}: {self._keepers}>"

    @property
    def ended(self) -> Keeper | None:
        """A child that has ended for good, when one has."""
        return next((keeper for keeper in self._keepers if keeper.is_over), None)

    def start_master(self) -> None:
        """Brings up a master where none answers, and waits until it does.

        Raises:
            UserError: it could not be started, or did not come up; its reason.
            Left: the user asked to leave meanwhile.
        """
        self.folder.ensure()
        self.folder.logs_dir.mkdir(mode=0o700, exist_ok=True)
        if self._answers():
            self._say(f"a master runs on {self.folder.root} already; it stays when this ends")
            return
        environment = self._options.master_environment
        keeper = self._start_child("master", *self._options.master, environment=environment)
        self._await(keeper, self._answers, MASTER_READY_S)
        # Should it die, it comes back to where its agents look for it, even from port 0.
        keeper.service = self._service("master", *self._listen_flags(), environment=environment)

    def start_agent(self) -> None:
        """Brings up this host's agent where its node is not up, and waits until it is.

        Raises:
            UserError, Left: as `start_master`.
        """
        if self._node_is_up():
            self._say("this host's agent runs already; it stays when this ends")
            return
        keeper = self._start_child(
            "agent", *self._master_flags(), environment=self._joining_environment()
        )
        self._await(keeper, self._node_is_up, BEAT_S)

    def start_module(
        self, name: str, module: str, *flags: str, hear: Callable[[str], None] | None = None
    ) -> None:
        """Runs a module of this program as a child; `hear` is told each line that it prints."""
        command = (sys.executable, "-P", "-m", module, "--data", str(self.folder.root), *flags)
        log = self.folder.logs_dir / f"{name}.log"
        self._keep(Service(name, command, log, import_path()), hear)

    def close(self) -> None:
        """Stops what `start` started, the last first. Bounded by `supervision.STOP_S` for each."""
        while self._keepers:
            self._keepers.pop().stop()

    def _start_child(
        self, name: str, *flags: str, environment: Mapping[str, str] | None = None
    ) -> Keeper:
        return self._keep(self._service(name, *flags, environment=environment))

    def _keep(self, service: Service, hear: Callable[[str], None] | None = None) -> Keeper:
        keeper = Keeper(service, report=self._say, on_change=self._changed, hear=hear)
        self._keepers.append(keeper)
        keeper.start()
        return keeper

    def _service(
        self, name: str, *flags: str, environment: Mapping[str, str] | None = None
    ) -> Service:
        command = (
            *(sys.executable, "-P", "-m", "heartline", name, "--with-parent"),
            *("--data", str(self.folder.root)),
            *self._options.shared,
            *flags,
        )
        return Service(
            name=name,
            command=command,
            log=self.folder.logs_dir / f"{name}.log",
            environment=import_path() | dict(environment or {}),
        )

    def _changed(self) -> None:
        self._bell.ring()
        if self.ended is not None and self.on_end is not None:
            self.on_end()

    def _await(self, keeper: Keeper, is_ready: Callable[[], bool], timeout_s: float) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not is_ready():
            name, log = keeper.service.name, keeper.service.log
            if keeper.last_end is not None:
                raise UserError(f"the {name} did not start: {keeper.last_end.reason}")
            if time.monotonic() > deadline_s:
                raise UserError(f"the {name} is not ready after {timeout_s:g} s; see {log}")
            if self._departure.asked:
                raise Left
            self._bell.wait(_LOOK_EVERY_S)

    def _answers(self) -> bool:
        try:
            with Control.open(self.folder):
                return True
        except UnreachableError:
            return False

    def _node_is_up(self) -> bool:
        identity = IdentityFolder(self.folder).load()
        if identity is None:
            return False
        node_id = identity.node_id
        try:
            with Control.open(self.folder) as control:
                found = control.ask(lambda request: m.GetNode(request, node_id), m.NodeDetail)
        except (NotFoundError, UnreachableError):
            return False
        return found.vitals.state == State.UP

    def _listen_flags(self) -> list[str]:
        return [word for text in self._running().listen for word in ("--listen", text)]

    def _master_flags(self) -> list[str]:
        """Where the agent finds the master, from this very host."""
        addresses = [local(address) for address in self._running().addresses]
        return [word for address in addresses for word in ("--master", str(address))]

    def _running(self) -> RunningMaster:
        running = running_master(self.folder)
        if running is None:
            raise UserError(f"the master has not written {self.folder.master_json}")
        return running

    def _joining_environment(self) -> dict[str, str]:
        if IdentityFolder(self.folder).load() is not None:
            return {}
        with Control.open(self.folder) as control:
            created = control.ask(
                lambda request: m.CreateToken(request, "agent", TOKEN_LIFE_S, 1), m.TokenCreated
            )
        return {"HEARTLINE_AGENT_JOIN": created.token}


def local(address: Address) -> Address:
    """Where a service bound to `address` is dialled on its own host."""
    if not address.is_everywhere:
        return address
    return Address("::1" if ":" in address.host else "127.0.0.1", address.port)
