"""One run of the benchmark: the same agents for one server after the other."""

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

from msgspec import Struct

from bench.density import identities, servers
from bench.density.cost import Cpu, kernel_bytes, machine_s
from bench.density.figures import (
    CURVE,
    cpu_figures,
    delay_figures,
    milliseconds,
    percent,
    quantiles,
)
from bench.density.limit import find_limit
from bench.density.load import Load, load
from bench.density.servers import Server
from bench.density.viewers import dashboard, viewers
from shared.clock import wall_ms

SETTLE_PERIODS: Final = 1.0
"""What is used for the first time, and the beats of those that linked at once."""

LINKING_S: Final = 300.0
"""How long linking may take beyond what the pace of the dials asks for."""

STORM_S: Final = 300.0

SCREEN_S: Final = 5.0
"""Until a dashboard has imported what it uses for the first time."""

EVENTS_S: Final = 1.0
"""Until the master has stored its last events."""

NAMES: Final = ("c", "heartline", "sslstream")


class Options(Struct, frozen=True):
    """What is measured, and how. See `python -m bench.density --help`."""

    links: int
    period: float
    seconds: float
    servers: tuple[str, ...]
    processes: int
    dials_per_s: float
    family_every: int = 0
    viewers: int = 0
    workers: int = 0
    screen: bool = False
    storm: bool = False
    limit: bool = False


class Bench:
    """The fleet is made here, or is there already."""

    def __init__(
        self, given: Options, fleet: Path, progress: Callable[[int], None] | None = None
    ) -> None:
        self._given = given
        self._fleet = fleet
        self._folder = identities.master_folder(fleet)
        identities.prepare(fleet, given.links, progress)
        agents = identities.load_agents(fleet, 0, given.links)
        self._node_ids = frozenset(agent.node_id for agent in agents)

    def servers(self) -> list[Server]:
        """Those that were asked for."""
        given, folder = self._given, self._folder
        makers: dict[str, Callable[[], Server]] = {
            "c": lambda: servers.bare_openssl(folder),
            "heartline": lambda: servers.heartline(folder, given.period, given.workers),
            "sslstream": lambda: servers.ssl_stream(folder),
        }
        return [makers[name]() for name in given.servers]

    def measure(self, server: Server) -> dict[str, object]:
        """One row of the results."""
        given = self._given
        server.start()
        try:
            with load(
                self._fleet,
                given.links,
                server.address,
                processes=given.processes,
                period_s=given.period,
                dials_per_s=given.dials_per_s,
                family_every=given.family_every,
            ) as agents:
                row = self._linked(server, agents)
                if given.viewers and server.name == "heartline":
                    row |= self._all_watched(server, agents, float(str(row["cpu_percent"])))
                if given.screen and server.name == "heartline":
                    row |= self._shown()
                if given.limit:
                    row |= find_limit(
                        server,
                        agents,
                        given.links,
                        given.period,
                        given.seconds,
                        lambda since_wall_ms: self._false(server, since_wall_ms),
                    )
                if given.storm:
                    agents.beat_every(given.period)
                    row |= self._storm(server, agents)
            return row
        finally:
            server.stop()

    def _linked(self, server: Server, agents: Load) -> dict[str, object]:
        links = self._given.links
        alone_bytes, idle, kernel = server.tree.own_bytes(), _cpu(server), kernel_bytes()
        load_alone_bytes, load_idle_s = agents.own_bytes(), sum(agents.cpu_s())
        agents.dial()
        curve = agents.wait_linked(links / self._given.dials_per_s + LINKING_S)
        linking, load_linking_s = _cpu(server).since(idle), sum(agents.cpu_s()) - load_idle_s
        beats_before = agents.begin()
        row = self._steady(server, agents)
        shaking_s = linking.all_s - beats_before * float(str(row["us_per_beat"])) / 1e6
        dialling_s = load_linking_s - beats_before * float(str(row["load_us_per_beat"])) / 1e6
        grown_bytes = server.tree.own_bytes() - alone_bytes
        return row | {
            "handshake_ms": round(shaking_s / links * 1000, 2),
            "load_dial_ms": round(dialling_s / links * 1000, 2),
            "kb_per_link": round(grown_bytes / links / 1000, 1),
            "kernel_kb_per_link": _kernel_kb(kernel, links),
            "load_kb_per_link": round((agents.own_bytes() - load_alone_bytes) / links / 1000, 1),
            "memory_mb": round(server.tree.resident_bytes() / 1e6, 1),
            "linked_s": curve[-1][0],
            f"linking{CURVE}": curve,
        }

    def _steady(self, server: Server, agents: Load) -> dict[str, object]:
        time.sleep(SETTLE_PERIODS * self._given.period)
        since_wall_ms = wall_ms()
        agents.begin()
        before, load_before_s = _cpu(server), sum(agents.cpu_s())
        machine_before_s, began_s = machine_s(), time.monotonic()
        time.sleep(self._given.seconds)
        used, report = _cpu(server).since(before), agents.report()
        load_s = sum(agents.cpu_s()) - load_before_s
        machine_used_s, measured_s = machine_s() - machine_before_s, time.monotonic() - began_s
        has_workers = self._given.workers > 0 and server.name == "heartline"
        return {
            "server": server.name,
            "links": self._given.links,
            **cpu_figures(used, report.beats, measured_s, has_workers=has_workers),
            **delay_figures(report),
            "load_us_per_beat": round(load_s * 1e6 / max(1, report.beats), 1),
            "load_percent": percent(load_s, measured_s),
            "others_percent": percent(machine_used_s - load_s - used.all_s, measured_s),
            "false_transitions": self._false(server, since_wall_ms),
        }

    def _all_watched(
        self, server: Server, agents: Load, before_percent: float
    ) -> dict[str, object]:
        # What a beat costs drifts with whatever else the machine does: compare with the times just
        # before and after.
        figures: dict[str, object] = {}
        for count in sorted({1, self._given.viewers}):
            name = f"viewers_{count}"
            figures |= self._watched(server, agents, count)
            time.sleep(EVENTS_S)
            before, began_s = _cpu(server), time.monotonic()
            time.sleep(self._given.seconds)
            used = _cpu(server).since(before)
            after_percent = percent(used.all_s, time.monotonic() - began_s)
            unwatched_percent = (before_percent + after_percent) / 2
            watched_percent = float(str(figures[f"{name}_cpu_percent"]))
            figures[f"{name}_added_percent"] = round(watched_percent - unwatched_percent, 1)
            before_percent = after_percent
        return figures

    def _watched(self, server: Server, agents: Load, count: int) -> dict[str, object]:
        """What the master costs while so many viewers look on, and how soon they see a beat."""
        with viewers(self._folder, count) as looking:
            time.sleep(SETTLE_PERIODS * self._given.period)
            agents.begin()
            looking.begin()
            before, looking_before_s = _cpu(server), looking.cpu_s()
            began_s = time.monotonic()
            time.sleep(self._given.seconds)
            used, measured_s = _cpu(server).since(before), time.monotonic() - began_s
            sight, report = looking.report(), agents.report()
            looking_s = looking.cpu_s() - looking_before_s
        name = f"viewers_{count}"
        return {
            f"{name}_cpu_percent": percent(used.all_s, measured_s),
            f"{name}_added_percent": "-",
            f"{name}_own_percent": percent(looking_s, measured_s),
            f"{name}_seen_percent": round(sight.beats / max(1, report.beats * count) * 100, 1),
            f"{name}_behind": sight.behind,
            **quantiles(f"{name}_seen", sight.seen),
        }

    def _shown(self) -> dict[str, object]:
        """How soon a beat stands on a screen, and what the dashboard costs."""
        with dashboard(self._folder) as screen:
            time.sleep(SCREEN_S + SETTLE_PERIODS * self._given.period)
            screen.begin()
            began_s = time.monotonic()
            time.sleep(self._given.seconds)
            seen, used_s = screen.report()
            measured_s = time.monotonic() - began_s
        return {
            "screen_beats": seen.total,
            "screen_own_percent": percent(used_s, measured_s),
            **quantiles("screen", seen),
        }

    def _storm(self, server: Server, agents: Load) -> dict[str, object]:
        agents.begin()
        server.kill()
        since_wall_ms, began_s = wall_ms(), time.monotonic()
        server.start()
        down_s = time.monotonic() - began_s
        curve = agents.wait_linked(STORM_S)
        used = _cpu(server)
        time.sleep(SETTLE_PERIODS * self._given.period)
        report = agents.report()
        errors = Counter(report.errors)
        return {
            "storm_s": round(down_s + curve[-1][0], 1),
            "storm_cpu_s": round(used.all_s, 1),
            "storm_dials_failed": report.failed_dials,
            "storm_late_p99_ms": milliseconds(report.late, 0.99),
            "storm_errors": ", ".join(f"{count} {error}" for error, count in errors.most_common(3)),
            "storm_false": self._false(server, since_wall_ms),
            f"storm{CURVE}": [(round(down_s + at_s, 2), linked) for at_s, linked in curve],
        }

    def _false(self, server: Server, since_wall_ms: int) -> str:
        if server.name != "heartline":
            return "-"
        until_wall_ms = wall_ms()
        time.sleep(EVENTS_S)
        return servers.false_transitions(self._folder, self._node_ids, since_wall_ms, until_wall_ms)


def _kernel_kb(before_bytes: int | None, links: int) -> object:
    now_bytes = kernel_bytes()
    if before_bytes is None or now_bytes is None:
        return "-"
    return round((now_bytes - before_bytes) / links / 1000, 1)


def _cpu(server: Server) -> Cpu:
    server.check()
    return server.tree.cpu()
