"""What the dashboard holds: the fleet, the node in focus, events, the link, the time; how news of
them reaches a screen.

A source reports here, from the event loop that also paints. Each report is applied at once and then
only hinted at: any number of hints that a screen has not handled yet become one, so that a flood of
frames costs one painting. What somebody wants to see beyond the fleet is asked for here, and asked
for again on every new link.
"""

from collections.abc import Callable, Sequence
from itertools import count
from typing import Final

from textual.message import Message

from shared.messages import (
    Delta,
    Event,
    Events,
    FocusInventory,
    FocusNode,
    FocusUpdate,
    FromMaster,
    FromViewer,
    GetNode,
    ListEvents,
    ListOutages,
    NodeDetail,
    Outage,
    Outages,
    Snapshot,
)
from tui.clock import Clock
from tui.close_up import CloseUp, close_up_then, until
from tui.curves import Curves, Stretch
from tui.fleet import Fleet
from tui.focus import Focus
from tui.inquiry import Inquiry
from tui.journal import Journal
from tui.link import Link, LinkState
from tui.mass import Mass, Masses
from tui.moment import Moment
from tui.node import Node
from tui.outages import BEARING, OUTAGES_ASKED, Record
from tui.past import FIRST_REQUEST, Past
from tui.pause import Pause
from tui.since import fleet_wall_ms
from tui.trail import Trails

FLEET_EVENTS: Final = 500
NODE_EVENTS: Final = 200
"""How many past events are asked for."""

OTHER_CLOCK_MS: Final = 60_000
"""A master whose clock differs so much from what it should show has been booted anew, or is another
one: instants of before mean nothing on it."""


class PictureChanged(Message):
    """Something may look different now: paint what does. Carries nothing, so hints coalesce."""

    def can_replace(self, message: Message) -> bool:
        """See `textual.message.Message`: the later of two hints says it all."""
        return isinstance(message, PictureChanged)


class Feed:
    """A `Viewer` that keeps what it is told."""

    def __init__(
        self, clock: Clock, changed: Callable[[], None], send: Callable[[FromViewer], None]
    ) -> None:
        self.link = Link(LinkState.CONNECTING, clock.mono_s(), address="the master")
        self.focus: Focus | None = None
        self.record: Record | None = None
        """How reliably the node in focus is there."""
        self.journal = Journal()
        self.pause: Pause | None = None
        self.past: Past | None = None
        self.inquiry: Inquiry | None = None
        self._fleet = Fleet()
        self._trails = Trails()
        self._masses = Masses(self.journal)
        self._clock = clock
        self._changed = changed
        self._send = send
        self._requests = count(1)
        self._past_requests = count(FIRST_REQUEST)
        self.curves = Curves(send, self._past_requests)
        self._follows_events = False

    @property
    def fleet(self) -> Fleet:
        """The fleet to show: as it is, as it was when the user held it, or as it was then."""
        if self.past:
            return self.past.fleet
        return self.pause.fleet if self.pause else self._fleet

    def now_s(self) -> float:
        """The viewer's monotonic clock."""
        return self._clock.mono_s()

    def wall_ms(self) -> int:
        """The viewer's wall clock."""
        return self._clock.wall_ms()

    def moment(self) -> Moment:
        """The instant to show."""
        if self.past:
            return self.past.moment
        return self.pause.moment if self.pause else self._present()

    def node(self, node_id: str) -> Node | None:
        """A node as it is to be shown; None: there is, or was, no such node."""
        return self.past.node(node_id) if self.past else self.fleet.node(node_id)

    def events(self) -> Sequence[Event]:
        """What has happened in the fleet until now, or then; oldest first."""
        events = self.journal.events
        return until(self.past.moment.wall_ms, events) if self.past else events

    def close_up(self, live: Focus) -> CloseUp:
        """What is known of a node from close by, now or then."""
        events = self.journal.of(live.node_id)
        if self.past is None:
            return CloseUp(live, events, self.record)
        return close_up_then(self.past, live.node_id, events, self.record)

    def stretch(self, node_id: str, length_ms: int, points: int) -> Stretch:
        """What graphs of a node are to show, up to now or then; the master is asked for it."""
        if self.past:
            end_ms = self.past.moment.wall_ms
        else:
            dot_ms = max(1, length_ms // points)
            end_ms = (self.master_wall_ms() // dot_ms + 1) * dot_ms
        stretch = Stretch(node_id, end_ms - length_ms, end_ms, points)
        self.curves.want(stretch, self.now_s(), is_past=self.past is not None)
        return stretch

    def master_wall_ms(self) -> int:
        """What the master's wall clock says now."""
        return fleet_wall_ms(self._fleet, self._present())

    def mass(self) -> Mass | None:
        """Whether many nodes have just gone at once."""
        return None if self.past else self._masses.latest(self._fleet, self.moment())

    def _present(self) -> Moment:
        return self._fleet.moment(self._clock.mono_s(), self._clock.wall_ms())

    # --- what the user wants to see ------------------------------------------------------------

    def hold(self) -> None:
        """Holds the picture, or goes on with it."""
        self.pause = None if self.pause else Pause(self._fleet.still(), self._present())
        self._changed()

    def begin_past(self) -> Past:
        """Goes into the past, or stays there. No agent is asked to measure finely for it."""
        if self.past is None:
            now_ms = self.master_wall_ms()
            before = Pause(self.fleet.still(), self.moment())
            node_id = "" if self.focus is None else self.focus.node_id
            numbers = self._past_requests
            self.past = Past(before, now_ms, self._send, numbers, node_id=node_id)
            if node_id:
                self._send(FocusNode(""))
        return self.past

    def inquire(self, outage: Outage) -> Inquiry:
        """Asks what changed before an outage."""
        self.inquiry = Inquiry(outage, self._send, self._past_requests)
        return self.inquiry

    def end_past(self) -> None:
        """Back to the present."""
        self.past = None
        self._ask_for_focus()
        self._changed()

    def open_node(self, node_id: str) -> Focus:
        """Looks at a node closely from now on, and at no other."""
        self.focus = Focus(node_id, self._trails.open(node_id))
        self.record = Record(node_id)
        self.curves.forget()
        self._remember(node_id)
        self._ask_for_focus()
        if self.past:
            self.past.open_node(node_id, self.master_wall_ms(), self.now_s())
        return self.focus

    def watch_record(self) -> None:
        """Has the availability of the node in focus counted anew, now and then."""
        is_present = self.past is None and self.pause is None
        is_live = self.link.state is LinkState.LIVE
        if is_present and is_live and self.record and self.record.is_due(self.now_s()):
            self._ask_for_availability(self.record)

    def close_node(self) -> None:
        """Looks at the fleet only."""
        self.focus = self.record = None
        if self.past:
            self.past.open_node("", self.master_wall_ms(), self.now_s())
        else:
            self._send(FocusNode(""))

    def follow_events(self) -> None:
        """Has events told from now on, and the latest of those that were."""
        if not self._follows_events:
            self._follows_events = True
            if self.link.state is LinkState.LIVE:
                self._ask_for_events()

    # --- what the source says --------------------------------------------------------------------

    def on_link(self, link: Link) -> None:
        """See `tui.link.Viewer`."""
        was_live = self.link.state is LinkState.LIVE
        self.link = link
        if link.state is not LinkState.LIVE:
            self._fleet.link_lost()
        elif not was_live:
            self._ask_for_focus()
            self._ask_for_events()
            self.curves.again(self.now_s())
            if self.inquiry:
                self.inquiry.ask()
            if self.past:
                self.past.linked_again(self.now_s())
        self._changed()

    def on_message(self, message: FromMaster, received_s: float) -> None:
        """See `tui.link.Viewer`. What is not meant to be shown is left for others."""
        if self._is_about_past(message, received_s):
            return
        match message:
            case Snapshot():
                self._apply_snapshot(message, received_s)
            case Delta():
                self._fleet.apply(message, received_s)
                for vitals in message.vitals:
                    self._remember(vitals.node_id)
                if self.pause:
                    self.pause.missed += len(message.vitals) + len(message.gone)
            case FocusUpdate() | FocusInventory():
                if self.focus is None or not self.focus.apply(message):
                    return
            case Events():
                self.journal.add(message.events)
                self._ask_for_news_of_record(message)
            case Outages() | NodeDetail():
                if self.record is None or not self.record.apply(message):
                    return
            case _:
                return
        self._changed()

    def _is_about_past(self, message: FromMaster, received_s: float) -> bool:
        if (
            (self.past and self.past.take(message, received_s))
            or (self.inquiry and self.inquiry.take(message))
            or self.curves.take(message, received_s)
        ):
            self._changed()
            return True
        # What answers a question about the past that nobody waits for any more.
        return isinstance(message, Outages) and message.request >= FIRST_REQUEST

    def _apply_snapshot(self, message: Snapshot, received_s: float) -> None:
        before_ms = self._fleet.moment(received_s, 0).master_mono_ms
        self._fleet.apply(message, received_s)
        now_ms = self._fleet.moment(received_s, 0).master_mono_ms
        if before_ms and now_ms and abs(now_ms - before_ms) > OTHER_CLOCK_MS:
            self._trails.clear()
        if message.last and self.focus:
            self._remember(self.focus.node_id)

    def _remember(self, node_id: str) -> None:
        """Adds the latest sample of a node to its trail, where somebody has looked at it."""
        trail, node = self._trails.get(node_id), self._fleet.node(node_id)
        if trail is not None and node is not None:
            trail.add(node.vitals.seen_mono_ms, node.vitals.period_ms, node.core)

    def _ask_for_focus(self) -> None:
        if self.focus is not None:
            if self.past is None:
                self._send(FocusNode(self.focus.node_id))
            self._send(ListEvents(next(self._requests), NODE_EVENTS, self.focus.node_id))
            self._ask_for_record()
            self.follow_events()

    def _ask_for_record(self) -> None:
        if self.record is not None:
            self._send(ListOutages(next(self._requests), OUTAGES_ASKED, self.record.node_id))
            self._ask_for_availability(self.record)

    def _ask_for_availability(self, record: Record) -> None:
        record.asked_s = self.now_s()
        self._send(GetNode(next(self._requests), record.node_id))

    def _ask_for_news_of_record(self, told: Events) -> None:
        # What comes before the first answer is history, and in that answer.
        record = self.record
        if record is None or record.outages is None:
            return
        if any(e.node_id == record.node_id and e.event in BEARING for e in told.events):
            self._ask_for_record()

    def _ask_for_events(self) -> None:
        if self._follows_events:
            self._send(ListEvents(next(self._requests), FLEET_EVENTS, follow=True))
