"""The hub's worker processes: started, supervised, stopped (docs/decisions/0025).

One that ends, says nothing for long or takes nothing is replaced. Its listening sockets are the
hub's too, so that whoever dials meanwhile waits and is not refused; the nodes whose links it held
are awaited, and nothing else is said of them.
"""

import logging
import os
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import trio

from master import relay as r
from master.admission import admission_limits
from master.entry import Entry
from master.opening import Peer
from master.relay import RelayError
from master.relay_pipe import RelayPipe
from master.relayed import Relay, RelayedStream
from shared.errors import reason_of
from shared.settings import LinkSettings, MasterSettings

SILENT_S: Final = 10.0
"""A worker that says nothing for so long is stuck: it says four times a second that it is
current."""

STARTING_S: Final = 60.0
"""The same for one that has not said anything yet."""

STUCK_BYTES: Final = 64 * 1024 * 1024
"""A worker that leaves so much untaken is stuck."""

LOOK_EVERY_S: Final = 1.0

STEADY_S: Final = 10.0
"""One that lived so long had started well: its successor starts at once."""

FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 5.0
"""Between the end of a worker that did not, and the next."""

STOP_S: Final = 3.0
"""How long workers may take to end when the master does."""


class Command(NamedTuple):
    """What a worker is started with."""

    arguments: Sequence[str]
    """The descriptors are added."""
    environment: Mapping[str, str]
    """Added to this process's own."""


_log: Final = logging.getLogger(__name__)


class Workers:
    """As many as there are in `shares`: the listening sockets of each. `run` them."""

    def __init__(
        self,
        command: Command,
        shares: Sequence[Sequence[socket.socket]],
        entry: Entry,
        leaf: r.Leaf,
    ) -> None:
        self._command = command
        self._shares = shares
        self._entry = entry
        self._leaf = leaf
        self._relays: dict[int, Relay] = {}
        self._killed_for: dict[int, str] = {}
        self._is_stopping = False
        self._lives = trio.CancelScope()
        self._ended = trio.Event()
        entry.admission.on_members = self._members_changed

    def __repr__(self) -> str:
        return f"<Workers {self._relays!r}>"

    async def run(self) -> None:
        """Keeps them running, until `stop` is called."""
        try:
            with self._lives:
                async with trio.open_nursery() as nursery:
                    for place in range(len(self._shares)):
                        nursery.start_soon(self._keep, place)
        finally:
            self._ended.set()

    def change(self, settings: MasterSettings, link: LinkSettings) -> None:
        """Other settings from now on."""
        self._post_all(r.LIMITS, r.encode(self._limits(settings, link)))

    def renew_leaf(self, key_pem: bytes, certificate_pem: bytes) -> None:
        """The port has another certificate from now on."""
        self._leaf = r.Leaf(self._leaf.clients_ca_pem, key_pem, certificate_pem)
        self._post_all(r.LEAF, r.encode(self._leaf))

    def shut_door(self) -> None:
        """Nobody is let in any more."""
        self._is_stopping = True
        self._post_all(r.SHUT_DOOR)

    async def stop(self) -> None:
        """Ends them, those that do not take the hint by force."""
        self._is_stopping = True
        self._post_all(r.STOP)
        with trio.move_on_after(STOP_S):
            await self._ended.wait()
        self._lives.cancel()
        await self._ended.wait()

    def employ(self, place: int, pipe: RelayPipe) -> Relay:
        """Takes in a worker that has just been started, and tells it what it has to know. `pipe` is
        the hub's end."""
        relay = self._relays[place] = Relay(pipe, self._open, self._entry.limit_hit)
        context = self._entry.context
        relay.post(r.LIMITS, 0, r.encode(self._limits(context.settings, context.link)))
        relay.post(r.MEMBERS, 0, r.encode(self._entry.admission.members()))
        relay.post(r.LEAF, 0, r.encode(self._leaf))
        return relay

    async def _keep(self, place: int) -> None:
        pause_s = 0.0
        while not self._is_stopping:
            began_s = trio.current_time()
            await self._live(place)
            if trio.current_time() - began_s >= STEADY_S:
                pause_s = 0.0
            else:
                pause_s = min(LONGEST_PAUSE_S, max(FIRST_PAUSE_S, 2 * pause_s))
            await trio.sleep(0.0 if self._is_stopping else pause_s)

    async def _live(self, place: int) -> None:
        """One worker's life."""
        near, far = socket.socketpair()
        pipe = RelayPipe(near)
        try:
            try:
                with far:
                    process = await self._started(place, far)
            except OSError as error:  # no process or descriptor to spare now
                why = reason_of(error)
                _log.error("a worker cannot be started", extra={"worker": place + 1, "why": why})
                return
            relay = self.employ(place, pipe)
            try:
                await self._relay(place, relay, process)
            finally:
                del self._relays[place]
                process.kill()
                with trio.CancelScope(shield=True):
                    await process.wait()
            links = relay.orphan("a worker of the master ended")
            how = _how(process.returncode)
            how = f"{how}: {why}" if (why := self._killed_for.pop(place, "")) else how
            if not self._is_stopping:
                self._tell_end(place, how, links)
        finally:
            pipe.close()

    async def _started(self, place: int, far: socket.socket) -> trio.Process:
        listeners = [sock.fileno() for sock in self._shares[place]]
        descriptors = [far.fileno(), *listeners]
        return await trio.lowlevel.open_process(
            [*self._command.arguments, *map(str, descriptors)],
            env=os.environ | dict(self._command.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=descriptors,
        )

    async def _relay(self, place: int, relay: Relay, process: trio.Process) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(relay.pipe.write_out)
            nursery.start_soon(self._watch, place, relay, process)
            try:
                await relay.run()
            except RelayError as error:
                self._killed_for[place] = f"it is not understood: {error}"
            if self._is_stopping:
                await process.wait()
            nursery.cancel_scope.cancel()

    async def _watch(self, place: int, relay: Relay, process: trio.Process) -> None:
        """Kills a worker that does not do its work."""
        while True:
            await trio.sleep(LOOK_EVERY_S)
            now_s = trio.current_time()
            silent_s = now_s - relay.heard_s
            if silent_s > (SILENT_S if relay.has_spoken else STARTING_S):
                why = f"it has said nothing for {silent_s:.0f} s"
            elif relay.pipe.pending_bytes > STUCK_BYTES:
                why = "it takes nothing"
            else:
                continue
            self._killed_for[place] = why
            process.kill()
            return

    def _limits(self, settings: MasterSettings, link: LinkSettings) -> r.Limits:
        limits = admission_limits(settings).shared_by(len(self._shares))
        return r.Limits(
            limits.connections,
            limits.connections_per_address,
            limits.handshakes_per_s,
            settings.handshake_timeout_s,
            link.write_timeout_s,
        )

    def _members_changed(self, group: str, count: int) -> None:
        self._post_all(r.MEMBERS, r.encode({group: count}))

    def _post_all(self, kind: int, payload: bytes = b"") -> None:
        for relay in self._relays.values():
            relay.post(kind, 0, payload)

    def _open(self, stream: RelayedStream, opened: r.Opened) -> None:
        async def serve() -> None:
            peer = Peer(opened.address, opened.name)
            await self._entry.serve_relayed(
                stream, peer, opened.certificate_der, stream.established
            )

        self._entry.context.spawn(serve)

    def _tell_end(self, place: int, how: str, links: int) -> None:
        _log.error("a worker has ended", extra={"worker": place + 1, "how": how, "links": links})
        text = f"worker {place + 1} of {len(self._shares)} ended ({how}) and is replaced"
        self._entry.context.events.record("worker-ended", text=f"{text}; it held {links} links")


def _how(returncode: int | None) -> str:
    if returncode is None or returncode >= 0:
        return f"exit code {returncode}"
    try:
        return signal.Signals(-returncode).name
    except ValueError:
        return f"signal {-returncode}"
