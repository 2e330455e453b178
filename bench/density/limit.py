"""At how many beats a second a server falls behind: the same links beat faster, step by step, until
one of several signs says so, and what gave way is told from who had no processor time left.

It has fallen behind when acknowledgements take longer than the second in which samples get on disk
could explain, when nodes that beat are called late, or when fewer beats are sent than were
asked for, which is then the load's own limit, or the machine's.
"""

import os
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from bench.density.cost import Cpu, machine_s
from bench.density.figures import CURVE, milliseconds, percent
from bench.density.load import Load
from bench.density.servers import Server

SHORTEST_PERIOD_S: Final = 1.0
"""A master asks for no shorter one, and no agent keeps one."""

FASTER: Final = 1.25
"""Each step is as much faster than the one before."""

BEHIND_S: Final = 3.0
"""The 99th percentile of the acknowledgements' delay: samples are on disk within a second."""

MISSING: Final = 0.05
"""Part of the beats that may be missing of those asked for, by chance and at the edges."""

FULL_PERCENT: Final = 90.0
"""Of one core: a thread that uses so much has none left when it needs it."""


class Step(NamedTuple):
    """One rate, and how it went."""

    asked_per_s: float
    sent_per_s: float
    acknowledged_p99_s: float
    late_p99_ms: object
    false_transitions: str
    server_percent: float
    """All of its processes."""
    busiest_percent: float
    """The first thread of the one that used most."""
    load_percent: float
    busiest_load_percent: float
    machine_percent: float
    """All processes of the machine: what is neither the server's nor the load's is others'."""

    @property
    def has_kept_up(self) -> bool:
        """Whether nothing fell behind."""
        return (
            self.sent_per_s >= self.asked_per_s * (1 - MISSING)
            and self.acknowledged_p99_s < BEHIND_S
            and self.false_transitions in {"0", "-"}
        )

    def gave_way(self) -> str:
        """What had nothing left."""
        others_percent = self.machine_percent - self.server_percent - self.load_percent
        used = (
            f"server {self.server_percent:g} %, load {self.load_percent:g} %,"
            f" others {others_percent:.1f} % of a core"
        )
        if self.busiest_percent >= FULL_PERCENT:
            return f"the server: a thread of it uses {self.busiest_percent:g} % of a core ({used})"
        if self.busiest_load_percent >= FULL_PERCENT:
            return f"the load: a process of it uses {self.busiest_load_percent:g} % ({used})"
        if self.machine_percent >= FULL_PERCENT * (os.cpu_count() or 1):
            return f"the machine: all processors are used ({used})"
        return f"unknown: processors are free ({used})"


def find_limit(
    server: Server,
    agents: Load,
    links: int,
    period_s: float,
    seconds: float,
    false_since: Callable[[int], str],
) -> dict[str, object]:
    """Makes the agents beat faster until something gives way, starting at `period_s`; each step is
    measured for so many seconds. They go on beating as in the last one."""
    steps: list[Step] = []
    while period_s >= SHORTEST_PERIOD_S:
        before_s, period_s = period_s, max(SHORTEST_PERIOD_S, period_s / FASTER)
        if steps and before_s == SHORTEST_PERIOD_S:
            break
        agents.beat_every(period_s)
        time.sleep(before_s + period_s)
        steps.append(_step(server, agents, links / period_s, seconds, false_since))
        if not steps[-1].has_kept_up:
            break
    kept = [step for step in steps if step.has_kept_up]
    figures: dict[str, object] = {
        "limit_beats_per_s": round(kept[-1].sent_per_s) if kept else "-",
        "limit_links_at_10_s": round(kept[-1].sent_per_s * 10) if kept else "-",
        f"limit{CURVE}": [step._asdict() for step in steps],
    }
    last = steps[-1]
    if last.has_kept_up:
        figures["limit_gave_way"] = "nothing: take more --links"
    else:
        figures["limit_fell_behind_at"] = round(last.asked_per_s)
        figures["limit_gave_way"] = last.gave_way()
    return figures


def _step(
    server: Server,
    agents: Load,
    asked_per_s: float,
    seconds: float,
    false_since: Callable[[int], str],
) -> Step:
    since_wall_ms = time.time_ns() // 1_000_000
    agents.begin()
    before, load_before_s = server.tree.by_process(), agents.cpu_s()
    machine_before_s, began_s = machine_s(), time.monotonic()
    time.sleep(seconds)
    measured_s, machine_used_s = time.monotonic() - began_s, machine_s() - machine_before_s
    after, load_after_s = server.tree.by_process(), agents.cpu_s()
    report = agents.report()
    used = [now.since(before.get(pid, _NONE)) for pid, now in after.items()]
    load_s = [now - then for now, then in zip(load_after_s, load_before_s, strict=True)]
    delay_s = report.acknowledged.at(0.99)
    return Step(
        round(asked_per_s, 1),
        round(report.beats / measured_s, 1),
        float("inf") if delay_s is None else round(delay_s, 4),
        milliseconds(report.late, 0.99),
        false_since(since_wall_ms),
        percent(sum(each.all_s for each in used), measured_s),
        percent(max(each.first_thread_s for each in used), measured_s),
        percent(sum(load_s), measured_s),
        percent(max(load_s), measured_s),
        percent(machine_used_s, measured_s),
    )


_NONE: Final = Cpu(0.0, 0.0, 0.0, 0.0)
