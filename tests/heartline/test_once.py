"""What `agent --once` and `--explain` print: everything that is sent, and nothing that is not."""

import json

import pytest

from agent.once import Measurement
from heartline.once import explanation, print_measurement, run
from heartline.plain import print_json
from heartline.values import text_of
from shared.families import Route, Routes, Sensors, Temperature
from shared.families_explained import EXPLAINED
from shared.families_settings import FamiliesSettings, FamilySettings, ProcessSettings
from shared.inventory import Inventory
from shared.messages import Trouble
from shared.metrics import FAMILIES, Core
from shared.settings import AgentSettings

MEASUREMENT = Measurement(
    core=Core(cpu_busy_bp=1234, memory_total_kib=2048),
    families={
        "routes": Routes((Route("0.0.0.0/0", "192.0.2.1", "eth0", 100),)),
        "sensors": Sensors(
            (Temperature("cpu", "\x1b[31mcore", 61.25),), absent={"fans": "none on this host"}
        ),
    },
    inventory=Inventory("a-host", "an OS", "a kernel", "x86", "3.11", "0.1.0", "boot", 0),
    troubles=(Trouble("disks", "stuck", 12, "a reading has not returned"),),
    beat_bytes=123,
)


def test_measurement_is_shown_as_tables(capsys: pytest.CaptureFixture[str]) -> None:
    print_measurement(MEASUREMENT)
    shown = capsys.readouterr().out
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert "core sample: what is in every beat of 123 bytes" in lines
    assert "cpu_busy_bp 12% Time not idle and not waiting for I/O" in lines
    assert "0.0.0.0/0 192.0.2.1 eth0 100" in lines
    assert "absent fans: none on this host" in lines
    assert "hostname a-host" in lines
    assert lines[-1] == "disks stuck for 12 s: a reading has not returned"
    assert "\x1b" not in shown


def test_measurement_as_json_has_every_value_by_its_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_json(MEASUREMENT)
    shown = json.loads(capsys.readouterr().out)
    assert shown["core"]["cpu_busy_bp"] == 1234
    assert shown["core"]["cpu_user_bp"] is None
    assert shown["families"]["routes"]["routes"][0]["gateway"] == "192.0.2.1"
    assert shown["inventory"]["hostname"] == "a-host"
    assert shown["troubles"][0]["family"] == "disks"


def test_family_that_is_off_sends_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    families = FamiliesSettings(cpu=FamilySettings(enabled=False))
    assert run(AgentSettings(families=families), once=False, explain=True, as_json=False) == 0
    shown = capsys.readouterr().out
    assert "cpu: off; nothing of this leaves the host" in shown
    assert "memory: on, read every 5 s, sent in full every 60 s" in shown


def test_explanation_as_json_covers_every_family(capsys: pytest.CaptureFixture[str]) -> None:
    run(AgentSettings(), once=False, explain=True, as_json=True)
    shown = json.loads(capsys.readouterr().out)
    assert [each["family"] for each in shown] == list(FAMILIES)
    assert all(each["reads"] for each in shown)


def test_secrets_are_listed_as_not_sent_until_they_are_switched_on() -> None:
    explained = EXPLAINED["processes"]
    off = explanation("processes", ProcessSettings(), explained)
    assert "largest.environment" in off.not_sent
    assert "largest.environment" not in off.in_full
    on = explanation("processes", ProcessSettings(environment=True), explained)
    assert "largest.environment" in on.in_full
    assert "largest.command_line" in on.not_sent


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("used_ratio", 0.126, "13%"),
        ("total_bytes", 2048, "2.0K"),
        ("read_bytes_per_s", 2048.4, "2.0K/s"),
        ("reads_per_s", 12.6, "13/s"),
        ("uptime_s", 3700.0, "1h 1m"),
        ("celsius", 61.5, "62°"),
        ("frequency_mhz", 2596.1, "2596 MHz"),
        ("read_only", True, "yes"),
        ("by_state", {"running": 1, "idle": 2}, "running: 1, idle: 2"),
        ("addresses", ("192.0.2.1/24", "::1/128"), "192.0.2.1/24, ::1/128"),
        ("user", None, ""),
        ("load_1m", 0.5, "0.50"),
    ],
)
def test_value_is_written_by_the_unit_in_its_name(field: str, value: object, text: str) -> None:
    assert text_of(field, value) == text
