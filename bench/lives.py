"""Lives of agents that do not die, as a master hears them: made up, and recorded.

The recordings are of thousands of links of eight minutes each, real agents' with a real master, on
a line that loses packets at random (`bench.lossy_fleet`, `traces/`): per agent how many
milliseconds after its instant on the agent's grid each beat arrived, null for one that never did.
"""

import lzma
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

from bench.rivals import PERIOD_S, Beat
from shared.liveness import Evidence

TRACES: Final = Path(__file__).parent / "traces"


class Line(NamedTuple):
    """One that loses packets."""

    lost_part: float
    """Of all packets, in each direction."""
    bounds_pauses: bool
    """Whether the kernels at its ends retransmit once a second at least (TCP_RTO_MAX_MS)."""


LINES: Final = {
    "loss-5": Line(0.05, bounds_pauses=True),
    "loss-30": Line(0.3, bounds_pauses=False),
    "loss-30-rto-max": Line(0.3, bounds_pauses=True),
}
"""By the name of its recording."""


class Counts(Struct, frozen=True):
    """How often nodes that nothing had happened to came into a state, as a real master judged."""

    node_days: float
    late: int
    hung: int
    lost: int
    down: int


LINKS_A_LIFE: Final = 10
"""Recordings are strung together: eight minutes are too short to learn much, or to forget."""

Life = Sequence[Beat]


def recorded(name: str, rng: random.Random, most: int | None = None) -> list[Life]:
    """Every recorded link once, or so many of them, in random order, strung together into longer
    lives."""
    links = _links(name)[:most]
    rng.shuffle(links)
    return [_strung(links[n : n + LINKS_A_LIFE]) for n in range(0, len(links), LINKS_A_LIFE)]


def counted(name: str) -> Counts:
    """What the real master made of the nodes of this recording."""
    packed = (TRACES / f"{name}.counts.json").read_bytes()
    return msgspec.json.decode(packed, type=Counts)


def _links(name: str) -> list[list[int | None]]:
    packed = (TRACES / f"{name}.json.xz").read_bytes()
    return msgspec.json.decode(lzma.decompress(packed), type=list[list[int | None]])


def _strung(links: list[list[int | None]]) -> Life:
    lateness = [late_ms for link in links for late_ms in link]
    sent = ((n, n * PERIOD_S, late_ms) for n, late_ms in enumerate(lateness))
    arrivals = ((n, at_s, at_s + ms / 1000) for n, at_s, ms in sent if ms is not None)
    return list(in_order(Beat(*arrival) for arrival in arrivals))


def in_order(beats: Iterator[Beat]) -> Iterator[Beat]:
    """As TCP delivers them: none before the one before it."""
    latest_s = 0.0
    for beat in beats:
        latest_s = max(latest_s, beat.arrived_s)
        yield beat._replace(arrived_s=latest_s)


def quiet(beats: int, rng: random.Random) -> Life:
    """A local network, an agent with nothing in its way."""
    return _lived(beats, rng, [])


def drifting(beats: int, rng: random.Random) -> Life:
    """The same with a clock that runs up to 100 ppm too fast or too slow."""
    ratio = 1.0 + rng.uniform(-100e-6, 100e-6)
    return [beat._replace(sent_s=beat.sent_s * ratio) for beat in _lived(beats, rng, [])]


def stalling(beats: int, rng: random.Random) -> Life:
    """An agent that does not get to run for one to twenty seconds, every ten minutes or so."""
    spans = _spans(beats, rng, 600.0, lambda: min(20.0, rng.paretovariate(1.5)))
    lived: list[Beat] = []
    for beat in _lived(beats, rng, []):
        begun_s, ended_s = _covering(spans, beat.sent_s)
        if begun_s < 0.0:
            lived.append(beat)
        elif not lived or lived[-1].sent_s < ended_s:
            # The first that was due goes out when it is over; the rest are skipped.
            lived.append(Beat(beat.sequence, ended_s, ended_s + beat.arrived_s - beat.sent_s))
    return list(in_order(iter(lived)))


def interrupted(beats: int, rng: random.Random) -> Life:
    """A network that is gone for two to sixteen seconds, every hour or so; TCP makes up for it."""
    spans = _spans(beats, rng, 3600.0, lambda: rng.uniform(2.0, 8.0) * rng.uniform(1.0, 2.0))
    return list(in_order(iter(_lived(beats, rng, spans))))


def _lived(beats: int, rng: random.Random, outages: list[tuple[float, float]]) -> list[Beat]:
    lived: list[Beat] = []
    for sequence in range(beats):
        sent_s = sequence * PERIOD_S
        delay_s = 0.001 + rng.expovariate(500.0)
        if rng.random() < 1e-3:
            delay_s += rng.uniform(0.0, 0.2)
        begun_s, ended_s = _covering(outages, sent_s)
        arrived_s = max(sent_s, ended_s if begun_s >= 0.0 else sent_s) + delay_s
        lived.append(Beat(sequence, sent_s, arrived_s))
    return lived


def _spans(
    beats: int, rng: random.Random, every_s: float, length_s: Callable[[], float]
) -> list[tuple[float, float]]:
    spans: list[tuple[float, float]] = []
    at_s = rng.expovariate(1 / every_s)
    while at_s < beats * PERIOD_S:
        spans.append((at_s, at_s + length_s()))
        at_s = spans[-1][1] + rng.expovariate(1 / every_s)
    return spans


def _covering(spans: list[tuple[float, float]], at_s: float) -> tuple[float, float]:
    # The span that holds this instant; spans are asked for in order, so past ones are dropped.
    while spans and spans[0][1] <= at_s:
        spans.pop(0)
    return spans[0] if spans and spans[0][0] <= at_s else (-1.0, -1.0)


SYNTHETIC: Final[dict[str, tuple[Callable[[int, random.Random], Life], Evidence]]] = {
    "quiet": (quiet, Evidence.ANSWERS),
    "clocks drift": (drifting, Evidence.ANSWERS),
    "stalls of 1–20 s": (stalling, Evidence.ANSWERS),
    "outages of 2–16 s": (interrupted, Evidence.SILENT),
}
"""By name, with what the host's kernel shows meanwhile."""

RECORDED: Final = {
    "5 % loss": "loss-5",
    "30 % loss": "loss-30",
    "30 % loss, RTO_MAX": "loss-30-rto-max",
}
"""Kernels that lose acknowledgements are taken not to answer: the worst case for ours."""
