"""Failure detectors to compare ours with, and ours: told of every beat, they say when silence after
it means *down*.

The others know arrival times only, as their authors meant them to. Ours is `shared.liveness` as the
master runs it.
"""

import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

from shared.liveness import (
    BeatArrived,
    DeadlinePassed,
    Evidence,
    Liveness,
    State,
    deadline_s,
    horizons,
    step,
)

PERIOD_S: Final = 5.0


class Beat(NamedTuple):
    """One that arrived. Both clocks begin anywhere."""

    sequence: int
    sent_s: float
    """On the agent's clock."""
    arrived_s: float


class Judge(Protocol):
    """One node's detector."""

    def heard(self, beat: Beat) -> float:
        """When the node is down if nothing is heard any more, because its host is gone."""
        ...

    def mistakes(self, until_s: float, evidence: Evidence) -> bool:
        """Whether silence until then has brought the node down, its kernel showing `evidence`."""
        ...


class _ByTimeAlone:
    """One that no evidence can sway."""

    def __init__(self) -> None:
        self._down_s = math.inf

    def mistakes(self, until_s: float, evidence: Evidence) -> bool:  # noqa: ARG002 - see above
        return until_s > self._down_s


class Fixed(_ByTimeAlone):
    """So many seconds without a beat."""

    def __init__(self, timeout_s: float) -> None:
        super().__init__()
        self._timeout_s = timeout_s

    def heard(self, beat: Beat) -> float:
        self._down_s = beat.arrived_s + self._timeout_s
        return self._down_s


class _Gaps:
    """Mean and deviation of the last gaps between arrivals. A gap that ended a suspicion does not
    count (as in Akka: it would make the detector patient with what it is there to find)."""

    LAST: Final = 200

    def __init__(self) -> None:
        self._gaps = deque([0.75 * PERIOD_S, 1.25 * PERIOD_S])
        self._sum_s = sum(self._gaps)
        self._squares = sum(gap * gap for gap in self._gaps)
        self._last_s: float | None = None

    def arrived(self, at_s: float, suspected_s: float) -> None:
        if self._last_s is not None and at_s <= suspected_s:
            self._add(at_s - self._last_s)
        self._last_s = at_s

    def _add(self, gap_s: float) -> None:
        self._gaps.append(gap_s)
        self._sum_s += gap_s
        self._squares += gap_s * gap_s
        if len(self._gaps) > self.LAST:
            oldest_s = self._gaps.popleft()
            self._sum_s -= oldest_s
            self._squares -= oldest_s * oldest_s

    @property
    def mean_s(self) -> float:
        return self._sum_s / len(self._gaps)

    @property
    def deviation_s(self) -> float:
        return math.sqrt(max(0.0, self._squares / len(self._gaps) - self.mean_s**2))


class PhiNormal(_ByTimeAlone):
    """Phi accrual with a normal distribution of gaps and an acceptable pause: Hayashibara, Défago,
    Yared, Katayama, "The phi accrual failure detector", 2004, as in Akka: phi 8 is one in 10⁸,
    5.612 deviations; its least deviation of 100 ms a second is kept in proportion."""

    DEVIATIONS: Final = 5.612
    LEAST_DEVIATION_S: Final = 0.1 * PERIOD_S

    def __init__(self, pause_s: float) -> None:
        super().__init__()
        self._pause_s = pause_s
        self._gaps = _Gaps()

    def heard(self, beat: Beat) -> float:
        self._gaps.arrived(beat.arrived_s, self._down_s)
        deviation_s = max(self.LEAST_DEVIATION_S, self._gaps.deviation_s)
        expected_s = self._gaps.mean_s + self._pause_s
        self._down_s = beat.arrived_s + expected_s + self.DEVIATIONS * deviation_s
        return self._down_s


class PhiExponential(_ByTimeAlone):
    """Phi accrual with an exponential distribution of gaps, as in Cassandra: phi after t is
    t / (mean × ln 10), so phi 8 is 18.4 mean gaps."""

    PHI: Final = 8.0

    def __init__(self) -> None:
        super().__init__()
        self._gaps = _Gaps()

    def heard(self, beat: Beat) -> float:
        self._gaps.arrived(beat.arrived_s, self._down_s)
        self._down_s = beat.arrived_s + self.PHI * math.log(10) * self._gaps.mean_s
        return self._down_s


class Chen(_ByTimeAlone):
    """NFD-E: the next beat is expected at the mean of (arrival − n × period) + (n + 1) × period,
    and suspected alpha later: Chen, Toueg, Aguilera, "On the quality of service of failure
    detectors", 2002, section 6.3."""

    LAST: Final = 100

    def __init__(self, alpha_s: float) -> None:
        super().__init__()
        self._alpha_s = alpha_s
        self._starts: deque[float] = deque()
        self._sum_s = 0.0

    def heard(self, beat: Beat) -> float:
        start_s = beat.arrived_s - beat.sequence * PERIOD_S
        self._starts.append(start_s)
        self._sum_s += start_s
        if len(self._starts) > self.LAST:
            self._sum_s -= self._starts.popleft()
        expected_s = self._sum_s / len(self._starts) + (beat.sequence + 1) * PERIOD_S
        self._down_s = expected_s + self._alpha_s
        return self._down_s


class Heartline:
    """Ours. `believes` says whether it looks at what the kernel shows."""

    def __init__(self, *, believes: bool) -> None:
        self._believes = believes
        self._node = Liveness(State.NEVER_SEEN, 0.0)

    def heard(self, beat: Beat) -> float:
        event = BeatArrived(beat.sent_s, PERIOD_S, PERIOD_S)
        self._node = step(self._node, event, beat.arrived_s)
        said = horizons(self._node)
        return math.inf if said is None else beat.arrived_s + said.down_in_s

    def mistakes(self, until_s: float, evidence: Evidence) -> bool:
        silence = DeadlinePassed(evidence if self._believes else Evidence.UNKNOWN)
        node = self._node
        while (at_s := deadline_s(node)) is not None and at_s < until_s:
            node = step(node, silence, at_s)
        self._node = node
        return node.state is State.DOWN


OURS: Final = "Heartline"

JUDGES: Final[dict[str, Callable[[], Judge]]] = {
    "fixed 10 s": lambda: Fixed(10.0),
    "fixed 15 s": lambda: Fixed(15.0),
    "fixed 20 s": lambda: Fixed(20.0),
    "phi accrual, normal, 8, pause 3 s": lambda: PhiNormal(3.0),
    "phi accrual, exponential, 8": PhiExponential,
    "Chen NFD-E, alpha 7.5 s": lambda: Chen(7.5),
    "Heartline, timing alone": lambda: Heartline(believes=False),
    OURS: lambda: Heartline(believes=True),
}


class Verdict(NamedTuple):
    """How a detector did over many lives."""

    node_days: float
    false_downs: int
    detected_s: Sequence[float]
    """How long after each of many imagined crashes the node was down, in order."""

    @property
    def per_node_day(self) -> float:
        return self.false_downs / self.node_days


LEARNING_BEATS: Final = 20
"""The first of each life do not count: no detector is judged by what it cannot know yet."""


def judged(
    new_judge: Callable[[], Judge],
    lives: Sequence[Sequence[Beat]],
    evidence: Evidence,
    crashes: Callable[[], float],
) -> Verdict:
    """Lets a detector see lives in which nobody dies; and, of every beat, how long it would have
    taken had the host died before the next, at a part of the period that `crashes` says."""
    lived_s, false_downs = 0.0, 0
    detected_s: list[float] = []
    for life in lives:
        judge = new_judge()
        for number, beat in enumerate(life):
            counts = number >= LEARNING_BEATS
            if number and judge.mistakes(beat.arrived_s, evidence) and counts:
                false_downs += 1
            down_s = judge.heard(beat)
            if counts:
                # On the master's clock: the beat left no later than it arrived.
                crash_s = beat.arrived_s + crashes() * PERIOD_S
                detected_s.append(max(down_s, crash_s) - crash_s)
        lived_s += life[-1].arrived_s - life[LEARNING_BEATS].arrived_s
    return Verdict(lived_s / 86_400, false_downs, sorted(detected_s))
