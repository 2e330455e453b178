"""What a run of the density benchmark says is what it has counted."""

import json
import math
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from bench.density.cost import Tree
from bench.density.figures import turned
from bench.density.histogram import Histogram
from bench.density.limit import Step
from bench.density.plots import Result, plots, read, table
from bench.density.samples import SHOWN, Samples
from bench.density.stamps import sent_mono_ms, shown_age_ms
from shared.metrics import Core

SVG = "{http://www.w3.org/2000/svg}"

KEPT_UP = Step(1000.0, 990.0, 0.6, 2.0, "0", 80.0, 60.0, 30.0, 30.0, 115.0)

RESULT: Result = {
    "server": "C, epoll",
    "links": 10,
    "options": {"period": 2.0, "workers": 0},
    "beats_per_s": 5,
    "us_per_beat": 20.5,
    "ack_curve": [[0.5, 0.2], [0.99, 3.0], [1.0, 9.0]],
    "linking_curve": [[0.0, 0], [0.2, 6], [0.4, 10]],
    "limit_curve": [{"sent_per_s": 900.0, "server_percent": 40.0, "load_percent": 30.0}],
}


def test_histograms_of_several_processes_add_up() -> None:
    ones, others, both = Histogram(), Histogram(), Histogram()
    for delay_s in (0.001, 0.002, 0.004):
        ones.add(delay_s)
        both.add(delay_s)
    for delay_s in (0.002, 0.5):
        others.add(delay_s)
        both.add(delay_s)
    ones.merge(others)
    assert (ones.counts, ones.total) == (both.counts, 5)
    found = [ones.at(part) or 0.0 for part in (0.2, 0.5, 0.8, 1.0)]
    for each, delay_s in zip(found, (0.001, 0.002, 0.004, 0.5), strict=True):
        assert math.isclose(each, delay_s, rel_tol=0.02)
    assert Histogram().at(0.5) is None


def test_a_sample_tells_when_it_was_sent_and_is_otherwise_the_recorded_one() -> None:
    samples = Samples()
    first, again = (
        msgspec.msgpack.decode(samples.core(SHOWN + 7, 3, mono_ms), type=Core)
        for mono_ms in (12_345_067, 98_765_999)
    )
    assert (sent_mono_ms(first), sent_mono_ms(again)) == (12_345_067, 98_765_999)
    stamped = {"uptime_s", "agent_memory_kib"}
    known = msgspec.structs.asdict(first)
    assert known["memory_total_kib"]
    assert {
        name for name, value in msgspec.structs.asdict(again).items() if known[name] != value
    } == stamped


def test_the_first_agents_show_on_a_screen_when_their_samples_were_sent() -> None:
    sent_ms = 987_654_321
    core = msgspec.msgpack.decode(Samples().core(SHOWN - 1, 3, sent_ms), type=Core)
    assert sent_mono_ms(core) == sent_ms
    assert core.cpu_busy_bp is not None
    assert core.memory_used_bp is not None
    percents = core.cpu_busy_bp / 100, core.memory_used_bp / 100
    assert percents == (54, 32)
    assert abs(shown_age_ms(54, 32, sent_ms + 61_500) - 61_500) <= 5


def test_what_an_ended_process_had_used_stays_counted() -> None:
    child = "import time\nwhile time.process_time() < 0.05: pass\nprint(flush=True)\ninput()"
    code = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', {child!r}], stdin=subprocess.PIPE)\n"
        "sys.stdin.readline()\nchild.communicate(b'\\n')\nprint(flush=True)\nsys.stdin.readline()"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        tree = Tree(process.pid)
        with_child = tree.cpu()
        assert len(tree.pids()) == 2
        assert with_child.all_s - with_child.hub_s >= 0.05
        process.stdin.write(b"\n")
        process.stdin.flush()
        process.stdout.readline()
        assert tree.pids() == [process.pid]
        assert min(tree.cpu().since(with_child)) >= 0
        process.stdin.close()


@pytest.mark.parametrize(
    ("behind", "gave_way"),
    [
        (KEPT_UP._replace(acknowledged_p99_s=4.0, busiest_percent=97.0), "the server:"),
        (KEPT_UP._replace(sent_per_s=900.0, busiest_load_percent=99.0), "the load:"),
        (KEPT_UP._replace(false_transitions="3 late", machine_percent=1e5), "the machine:"),
        (KEPT_UP._replace(false_transitions="3 late"), "unknown:"),
    ],
    ids=["server", "load", "machine", "unknown"],
)
def test_who_has_no_processor_time_left_has_given_way(behind: Step, gave_way: str) -> None:
    assert KEPT_UP.has_kept_up
    assert not behind.has_kept_up
    assert behind.gave_way().startswith(gave_way)


def test_plots_show_the_points_of_the_results() -> None:
    made = plots([{**RESULT, "links": 9, "beats_per_s": 50, "us_per_beat": 18.25}, RESULT])
    titles = {name: _points(text) for name, text in made.items()}
    assert titles == {
        "density-cpu.svg": ["C, epoll: 5, 20.5", "C, epoll: 50, 18.25"],
        "density-delays.svg": [
            "C, epoll: acknowledged: 0.5, 0.2",
            "C, epoll: acknowledged: 0.99, 3",
        ],
        "density-linking.svg": [
            f"C, epoll: cold start: {point}" for point in ("0, 0", "0.2, 6", "0.4, 10")
        ],
        "density-limit.svg": ["C, epoll: server: 900, 40", "C, epoll: load: 900, 30"],
    }


def test_the_latest_result_for_the_same_thing_is_the_one_in_the_table() -> None:
    lines = table([RESULT, {**RESULT, "us_per_beat": 18.25}]).splitlines()
    assert len(lines) == 3
    assert "| C, epoll | 10 | 5 | 18.25 |" in lines[2]


def test_a_master_with_workers_is_a_server_of_its_own(tmp_path: Path) -> None:
    kept = tmp_path / "results.jsonl"
    alone = {**RESULT, "server": "heartline"}
    lines = [alone, {**alone, "options": {"period": 2.0, "workers": 3}}, RESULT]
    kept.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert [row["server"] for row in read(kept)] == [
        "heartline",
        "heartline, 3 workers",
        "C, epoll",
    ]


def test_a_table_has_a_column_for_each_server_and_no_curves() -> None:
    rows: list[dict[str, object]] = [{**RESULT}, {"server": "heartline", "links": 9}]
    del rows[0]["options"]
    assert turned(rows) == [
        {"": "links", "C, epoll": 10, "heartline": 9},
        {"": "beats_per_s", "C, epoll": 5, "heartline": "-"},
        {"": "us_per_beat", "C, epoll": 20.5, "heartline": "-"},
    ]


def _points(text: str) -> list[str]:
    circles = ElementTree.fromstring(text).iter(f"{SVG}circle")
    return [circle.findtext(f"{SVG}title", "") for circle in circles]
