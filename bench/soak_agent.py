"""A soak of the agent: what happens to it in a day, pressed into half an hour, and what its process
holds meanwhile.

    python -m bench.soak_agent [--minutes 30] [--seed 1] [--out FOLDER]

A real agent, linked to a real master over a line that is reset or falls silent. It beats every
second, the shortest that there is, and reads every family and sends it in full every second. What
cannot be pressed any further is said in the table at the end: how many days' worth of each there
were. All else is as often as it can be: its link is lost twice a minute, the master is stopped or
killed and started again every other minute, so that the spool fills and is replayed (it keeps a
48th of the ordinary hours and bytes), its certificate lives two minutes, a viewer looks at the node
half of the time, and processes and connections come and go on the host.

Sampled every 2 s: the agent's own memory (RssAnon), descriptors and threads. After the warm-up a
line is fitted to each (`bench.slopes`).

Exit code 1: something grows faster than its limit, or something of the above did not happen.
"""

import argparse
import random
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import trio

from bench.bustling_host import Bustle, bustle
from bench.process_gauge import held_by
from bench.soak_operator import Looker
from bench.soak_report import Limit, Row, findings, grown, print_soak, write_samples
from bench.troubled_line import TroubledLine
from heartline.exits import UnreachableError
from shared import messages as m
from shared.clock import wall_ms
from shared.errors import UserError
from shared.families_settings import FamiliesSettings
from shared.paths import StateFolder
from shared.renewal import EARLIEST, LATEST
from shared.settings import DAY_S, MEBIBYTE, AgentSettings, MasterSettings
from tests.network.processes import AgentProcess, MasterProcess

NAME: Final = "soaked"
SAMPLE_S: Final = 2.0
PROGRESS_S: Final = 30.0
BLOCK_S: Final = 60.0

WARM_UP_PART: Final = 1 / 6
WARM_UP_LEAST_S: Final = 60.0

LIMITS: Final = (Limit("anonymous_kb", 1024.0), Limit("descriptors", 6.0), Limit("threads", 6.0))
"""In an hour. A leak with every link, replay or renewal would be one of a hundred in that time."""

PERIOD_S: Final = 1.0
CERTIFICATE_LIFE_S: Final = 120
READ_TIMEOUT_S: Final = 5.0
"""Of the agent: how soon it gives up a line that is silent."""

COMPRESSED: Final = 48
"""Half an hour for a day: by so much the spool is smaller."""

RESET_EVERY_S: Final = (15.0, 45.0)
SWALLOW_EVERY_S: Final = (40.0, 120.0)
RESTART_EVERY_S: Final = (60.0, 180.0)
AWAY_S: Final = (2.0, 25.0)
LOOK_S: Final = (5.0, 25.0)


NEEDED: Final = ("replayed", "renewals", "resets", "silences", "master_away", "looks")
"""What a soak without is none."""


class Cadence(NamedTuple):
    """Something that an agent does again and again: how often in a day by its default settings, and
    how many days' worth of it this soak has."""

    what: str
    a_day: float
    days: float


class Soak:
    """One run, from the first link to the last sample."""

    def __init__(
        self,
        given: argparse.Namespace,
        master: MasterProcess,
        agent: AgentProcess,
        line: TroubledLine,
        bustle: Bustle,
    ) -> None:
        self.rows: list[Row] = []
        self.resets = 0
        self.swallows = 0
        self.restarts = 0
        self.looks = 0
        self._length_s: float = given.minutes * 60
        self._folder = StateFolder(master.root)
        self._master = master
        self._agent = agent
        self._line = line
        self._bustle = bustle
        self._rng = random.Random(given.seed)

    async def run(self) -> None:
        """Until its time is over; then the master is there."""
        began_s = trio.current_time()
        with trio.move_on_after(self._length_s):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._reset)
                nursery.start_soon(self._swallow)
                nursery.start_soon(self._restart_master)
                nursery.start_soon(self._look)
                nursery.start_soon(self._sample, began_s)

    async def _reset(self) -> None:
        while True:
            await trio.sleep(self._rng.uniform(*RESET_EVERY_S))
            self._line.reset()
            self.resets += 1

    async def _swallow(self) -> None:
        while True:
            await trio.sleep(self._rng.uniform(*SWALLOW_EVERY_S))
            self._line.swallow()
            self.swallows += 1

    async def _restart_master(self) -> None:
        while True:
            await trio.sleep(self._rng.uniform(*RESTART_EVERY_S))
            away_s = self._rng.uniform(*AWAY_S)
            is_killed = self._rng.random() < 0.5
            with trio.CancelScope(shield=True):  # so that it is there in the end
                end = self._master.kill if is_killed else self._master.stop
                await trio.to_thread.run_sync(end)
                await trio.sleep(away_s)
                await trio.to_thread.run_sync(self._master.start)
            self.restarts += 1

    async def _look(self) -> None:
        while True:
            length_s = self._rng.uniform(*LOOK_S)
            with suppress(UnreachableError):
                look = partial(self._look_for, length_s)
                await trio.to_thread.run_sync(look, abandon_on_cancel=True)
                self.looks += 1
            await trio.sleep(length_s)

    def _look_for(self, length_s: float) -> None:
        with Looker.open(self._folder) as looker:
            detail = looker.ask(lambda number: m.GetNode(number, NAME), m.NodeDetail)
            looker.look_at(detail.info.node_id, length_s)

    async def _sample(self, began_s: float) -> None:
        told_s = 0.0
        while True:
            held = held_by(self._agent.process.pid)
            at_s = trio.current_time() - began_s
            values = held._asdict() | {"connections": self._line.connections}
            self.rows.append(Row(at_s, values))
            if at_s - told_s >= PROGRESS_S:
                told_s += PROGRESS_S
                self._tell(self.rows[-1])
            await trio.sleep_until(began_s + len(self.rows) * SAMPLE_S)

    def _tell(self, row: Row) -> None:
        values = row.values
        sys.stderr.write(
            f"{row.at_s / 60:5.1f} min  {values['anonymous_kb'] / 1024:6.2f} MB"
            f"  {values['descriptors']:.0f} descriptors  {values['threads']:.0f} threads"
            f"  {self._line.connections} links  {self.resets} resets  {self.swallows} silences"
            f"  {self.restarts} restarts of the master  {self.looks} looks"
            f"  {self._bustle.processes} processes\n"
        )


def soak(given: argparse.Namespace, root: Path) -> int:
    """Runs it and prints what was found; the exit code."""
    settings: Mapping[str, float] = {"certificate_life_s": CERTIFICATE_LIFE_S}
    began_wall_ms = wall_ms()
    with (
        MasterProcess(root / "master", period_s=PERIOD_S, **settings).start() as master,
        TroubledLine(master.port) as line,
        bustle(random.Random(given.seed)) as host,
    ):
        place = root / "agent"
        place.mkdir(mode=0o700)
        (place / "heartline.toml").write_text(agent_settings())
        with AgentProcess(place, NAME, (line.address,)).join(master) as agent:
            run = Soak(given, master, agent, line, host)
            trio.run(run.run)
            master.until(NAME, "up")
            cover = _coverage(master, began_wall_ms)
        renewals = len(master.audit("renewed"))
    warm_up_s = max(WARM_UP_LEAST_S, given.minutes * 60 * WARM_UP_PART)
    found = findings(run.rows, LIMITS, warm_up_s, BLOCK_S)
    happened = {
        "beats": cover.stored,
        "replayed": cover.late,
        "lost": cover.lost,
        "renewals": renewals,
        "connections": line.connections,
        "resets": run.resets,
        "silences": run.swallows,
        "master_away": run.restarts,
        "looks": run.looks,
        "processes": host.processes,
        "sockets": host.connections,
    }
    if given.out is not None:
        columns = ("anonymous_kb", "descriptors", "threads")
        write_samples(given.out / "soak-agent", run.rows, columns, warm_up_s)
    table = [each._asdict() for each in cadences(cover.stored, renewals, given.minutes * 60)]
    summary = {"minutes": given.minutes, "warm_up_s": round(warm_up_s), "happened": happened}
    print_soak(found, summary | {"cadences": table}, as_json=given.json)
    grows = grown(found)
    missing = [what for what in NEEDED if not happened[what]]
    if grows:
        sys.stderr.write(f"over its limit: {', '.join(grows)}\n")
    if missing:
        sys.stderr.write(f"did not happen: {', '.join(missing)}\n")
    return 1 if grows or missing else 0


def agent_settings() -> str:
    """The agent's settings file: everything as often as it may be."""
    ordinary = AgentSettings()
    spool_bytes = max(MEBIBYTE, ordinary.spool_bytes // COMPRESSED)
    lines = [
        "[agent]",
        f"spool_bytes = {spool_bytes}",
        f"spool_hours = {ordinary.spool_hours / COMPRESSED:g}",
        "[link]",
        f"read_timeout_s = {READ_TIMEOUT_S:g}",
        "ping_after_s = 1",
    ]
    for family, _ in FamiliesSettings().each():
        lines += [f"[agent.families.{family}]", "period_s = 1", "detail_s = 1"]
    return "\n".join(lines) + "\n"


def cadences(samples: int, renewals: int, length_s: float) -> list[Cadence]:
    """What was done again and again. Families were read once a second: those with the same ordinary
    cadence stand together."""
    renewed_s = MasterSettings().certificate_life_s * (EARLIEST + LATEST) / 2
    rows = [
        _cadence("beats", MasterSettings().period_s, samples),
        _cadence("certificates renewed", renewed_s, renewals),
    ]
    families: dict[tuple[str, float], list[str]] = {}
    for family, settings in FamiliesSettings().each():
        detail_s = max(settings.period_s, settings.detail_s)
        families.setdefault(("read", settings.period_s), []).append(family)
        families.setdefault(("sent in full", detail_s), []).append(family)
    for (how, every_s), names in sorted(families.items()):
        rows.append(_cadence(f"{', '.join(names)} {how}", every_s, int(length_s / PERIOD_S)))
    return rows


def _cadence(what: str, every_s: float, times: int) -> Cadence:
    a_day = DAY_S / every_s
    return Cadence(what, round(a_day, 3), round(times / a_day, 2))


def _coverage(master: MasterProcess, since_wall_ms: int) -> m.Coverage:
    with Looker.open(StateFolder(master.root)) as looker:
        pieces = looker.gather(
            lambda number: m.GetCoverage(number, NAME, since_wall_ms, wall_ms()), m.CoverageOf
        )
    return pieces[0].rows[0]


def main() -> int:
    description, _, rest = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m bench.soak_agent",
        description=description,
        epilog=rest.partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=30.0, help="how long (30)")
    parser.add_argument("--seed", type=int, default=1, help="of what happens (1)")
    parser.add_argument("--out", type=Path, help="a folder for the samples and their picture")
    parser.add_argument("--json", action="store_true", help="print JSON only")
    given = parser.parse_args()
    if given.minutes * 60 <= WARM_UP_LEAST_S + SAMPLE_S:
        parser.error("--minutes: more than the warm-up, which takes a minute at least")
    try:
        with tempfile.TemporaryDirectory(prefix="heartline-") as root:
            return soak(given, Path(root))
    except (ProcessLookupError, UserError) as error:
        sys.stderr.write(f"{error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
