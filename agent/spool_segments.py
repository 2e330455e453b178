"""What one file of the spool's ring holds, without the samples themselves; and the reading of all
files at the start."""

from pathlib import Path
from typing import Final

from msgspec import Struct

from agent.numbers import Numbers
from agent.spool_records import Damage, Loss, Record, RunKey, Sample, parse


class Span(Struct):
    """The samples of one run in one segment, without their content. The times of those between the
    first and the last follow from their numbers."""

    numbers: Numbers
    first: Sample
    last: Sample

    def loss(self, first: int, last: int) -> Loss:
        """The loss of some of them."""
        return Loss(
            *self.first.run,
            first,
            last,
            *(self._boot_ms(first), self._wall_ms(first)),
            *(self._boot_ms(last), self._wall_ms(last)),
        )

    def _boot_ms(self, number: int) -> int:
        return self._between(self.first.boot_ms, self.last.boot_ms, number)

    def _wall_ms(self, number: int) -> int:
        return self._between(self.first.wall_ms, self.last.wall_ms, number)

    def _between(self, first_ms: int, last_ms: int, number: int) -> int:
        steps = self.last.sequence - self.first.sequence
        if not steps:
            return first_ms
        return first_ms + (last_ms - first_ms) * (number - self.first.sequence) // steps


class Segment:
    """One file, as far as it was written or found to be whole."""

    def __init__(self, path: Path) -> None:
        self.path: Final = path
        self.size_bytes = 0
        self.covered_ms = 0
        """The time for which there are samples in it."""
        self.spans: dict[RunKey, Span] = {}
        self.losses: set[Loss] = set()

    def __repr__(self) -> str:
        return f"<Segment {self.path.name}, {self.size_bytes} B>"

    def note(self, record: Record) -> None:
        """This record is in it, behind all others."""
        if isinstance(record, Loss):
            self.losses.add(record)
            return
        self.covered_ms += record.period_ms
        mark = Sample(*record.run, record.sequence, record.boot_ms, record.wall_ms, 0, b"")
        span = self.spans.get(record.run)
        if span is None:
            self.spans[record.run] = Span(Numbers(record.sequence), mark, mark)
            return
        span.numbers.add(record.sequence)
        if mark.sequence > span.last.sequence:
            span.last = mark


class Found(Struct):
    """What earlier runs have left."""

    losses: list[Loss]
    """What they had dropped, and what must have stood where the files are damaged."""
    damaged_bytes: int


class Scan:
    """Reads the segments, in order. Raises OSError."""

    def __init__(self) -> None:
        self.found: Final = Found([], 0)
        self._latest: Sample | None = None
        self._is_behind_damage = False

    def read(self, path: Path, *, is_last: bool) -> Segment:
        """One file. What is torn at the end of the last one was never whole: it does not count."""
        segment, content = Segment(path), path.read_bytes()
        tail_bytes = 0
        for record in parse(content):
            tail_bytes = record.size_bytes if isinstance(record, Damage) else 0
            self.found.damaged_bytes += tail_bytes
            self._saw(segment, record)
        if is_last:
            self.found.damaged_bytes -= tail_bytes
            segment.size_bytes = len(content) - tail_bytes
        else:
            segment.size_bytes = len(content)
        return segment

    def _saw(self, segment: Segment, record: Record | Damage) -> None:
        if isinstance(record, Damage):
            self._is_behind_damage = True
            return
        segment.note(record)
        if isinstance(record, Loss):
            self.found.losses.append(record)
            return
        before, self._latest = self._latest, record
        if self._is_behind_damage and before is not None and before.run == record.run:
            first, last = before.sequence + 1, record.sequence - 1
            if first <= last:
                self.found.losses.append(Span(Numbers(), before, record).loss(first, last))
        self._is_behind_damage = False
