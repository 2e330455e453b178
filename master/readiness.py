"""Who has something to read: one task for all established links.

A task that waits for each link costs a few kilobytes to keep and some 20 µs to wake, which is more
than all that has to be done with a beat. So an established link has no task: its descriptor is in
one epoll set, and what its owner does with what has arrived is a call. The set is level-triggered:
each link is read once in a turn, a TLS record at most, and whoever has more comes again in the next
one, so that no peer keeps the others waiting. When nobody has, the task rests. (docs/decisions/0024
has the figures.)

Where there is no epoll, and for streams that have no descriptor, it is a task each after all.
"""

import select
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

import trio

from shared.errors import LinkBrokenError
from shared.stream import LinkStream, SocketStream

if TYPE_CHECKING:
    from master.context import Spawn

EVENTS_AT_ONCE: Final = 256
"""Links that are read before other tasks get their turn: ten milliseconds' worth."""

TURNS: Final = 16
"""So many records of one link are read before the task rests all the same: 800 a second, several
times what an honest peer has to say, and what is too much for one is noticed."""

REST_S: Final = 0.02
"""Between two rounds of turns. What arrives meanwhile is read in one go, which saves most of what
waking up costs; nobody waits for an answer that is needed any sooner."""


class Reader(Protocol):
    """The owner of a stream that is watched."""

    def readable(self, now_s: float) -> None:
        """Something has arrived, or the stream is over: receive it, with `receive_nowait`, once.
        `now_s` is trio's time. Must not wait."""
        ...


class Telling(ABC):
    """A stream that is itself told when something has arrived, and tells its reader."""

    __slots__ = ()

    @abstractmethod
    def tell(self, reader: Reader | None) -> bool:
        """From now on `reader` is told; None: nobody. Returns whether there is something that came
        before.

        Raises:
            LinkBrokenError: the stream is closed.
        """

    @abstractmethod
    async def catch_up(self) -> None:
        """Tells the reader of what came before there was one."""


class Readiness:
    """Watches streams, and calls their readers.

    `after_turn` is awaited when those that had something to read in a turn have been, with whether
    nobody had: nothing is read until it returns.
    """

    def __init__(
        self,
        spawn: "Spawn",
        *,
        after_turn: Callable[[bool], Awaitable[None]] | None = None,
    ) -> None:
        self._spawn = spawn
        self._after_turn = after_turn
        self._epoll = select.epoll() if hasattr(select, "epoll") else None
        self._readers: dict[int, Reader] = {}
        self._waits: dict[LinkStream, trio.CancelScope] = {}

    def __repr__(self) -> str:
        return f"<Readiness of {len(self._readers) + len(self._waits)} streams>"

    def watch(self, stream: LinkStream, reader: Reader) -> None:
        """From now on `reader` is called when there is something to read.

        Raises:
            LinkBrokenError: the stream is closed.
        """
        if isinstance(stream, Telling):
            if stream.tell(reader):
                self._spawn(stream.catch_up)
            return
        descriptor = stream.fileno() if isinstance(stream, SocketStream) else None
        if self._epoll is None or descriptor is None:
            self._waits[stream] = scope = trio.CancelScope()
            self._spawn(partial(self._watch_alone, stream, reader, scope))
            return
        self._epoll.register(descriptor, select.EPOLLIN)
        self._readers[descriptor] = reader

    def forget(self, stream: LinkStream) -> None:
        """Its reader is called no more. Must come before the stream is closed: a descriptor is
        given to the next connection."""
        if isinstance(stream, Telling):
            stream.tell(None)
            return
        scope = self._waits.pop(stream, None)
        if scope is not None:
            scope.cancel()
        elif self._epoll is not None and isinstance(stream, SocketStream):
            descriptor = stream.fileno()
            del self._readers[descriptor]
            self._epoll.unregister(descriptor)

    def has_unread(self) -> bool:
        """Whether something has arrived on any stream that has a descriptor."""
        return self._epoll is not None and bool(self._epoll.poll(0, 1))

    async def run(self) -> None:
        """Calls the readers, for ever."""
        epoll = self._epoll
        if epoll is None:
            return
        while True:
            await trio.lowlevel.wait_readable(epoll.fileno())
            for _ in range(TURNS):
                events = epoll.poll(0, EVENTS_AT_ONCE)
                self._call_readers(events)
                if self._after_turn is not None:
                    await self._after_turn(not events)
                if not events:
                    break
                if len(events) == EVENTS_AT_ONCE:
                    await trio.lowlevel.checkpoint()
            await trio.sleep(REST_S)

    def _call_readers(self, events: list[tuple[int, int]]) -> None:
        readers, now_s = self._readers, trio.current_time()
        for descriptor, _ in events:
            reader = readers.get(descriptor)
            if reader is not None:  # else one that came before it has ended it
                reader.readable(now_s)

    async def _watch_alone(
        self, stream: LinkStream, reader: Reader, scope: trio.CancelScope
    ) -> None:
        with scope:
            while True:
                with suppress(LinkBrokenError):  # the reader learns of it when it receives
                    await stream.wait_readable()
                if scope.cancel_called:
                    return  # forgotten, while something was there already
                reader.readable(trio.current_time())
                await trio.lowlevel.checkpoint()
