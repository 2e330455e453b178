"""Compares what was taken with what is in the history and with what the ledger says is missing."""

import sqlite3
import subprocess
import sys
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct, field

from heartline.control import Control
from master.history import checking
from master.history.codec import read_header
from master.history.database import connect_reader
from master.history.journal import unpack_keys
from master.history.ledger import LATE
from master.history.marked import unpack
from shared import messages as m
from shared.clock import wall_ms
from shared.paths import StateFolder
from tests.network.noting_agents import Note, values_of
from tests.network.real_fleet import ROOT

AT_ONCE: Final = 2_000
WINDOW_MS: Final = 30_000
"""The ledger is asked about so much at once: it tells no more than a hundred gaps."""

AHEAD_MS: Final = 60_000

PERIOD_MS: Final = 1_000
HOLE_MS: Final = 1_500
"""Two samples that are less than this apart have no room for another between them."""


class Name(NamedTuple):
    """Of a sample of one node: there is only one."""

    boot_id: str
    sequence: int


class Gap(NamedTuple):
    """Of a node, as the ledger tells it."""

    from_wall_ms: int
    to_wall_ms: int
    kind: str
    samples: int


class Totals(Struct):
    """What the ledger counts, of one node."""

    expected: int = 0
    stored: int = 0
    late: int = 0
    lost: int = 0
    never_collected: int = 0
    awaited: int = 0


class Account(Struct):
    """Of one node."""

    name: str
    until_wall_ms: int
    """What was taken later may still be under way."""
    taken: dict[Name, Note]
    stored: dict[Name, m.StoredSample]
    twice: list[Name] = field(default_factory=list[Name])
    gaps: list[Gap] = field(default_factory=list[Gap])
    totals: Totals = field(default_factory=Totals)

    @property
    def missing(self) -> list[Note]:
        """What was taken and is not there, in the order in which it was taken."""
        return [
            note
            for name, note in self.taken.items()
            if name not in self.stored and note.wall_ms <= self.until_wall_ms
        ]

    @property
    def invented(self) -> list[Name]:
        """What is there and was not taken."""
        return [name for name in self.stored if name not in self.taken]

    @property
    def altered(self) -> list[Note]:
        """What is there with other values."""
        return [
            note
            for name, note in self.taken.items()
            if name in self.stored and values_of(bytes(self.stored[name].core)) != note.values
        ]

    def off_by_ms(self) -> dict[Name, int]:
        """How much later each that is there seems to have been taken than it was."""
        return {
            name: stored.at_wall_ms - self.taken[name].wall_ms
            for name, stored in self.stored.items()
            if name in self.taken
        }

    def left_behind(self) -> list[Note]:
        """What is missing although a later sample of the same run is there: nobody has died with
        it."""
        last = dict[tuple[str, int], int]()
        for name in self.stored:
            note = self.taken[name]
            run = (note.boot_id, note.started_mono_ms)
            last[run] = max(last.get(run, 0), note.sequence)
        return [
            note
            for note in self.missing
            if note.sequence < last.get((note.boot_id, note.started_mono_ms), 0)
        ]

    def unnamed(self) -> list[Note]:
        """What is missing, and not named as missing by the ledger."""
        return [note for note in self.missing if not is_named(self, note, self.gaps)]

    def stored_until(self) -> int:
        """How many are there of the span that the ledger was asked about."""
        return sum(each.at_wall_ms < self.until_wall_ms for each in self.stored.values())


def account_of(
    control: Control, name: str, read_notes: Callable[[str], list[Note]], span: tuple[int, int]
) -> Account:
    """Asks the master about one node: all of its samples, and its ledger over a span of time."""
    stored, twice = dict[Name, m.StoredSample](), list[Name]()
    for each in _samples(control, name, (span[0], wall_ms() + AHEAD_MS)):
        key = Name(each.boot_id, each.sequence)
        if key in stored:
            twice.append(key)
        stored[key] = each
    taken = {Name(note.boot_id, note.sequence): note for note in read_notes(name)}
    return Account(name, span[1], taken, stored, twice)


def ask_ledger(control: Control, account: Account, span: tuple[int, int]) -> None:
    """Has the master say what of this is missing."""
    for begin_ms in range(*span, WINDOW_MS):
        end_ms = min(begin_ms + WINDOW_MS, span[1])
        for row in _coverage(control, account.name, begin_ms, end_ms):
            account.gaps += [Gap(*_fields(gap)) for gap in row.gaps]
            _add(account.totals, row)


class PrintedSpan(Struct):
    """Of `heartline coverage --json`."""

    node: str
    expected: int
    stored: int
    late: int
    lost: int
    never_collected: int
    awaited: int
    gaps: list["PrintedGap"]

    @property
    def totals(self) -> Totals:
        return Totals(*(getattr(self, name) for name in Totals.__struct_fields__))


class PrintedGap(Struct):
    """One of its gaps."""

    begin: datetime = field(name="from")
    end: datetime = field(name="to")
    kind: str = ""
    samples: int = 0

    @property
    def gap(self) -> Gap:
        begin_ms, end_ms = (round(at.timestamp() * 1000) for at in (self.begin, self.end))
        return Gap(begin_ms, end_ms, self.kind, self.samples)


def printed_coverage(folder: StateFolder, span: tuple[int, int], *node: str) -> list[PrintedSpan]:
    """What `heartline coverage --json` prints, of one node or of all."""
    since, until = (datetime.fromtimestamp(at_ms / 1000, UTC).isoformat() for at_ms in span)
    flags = ["--json", "--data", str(folder.root), "--since", since, "--until", until]
    printed = subprocess.run(
        [sys.executable, "-m", "heartline", "coverage", *node, *flags],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return msgspec.json.decode(printed.stdout, type=list[PrintedSpan])


def rows_on_disk(path: Path) -> Counter[tuple[int, int, int]]:
    """How often every sample is in a history that nobody has open: by the numbers of its node and
    its run, and its own. Raises AssertionError for a file that is damaged."""
    found = Counter[tuple[int, int, int]]()
    with closing(connect_reader(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        cursor = checking.Cursor()
        assert checking.checksums(connection, cursor) == []
        while cursor != checking.Cursor():
            assert checking.checksums(connection, cursor) == []
        for nodes, body in connection.execute("SELECT nodes, body FROM journal"):
            keys = unpack_keys(nodes, body)
            found.update(zip(keys.node, keys.run, keys.sequence, strict=True))
        found.update(_in_chunks(connection))
    return found


def _in_chunks(connection: sqlite3.Connection) -> Iterator[tuple[int, int, int]]:
    rows = connection.execute("SELECT node, marks, body FROM chunks WHERE tier_ms = 0")
    for node, marks, body in rows:
        samples = unpack(marks, body).samples
        assert len(samples) == read_header(body).count
        for run, sequence in zip(samples.run.tolist(), samples.sequence.tolist(), strict=True):
            yield node, run, sequence


def _samples(control: Control, name: str, span: tuple[int, int]) -> Iterator[m.StoredSample]:
    from_ms, to_ms = span
    while True:
        build = partial(
            m.GetSamples, node=name, from_wall_ms=from_ms, to_wall_ms=to_ms, limit=AT_ONCE
        )
        asked = control.ask(build, m.Samples)
        yield from asked.samples
        if not asked.more:
            return
        from_ms = asked.samples[-1].at_wall_ms + 1


def _coverage(control: Control, name: str, from_ms: int, to_ms: int) -> Iterator[m.Coverage]:
    for piece in control.gather(
        lambda request: m.GetCoverage(request, name, from_ms, to_ms), m.CoverageOf
    ):
        yield from piece.rows


def _fields(gap: m.Gap) -> tuple[int, int, str, int]:
    return gap.from_wall_ms, gap.to_wall_ms, gap.kind, gap.samples


def _add(totals: Totals, row: m.Coverage) -> None:
    for key in Totals.__struct_fields__:
        setattr(totals, key, getattr(totals, key) + getattr(row, key))


def is_named(account: Account, note: Note, gaps: Iterable[Gap]) -> bool:
    """Whether a sample that is missing lies in a gap, or between two others that leave no room for
    it: the ledger tells of time.

    A run that ends without having written its last sample, and the next one within a period after
    it, leave such a place.
    """
    # The ledger spreads what is missing evenly between what is there.
    if any(
        gap.kind != LATE and gap.from_wall_ms - HOLE_MS <= note.wall_ms < gap.to_wall_ms + PERIOD_MS
        for gap in gaps
    ):
        return True
    times_ms = sorted(stored.at_wall_ms for stored in account.stored.values())
    after = bisect_left(times_ms, note.wall_ms)
    return 0 < after < len(times_ms) and times_ms[after] - times_ms[after - 1] < HOLE_MS
