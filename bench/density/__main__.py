"""What a beat and a link cost the master, beside a bare OpenSSL server in C and a trio.SSLStream
server written the ordinary way, in one run.

    python -m bench.density [--links 1000] [--period 5] [--seconds 30] [--viewers 4] [--storm]

One server after the other is put under the same load: agents with certificates and addresses of
their own, in processes of their own, which link over mutual TLS 1.3, beat on a grid with samples
that were recorded on a real host, and dial again as agents do. They have read their keys before.

CPU is the kernel's count for the server and all that it has started, user and system, per beat that
was sent meanwhile; `first_us` is what first threads used of it, which leaves out the work of a
master's disk; with --workers, `hub_percent` is the process that was started and `workers_percent`
the others. Memory is what the server took for itself while the links were made (`kb_per_link`),
what the kernel did, for both ends of the link (`kernel_kb_per_link`), and what all of its processes
hold at the end (`memory_mb`). Delays are from a beat's being written to its acknowledgement, and to
the master's word that its sample is on disk. A process of the load sends those beats together that
are due within 4 ms. `late_p99_ms` says how late the load itself was, and `load_percent` what it
used of a core: where they are large, the machine is too small for both.
`others_percent` is what all other programs used meanwhile, and should be nothing.

--viewers: the dashboard's client and model in N processes watch the whole fleet, first one, then
all. What they add to the master's CPU, and the delay from a beat's being written to its being in a
viewer's model, ready to be drawn; in turns with nobody watching, before and after. --screen: the
same delay, to the beat's standing on the screen of a dashboard, of the nodes that it shows.
--limit: the links beat faster and faster until something gives way. --storm: the server is killed
and started again, until all links are back.

Compare the ratios: absolute figures differ by machine and hour. One process may hold as many links
as it may have open files (ulimit -Hn); the load then takes several processes, the master --workers.
"""

import argparse
import datetime as dt
import json
import math
import os
import signal
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from bench.baselines import MissingBaselineError
from bench.density import identities
from bench.density.figures import turned
from bench.density.identities import UnfitFleetError
from bench.density.load import LoadFailedError, descriptors
from bench.density.measurement import NAMES, Bench, Options
from bench.density.servers import ServerFailedError
from bench.tables import print_results

LINKS_PER_PROCESS: Final = 25_000
"""Of the load, where open files allow: a process that wakes for more beats at once needs half the
time for each."""

KEYS_BETWEEN: Final = 10_000
"""Two lines that say how far the making of a fleet has come."""


def _arguments() -> tuple[argparse.Namespace, Options]:
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
    parser.add_argument(
        "--processes", type=int, help="of the load (as few as can hold the links, 25,000 each)"
    )
    parser.add_argument("--dials-per-s", type=float, default=400.0, help="while linking (400)")
    parser.add_argument(
        "--family-every",
        type=int,
        default=0,
        help="one family in full with every so many-th beat; agents send one every 5 s (0: none)",
    )
    parser.add_argument("--storm", action="store_true", help="kill each server, and start it again")
    parser.add_argument("--limit", action="store_true", help="beat faster until it falls behind")
    parser.add_argument("--viewers", type=int, default=0, help="that watch the master (0)")
    parser.add_argument("--screen", action="store_true", help="and a dashboard in a terminal")
    parser.add_argument(
        "--workers", type=int, default=0, help="processes of the master besides its first (0)"
    )
    parser.add_argument(
        "--fleet", type=Path, metavar="DIR", help="keys and master are kept here for other runs"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="adds the results, a line of JSON for each server"
    )
    parser.add_argument("--json", action="store_true", help="print JSON only")
    given = parser.parse_args()
    options = Options(
        given.links,
        given.period,
        given.seconds,
        tuple(given.server or NAMES),
        given.processes or math.ceil(given.links / min(LINKS_PER_PROCESS, descriptors())),
        given.dials_per_s,
        given.family_every,
        given.viewers,
        given.workers,
        given.screen,
        given.storm,
        given.limit,
    )
    _check(parser, options)
    return given, options


def _check(parser: argparse.ArgumentParser, given: Options) -> None:
    if not 1 <= given.links <= identities.AGENTS_LIMIT:
        parser.error(f"--links: 1 to {identities.AGENTS_LIMIT}, there are no addresses for more")
    if given.period < 1:
        parser.error("--period: 1 or more, a master asks for no shorter one")
    most = descriptors()
    held = most * max(1, given.workers) if given.servers == ("heartline",) else most
    if given.links > held:
        parser.error(
            f"--links {given.links}: {held} at most, one process holds {most} (ulimit -Hn); the"
            " master may have --workers, the others (--server) are one process each"
        )
    if math.ceil(given.links / given.processes) > most:
        parser.error(
            f"--processes {given.processes}: {math.ceil(given.links / most)} at least, one holds"
            f" {most} links at most (ulimit -Hn)"
        )


@contextmanager
def _fleet_folder(given: Path | None) -> Generator[Path]:
    if given is not None:
        given.mkdir(mode=0o700, parents=True, exist_ok=True)
        yield given
    else:
        with tempfile.TemporaryDirectory(prefix="heartline-") as root:
            yield Path(root)


def _circumstances(given: Options) -> dict[str, object]:
    """What a result depends on."""
    return {
        "when": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "processors": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 1),
        "options": msgspec.to_builtins(given),
    }


def main() -> int:
    given, options = _arguments()
    # As Ctrl-C does: what was started ends too.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    if not given.json:
        print(f"{os.cpu_count()} processors, load average {os.getloadavg()[0]:.1f}\n")
    circumstances = _circumstances(options)
    rows: list[dict[str, object]] = []
    try:
        with _fleet_folder(given.fleet) as root:
            bench = Bench(options, root, None if given.json else _progress)
            for server in bench.servers():
                rows.append(bench.measure(server))
                _compare(rows)
                if given.out is not None:
                    with given.out.open("a") as out:
                        out.write(json.dumps(circumstances | rows[-1]) + "\n")
    except (
        UnfitFleetError,
        MissingBaselineError,
        ServerFailedError,
        LoadFailedError,
    ) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    print_results(rows if given.json else turned(rows), as_json=given.json)
    return 0


def _progress(agents: int) -> None:
    if agents % KEYS_BETWEEN == 0:
        sys.stderr.write(f"{agents} keys\n")


def _compare(rows: list[dict[str, object]]) -> None:
    """Adds to the last row how much more it costs than C."""
    base = next((row["us_per_beat"] for row in rows if row["server"] == "C, epoll"), None)
    last = rows[-1]
    last["times_c"] = round(float(str(last["us_per_beat"])) / float(str(base)), 2) if base else "-"


if __name__ == "__main__":
    sys.exit(main())
