"""Nodes for tests: readable builders, and a believable fleet that changes with time."""

import random
from collections.abc import Iterator, Mapping
from typing import Any, Final

from shared.liveness import State
from shared.messages import Delta, NodeInfo, NodeVitals, Snapshot, Trouble, raw
from shared.metrics import Core

WALL_MS: Final = 1_795_000_000_000
"""2026-11-18 11:06:40 UTC: when these fleets are looked at."""

MONO_MS: Final = 7_200_000
"""The same instant on the master's monotonic clock, two hours after its host booted."""

PERIOD_MS: Final = 5_000


def info(name: str, **changes: Any) -> NodeInfo:
    """A node whose id is made from its name."""
    fields: dict[str, Any] = {
        "node_id": f"id-{name}",
        "name": name,
        "labels": {},
        "note": "",
        "address": "10.0.3.7:51234",
        "agent_version": "0.1.0",
        "first_seen_wall_ms": WALL_MS - 86_400_000,
        "os": "Debian 12",
        "filesystems": ("/", "/var/lib/postgresql"),
    }
    return NodeInfo(**(fields | changes))


def core(**changes: Any) -> Core:
    """An unexcited host."""
    fields: dict[str, Any] = {
        "cpu_busy_bp": 1_230,
        "cpu_count": 8,
        "load_1m_centi": 142,
        "memory_total_kib": 32 * 2**20,
        "memory_used_bp": 4_810,
        "filesystem_used_max_bp": 6_300,
        "filesystem_fullest": 1,
        "network_receive_bytes_per_s": 1_258_291,
        "network_transmit_bytes_per_s": 345_088,
        "uptime_s": 12 * 86_400 + 4 * 3_600,
        "processes": 213,
        "temperature_max_dc": 540,
    }
    return Core(**(fields | changes))


def vitals(name: str, state: str = State.UP, *, age_ms: int = 2_000, **changes: Any) -> NodeVitals:
    """A node that last beat `age_ms` before `MONO_MS`."""
    fields: dict[str, Any] = {
        "node_id": f"id-{name}",
        "state": state,
        "reason": "",
        "since_wall_ms": WALL_MS - 3_600_000,
        "seen_mono_ms": MONO_MS - age_ms,
        "seen_wall_ms": WALL_MS - age_ms,
        "period_ms": PERIOD_MS,
        "core": raw(core()),
    }
    return NodeVitals(**(fields | changes))


def snapshot(states: Mapping[str, str], *, last: bool = True) -> Snapshot:
    """The whole fleet, as names and their states."""
    return Snapshot(
        MONO_MS,
        tuple(info(name) for name in states),
        tuple(vitals(name, state) for name, state in states.items()),
        last,
    )


class SimulatedFleet:
    """A fleet in which something is always the matter. The same seed makes the same history."""

    def __init__(self, nodes: int, *, seed: int = 1, period_ms: int = PERIOD_MS) -> None:
        self._rng = random.Random(seed)
        self._period_ms = period_ms
        self._infos = [self._info(number) for number in range(nodes)]
        self._cpu = [self._rng.betavariate(1.3, 5) for _ in range(nodes)]
        self._memory = [self._rng.betavariate(4, 4) for _ in range(nodes)]
        self._disk = [self._rng.betavariate(3, 4) for _ in range(nodes)]
        self._states = [self._first_state() for _ in range(nodes)]
        self._seen: dict[int, tuple[int, int]] = {}
        self._turn = 0

    def snapshots(self, mono_ms: int, wall_ms: int, *, part: int = 50) -> Iterator[Snapshot]:
        """The whole fleet, `part` nodes at a time."""
        count = len(self._infos)
        for start in range(0, max(count, 1), part):
            numbers = range(start, min(start + part, count))
            yield Snapshot(
                mono_ms,
                tuple(self._infos[n] for n in numbers),
                tuple(self._vitals(n, mono_ms, wall_ms, beating=False) for n in numbers),
                start + part >= count,
            )

    def delta(self, mono_ms: int, wall_ms: int, elapsed_ms: int) -> Delta:
        """The beats that fell due in the last `elapsed_ms`, and now and then a change of state."""
        count = len(self._infos)
        due = max(1, round(count * elapsed_ms / self._period_ms))
        numbers = [(self._turn + step) % count for step in range(min(due, count))]
        self._turn = (self._turn + due) % count
        for number in numbers:
            self._age(number)
        return Delta(
            mono_ms,
            (),
            tuple(self._vitals(n, mono_ms, wall_ms, beating=True) for n in numbers),
        )

    def _info(self, number: int) -> NodeInfo:
        role, zone = self._rng.choice(("web", "db", "cache", "gpu", "edge")), number % 3 + 1
        return info(
            f"{role}-{number + 1}",
            labels={"role": role, "zone": f"eu-{zone}"},
            address=f"10.{zone}.{number // 250}.{number % 250 + 1}:51234",
            os=self._rng.choice(("Debian 12", "Ubuntu 24.04", "Rocky 9.5", "Alpine 3.22")),
            filesystems=("/", "/var", "/var/lib/postgresql", "/srv"),
        )

    def _first_state(self) -> State:
        draw = self._rng.random()
        for state, below in (
            (State.DOWN, 0.012),
            (State.LATE, 0.02),
            (State.LOST, 0.024),
            (State.HUNG, 0.028),
            (State.JOINING, 0.032),
            (State.LEFT, 0.045),
        ):
            if draw < below:
                return state
        return State.UP

    def _age(self, number: int) -> None:
        for values, step in ((self._cpu, 0.05), (self._memory, 0.01), (self._disk, 0.001)):
            values[number] = min(0.995, max(0.004, values[number] + self._rng.gauss(0, step)))
        if self._rng.random() < 0.002:
            self._states[number] = self._first_state()

    def _vitals(self, number: int, mono_ms: int, wall_ms: int, *, beating: bool) -> NodeVitals:
        state = self._states[number]
        alive = state is State.UP
        if number not in self._seen:
            ago_ms = self._rng.randrange(0, self._period_ms)
            ago_ms += 0 if alive else self._rng.randrange(6_000, 900_000)
            self._seen[number] = mono_ms - ago_ms, wall_ms - ago_ms
        elif beating and alive:
            self._seen[number] = mono_ms, wall_ms
        seen_mono_ms, seen_wall_ms = self._seen[number]
        troubled = alive and number % 97 == 5
        return NodeVitals(
            self._infos[number].node_id,
            state,
            _REASONS.get(state, ""),
            seen_wall_ms if not alive else wall_ms - 7_000_000,
            seen_mono_ms,
            seen_wall_ms,
            self._period_ms,
            raw(self._core(number)),
            (Trouble("filesystems", "stuck", 41, "statvfs has not returned"),) if troubled else (),
        )

    def _core(self, number: int) -> Core:
        cpus = (4, 8, 16, 64)[number % 4]
        cpu, memory = self._cpu[number], self._memory[number]
        return Core(
            cpu_busy_bp=round(cpu * 10_000),
            cpu_count=cpus,
            load_1m_centi=round(cpu * cpus * 130),
            memory_total_kib=cpus * 4 * 2**20,
            memory_used_bp=round(memory * 10_000),
            filesystem_used_max_bp=round(self._disk[number] * 10_000),
            filesystem_fullest=number % 4,
            network_receive_bytes_per_s=round(cpu**3 * 3e8),
            network_transmit_bytes_per_s=round(cpu**3 * 9e7),
            uptime_s=86_400 * (number % 300) + 4_000,
            processes=180 + number % 90,
            temperature_max_dc=round(350 + cpu * 400),
        )


_REASONS: Final = {
    State.DOWN: "unreachable: nothing heard for 2.5 periods",
    State.LATE: "beat overdue",
    State.LOST: "link reset by the peer",
    State.HUNG: "host answers, agent does not",
    State.LEFT: "stopped by its service manager",
}
