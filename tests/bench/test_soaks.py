"""What befalls a fleet under soak, what is read of a process, and what is reported of both."""

import csv
import json
import os
import random
import socket
import subprocess
import tomllib
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.churn import PER_H, Kind, blows
from bench.process_gauge import held_by, held_by_all, numbers_of, threads_of
from bench.slopes import Verdict
from bench.soak_agent import agent_settings, cadences
from bench.soak_report import Limit, Row, findings, grown, print_soak, write_samples
from bench.troubled_line import TroubledLine
from shared import config
from shared.settings import AgentSettings
from tests.eventually import eventually_in_processes

STATUS = "Name:\tpython3\nVmRSS:\t   61440 kB\nRssAnon:\t   40960 kB\nThreads:\t4\n"


def test_same_seed_gives_the_same_churn() -> None:
    first, again = (list(islice(blows(500, 1.0, random.Random(7)), 200)) for _ in range(2))
    other = list(islice(blows(500, 1.0, random.Random(8)), 200))
    assert first == again != other


def test_churn_is_as_frequent_as_it_says() -> None:
    agents, hours = 1000, 2.0
    counts: Counter[Kind] = Counter()
    for blow in blows(agents, 2.0, random.Random(1)):
        if blow.at_s > hours * 3600:
            break
        counts[blow.kind] += 1
    for kind, per_h in PER_H.items():
        expected = per_h * agents * hours * 2.0
        assert 0.9 * expected < counts[kind] < 1.1 * expected


def test_only_what_lasts_has_a_length() -> None:
    for blow in islice(blows(10, 1.0, random.Random(1)), 500):
        assert (blow.length_s > 0) == (blow.kind in {Kind.LEAVE, Kind.FREEZE})
        assert 0 <= blow.lot < 1


def test_numbers_are_read_from_the_kernels_text() -> None:
    assert numbers_of(STATUS) == (40960, 61440)
    assert threads_of(STATUS) == 4
    with pytest.raises(ProcessLookupError):
        numbers_of("Name:\tpython3\nState:\tZ (zombie)\n")


def test_descriptor_that_is_opened_is_counted() -> None:
    before = held_by(os.getpid()).descriptors
    with socket.socket():
        assert held_by(os.getpid()).descriptors == before + 1


def test_processes_are_counted_together_without_those_that_have_ended() -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    alone = held_by(os.getpid())
    together = held_by_all([os.getpid(), ended.pid, os.getpid()])
    assert together.descriptors == 2 * alone.descriptors
    assert together.threads == 2 * alone.threads


def test_growth_over_the_limit_is_found_after_the_warm_up() -> None:
    rows = [
        Row(at_s, {"leaking": 1e6 + at_s, "flat": 7.0, "warming": 1e4 if at_s < 600 else 2e4})
        for at_s in map(float, range(0, 3600, 5))
    ]
    limits = [Limit("leaking", 1000.0), Limit("flat", 1.0), Limit("warming", 1.0)]
    leaking, flat, warming = findings(rows, limits, warm_up_s=600.0, block_s=60.0)
    assert round(leaking.per_h) == 3600
    assert (flat.first_minute, flat.last_minute) == (7.0, 7.0)
    assert warming.verdict is Verdict.FLAT
    assert grown([leaking, flat, warming]) == ["leaking"]
    with pytest.raises(ValueError, match="after the warm-up"):
        findings(rows, limits, warm_up_s=4000.0, block_s=60.0)


def test_report_is_json_also_where_nothing_could_be_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [Row(0.0, {"value": 1.0}), Row(5.0, {"value": 2.0})]
    found = findings(rows, [Limit("value", 1.0)], warm_up_s=0.0, block_s=60.0)
    print_soak(found, {"agents": 3}, as_json=True)
    report = json.loads(capsys.readouterr().out)
    assert report["agents"] == 3
    assert report["findings"][0]["verdict"] == "undecided"
    assert report["findings"][0]["plus_minus"] is None
    print_soak(found, {"table": [{"what": "beats", "days": 0.1}]}, as_json=False)
    assert "beats   0.1" in capsys.readouterr().out


def test_samples_are_written_as_table_and_picture(tmp_path: Path) -> None:
    rows = [Row(5.0 * number, {"a&b": float(number), "flat": 3.0}) for number in range(10)]
    write_samples(tmp_path / "new" / "soak", rows, ("a&b", "flat"), warm_up_s=20.0)
    with (tmp_path / "new" / "soak.csv").open() as stream:
        table = list(csv.DictReader(stream))
    assert table[3] == {"at_s": "15.0", "a&b": "3.0", "flat": "3.0"}
    drawn = ElementTree.parse(tmp_path / "new" / "soak.svg").getroot()
    curves = drawn.findall("{http://www.w3.org/2000/svg}polyline")
    assert [len(curve.attrib["points"].split()) for curve in curves] == [10, 10]


def test_agent_under_soak_reads_everything_each_second(tmp_path: Path) -> None:
    path = tmp_path / "heartline.toml"
    path.write_text(agent_settings())
    assert tomllib.loads(agent_settings())["link"]["ping_after_s"] == 1
    settings = config.load(path, environment={}, required=True).agent
    for _, family in settings.families.each():
        assert family.enabled
        assert (family.period_s, family.detail_s) == (1.0, 1.0)
    assert settings.spool_hours == AgentSettings().spool_hours / 48


def test_days_worth_follow_from_the_default_settings() -> None:
    rows = {row.what: row for row in cadences(samples=1_728, renewals=10, length_s=1_800.0)}
    assert rows["beats"].a_day == 17_280
    assert rows["beats"].days == 0.1
    assert rows["routes read"].days == 6.25
    assert rows["certificates renewed"].days == 195.0
    assert sum("connections" in what for what in rows) == 2


@contextmanager
def line_to_server() -> Generator[tuple[TroubledLine, socket.socket, socket.socket]]:
    """A line, and both ends of a connection over it."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        TroubledLine(server.getsockname()[1]) as line,
        dial(line) as dialled,
    ):
        accepted, _ = server.accept()
        with accepted:
            accepted.settimeout(10)
            yield line, dialled, accepted


def dial(line: TroubledLine) -> socket.socket:
    host, _, port = line.address.partition(":")
    return socket.create_connection((host, int(port)), 10)


def test_line_passes_on_until_it_is_reset() -> None:
    with line_to_server() as (line, dialled, accepted):
        dialled.sendall(b"there")
        assert accepted.recv(16) == b"there"
        accepted.sendall(b"and back")
        assert dialled.recv(16) == b"and back"
        line.reset()
        for sock in (dialled, accepted):
            with pytest.raises(ConnectionResetError):
                sock.recv(16)
        assert line.connections == 1


def test_silent_line_passes_nothing_on_and_ends_nothing() -> None:
    with line_to_server() as (line, dialled, accepted):
        line.swallow()
        dialled.sendall(b"lost")
        accepted.settimeout(0.2)
        with pytest.raises(TimeoutError):
            accepted.recv(16)
        with dial(line):  # a new connection is passed on
            eventually_in_processes(lambda: line.connections == 2)
        line.reset()
        with pytest.raises(ConnectionResetError):
            accepted.recv(16)
