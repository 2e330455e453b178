"""Viewers: the dashboard, the command line, and whatever else looks on. They are sent the feed and
answered.

A viewer that stops reading is not waited for: its share of the feed is noted as ids
(`master.feed`), and when it takes nothing for the write timeout its link is ended.
"""

from collections.abc import Iterator
from typing import Final

import trio

from master.context import Context
from master.feed import CHUNK_NODES, Changes, Feed
from master.requests import Requests, Viewer
from master.session import MasterLink, Session
from shared import messages as m
from shared.errors import LinkBrokenError, RemoteProtocolError
from shared.messages import Parting

VIEWERS_LIMIT: Final = 256
"""Viewers at once: each costs a task, a set of ids and an outbox of half a megabyte at most."""

BEHIND_BYTES: Final = 128 * 1024
"""A viewer with more than this unread gets no further deltas until it has read them."""


class Viewers:
    """Every viewer's session, and what they share."""

    def __init__(self, context: Context, feed: Feed, requests: Requests) -> None:
        self.context: Final = context
        self.feed: Final = feed
        self.requests: Final = requests
        self._sessions: dict[ViewerSession, None] = {}
        self._emptied = trio.Event()

    def __repr__(self) -> str:
        return f"<Viewers {len(self._sessions)}>"

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator["ViewerSession"]:
        return iter(tuple(self._sessions))

    @property
    def full(self) -> bool:
        return len(self._sessions) >= VIEWERS_LIMIT

    def enter(self, session: "ViewerSession") -> None:
        self._sessions[session] = None
        self.context.sweeper.schedule(session)

    def leave(self, session: "ViewerSession") -> None:
        self.feed.leave(session)
        self._sessions.pop(session, None)
        if not self._sessions:
            self._emptied.set()
            self._emptied = trio.Event()

    async def wait_empty(self) -> None:
        """Until no session is left."""
        while self._sessions:
            await self._emptied.wait()

    def end_all(self, code: str, text: str) -> None:
        """Tells every viewer why the link ends, and ends it."""
        for session in self:
            session.end(code, text)

    def end_identity(self, identity: str, code: str, text: str) -> None:
        """The same for those of one identity, which has been revoked."""
        for session in self:
            if session.identity == identity:
                session.end(code, text)


class ViewerSession(Session):
    """One viewer's link, from its welcome to its end."""

    def __init__(
        self, viewers: Viewers, link: MasterLink, identity: str, *, may_operate: bool
    ) -> None:
        super().__init__(link, lambda: viewers.context.link)
        self.identity: Final = identity
        self._viewers = viewers
        self._viewer = Viewer(identity, may_operate=may_operate, send_event=self._send_event)
        self._wake = trio.Event()
        self._missed = Changes()
        self._missed_since_s: float | None = None
        self._snapshot_pending = False

    def __repr__(self) -> str:
        return f"<ViewerSession {self.identity} {self.link!r}>"

    async def run(self) -> None:
        """Answers and feeds the viewer until its link ends. Cancellation: closes."""
        self._viewers.enter(self)
        try:
            with self.scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._pump)
                    await self._converse()
                    nursery.cancel_scope.cancel()
        finally:
            self._viewers.requests.unfollow(self._viewer)
            self._viewers.leave(self)
        await self.link.finish()

    def offer(self, frames: list[bytes], changed: Changes) -> None:
        """New values from the feed: sent at once to a viewer that keeps up, noted otherwise."""
        keeps_up = not self._missed and self.link.outbox.pending_bytes <= BEHIND_BYTES
        if keeps_up and self.link.post_frames(frames):
            return
        self._missed.merge(changed)
        if self._missed_since_s is None:
            self._missed_since_s = trio.current_time()
        self._wake.set()

    def blocked(self) -> None:
        """The kernel refuses more: the pump writes on when it takes it."""
        self._viewers.context.sweeper.schedule(self)
        self._wake.set()

    async def _converse(self) -> None:
        try:
            while True:
                for message in await self.link.receive():
                    if not await self._take(message):
                        return
        except LinkBrokenError:
            return
        except RemoteProtocolError as error:
            self.link.post_farewell(error.code, error.text)

    async def _take(self, message: m.FromClient) -> bool:
        if self.ended is not None:
            return False
        match message:
            case m.Ping(token):
                self.link.post(m.Pong(token))
            case m.Pong():
                pass
            case m.Goodbye():
                return False
            case m.Watch():
                self._watch()
            case _:
                self._reply(await self._viewers.requests.answer(message, self._viewer))
        return True

    def _watch(self) -> None:
        feed = self._viewers.feed
        self._missed = feed.everything()
        self._snapshot_pending = True
        feed.join(self)
        self._wake.set()

    def _reply(self, reply: m.ToViewer) -> None:
        if self.ended is None and not self.link.post_bulk(reply):
            self.end(Parting.SLOW, "answers are not read")

    def _send_event(self, request: int, event: m.Event) -> None:
        self._reply(m.Events(request, (event,)))

    async def _pump(self) -> None:
        # The only writer that waits: what the kernel refused first, then what was missed meanwhile.
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            while self.link.broken is None and (
                self.link.outbox or self._missed or self._snapshot_pending
            ):
                await self.link.drain()
                self._catch_up(trio.current_time())
                await trio.lowlevel.checkpoint()

    def _catch_up(self, now_s: float) -> None:
        feed = self._viewers.feed
        part = self._missed.take(CHUNK_NODES)
        if self._snapshot_pending:
            self._snapshot_pending = bool(self._missed)
            self.link.post_frames(feed.snapshot(part, now_s, last=not self._missed))
        elif part:
            behind_s = now_s - (self._missed_since_s or now_s)
            self.link.post_frames(feed.delta(part, now_s, behind_s))
        if not self._missed:
            self._missed_since_s = None
