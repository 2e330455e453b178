"""Viewers: the dashboard, the command line, and whatever else looks on. They are sent the feed and
answered.

A viewer that stops reading is not waited for: its share of the feed is noted as ids
(`master.feed`), and when it takes nothing for the write timeout its link is ended.
"""

from collections.abc import Sequence
from typing import Final

import trio

from master.attention import Attention
from master.context import Context
from master.feed import Changes, Feed, Piece
from master.focus import Focus
from master.past_requests import PastRequests
from master.requests import Requests, Viewer
from master.roster import Roster
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

    def __init__(
        self,
        context: Context,
        feed: Feed,
        requests: Requests,
        past: PastRequests,
        attention: Attention,
    ) -> None:
        self.context: Final = context
        self.feed: Final = feed
        self.requests: Final = requests
        self.past: Final = past
        self.attention: Final = attention
        self.roster: Final = Roster[ViewerSession](context.sweeper)

    def __repr__(self) -> str:
        return f"<Viewers {self.roster!r}>"

    @property
    def full(self) -> bool:
        return len(self.roster) >= VIEWERS_LIMIT


class ViewerSession(Session):
    """One viewer's link, from its welcome to its end."""

    def __init__(
        self,
        viewers: Viewers,
        link: MasterLink,
        identity: str,
        address: str,
        *,
        may_operate: bool,
    ) -> None:
        super().__init__(link, lambda: viewers.context.link)
        self.identity: Final = identity
        self.focus: Focus | None = None
        self._scope = trio.CancelScope()
        self._viewers = viewers
        self._viewer = Viewer(
            identity, address, may_operate=may_operate, send_event=self._send_event
        )
        self._wake = trio.Event()
        self._missed = Changes()
        self._missed_since_s = 0.0
        self._snapshot: Changes | None = None
        self._nursery: trio.Nursery

    def __repr__(self) -> str:
        return f"<ViewerSession {self.identity} {self.link!r}>"

    async def run(self) -> None:
        """Answers and feeds the viewer until its link ends. Cancellation: closes."""
        with self._viewers.roster.present(self):
            try:
                with self._scope:
                    async with trio.open_nursery() as nursery:
                        self._nursery = nursery
                        nursery.start_soon(self._pump)
                        await self._converse()
                        nursery.cancel_scope.cancel()
            finally:
                self._viewers.requests.unfollow(self._viewer)
                self._viewers.feed.leave(self)
                self._viewers.attention.leave(self)
                await self.link.finish()
                del self._viewer, self._nursery  # both lead back to here

    def stop(self) -> None:
        self._scope.cancel()

    def offer(self, pieces: Sequence[Piece]) -> None:
        """New values from the feed: sent at once to a viewer that keeps up, noted otherwise."""
        for piece in pieces:
            if not (self._keeps_up() and self.link.post_frames(piece.frames)):
                self._miss(piece.changed)

    def show(self, part: str, frames: list[bytes]) -> None:
        """News of the node in focus: sent at once to a viewer that keeps up, noted otherwise."""
        focus = self.focus
        if focus is None:
            return
        keeps_up = not focus.due and self.link.outbox.pending_bytes <= BEHIND_BYTES
        if not (keeps_up and self.link.post_frames(frames)):
            focus.note(part)
            self.catch_up()

    def catch_up(self) -> None:
        """Something is due to the viewer: the pump sends it as fast as it is read."""
        self._wake.set()

    def blocked(self) -> None:
        self._viewers.context.sweeper.schedule(self)
        self._wake.set()

    async def _converse(self) -> None:
        try:
            while True:
                for message in await self.link.receive():
                    if self.ended is not None or isinstance(message, m.Goodbye):
                        return
                    self.count_message()
                    await self._take(message)
                self.count_arrival()
        except LinkBrokenError:
            return
        except RemoteProtocolError as error:
            self.link.post_farewell(error.code, error.text)

    async def _take(self, message: m.FromClient) -> None:
        match message:
            case m.Ping(token):
                self.link.post(m.Pong(token))
            case m.Pong():
                pass
            case m.Watch():
                self._watch()
            case m.FocusNode(node_id):
                self._viewers.attention.focus(self, node_id)
            case m.Renew(csr_der):
                renewed = await self._viewers.requests.renew(csr_der, self._viewer)
                if renewed is not None:
                    self.link.post(renewed)
            case m.BackUp():
                # It takes minutes, in which the viewer's pings have to be answered.
                past = self._viewers.past
                self._nursery.start_soon(past.answer, message, self._viewer, self._send_in_turn)
            case m.GetFleetAt() | m.GetNodeAt() | m.GetSeries() | m.GetSamples() | m.GetCoverage():
                await self._viewers.past.answer(message, self._viewer, self._send_in_turn)
            case _:
                self._reply(await self._viewers.requests.answer(message, self._viewer))

    def _watch(self) -> None:
        feed = self._viewers.feed
        self._snapshot = feed.everything()
        self._missed = Changes()
        feed.join(self)
        self._wake.set()

    def _reply(self, reply: m.ToViewer) -> None:
        if self.ended is None and not self.link.post_bulk(reply):
            self.end(Parting.SLOW, "answers are not read")

    async def _send_in_turn(self, reply: m.ToViewer) -> None:
        """Sends a piece of a long answer when those before it have been read."""
        while self.link.outbox.pending_bytes > BEHIND_BYTES and not self.link.over:
            await self.link.drain()
        self._reply(reply)
        await trio.lowlevel.checkpoint()

    def _send_event(self, request: int, event: m.Event) -> None:
        self._reply(m.Events(request, (event,)))

    def _keeps_up(self) -> bool:
        is_behind = self._snapshot is not None or self._missed
        return not is_behind and self.link.outbox.pending_bytes <= BEHIND_BYTES

    def _miss(self, changed: Changes) -> None:
        if not self._missed:
            self._missed_since_s = trio.current_time()
        self._missed.merge(changed)
        self._wake.set()

    async def _pump(self) -> None:
        # The only writer that waits: what the kernel refused first, then what was missed meanwhile,
        # each time into an empty outbox, where one message always fits. Fleet and focus take turns.
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            while not self.link.over and (self.link.outbox or self._is_behind()):
                await self.link.drain()
                self._send_fleet(trio.current_time())
                await self.link.drain()
                self._send_focus(trio.current_time())
                await trio.lowlevel.checkpoint()

    def _is_behind(self) -> bool:
        has_focus_due = self.focus is not None and self.focus.due
        return self._snapshot is not None or bool(self._missed) or has_focus_due

    def _send_focus(self, now_s: float) -> None:
        if self.focus is not None and self.focus.due:
            self.link.post_frames(self.focus.take(now_s))

    def _send_fleet(self, now_s: float) -> None:
        # Changes wait for the end of the snapshot: one that they were part of would never end in a
        # busy fleet.
        feed = self._viewers.feed
        if self._snapshot is not None:
            self.link.post_frames(feed.take_snapshot(self._snapshot, now_s))
            if not self._snapshot:
                self._snapshot = None
                self._missed_since_s = now_s
        elif self._missed:
            behind_s = now_s - self._missed_since_s
            self.link.post_frames(feed.take_delta(self._missed, now_s, behind_s).frames)
