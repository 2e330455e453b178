"""What changed before an outage: the questions that it takes, and their answers as they come. Pure:
questions are handed to `send`.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from shared.families import Processes
from shared.messages import (
    Failed,
    FromMaster,
    FromViewer,
    GetNodeAt,
    GetSeries,
    NodeAt,
    Outage,
    Series,
)
from shared.metrics import metrics
from shared.text import clean
from tui.changes import DAY_MS, LAST_MS, USUAL_MS, Change, Growth, grown, ranked
from tui.node_then import NodeThen

_STEP_MS: Final = 60_000
_NAMES: Final = tuple(metric.name for metric in metrics())


class Inquiry:
    """About one outage."""

    def __init__(
        self, outage: Outage, send: Callable[[FromViewer], None], numbers: Iterator[int]
    ) -> None:
        self.outage = outage
        self.problem = ""
        """Why some of it is not known."""
        self._send = send
        self._numbers = numbers
        self._open: set[int] = set()
        self._answers: dict[str, Series | NodeAt] = {}
        self._names: dict[int, str] = {}
        self.ask()

    def __repr__(self) -> str:
        return f"<Inquiry into outage {self.outage.number}, {len(self._open)} answers to come>"

    @property
    def is_open(self) -> bool:
        """Whether answers are still to come."""
        return bool(self._open)

    @property
    def at_wall_ms(self) -> int:
        """The last sign of life: what changed before it is asked."""
        return self.outage.from_wall_ms

    @property
    def usual_from_wall_ms(self) -> int:
        """Where the stretch begins that the last minutes are compared with."""
        return self.at_wall_ms - LAST_MS - USUAL_MS

    def ask(self) -> None:
        """Asks for all of it; on another link again."""
        self._open.clear()
        self._names.clear()
        node_id, end_ms = self.outage.node_id, self.at_wall_ms + 1
        for name, earlier_ms in (("then", 0), ("day before", DAY_MS)):
            begin_ms = self.usual_from_wall_ms - earlier_ms
            points = (LAST_MS + USUAL_MS) // _STEP_MS
            number = self._number(name)
            self._send(GetSeries(number, node_id, _NAMES, begin_ms, end_ms - earlier_ms, points))
        for name, at_ms in (
            ("node then", self.at_wall_ms),
            ("node before", self.at_wall_ms - USUAL_MS),
        ):
            self._send(GetNodeAt(self._number(name), node_id, at_ms))

    def take(self, message: FromMaster) -> bool:
        """Takes in an answer; False: it is none to these questions."""
        if not isinstance(message, Series | NodeAt | Failed) or message.request not in self._open:
            return False
        self._open.discard(message.request)
        name = self._names[message.request]
        if not isinstance(message, Failed):
            self._answers[name] = message
        elif name in {"then", "node then"}:
            self.problem = clean(message.text)
        return True

    def changes(self) -> Sequence[Change]:
        """The metrics that left their band, the most unusual first."""
        told, before = self._answers.get("then"), self._answers.get("day before")
        if not isinstance(told, Series):
            return ()
        return ranked(told, before if isinstance(before, Series) else None, self.at_wall_ms + 1)

    def growths(self) -> Sequence[Growth]:
        """The processes that grew in the hour before."""
        then, before = self._processes("node then"), self._processes("node before")
        return grown(before.largest, then.largest) if then and before else ()

    @property
    def has_values(self) -> bool:
        """Whether the history has anything of then."""
        told = self._answers.get("then")
        return isinstance(told, Series) and bool(told.at_wall_ms)

    def _processes(self, name: str) -> Processes | None:
        answer = self._answers.get(name)
        if not isinstance(answer, NodeAt):
            return None
        node = NodeThen(self.outage.node_id)
        node.take(answer)
        return node.focus.data(Processes) if node.focus else None

    def _number(self, name: str) -> int:
        number = next(self._numbers)
        self._open.add(number)
        self._names[number] = name
        return number
