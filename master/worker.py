"""A worker of the master: accepts, does TLS, holds the sockets, and relays what peers say to the
hub (docs/decisions/0025).

worker
├ hub       what the hub says: bytes for peers, what the door goes by, stop
├ writer    what is said to the hub
├ accept    one per address → door → held until the hub ends the link; a task for each that is
│           not established yet
├ strangers Readiness of those that are not established yet
├ Readiness every established link, while the hub keeps up
├ heap      gives memory back
├ current   says that nothing lies unread, when nothing arrives
└ witness   looks at peers' kernels when the hub asks

It understands nothing of the protocol, has neither the CA's key nor a database, and ends when the
hub does: the end of the relay is its own.
"""

import signal
import socket
import ssl
from collections import Counter, deque
from collections.abc import Sequence
from typing import Final

import trio

from master import relay as r
from master.admission import Admission, AdmissionLimits
from master.collector import calm_collector
from master.descriptors import raise_ceiling
from master.door import Established
from master.heap import keep_large_blocks_apart, keep_trimmed
from master.held import HeldLink
from master.listener import accept_tls
from master.readiness import REST_S, Readiness
from master.relay_pipe import RECEIVE_BYTES, RelayPipe
from shared.stream import SocketStream
from shared.tls import load_leaf, master_context

BEHIND_BYTES: Final = 256 * 1024
"""When so much waits for the hub, nothing more of established links is read: the peers' kernels
hold it back. So the hub hears of whoever is new after some hundred beats and not after thousands,
and welcomes them in time also when it cannot keep up with the others."""

CURRENT_EVERY_S: Final = 0.25
"""Between two words to the hub that nothing lies unread. So often it hears of limits too, and not
of each peer that is refused: a crowd would keep it busy."""

ANSWERED_WITHIN_S: Final = 0.75
"""How long a peer's kernel has to acknowledge what was sent with a probe: the hub's detector looks
a second later."""


def run(relay: socket.socket, listeners: Sequence[socket.socket]) -> int:
    """Runs a worker on its end of the relay until the hub ends it; returns the exit code, 0."""
    keep_large_blocks_apart()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # they are the hub's: it says goodbye to the links
    trio.run(_serve, relay, listeners)
    return 0


async def _serve(relay: socket.socket, listeners: Sequence[socket.socket]) -> None:
    async with trio.open_nursery() as nursery:
        await Worker(RelayPipe(relay), listeners, nursery).serve()
        nursery.cancel_scope.cancel()


class Worker:
    """What a worker is made of. Its `nursery` has every task."""

    def __init__(
        self, pipe: RelayPipe, listeners: Sequence[socket.socket], nursery: trio.Nursery
    ) -> None:
        self.pipe: Final = pipe
        self.spawn: Final = nursery.start_soon
        self.strangers: Final = Readiness(nursery.start_soon)
        self.readiness: Final = Readiness(nursery.start_soon, after_turn=self._after_turn)
        self.admission: Final = Admission(AdmissionLimits(), trio.current_time())
        self.links: Final[dict[int, HeldLink]] = {}
        self.handshake_timeout_s = 0.0
        self.write_timeout_s = 0.0
        self._nursery: Final = nursery
        self._listeners: Final = listeners
        self._context: ssl.SSLContext | None = None
        self._is_stopping = False
        self._number = 0
        self._current_s = trio.current_time()
        self._limits_hit: Counter[tuple[str, str]] = Counter()
        """How often, by limit and address; what the hub has not been told."""
        self._probes = deque[tuple[float, int]]()
        self._probed = trio.Event()

    def __repr__(self) -> str:
        return f"<Worker with {len(self.links)} links, {self.pipe!r}>"

    async def serve(self) -> None:
        """Serves until the hub says stop, or is gone."""
        for task in (
            self.pipe.write_out,
            self.strangers.run,
            self.readiness.run,
            self._stay_current,
            self._witness,
        ):
            self._nursery.start_soon(task)
        self._nursery.start_soon(keep_trimmed, lambda: self.admission.released)
        unpacker = r.Unpacker()
        while not self._is_stopping and (data := await self.pipe.receive()):
            for kind, number, payload in unpacker.feed(data):
                self._take(kind, number, payload)
            if len(data) < RECEIVE_BYTES:
                await trio.sleep(REST_S)
            else:
                await trio.lowlevel.checkpoint()

    def limit_hit(self, limit: str, address: str) -> None:
        """See `master.door.Behind`."""
        self._limits_hit[limit, address] += 1

    async def enter(
        self, stream: SocketStream, address: str, name: str, certificate_der: bytes | None
    ) -> Established | None:
        """See `master.door.Behind`: here it lasts until the hub has authenticated the peer."""
        self._number += 1
        link = HeldLink(self, self._number, stream)
        self.links[link.number] = link
        opened = r.Opened(address, name, certificate_der)
        self.pipe.post(r.OPENED, link.number, r.encode(opened))
        link.begin()
        try:
            is_established = await link.wait_settled()
        except trio.Cancelled:
            link.broken("not authenticated in time", r.CUT_OFF)
            raise
        return _nothing_more if is_established else None

    def _take(self, kind: int, number: int, payload: bytes) -> None:
        link = self.links.get(number)
        if kind == r.DATA:
            if link is not None:
                link.send(payload)
        elif kind >= r.LEAF:
            self._take_order(kind, payload)
        elif link is not None:
            match kind:
                case r.ESTABLISHED:
                    link.establish()
                case r.SHUTDOWN:
                    link.shutdown()
                case r.CLOSE:
                    link.close()
                case r.PROBE:
                    self._probes.append((trio.current_time() + ANSWERED_WITHIN_S, number))
                    self._probed.set()
                case _:
                    raise r.RelayError(f"a frame of kind {kind}")

    def _take_order(self, kind: int, payload: bytes) -> None:
        match kind:
            case r.LEAF:
                self._show(r.decode_leaf(payload))
            case r.LIMITS:
                self._limit(r.decode_limits(payload))
            case r.MEMBERS:
                self.admission.set_members(r.decode_members(payload))
            case r.SHUT_DOOR:
                for listener in self._listeners:
                    trio.lowlevel.notify_closing(listener)
                    listener.close()
            case r.STOP:
                self._is_stopping = True
            case _:
                raise r.RelayError(f"a frame of kind {kind}")

    def _show(self, leaf: r.Leaf) -> None:
        if self._context is not None:
            load_leaf(self._context, leaf.key_pem, leaf.certificate_pem)
            return
        self._context = master_context(leaf.clients_ca_pem, leaf.key_pem, leaf.certificate_pem)
        ceiling = raise_ceiling()
        for listener in self._listeners:
            self._nursery.start_soon(
                accept_tls, listener, self._context, self, self._nursery, ceiling
            )
        calm_collector()

    def _limit(self, limits: r.Limits) -> None:
        self.handshake_timeout_s = limits.handshake_timeout_s
        self.write_timeout_s = limits.write_timeout_s
        self.admission.change(
            AdmissionLimits(
                limits.connections, limits.connections_per_address, limits.handshakes_per_s
            )
        )

    async def _after_turn(self, is_read_up: bool) -> None:
        if is_read_up:
            self._say_current(trio.current_time())
        if self.pipe.pending_bytes > BEHIND_BYTES:
            await self.pipe.wait_below(BEHIND_BYTES)

    async def _stay_current(self) -> None:
        while True:
            await trio.sleep(CURRENT_EVERY_S)
            if not self.readiness.has_unread():
                self._say_current(trio.current_time())
            for (limit, address), times in self._limits_hit.items():
                self.pipe.post(r.LIMIT, 0, r.encode(r.LimitHit(limit, address, times)))
            self._limits_hit.clear()

    def _say_current(self, now_s: float) -> None:
        if now_s - self._current_s >= CURRENT_EVERY_S:
            self._current_s = now_s
            self.pipe.post(r.CURRENT, 0)

    async def _witness(self) -> None:
        while True:
            await self._probed.wait()
            self._probed = trio.Event()
            while self._probes:
                due_s, number = self._probes.popleft()
                await trio.sleep_until(due_s)
                link = self.links.get(number)
                if link is not None:
                    count = link.stream.unacknowledged()
                    payload = b"" if count is None else r.COUNT.pack(count)
                    self.pipe.post(r.EVIDENCE, number, payload)


async def _nothing_more() -> None:
    """An established link lives on without a task."""
