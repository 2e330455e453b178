"""A link that a worker holds: what its peer sends goes to the hub, and what the hub sends to the
peer.

What the socket refuses is kept, and the hub told so, which then sends no more than is on its way
already (`master.relayed.WINDOW_BYTES`).
"""

from typing import TYPE_CHECKING, Final

import trio

from master import relay as r
from master.readiness import Readiness
from shared.errors import LinkBrokenError, RemoteProtocolError
from shared.stream import SocketStream

if TYPE_CHECKING:
    from master.worker import Worker

PENDING_LIMIT_BYTES: Final = 1024 * 1024
"""Several times what an honest hub lets be on its way."""

TOLD_EVERY_BYTES: Final = 64 * 1024
"""How much a peer's socket takes before the hub is told: a quarter of the window. An agent is sent
less in a day."""


class HeldLink:
    """One peer's socket. A readiness calls `readable`, the worker the rest."""

    __slots__ = (
        "_is_shut_down",
        "_pending",
        "_settled",
        "_taken_bytes",
        "_watched_by",
        "_worker",
        "number",
        "pending_bytes",
        "stream",
    )

    def __init__(self, worker: "Worker", number: int, stream: SocketStream) -> None:
        self.number: Final = number
        self.stream: Final = stream
        self._worker = worker
        self._pending: list[bytes] | None = None
        self.pending_bytes = 0
        """What the socket has refused so far."""
        self._taken_bytes = 0
        self._watched_by: Readiness | None = None
        self._is_shut_down = False
        self._settled: trio.Event | None = trio.Event()

    def __repr__(self) -> str:
        return f"<HeldLink {self.number}, {self.pending_bytes} B pending>"

    def begin(self) -> None:
        """Relays what the peer sends from now on."""
        self._watch(self._worker.strangers)

    async def wait_settled(self) -> bool:
        """Until the peer is authenticated (True) or the link is over (False)."""
        if self._settled is not None:
            await self._settled.wait()
        return self.number in self._worker.links

    def readable(self, now_s: float) -> None:  # noqa: ARG002 - what it means is the hub's business
        """See `master.readiness.Reader`."""
        try:
            data = self.stream.receive_nowait()
        except LinkBrokenError as error:
            self.broken(str(error))
        except RemoteProtocolError as error:
            self._unwatch()
            self._worker.pipe.post(r.FLOODED, self.number, error.text.encode())
        else:
            if data:
                self._worker.pipe.post(r.DATA, self.number, data)
            elif data is not None:
                self._unwatch()
                self._worker.pipe.post(r.ENDED, self.number)

    def establish(self) -> None:
        """The peer is authenticated."""
        self.stream.budget_bytes = None
        if self._watched_by is not None:  # else nothing more comes from it
            self._unwatch()
            self._watch(self._worker.readiness)
        self._settle()

    def send(self, data: bytes) -> None:
        """Bytes for the peer."""
        if self._pending is None:
            try:
                if self.stream.send_nowait(data):
                    self._count(len(data))
                    return
            except LinkBrokenError as error:
                self.broken(str(error))
                return
            self._pending = []
            self._worker.pipe.post(r.BLOCKED, self.number)
            self._worker.spawn(self._drain)
        self._pending.append(data)
        self.pending_bytes += len(data)
        if self.pending_bytes > PENDING_LIMIT_BYTES:
            self.broken("the peer does not read")

    def shutdown(self) -> None:
        """Nothing follows what is pending."""
        if self._pending is None:
            self.stream.shutdown()
        else:
            self._is_shut_down = True

    def broken(self, reason: str, kind: int = r.ENDED) -> None:
        """The link is over, and it is not the hub that ended it. `kind` is the frame that says
        so."""
        if self.number in self._worker.links:
            self._worker.pipe.post(kind, self.number, reason.encode())
            self.close()

    def close(self) -> None:
        """At once."""
        self._unwatch()
        self.stream.close()
        self._worker.links.pop(self.number, None)
        self._settle()

    def _settle(self) -> None:
        if self._settled is not None:
            self._settled.set()
            self._settled = None

    def _watch(self, readiness: Readiness) -> None:
        readiness.watch(self.stream, self)
        self._watched_by = readiness

    def _unwatch(self) -> None:
        if self._watched_by is not None:
            self._watched_by.forget(self.stream)
            self._watched_by = None

    def _count(self, size_bytes: int) -> None:
        self._taken_bytes += size_bytes
        if self._taken_bytes >= TOLD_EVERY_BYTES:
            self._tell_taken()

    def _tell_taken(self) -> None:
        taken_bytes, self._taken_bytes = self._taken_bytes, 0
        self._worker.pipe.post(r.TAKEN, self.number, r.COUNT.pack(taken_bytes))

    async def _drain(self) -> None:
        pending = self._pending
        try:
            while pending:
                await self.stream.wait_writable()
                while pending and self.stream.send_nowait(pending[0]):
                    size_bytes = len(pending.pop(0))
                    self.pending_bytes -= size_bytes
                    self._count(size_bytes)
        except LinkBrokenError as error:
            self.broken(str(error))
            return
        self._pending = None
        self._tell_taken()
        self._worker.pipe.post(r.WRITABLE, self.number)
        if self._is_shut_down:
            self.stream.shutdown()
