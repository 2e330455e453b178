"""What the history has of a node, and what is missing in it: told from the numbers and the times.

Between two stretches (`master.history.stretches`) something is missing, and what that is follows
from them:

lost             numbers of one run that were given and are not there, or that the agent told of
never-collected  time that passed without a number: nobody took a sample
awaited          after the last sample, and what the agent's spool may still hold
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from master.history.stretches import Loss, Stretch
from shared.messages import Gap

STORED: Final = "stored"
LATE: Final = "late"
LOST: Final = "lost"
NEVER_COLLECTED: Final = "never-collected"
AWAITED: Final = "awaited"

UNDER_WAY_MS: Final = 2_000
"""A sample that is due is under way for so long before it counts as awaited: what a line, a commit
and the confirmation of it take."""

USUAL_PERIOD_MS: Final = 5_000
"""How far apart samples are when nothing that is there says it: as agents take them by default."""


class Account(NamedTuple):
    """What is known of one node, in any order."""

    stretches: Sequence[Stretch]
    losses: Sequence[Loss]
    first_numbers: Mapping[int, int]
    """The number that each run began with."""


class Outlook(NamedTuple):
    """What may still come from a node."""

    now_wall_ms: int
    is_expected: bool = True
    """False: its agent took its leave, or may not come back: after the last sample nothing is
    being collected."""
    spooled_since_wall_ms: int | None = None
    """Samples from then on may still be in its spool; None: all of them have come."""


class Tally(NamedTuple):
    """How complete a span of time is, in samples, and its gaps, oldest first."""

    stored: int
    late: int
    lost: int
    never_collected: int
    awaited: int
    gaps: tuple[Gap, ...]

    @property
    def expected(self) -> int:
        """All of them, there or not."""
        return self.stored + self.lost + self.never_collected + self.awaited


class Ledger:
    """The account of one node, as far as it was loaded: what was, and what was missing, when.

    The account is of spans that hold those that are asked about, with the last before them and the
    first after them.
    """

    def __init__(self, account: Account, outlook: Outlook) -> None:
        self._outlook = outlook
        self._first_numbers = account.first_numbers
        known = _in_order(account.stretches, account.losses)
        self._entries = [entry for entry in self._all(known) if entry.samples > 0]

    def __repr__(self) -> str:
        return f"<Ledger of {len(self._entries)} entries>"

    def over(self, from_wall_ms: int, to_wall_ms: int, gaps_limit: int) -> Tally:
        """What there is of a span of time, its end not included, with the newest of its gaps.

        Spans that follow each other add up: every sample is in one of them.
        """
        counts: Counter[str] = Counter()
        gaps: list[Gap] = []
        for entry in self._entries:
            samples = entry.before(to_wall_ms) - entry.before(from_wall_ms)
            if samples <= 0:
                continue
            counts[entry.kind] += samples
            if entry.kind != STORED:
                begin_ms = max(entry.begin_wall_ms, from_wall_ms)
                end_ms = min(entry.end_wall_ms, to_wall_ms)
                gaps.append(Gap(begin_ms, end_ms, entry.kind, samples))
        gaps.sort(key=lambda gap: (gap.from_wall_ms, gap.to_wall_ms))
        return Tally(
            counts[STORED] + counts[LATE],
            counts[LATE],
            counts[LOST],
            counts[NEVER_COLLECTED],
            counts[AWAITED],
            tuple(gaps[max(0, len(gaps) - gaps_limit) :]),
        )

    def _all(self, known: "Sequence[_Known]") -> "Iterator[_Entry]":
        for each in known:
            end_ms = round(each.last_wall_ms + each.step_ms)
            yield _Entry(each.kind, each.first_wall_ms, end_ms, each.samples)
        for before, after in pairwise(known):
            yield from self._between(before, after)
        if known:
            yield self._after(max(known, key=lambda each: each.last_wall_ms))

    def _between(self, before: "_Known", after: "_Known") -> "Iterator[_Entry]":
        """The numbers that are missing between two, and the time in which there were none."""
        if before.run == after.run:
            numbers = after.first - before.last - 1
        else:
            numbers = after.first - self._first_numbers.get(after.run, after.first)
        from_ms, to_ms = before.last_wall_ms, after.first_wall_ms
        numbers = max(0, numbers)
        slots = round((to_ms - from_ms) / max(1, before.period_ms)) - 1
        since_ms = self._outlook.spooled_since_wall_ms
        may_come = since_ms is not None and to_ms > since_ms
        yield _spread(AWAITED if may_come else LOST, from_ms, to_ms, numbers)
        yield _spread(
            AWAITED if may_come and before.run != after.run else NEVER_COLLECTED,
            from_ms,
            to_ms,
            max(0, slots - numbers),
        )

    def _after(self, last: "_Known") -> "_Entry":
        begin_ms = last.last_wall_ms + last.period_ms
        waited_ms = self._outlook.now_wall_ms - UNDER_WAY_MS - last.last_wall_ms
        missing = max(0, waited_ms // max(1, last.period_ms))
        kind = AWAITED if self._outlook.is_expected else NEVER_COLLECTED
        return _Entry(kind, begin_ms, begin_ms + missing * last.period_ms, missing)


class _Known(NamedTuple):
    """Numbers that are known of: stored, or lost and told of."""

    run: int
    first: int
    last: int
    first_wall_ms: int
    last_wall_ms: int
    period_ms: int
    kind: str

    @property
    def samples(self) -> int:
        return self.last - self.first + 1

    @property
    def step_ms(self) -> float:
        if self.last == self.first:
            return self.period_ms
        return (self.last_wall_ms - self.first_wall_ms) / (self.last - self.first)

    def part(self, first: int, last: int) -> "_Known":
        """Some of these numbers, at the times that are theirs."""
        return self._replace(
            first=first,
            last=last,
            first_wall_ms=round(self.first_wall_ms + (first - self.first) * self.step_ms),
            last_wall_ms=round(self.first_wall_ms + (last - self.first) * self.step_ms),
        )


class _Entry(NamedTuple):
    """So many samples of one kind, the first at the beginning and the others evenly after it."""

    kind: str
    begin_wall_ms: int
    end_wall_ms: int
    samples: int

    def before(self, wall_ms: int) -> int:
        """How many of them there were before an instant."""
        if wall_ms >= self.end_wall_ms:
            return self.samples
        if wall_ms <= self.begin_wall_ms:
            return 0
        passed_ms, length_ms = wall_ms - self.begin_wall_ms, self.end_wall_ms - self.begin_wall_ms
        return -(-passed_ms * self.samples // length_ms)


def _spread(kind: str, from_wall_ms: int, to_wall_ms: int, samples: int) -> _Entry:
    """So many samples, evenly between two others."""
    step_ms = (to_wall_ms - from_wall_ms) / (samples + 1)
    return _Entry(kind, round(from_wall_ms + step_ms), to_wall_ms, samples)


def _in_order(stretches: Iterable[Stretch], losses: Iterable[Loss]) -> list[_Known]:
    """All numbers that are known of, each once: runs by when they began, numbers ascending."""
    by_run: defaultdict[int, list[_Known]] = defaultdict(list)
    for each in stretches:
        kind = LATE if each.is_late else STORED
        by_run[each.run].append(
            _Known(
                each.run,
                each.first,
                each.last,
                each.first_wall_ms,
                each.last_wall_ms,
                each.period_ms,
                kind,
            )
        )
    told: defaultdict[int, list[Loss]] = defaultdict(list)
    for loss in losses:
        told[loss.run].append(loss)
    stored = [known for run in by_run.values() for known in run]
    usual_ms = max((known.period_ms for known in stored), default=USUAL_PERIOD_MS)
    for run, lost in told.items():
        by_run[run] += _not_stored(lost, by_run[run], usual_ms)
    for known in by_run.values():
        known.sort(key=lambda each: each.first)
    runs = sorted(by_run.values(), key=lambda known: (known[0].first_wall_ms, known[0].run))
    return [each for known in runs for each in known]


def _not_stored(losses: list[Loss], stored: list[_Known], usual_ms: int) -> Iterator[_Known]:
    """The numbers of one run's losses that are not there all the same, each once: an agent drops
    what it has sent before it knows what has arrived, and tells again of what was told. A single
    one is as far from the next as the run's others are, or else as is usual."""
    taken = sorted((each.first, each.last) for each in stored)
    single_ms = max((each.period_ms for each in stored), default=usual_ms)
    for loss in sorted(losses, key=lambda loss: loss.first):
        period_ms = (loss.last_wall_ms - loss.first_wall_ms) // max(1, loss.last - loss.first)
        whole = _Known(
            loss.run, loss.first, loss.last, loss.first_wall_ms, loss.last_wall_ms,
            period_ms or single_ms, LOST,
        )  # fmt: skip
        number = loss.first
        for first, last in taken:
            if first > loss.last:
                break
            if first > number:
                yield whole.part(number, first - 1)
            number = max(number, last + 1)
        if number <= loss.last:
            yield whole.part(number, loss.last)
        taken = sorted([*taken, (loss.first, loss.last)])
