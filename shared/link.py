"""One end of a link as trio drives it: a stream, the protocol's state, and what waits to be
written.

Agent and master use the same class. Nothing here waits but `receive`, `drain` and `finish`, and
nothing but those has to be awaited to send: `post` writes what the kernel takes at once and keeps
the rest in the outbox until `drain`, which `on_blocked` asks the owner to run.

Deadlines are the owner's: `heard_s` and `blocked_s` say since when the peer has been silent or
deaf.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, Generic

import trio

from shared.connection import Connection, Phase, Received, Sent
from shared.errors import LinkBrokenError, RemoteProtocolError
from shared.outbox import Outbox
from shared.stream import LinkStream

FAREWELL_S: Final = 1.0
"""How long to wait for the peer to read a last word before closing under it."""


class Link(Generic[Sent, Received]):
    """A connection over a stream. `broken` is why it can no longer be used, once it cannot."""

    __slots__ = (
        "blocked_s",
        "broken",
        "connection",
        "heard_bytes",
        "heard_s",
        "on_blocked",
        "on_broken",
        "outbox",
        "stream",
    )

    def __init__(
        self,
        stream: LinkStream,
        connection: Connection[Sent, Received],
        on_blocked: Callable[[], None],
    ) -> None:
        self.stream = stream
        self.connection = connection
        self.outbox = Outbox()
        self.heard_s = trio.current_time()
        """When bytes last arrived."""
        self.heard_bytes = 0
        """How many have arrived in all."""
        self.blocked_s: float | None = None
        """Since when the kernel has refused to take more; None while it does not."""
        self.broken: str | None = None
        self.on_blocked = on_blocked
        """Called when the kernel begins to refuse what is written: have it drained."""
        self.on_broken: Callable[[], None] | None = None
        """Called before the stream is closed, wherever it was noticed that the link is broken. For
        an owner that does not wait to `receive`, which learns it so."""

    def __repr__(self) -> str:
        return f"<Link {self.broken or self.connection!r} {self.outbox!r}>"

    @property
    def over(self) -> bool:
        """Whether nothing can be said any more: either side has taken its leave, or it is
        broken."""
        return self.broken is not None or self.connection.phase is Phase.CLOSED

    async def receive(self) -> Iterator[Received]:
        """Waits for bytes and returns the messages in them; iterate before calling again.

        Raises:
            LinkBrokenError: the stream ended or broke, or `break_off` was called.
            RemoteProtocolError: while iterating, see `Connection.receive`.
        """
        try:
            data = await self.stream.receive_some()
        except LinkBrokenError as error:
            raise LinkBrokenError(self.broken or str(error)) from error
        if not data:
            raise LinkBrokenError(self.broken or "closed by the peer")
        self.heard_s = trio.current_time()
        self.heard_bytes += len(data)
        return self.connection.receive(data)

    def receive_nowait(self, now_s: float) -> Iterator[Received]:
        """The same without waiting: no messages when nothing has arrived. `now_s` is trio's
        time."""
        try:
            data = self.stream.receive_nowait()
        except LinkBrokenError as error:
            raise LinkBrokenError(self.broken or str(error)) from error
        if data:
            self.heard_s = now_s
            self.heard_bytes += len(data)
            return self.connection.receive(data)
        if data is None:
            return iter(())
        raise LinkBrokenError(self.broken or "closed by the peer")

    def post(self, message: Sent) -> None:
        """Sends an urgent message as soon as the kernel takes it; nothing after the last word.

        Never raises for what the peer does: a link that cannot be written to is broken off, which
        its reader learns.

        Raises:
            LocalProtocolError: the message may not be sent now.
        """
        if self.broken is not None or self.connection.phase is Phase.CLOSED:
            return
        frame = self.connection.send(message)
        if not self.outbox.pending_bytes:
            # As good as always: nothing waits, and the kernel takes it.
            try:
                if self.stream.send_nowait(frame):
                    return
            except LinkBrokenError as error:
                self.break_off(str(error))
                return
        if self.outbox.put(frame):
            self.flush()
        else:
            self.break_off("the peer does not read")

    def post_farewell(self, code: str, text: str = "") -> None:
        """Sends this side's last word, also after the peer broke the protocol; then `finish`."""
        frame = self.connection.farewell(code, text)
        if frame and self.broken is None and self.outbox.put(frame):
            self.flush()

    def post_bulk(self, message: Sent) -> bool:
        """Sends a message that may be long, after everything urgent; False when there is no
        room."""
        return not self.over and self.post_frames(self.connection.send_bulk(message))

    def post_frames(self, frames: Iterable[bytes]) -> bool:
        """The same for frames made earlier, so that one encoding serves many viewers."""
        if self.over or not self.outbox.put_bulk(frames):
            return False
        self.flush()
        return True

    def flush(self) -> None:
        """Writes what the kernel takes now; calls `on_blocked` when it first refuses."""
        outbox = self.outbox
        try:
            while (head := outbox.head()) is not None:
                if not self.stream.send_nowait(head):
                    if self.blocked_s is None:
                        self.blocked_s = trio.current_time()
                        self.on_blocked()
                    return
                outbox.written()
                if self.blocked_s is not None:
                    self.blocked_s = trio.current_time()
        except LinkBrokenError as error:
            self.break_off(str(error))

    async def drain(self) -> None:
        """Writes until nothing waits or the link is broken.

        Several tasks may do so, one of them for the last word. Cancelling it loses nothing.
        """
        try:
            await self._write_out()
        except LinkBrokenError as error:
            self.break_off(str(error))
        self.blocked_s = None

    def break_off(self, reason: str) -> None:
        """Ends the link at once. Whoever reads it gets LinkBrokenError(reason)."""
        if self.broken is None:
            self.broken = reason
            if self.on_broken is not None:
                self.on_broken()
            # The owner has the link, and these are the owner's: what has ended is to be gone when
            # nobody needs it, not when a collector comes that hardly ever does (master.collector).
            self.on_blocked, self.on_broken = _nothing_to_do, None
            self.stream.close()
            self.connection.abandon()
            self.outbox = Outbox()

    async def finish(self) -> None:
        """Closes after the peer has had a chance to read what was posted: within `FAREWELL_S`.

        Closing with unread input would make the kernel send RST, which can overtake the last word;
        so the input is read and dropped until the peer closes too. Safe to cancel: closes at once.
        """
        try:
            with trio.move_on_after(FAREWELL_S):
                await self._write_out()
                self.stream.shutdown()
                while await self.stream.receive_some():
                    pass
        except (LinkBrokenError, RemoteProtocolError):
            pass  # whatever the peer has done: it has had its chance
        finally:
            self.break_off("closed on this side")

    async def _write_out(self) -> None:
        while self.outbox and self.broken is None:
            await self.stream.wait_writable()
            self.flush()


def _nothing_to_do() -> None:
    """Nobody drains a link that has ended."""
