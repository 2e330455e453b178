"""What a beat and a link cost the master, beside a bare OpenSSL server in C and a trio.SSLStream
server written the ordinary way, in one run.

    python -m bench.density [--links 1000] [--period 5] [--seconds 30] [--storm] [--json]

One server after the other is put under the same load: agents with certificates of their own, in
processes of their own, which link over mutual TLS 1.3, beat on a grid with samples that were
recorded on a real host, and dial again as agents do. CPU is the kernel's count for the server's
whole process, user and system, per beat that was sent meanwhile; `first_us` is what its first
thread used of it, which leaves out the work of a master's disk. Memory is what the process took
for itself while the links were made. Delays are from a beat's being written to its acknowledgement,
and to the master's word that its sample is on disk. `late_p99_ms` says how late the load itself
was: where that is long, the machine is too small for both. A storm: the server is killed and
started again, until all links are back.

Compare the ratios: absolute figures differ by machine and hour. One process may hold as many links
as it may have open files (ulimit -Hn); the load takes several processes.
"""

import argparse
import math
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bench.baselines import MissingBaselineError
from bench.density import identities, servers
from bench.density.cost import cpu_of, own_bytes
from bench.density.histogram import Histogram
from bench.density.load import Load, LoadFailedError, Report, descriptors, load
from bench.density.servers import Server, ServerFailedError
from bench.tables import print_results
from shared.clock import wall_ms
from shared.paths import StateFolder

LINKS_PER_PROCESS: Final = 10_000
SETTLE_PERIODS: Final = 1.0
"""What is used for the first time, and the beats of those that linked at once."""

LINKING_S: Final = 30.0
"""How long linking may take beyond what the pace of the dials asks for."""

STORM_S: Final = 300.0

EVENTS_S: Final = 1.0
"""Until the master has stored its last events."""

NAMES: Final = ("c", "heartline", "sslstream")


class Bench:
    """One run: the same agents for one server after the other."""

    def __init__(self, given: argparse.Namespace, root: Path) -> None:
        self._given = given
        self._folder = StateFolder(root / "master")
        self._fleet = root / "fleet"
        identities.save(self._fleet, identities.prepare(self._folder, given.links))

    def servers(self) -> list[Server]:
        """Those that were asked for."""
        makers: dict[str, Callable[[], Server]] = {
            "c": lambda: servers.bare_openssl(self._folder),
            "heartline": lambda: servers.heartline(self._folder, self._given.period),
            "sslstream": lambda: servers.ssl_stream(self._folder),
        }
        return [makers[name]() for name in self._given.server or NAMES]

    def measure(self, server: Server) -> dict[str, object]:
        """One row of the table."""
        given = self._given
        server.start()
        try:
            alone_bytes, idle = own_bytes(server.pid), cpu_of(server.pid)
            with load(
                self._fleet,
                given.links,
                server.address,
                processes=given.processes,
                period_s=given.period,
                dials_per_s=given.dials_per_s,
                family_every=given.family_every,
            ) as agents:
                linked_s = agents.wait_linked(given.links / given.dials_per_s + LINKING_S)
                linking = cpu_of(server.pid).since(idle)
                beats_before = agents.begin()
                row = self._steady(server, agents)
                beat_us = float(str(row["us_per_beat"]))
                shaking_s = linking.all_s - beats_before * beat_us / 1e6
                row["handshake_ms"] = round(shaking_s / given.links * 1000, 2)
                row["kb_per_link"] = round(
                    (own_bytes(server.pid) - alone_bytes) / given.links / 1000, 1
                )
                row["linked_s"] = round(linked_s, 1)
                if given.storm:
                    row |= self._storm(server, agents)
            return row
        finally:
            server.stop()

    def _steady(self, server: Server, agents: Load) -> dict[str, object]:
        time.sleep(SETTLE_PERIODS * self._given.period)
        since_wall_ms = wall_ms()
        agents.begin()
        before, began_s = cpu_of(server.pid), time.monotonic()
        time.sleep(self._given.seconds)
        used, report = cpu_of(server.pid).since(before), agents.report()
        measured_s = time.monotonic() - began_s
        per_beat = 1e6 / max(1, report.beats)
        row: dict[str, object] = {
            "server": server.name,
            "links": self._given.links,
            "beats_per_s": round(report.beats / measured_s),
            "us_per_beat": round(used.all_s * per_beat, 1),
            "user_us": round(used.user_s * per_beat, 1),
            "system_us": round(used.system_s * per_beat, 1),
            "first_us": round(used.first_thread_s * per_beat, 1),
            "cpu_percent": round(used.all_s / measured_s * 100, 1),
            **_delays(report),
            "lost_links": report.lost_links,
        }
        row["false_transitions"] = self._false(server, since_wall_ms)
        return row

    def _storm(self, server: Server, agents: Load) -> dict[str, object]:
        agents.begin()
        server.kill()
        since_wall_ms, began_s = wall_ms(), time.monotonic()
        server.start()
        agents.wait_linked(STORM_S)
        back_s, used = time.monotonic() - began_s, cpu_of(server.pid)
        time.sleep(SETTLE_PERIODS * self._given.period)
        report = agents.report()
        errors = Counter(report.errors)
        return {
            "storm_s": round(back_s, 1),
            "storm_cpu_s": round(used.all_s, 1),
            "storm_dials_failed": report.failed_dials,
            "storm_late_p99_ms": _ms(report.late, 0.99),
            "storm_errors": ", ".join(f"{count} {error}" for error, count in errors.most_common(3)),
            "storm_false": self._false(server, since_wall_ms),
        }

    def _false(self, server: Server, since_wall_ms: int) -> str:
        if server.name != "heartline":
            return "-"
        until_wall_ms = wall_ms()
        time.sleep(EVENTS_S)
        return servers.false_transitions(self._folder, since_wall_ms, until_wall_ms)


def _delays(report: Report) -> dict[str, object]:
    return {
        "ack_p50_ms": _ms(report.acknowledged, 0.5),
        "ack_p99_ms": _ms(report.acknowledged, 0.99),
        "ack_p999_ms": _ms(report.acknowledged, 0.999),
        "confirmed_p50_ms": _ms(report.confirmed, 0.5),
        "confirmed_p99_ms": _ms(report.confirmed, 0.99),
        "late_p99_ms": _ms(report.late, 0.99),
    }


def _ms(histogram: Histogram, part: float) -> object:
    delay_s = histogram.at(part)
    return "-" if delay_s is None else round(delay_s * 1000, 2)


def _turned(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """A column per server: there is more to say of each than there are servers."""
    names = [str(row["server"]) for row in rows]
    return [
        {"": key} | dict(zip(names, (row[key] for row in rows), strict=True)) for key in rows[0]
    ][1:]


def _arguments() -> argparse.Namespace:
    description, _, rest = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m bench.density",
        description=description,
        epilog=rest.partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--links", type=int, default=1_000, help="agents (1000)")
    parser.add_argument("--period", type=float, default=5.0, help="seconds between beats (5)")
    parser.add_argument("--seconds", type=float, default=30.0, help="length of a measurement (30)")
    parser.add_argument(
        "--server", choices=NAMES, action="append", help="measure this one; repeatable (all)"
    )
    parser.add_argument("--processes", type=int, help="of the load (one per 10,000 links)")
    parser.add_argument("--dials-per-s", type=float, default=400.0, help="while linking (400)")
    parser.add_argument(
        "--family-every",
        type=int,
        default=0,
        help="one family in full with every so many-th beat; agents send one every 5 s (0: none)",
    )
    parser.add_argument("--storm", action="store_true", help="kill each server, and start it again")
    parser.add_argument("--json", action="store_true", help="print JSON only")
    given = parser.parse_args()
    given.processes = given.processes or math.ceil(given.links / LINKS_PER_PROCESS)
    _check(parser, given)
    return given


def _check(parser: argparse.ArgumentParser, given: argparse.Namespace) -> None:
    if not 1 <= given.links <= identities.AGENTS_LIMIT:
        parser.error(f"--links: 1 to {identities.AGENTS_LIMIT}, there are no addresses for more")
    if given.period < 1:
        parser.error("--period: 1 or more, a master asks for no shorter one")
    most = descriptors()
    if given.links > most:
        parser.error(
            f"--links {given.links}: one server holds {most} at most, one process may not have more"
            " open files here (ulimit -Hn)"
        )
    if math.ceil(given.links / given.processes) > most:
        parser.error(
            f"--processes {given.processes}: {math.ceil(given.links / most)} at least, one holds"
            f" {most} links at most (ulimit -Hn)"
        )


def main() -> int:
    given = _arguments()
    if not given.json:
        print(f"{os.cpu_count()} processors, load average {os.getloadavg()[0]:.1f}\n")
    try:
        with tempfile.TemporaryDirectory(prefix="heartline-") as root:
            bench = Bench(given, Path(root))
            rows = [bench.measure(server) for server in bench.servers()]
    except (MissingBaselineError, ServerFailedError, LoadFailedError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    base = next((row["us_per_beat"] for row in rows if row["server"] == "C, epoll"), None)
    for row in rows:
        row["times_c"] = (
            round(float(str(row["us_per_beat"])) / float(str(base)), 2) if base else "-"
        )
    print_results(rows if given.json else _turned(rows), as_json=given.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
