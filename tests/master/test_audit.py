"""The audit log: everything that matters, nothing secret, and never more than a disk can take."""

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from master.audit import (
    FILES_KEPT,
    LINES_IN_ALL,
    LINES_PER_PEER,
    PEERS_COUNTED,
    SUMMARY_EVERY_S,
    Audit,
)

ADDRESS = "192.0.2.1"
NOW_MS = 1_795_000_000_000


@pytest.fixture
def audit(tmp_path: Path) -> Iterator[Audit]:
    log = Audit(tmp_path / "audit.jsonl", lambda: NOW_MS)
    yield log
    log.close()


def lines(audit: Audit) -> list[dict[str, Any]]:
    return [json.loads(line) for line in audit.path.read_text("utf-8").splitlines()]


def test_record_is_one_json_line_with_its_time(audit: Audit) -> None:
    audit.record("enrolled", name="web-1", uses=3)
    assert lines(audit) == [{"wall_ms": NOW_MS, "action": "enrolled", "name": "web-1", "uses": 3}]


def test_nobody_else_can_read_it(audit: Audit) -> None:
    assert stat.S_IMODE(audit.path.stat().st_mode) == 0o600


def test_what_a_stranger_sends_cannot_forge_a_line_or_drive_a_terminal(audit: Audit) -> None:
    audit.record("denied", name='web"}\n{"action": "revoked"}\x1b[2J\u202e')
    audit.record("denied", name="second")
    written = audit.path.read_text("utf-8")
    assert "\x1b" not in written
    assert "\u202e" not in written
    assert [line["name"] for line in lines(audit)] == ['web"} {"action": "revoked"}[2J', "second"]


def test_lone_surrogates_do_not_stop_it(audit: Audit) -> None:
    audit.record("denied", name="a\ud800b")
    assert lines(audit)[0]["name"] == "ab"


def test_limits_are_summed_up_per_limit_and_address(audit: Audit) -> None:
    for _ in range(1000):
        audit.limit_hit("connections", ADDRESS)
    audit.limit_hit("connections", "192.0.2.2")
    audit.limit_hit("flood", ADDRESS)
    audit.limit_hit("flood", ADDRESS, 70)
    assert lines(audit) == []
    audit.write_summary()
    assert [(line["code"], line["address"], line["times"]) for line in lines(audit)] == [
        ("connections", ADDRESS, 1000),
        ("connections", "192.0.2.2", 1),
        ("flood", ADDRESS, 71),
    ]


def test_each_summary_begins_from_nothing(audit: Audit) -> None:
    audit.limit_hit("connections", ADDRESS)
    audit.write_summary()
    audit.write_summary()
    assert len(lines(audit)) == 1


def test_a_network_of_ipv6_addresses_counts_as_one(audit: Audit) -> None:
    for host in range(100):
        audit.limit_hit("connections", f"2001:db8:0:1::{host:x}")
    audit.write_summary()
    assert [(line["address"], line["times"]) for line in lines(audit)] == [
        ("2001:db8:0:1::/64", 100)
    ]


def test_first_incidents_are_written_whole_and_the_rest_summed_up(audit: Audit) -> None:
    for _ in range(1000):
        audit.incident("enrolment-denied", ADDRESS, code="bad-token", token="00ff")
    assert len(lines(audit)) == LINES_PER_PEER
    audit.write_summary()
    assert lines(audit)[-1] == {
        "wall_ms": NOW_MS,
        "action": "enrolment-denied",
        "code": "bad-token",
        "address": ADDRESS,
        "times": 1000 - LINES_PER_PEER,
    }


def test_few_incidents_need_no_summary(audit: Audit) -> None:
    audit.incident("denied", ADDRESS, code="revoked", identity="a")
    audit.write_summary()
    assert len(lines(audit)) == 1


def test_incident_is_news_once_between_two_summaries(audit: Audit) -> None:
    def used() -> bool:
        return audit.incident("denied", ADDRESS, code="superseded", identity="a")

    assert [used(), used(), used()] == [True, False, False]
    audit.write_summary()
    assert used()


def test_port_of_a_peer_makes_no_difference(audit: Audit) -> None:
    assert audit.incident("protocol-error", f"{ADDRESS}:1000", code="flood", identity="a")
    assert not audit.incident("protocol-error", f"{ADDRESS}:1001", code="flood", identity="a")
    assert audit.incident("protocol-error", "[2001:db8::1]:1000", code="flood", identity="a")
    assert not audit.incident("protocol-error", "[2001:db8::2]:99", code="flood", identity="a")


def test_flood_from_everywhere_costs_a_bounded_number_of_lines(audit: Audit) -> None:
    for number in range(20_000):
        address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        audit.incident("enrolment-denied", address, code="bad-token", token="00ff")
        audit.limit_hit("connections", address)
    audit.write_summary()
    written = lines(audit)
    assert len(written) <= LINES_IN_ALL + PEERS_COUNTED + 2
    assert sum(line.get("times", 1) for line in written) == 40_000


def test_flood_from_everywhere_does_not_hide_a_copied_key(audit: Audit) -> None:
    for number in range(2 * PEERS_COUNTED):
        audit.limit_hit("connections", f"10.0.{number >> 8}.{number & 255}")
    assert audit.incident("denied", ADDRESS, code="superseded", identity="a")
    assert audit.incident("denied", ADDRESS, code="superseded", identity="b")
    assert not audit.incident("denied", "192.0.2.99", code="superseded", identity="b")


def test_full_file_is_begun_anew_and_the_oldest_dropped(tmp_path: Path) -> None:
    limit = 1000
    audit = Audit(tmp_path / "audit.jsonl", lambda: NOW_MS, file_limit_bytes=limit)
    for number in range(500):
        audit.record("event", number=number)
    audit.close()
    files = sorted(tmp_path.iterdir())
    assert len(files) == FILES_KEPT + 1
    assert all(file.stat().st_size <= limit for file in files)
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)
    oldest_first = [audit.path.with_name(f"audit.jsonl.{n}") for n in range(FILES_KEPT, 0, -1)]
    numbers = [
        json.loads(line)["number"]
        for file in [*oldest_first, audit.path]
        for line in file.read_text().splitlines()
    ]
    assert numbers == list(range(numbers[0], 500))


def test_later_start_goes_on_where_the_last_one_stopped(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    for number in range(20):
        audit = Audit(path, lambda: NOW_MS, file_limit_bytes=500)
        audit.record("event", number=number)
        audit.close()
    assert path.stat().st_size <= 500
    assert path.with_name("audit.jsonl.1").exists()


def test_disk_that_is_full_stops_nothing_and_leaves_no_half_line(
    audit: Audit, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real_write = os.write
    audit.record("before")

    def write_a_little(descriptor: int, data: bytes) -> int:
        return real_write(descriptor, data[:10])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write_a_little)
        audit.record("lost")
    audit.record("after")
    assert [line["action"] for line in lines(audit)] == ["before", "after"]
    assert "the audit log cannot be written" in caplog.text


async def test_summary_is_written_every_minute(
    audit: Audit, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    nursery.start_soon(audit.run)
    for minute in range(1, 4):
        audit.limit_hit("connections", ADDRESS)
        await trio.sleep(SUMMARY_EVERY_S + 1)
        assert len(lines(audit)) == minute


def test_what_was_counted_is_written_at_the_end(tmp_path: Path) -> None:
    audit = Audit(tmp_path / "audit.jsonl", lambda: NOW_MS)
    audit.limit_hit("connections", ADDRESS)
    audit.close()
    assert len(lines(audit)) == 1
