"""The core sample: its table is complete and its integers mean what their names say."""

import msgspec
import pytest

from docs.message_examples import CORE
from shared.metrics import Core, metrics


def test_table_has_every_field_in_wire_order() -> None:
    assert [metric.name for metric in metrics()] == list(Core.__struct_fields__)
    assert [metric.index for metric in metrics()] == list(range(64))


def test_every_metric_says_what_it_is() -> None:
    descriptions = [metric.description for metric in metrics()]
    assert all(descriptions)
    assert len(set(descriptions)) == len(descriptions)


@pytest.mark.parametrize(
    ("name", "unit", "scale"),
    [
        ("cpu_busy_bp", "ratio", 10_000),
        ("load_1m_centi", "load", 100),
        ("temperature_max_dc", "°C", 10),
        ("memory_total_kib", "KiB", 1),
        ("cpu_frequency_mhz", "MHz", 1),
        ("fan_min_rpm", "rpm", 1),
        ("disk_read_bytes_per_s", "B/s", 1),
        ("interrupts_per_s", "/s", 1),
        ("uptime_s", "s", 1),
        ("processes", "count", 1),
    ],
)
def test_unit_and_scale_follow_from_the_name(name: str, unit: str, scale: int) -> None:
    (metric,) = [metric for metric in metrics() if metric.name == name]
    assert (metric.unit, metric.scale) == (unit, scale)


def test_newer_agents_values_are_ignored_and_older_agents_are_unknown() -> None:
    values = msgspec.structs.astuple(CORE)
    newer = msgspec.msgpack.encode([*values, 1, None])
    assert msgspec.msgpack.decode(newer, type=Core) == CORE
    older = msgspec.msgpack.decode(msgspec.msgpack.encode(values[:10]), type=Core)
    assert older.context_switches_per_s == CORE.context_switches_per_s
    assert older.agent_memory_kib is None


@pytest.mark.parametrize("value", [-1, 2**53 + 1, 1.5, "1"])
def test_value_that_no_honest_host_has_is_refused(value: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode([value]), type=Core)
