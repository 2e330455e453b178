"""A fleet of which every node plays a recording of real samples (`bench.history_samples`), each
from another place of it: forwards to its end, backwards to its beginning, and so on.

So every value was measured once and stands beside those that it was measured with, in the order of
their time or against it; nothing jumps where the recording turns, and no node is like another at
any instant. The uptime alone is counted on. Times are as uneven as those that were recorded.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Final

import msgspec

from bench.history_samples import Recording
from master.history.taken import Sample
from shared.metrics import metrics

TICK_MS: Final = 500
"""How finely arrivals are told apart: the history commits as often."""

_BOOT_ID: Final = "5b0e"
_STARTED_MONO_MS: Final = 1_000
_COUNTED_ON: Final = "uptime_s"


@dataclass(frozen=True)
class Series:
    """One metric of one node: only where it is known."""

    metric: str
    node_id: str
    at_ms: list[int]
    values: list[int]


@dataclass(frozen=True)
class Fleet:
    """So many nodes, each with so many samples."""

    recording: Recording
    nodes: int
    samples: int
    period_ms: int
    begin_ms: int
    """Unix time at which the first period of all begins."""
    spread_ms: int
    """The nodes' beats are evenly spread over so much of a period."""

    @property
    def length_ms(self) -> int:
        """From the first sample to the end of the last one's period."""
        return self.samples * self.period_ms

    @property
    def node_ids(self) -> list[str]:
        """In order of their beats."""
        return [f"node-{node:05}" for node in range(self.nodes)]

    @cached_property
    def values(self) -> int:
        """How many values are known, of all nodes."""
        known = [sum(value is not None for value in row) for row in self._rows]
        return sum(
            known[self._place(node, sample)]
            for node in range(self.nodes)
            for sample in range(self.samples)
        )

    def arrivals(self, every_ms: int) -> Iterator[tuple[int, list[Sample]]]:
        """What arrives in each stretch of so many milliseconds, and when that ends; a whole number
        of `TICK_MS`. Stretches in which nothing arrives are left out."""
        node_ids = self.node_ids
        due: list[list[int]] = [[] for _ in range(self.period_ms // TICK_MS)]
        for node in range(self.nodes):
            due[self._phase_ms(node) // TICK_MS].append(node)
        ticks = ((sample, nodes) for sample in range(self.samples) for nodes in due)
        for at_ms in range(
            self.begin_ms + every_ms, self.begin_ms + self.length_ms + every_ms, every_ms
        ):
            arrived = [
                self._sample(node_ids[node], node, sample)
                for sample, nodes in islice(ticks, every_ms // TICK_MS)
                for node in nodes
            ]
            if arrived:
                yield at_ms, arrived

    def series(self, node: int) -> Iterator[Series]:
        """The same samples of one node, metric by metric, at even times: others take the times of
        their own rounds, and compress even ones better."""
        begin_ms = self.begin_ms + self._phase_ms(node)
        at_ms = [begin_ms + sample * self.period_ms for sample in range(self.samples)]
        rows = [self._row(node, sample) for sample in range(self.samples)]
        for metric, column in zip(metrics(), zip(*rows, strict=True), strict=True):
            known = [
                (at, value) for at, value in zip(at_ms, column, strict=True) if value is not None
            ]
            if known:
                times, values = zip(*known, strict=True)
                yield Series(metric.name, self.node_ids[node], list(times), list(values))

    @cached_property
    def _rows(self) -> list[list[int | None]]:
        """Of the recording, without its first sample, which knows no rates."""
        columns = [self.recording.column(metric.name)[1:] for metric in metrics()]
        return [list(row) for row in zip(*columns, strict=True)]

    @cached_property
    def _late_ms(self) -> list[int]:
        """How long after its beat was due each sample was taken, but for a constant."""
        at_ms = self.recording.at_ms[1:]
        late = [at - place * self.period_ms for place, at in enumerate(at_ms)]
        return [each - min(late) for each in late]

    @cached_property
    def _uptime(self) -> int:
        return next(metric.index for metric in metrics() if metric.name == _COUNTED_ON)

    def _phase_ms(self, node: int) -> int:
        return node * self.spread_ms // self.nodes

    def _place(self, node: int, sample: int) -> int:
        """Where in the recording a node is with a sample."""
        length = len(self._rows)
        # Steps of the golden section of it: nodes that follow each other are far apart.
        turn, place = divmod(round(node * length * 0.618) % length + sample, length)
        return length - 1 - place if turn % 2 else place

    def _row(self, node: int, sample: int) -> list[int | None]:
        row = list(self._rows[self._place(node, sample)])
        row[self._uptime] = 1_000_000 + node * 977 + sample * self.period_ms // 1000
        return row

    def _sample(self, node_id: str, node: int, sample: int) -> Sample:
        due_ms = self.begin_ms + self._phase_ms(node) + sample * self.period_ms
        return Sample(
            node_id,
            _BOOT_ID,
            _STARTED_MONO_MS,
            _STARTED_MONO_MS + sample,
            due_ms + self._late_ms[self._place(node, sample)],
            self.period_ms,
            msgspec.msgpack.encode(self._row(node, sample)),
            is_late=False,
        )
