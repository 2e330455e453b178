"""The spool on disk: a ring of segment files, each a row of records (`agent.spool_records`).

    agent/spool/00000001.ring   the oldest samples
    agent/spool/00000002.ring   … and so on; the last one is being written

Whatever ends the process, what a call of `append` has given to the kernel is there at the next
start. A tail that is torn is cut, a damaged stretch is skipped and counted. In memory there is, for
each segment, which samples it holds, and none of them.

Everything here blocks, and belongs to one thread at a time.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from agent.numbers import Numbers
from agent.spool_records import Damage, Loss, Record, RunKey, Sample, pack, parse
from agent.spool_segments import Found, Scan, Segment

SPOOL: Final = "spool"
"""The ring's folder, in the agent's part of the state folder."""

SUFFIX: Final = ".ring"

SEGMENTS: Final = 64
"""Into how many files, at the least, the room is divided: so large a part goes when it is full."""

SEGMENT_LIMIT_BYTES: Final = 64 * 1024
"""No segment is much longer: all of it is read to find a batch in it."""

_MS_PER_HOUR: Final = 3_600_000


class Ring:
    """`open` it before anything else, and again if that fails. Methods raise OSError for what the
    disk refuses, and have then changed nothing that matters."""

    def __init__(self, folder: Path, limit_bytes: int, limit_hours: float) -> None:
        self.folder: Final = folder
        self.segments: list[Segment] = []
        """The oldest first; the last one is being written."""
        self._limit_bytes = limit_bytes
        self._limit_ms = limit_hours * _MS_PER_HOUR
        self._segment_bytes = min(SEGMENT_LIMIT_BYTES, limit_bytes // SEGMENTS)
        self._number = 0
        self._descriptor: int | None = None
        self._has_new_file = False
        self._is_turned_over = False

    def __repr__(self) -> str:
        return f"<Ring {self.folder}, {len(self.segments)} segments, {self.size_bytes} B>"

    @property
    def size_bytes(self) -> int:
        """Of all segments together."""
        return sum([segment.size_bytes for segment in self.segments])

    def open(self) -> Found:
        """Reads what is there. A torn tail is cut before anything is written behind it."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        paths = segment_files(self.folder)
        scan = Scan()
        self.segments = [scan.read(path, is_last=path is paths[-1]) for path in paths]
        self._number = _number_of(paths[-1]) if paths else 0
        self._writable()
        return scan.found

    def append(self, records: Iterable[Record]) -> None:
        """Writes records behind all others."""
        records = list(records)
        if not records:
            return
        descriptor = self._writable()
        segment = self.segments[-1]
        self._write(descriptor, segment, b"".join(map(pack, records)))
        for record in records:
            segment.note(record)

    def read(self, run: RunKey, numbers: Numbers) -> tuple[list[Sample], list[Loss]]:
        """Those of these samples that are here, ascending, and those that ought to be."""
        found: dict[int, Sample] = {}
        losses: list[Loss] = []
        for segment in self.segments:
            span = segment.spans.get(run)
            wanted = Numbers() if span is None else span.numbers.common(numbers)
            if span is None or not wanted:
                continue
            for record in _records(segment):
                if isinstance(record, Sample) and record.sequence in wanted and record.run == run:
                    found[record.sequence] = record
                    wanted.discard(record.sequence)
            losses += [span.loss(first, last) for first, last in wanted.stretches()]
        return [found[number] for number in sorted(found)], losses

    def excess(self) -> Segment | None:
        """The oldest segment, if there is more than there is room for; never the last one."""
        if len(self.segments) <= 1:
            return None
        oldest = self.segments[0]
        covered_ms = sum([segment.covered_ms for segment in self.segments])
        is_too_old = covered_ms - oldest.covered_ms >= self._limit_ms
        is_too_large = self.size_bytes > self._limit_bytes - self._segment_bytes
        return oldest if is_too_old or is_too_large else None

    def remove(self, segments: Iterable[Segment], losses: Iterable[Loss]) -> None:
        """Removes segments, never the last one, after these losses have been written behind all
        others."""
        segments, losses = list(segments), list(losses)
        try:
            self.append(losses)
        except OSError:  # perhaps there is no room before something is gone
            self._remove(segments)
            self.append(losses)
        else:
            self._remove(segments)

    def turn_over(self) -> None:
        """The next record begins a new segment: what is in the last one is of no more use soon."""
        self._is_turned_over = True

    def sync(self) -> None:
        """What was appended survives a loss of power from now on."""
        if self._descriptor is not None:
            os.fsync(self._descriptor)
        if self._has_new_file and os.name == "posix":
            folder = os.open(self.folder, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        self._has_new_file = False

    def close(self) -> None:
        """Lets go of the file that is being written."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _remove(self, segments: list[Segment]) -> None:
        for segment in segments:
            segment.path.unlink(missing_ok=True)
            self.segments.remove(segment)

    def _write(self, descriptor: int, segment: Segment, content: bytes) -> None:
        try:
            os.lseek(descriptor, segment.size_bytes, os.SEEK_SET)
            written = 0
            while written < len(content):  # where there is no room, the system says so next time
                written += os.write(descriptor, content[written:])
        except OSError:
            self.close()  # what has been written of it is cut before anything else is
            raise
        segment.size_bytes += len(content)

    def _writable(self) -> int:
        """The file of the last segment, which has room."""
        if self._is_turned_over or not self.segments:
            return self._begin_segment()
        if self.segments[-1].size_bytes >= self._segment_bytes:
            self.sync()  # nothing will any more
            return self._begin_segment()
        if self._descriptor is None:
            return self._go_on(self.segments[-1])
        if not os.fstat(self._descriptor).st_nlink:  # somebody has tidied up
            return self._begin_segment()
        return self._descriptor

    def _begin_segment(self) -> int:
        self.close()
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.folder / f"{self._number + 1:08}{SUFFIX}"
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        self._number += 1
        self._has_new_file = True
        self._is_turned_over = False
        self.segments.append(Segment(path))
        return self._descriptor

    def _go_on(self, last: Segment) -> int:
        try:
            self._descriptor = os.open(last.path, os.O_RDWR)
        except FileNotFoundError:
            return self._begin_segment()
        if os.fstat(self._descriptor).st_size < last.size_bytes:
            return self._begin_segment()
        os.ftruncate(self._descriptor, last.size_bytes)
        return self._descriptor


def segment_files(folder: Path) -> list[Path]:
    """The files of the ring in a folder, the oldest first."""
    paths = [each for each in folder.glob(f"*{SUFFIX}") if each.stem.isdecimal()]
    return sorted(paths, key=_number_of)


def _records(segment: Segment) -> Iterator[Record | Damage]:
    try:
        content = segment.path.read_bytes()[: segment.size_bytes]
    except FileNotFoundError:
        return
    yield from parse(content)


def _number_of(path: Path) -> int:
    return int(path.stem)
