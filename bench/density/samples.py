"""What the agents of a benchmark report: samples that a real host's sampler has recorded
(`bench/data`), stamped with the time of their sending, and the inventories and families of the
demo's simulated hosts."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from bench.density.stamps import shown_stamp, stamp
from bench.history_samples import recordings
from heartline.demo import hardware
from heartline.demo.family_samples import family
from heartline.demo.hosts import Host
from heartline.demo.hosts import fleet as hosts
from shared import messages as m
from shared.clock import wall_ms
from shared.metrics import FAMILIES, metrics

_HOSTS: Final = 32
"""Hosts that differ; the agents share them out."""

_SEED: Final = 1
SHOWN: Final = 50
"""The first agents of a fleet, whose stamp stands on the screen too: as many as its table shows."""

_GOLDEN: Final = 0.618
"""Steps of the golden section: agents that follow each other are far apart in the recording."""

_PLACE: Final = {metric.name: metric.index for metric in metrics()}


class _Pieces(NamedTuple):
    """An encoded sample without what is stamped on it."""

    head: bytes
    """Up to the uptime."""
    middle: bytes
    """From there to the agent's memory."""
    tail: bytes


class Samples:
    """Encoded once, and sent by all agents."""

    def __init__(self) -> None:
        self._rows = [row for recording in recordings() for row in _rows(recording.columns)]
        there = [_pieces(row) for row in self._rows]
        self._walk = [*there, *reversed(there)]
        wall_s = wall_ms() / 1000
        self._hosts = hosts(_HOSTS, _SEED)
        self._inventories = [
            m.InventoryReport(m.raw(hardware.inventory(host, 0.0, wall_s))) for host in self._hosts
        ]
        self._families = [list(_families(host, wall_s)) for host in self._hosts]

    def core(self, agent: int, sample: int, mono_ms: int) -> bytes:
        """The core sample of this agent's so many-th beat, sent at `mono_ms`: it walks through the
        recordings, to the end and back, from a place of its own."""
        length = len(self._rows)
        place = (round(agent * length * _GOLDEN) % length + sample) % (2 * length)
        head, middle, tail = self._walk[place]
        if agent < SHOWN:
            head, middle, tail = _shown(self._rows[min(place, 2 * length - 1 - place)], mono_ms)
        uptime, memory = stamp(mono_ms)
        return b"".join((head, uptime, middle, memory, tail))

    def inventory(self, agent: int) -> m.InventoryReport:
        """What it sends when it has been welcomed."""
        return self._inventories[agent % _HOSTS]

    def family(self, agent: int, number: int) -> m.FamilySample:
        """The so many-th family that it sends in full: one after the other."""
        families = self._families[agent % _HOSTS]
        return families[(agent + number) % len(families)]


def _rows(columns: dict[str, list[int | None]]) -> Iterator[Sequence[int | None]]:
    # Without the first sample, which knows no rates.
    known = [columns.get(metric.name, []) for metric in metrics()]
    return itertools.islice(itertools.zip_longest(*known), 1, None)


def _shown(row: Sequence[int | None], mono_ms: int) -> _Pieces:
    changed = list(row)
    changed[_PLACE["cpu_busy_bp"]], changed[_PLACE["memory_used_bp"]] = shown_stamp(mono_ms)
    return _pieces(changed)


def _pieces(row: Sequence[int | None]) -> _Pieces:
    uptime, memory = _PLACE["uptime_s"], _PLACE["agent_memory_kib"]
    values = [m.encode_body(value) for value in row]
    header = m.encode_body(row)[: -sum(map(len, values))]
    return _Pieces(
        header + b"".join(values[:uptime]),
        b"".join(values[uptime + 1 : memory]),
        b"".join(values[memory + 1 :]),
    )


def _families(host: Host, wall_s: float) -> Iterator[m.FamilySample]:
    for name in FAMILIES:
        data = family(name, host, (), 0.0, wall_s, is_watched=False)
        period_ms = round(hardware.detail_s(name) * 1000)
        yield m.FamilySample(name, 0, round(wall_s * 1000), period_ms, m.raw(data))
