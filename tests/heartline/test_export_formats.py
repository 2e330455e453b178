"""What `heartline export` writes."""

import csv
import io
import json
import re

import pytest

from heartline.export_formats import WRITERS, Row, exposed
from shared.metrics import Core, metrics

AWKWARD = 'a"b\\c,d'
ROWS = [
    Row("web", "aa11", 1_795_132_800_007, "boot", 5, Core(cpu_busy_bp=1234, memory_total_kib=8)),
    Row("web", "aa11", 1_795_132_805_000, "boot", 6, Core(cpu_busy_bp=0)),
    Row(AWKWARD, "bb22", 1_795_132_800_000, "boot", 1, Core(temperature_max_dc=415)),
]


def written(form: str, rows: list[Row]) -> str:
    stream = io.StringIO()
    with WRITERS[form](stream) as writer:
        for row in rows:
            writer.write([row])
    return stream.getvalue()


def test_csv_has_a_line_per_sample_and_a_column_per_metric() -> None:
    header, *lines = csv.reader(io.StringIO(written("csv", ROWS)))
    assert header == ["node", "node_id", "time", "boot_id", "sequence", *Core.__struct_fields__]
    records = [dict(zip(header, line, strict=True)) for line in lines]
    assert records[0]["time"] == "2026-11-20T00:00:00.007Z"
    assert [record["cpu_busy_bp"] for record in records] == ["1234", "0", ""]
    assert records[2]["node"] == AWKWARD


def test_json_lines_have_an_object_per_sample() -> None:
    records = [json.loads(line) for line in written("jsonl", ROWS).splitlines()]
    assert [record["sequence"] for record in records] == [5, 6, 1]
    assert list(records[0]["core"]) == list(Core.__struct_fields__)
    assert records[0]["core"]["cpu_busy_bp"] == 1234
    assert records[0]["core"]["users"] is None
    assert records[2]["node"] == AWKWARD


@pytest.mark.parametrize("form", list(WRITERS))
def test_nothing_is_a_whole_document_too(form: str) -> None:
    expected = {"csv": 1, "jsonl": 0, "openmetrics": 1}
    assert len(written(form, []).splitlines()) == expected[form]


def test_openmetrics_has_all_of_a_metric_together_in_base_units_with_times() -> None:
    assert written("openmetrics", ROWS).splitlines() == [
        "# TYPE heartline_cpu_busy_ratio gauge",
        "# UNIT heartline_cpu_busy_ratio ratio",
        "# HELP heartline_cpu_busy_ratio Time not idle and not waiting for I/O",
        'heartline_cpu_busy_ratio{node="web",node_id="aa11"} 0.1234 1795132800.007',
        'heartline_cpu_busy_ratio{node="web",node_id="aa11"} 0.0 1795132805.000',
        "# TYPE heartline_memory_total_bytes gauge",
        "# UNIT heartline_memory_total_bytes bytes",
        "# HELP heartline_memory_total_bytes Physical memory",
        'heartline_memory_total_bytes{node="web",node_id="aa11"} 8192 1795132800.007',
        "# TYPE heartline_temperature_max_celsius gauge",
        "# UNIT heartline_temperature_max_celsius celsius",
        "# HELP heartline_temperature_max_celsius Hottest sensor",
        'heartline_temperature_max_celsius{node="a\\"b\\\\c,d",node_id="bb22"} 41.5 1795132800.000',
        "# EOF",
    ]


def test_every_metric_has_a_name_of_its_own_that_ends_in_its_unit() -> None:
    shown = [exposed(metric) for metric in metrics()]
    assert len({each.name for each in shown}) == len(shown)
    for each in shown:
        assert re.fullmatch(r"heartline_[a-z][a-z0-9_]*", each.name)
        assert each.name.endswith(each.unit)


def test_openmetrics_that_ends_in_an_error_claims_no_end() -> None:
    stream = io.StringIO()

    def interrupted() -> None:
        with WRITERS["openmetrics"](stream) as writer:
            writer.write(ROWS)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert "# EOF" not in stream.getvalue()
