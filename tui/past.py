"""The time machine: the fleet, or one node of it, as it was at an instant.

A `Fleet` is fed with what the master says of then, on a clock that is the wall clock of then: so
ages, staleness and every page are what they would have been for somebody who looked at that
instant. Nothing here is of the present. Pure: questions are handed to `send`.
"""

from collections.abc import Callable, Iterator
from typing import Final

from msgspec import structs

from shared.messages import (
    Failed,
    FleetAt,
    FromMaster,
    FromViewer,
    GetFleetAt,
    GetNodeAt,
    NodeAt,
    NodeVitals,
    Snapshot,
)
from shared.text import clean
from tui.asking import Asking
from tui.fleet import Fleet
from tui.focus import Focus
from tui.landmarks import Landmarks
from tui.moment import Moment
from tui.node import STALE_PERIODS, Node
from tui.node_then import NodeThen
from tui.pause import Pause
from tui.spans import SPANS, Span, Window, window

FIRST_REQUEST: Final = 2**40
"""Questions about the past have numbers from here on: an answer that comes when the past has been
left is known for what it is."""

_SPAN_AT_FIRST: Final = 1
_ROOM_AT_FIRST: Final = 60


class Past:
    """What is shown of then, and what has been asked for.

    `before` is shown until the first answer is there; nothing is asked for before somebody wants to
    `go` somewhere. `node_id` is looked at closely, if it is one. Questions take their numbers from
    `numbers`, which go on from one stay in the past to the next.
    """

    def __init__(
        self,
        before: Pause,
        now_wall_ms: int,
        send: Callable[[FromViewer], None],
        numbers: Iterator[int],
        *,
        node_id: str = "",
    ) -> None:
        self.wanted_wall_ms = now_wall_ms
        """Where the cursor is."""
        self.problem = ""
        """Why the last question has no answer."""
        self.room = _ROOM_AT_FIRST
        """Cells that there are for the line of time."""
        self._span = _SPAN_AT_FIRST
        self._fleet = before.fleet
        self._fleet_wall_ms: int | None = None
        self._moment = before.moment
        self._incoming = Fleet()
        self._node = NodeThen(node_id) if node_id else None
        self._asking = Asking[int](lambda n, at: send(GetFleetAt(n, at)), numbers)
        self._asking_node = Asking[tuple[str, int]](lambda n, q: send(GetNodeAt(n, *q)), numbers)
        self.landmarks = Landmarks(send, numbers)

    def __repr__(self) -> str:
        return f"<Past at {self.wanted_wall_ms}>"

    # --- what is shown ---------------------------------------------------------------------------

    @property
    def fleet(self) -> Fleet:
        """The fleet as it was."""
        return self._fleet

    @property
    def moment(self) -> Moment:
        """The instant that is shown."""
        if self._node is not None and self._node.at_wall_ms is not None:
            return Moment(self._node.at_wall_ms, self._node.at_wall_ms)
        return self._moment

    @property
    def shown_wall_ms(self) -> int | None:
        """The same; None while no answer has come, so that the picture is still that of before."""
        return self._fleet_wall_ms if self._node is None else self._node.at_wall_ms

    @property
    def focus(self) -> Focus | None:
        """The node that is looked at closely, as it was; None: none is, or no answer has come."""
        return None if self._node is None else self._node.focus

    def node(self, node_id: str) -> Node | None:
        """A node as it was; None: it was not known yet."""
        if self._node is not None and self._node.node_id == node_id and self._node.is_answered:
            return self._node.node
        return self._fleet.node(node_id)

    def waiting_s(self, now_s: float) -> float:
        """For how long the picture has been awaited."""
        asking = self._asking if self._node is None else self._asking_node
        return asking.waiting_s(now_s)

    @property
    def span(self) -> Span:
        """How much of the past is in sight."""
        return SPANS[self._span]

    def window(self, now_wall_ms: int) -> Window:
        """The stretch of time that is in sight."""
        return window(self.span, self.room, self.wanted_wall_ms, now_wall_ms)

    # --- what the user wants ---------------------------------------------------------------------

    def go(self, at_wall_ms: int, now_wall_ms: int, now_s: float) -> None:
        """Shows that instant; the present is as far as one gets."""
        self.wanted_wall_ms = min(at_wall_ms, now_wall_ms)
        self._ask(now_s)
        self.look_around(now_wall_ms, now_s)

    def step(self, cells: int, now_wall_ms: int, now_s: float) -> None:
        """Goes so many cells on, to where one begins."""
        each_ms = self.window(now_wall_ms).cell_ms
        at_ms = self.wanted_wall_ms
        nearest_ms = at_ms - at_ms % each_ms
        if cells < 0 and nearest_ms < at_ms:
            cells += 1
        self.go(nearest_ms + cells * each_ms, now_wall_ms, now_s)

    def zoom(self, steps: int, now_wall_ms: int, now_s: float) -> None:
        """Brings more of the past into sight, or less."""
        self._span = min(max(self._span + steps, 0), len(SPANS) - 1)
        self.look_around(now_wall_ms, now_s)

    def open_node(self, node_id: str, now_wall_ms: int, now_s: float) -> None:
        """Looks at a node closely; empty: at the fleet."""
        self._node = NodeThen(node_id) if node_id else None
        self._asking_node.drop()
        self._ask(now_s)
        self.look_around(now_wall_ms, now_s)

    def look_around(self, now_wall_ms: int, now_s: float) -> None:
        """Has the line of time told, where it is not known yet."""
        node_id = "" if self._node is None else self._node.node_id
        self.landmarks.want(node_id, self.window(now_wall_ms), now_s)

    # --- what the master says --------------------------------------------------------------------

    def linked_again(self, now_s: float) -> None:
        """Asks anew what the last link has left without an answer."""
        self._asking.again(now_s)
        self._asking_node.again(now_s)
        self.landmarks.again(now_s)

    def take(self, message: FromMaster, now_s: float) -> bool:
        """Takes in an answer; False when it is none to a question that is still open."""
        match message:
            case FleetAt(request=request) if self._asking.is_answer(request):
                self._take_fleet(message, now_s)
            case NodeAt(request=request) if self._asking_node.is_answer(request):
                self._asking_node.answered(request, now_s)
                self.problem = ""
                if self._node is not None:
                    self._node.take(message)
            case Failed(request=request) if self._asking.answered(request, now_s) is not None:
                self._incoming = Fleet()
                self.problem = clean(message.text)
            case Failed(request=request):
                asked = self._asking_node.answered(request, now_s)
                if asked is None:
                    return self.landmarks.take(message, now_s)
                self._fail_node(message, asked[1])
            case _:
                return self.landmarks.take(message, now_s)
        return True

    def _take_fleet(self, message: FleetAt, now_s: float) -> None:
        at_ms = message.at_wall_ms
        vitals = tuple(_then(each, at_ms) for each in message.vitals)
        self._incoming.apply(Snapshot(at_ms, message.infos, vitals, message.last), now_s)
        if message.last:
            self._fleet, self._incoming = self._incoming, Fleet()
            self._fleet_wall_ms, self._moment = at_ms, Moment(at_ms, at_ms)
            self.problem = ""
            self._asking.answered(message.request, now_s)

    def _fail_node(self, failed: Failed, at_wall_ms: int) -> None:
        if failed.code == "not-found" and self._node is not None:
            self._node.was_not_there(at_wall_ms)
            self.problem = ""
        else:
            self.problem = clean(failed.text)

    def _ask(self, now_s: float) -> None:
        at_ms = self.wanted_wall_ms
        if self._node is None:
            if self._fleet_wall_ms != at_ms or self._asking.is_open:
                self._asking.want(at_ms, now_s)
        else:
            self._asking_node.want((self._node.node_id, at_ms), now_s)


def _then(vitals: NodeVitals, at_wall_ms: int) -> NodeVitals:
    """With the wall clock as the monotonic one. What the master says of an instant is how it was
    then, though the sample may be some periods old: of a large fleet it keeps one a minute."""
    seen_ms = vitals.seen_wall_ms
    if seen_ms is None:
        return vitals
    period_ms = max(vitals.period_ms, -(-(at_wall_ms - seen_ms) // int(STALE_PERIODS)))
    return structs.replace(vitals, seen_mono_ms=seen_ms, period_ms=period_ms)
