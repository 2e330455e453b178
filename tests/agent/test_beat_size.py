"""A beat is small: at most 400 bytes on the wire with at least 50 values."""

import msgspec
import trio

from agent.once import measure_once
from shared.families_settings import FamiliesSettings
from shared.messages import Beat, encode, raw
from shared.metrics import Core, metrics

TLS_RECORD_BYTES = 22
"""TLS 1.3 with AES-GCM: a header of 5, the kind of content in 1, a tag of 16."""

LIMIT_BYTES = 400
VALUES = 50

LARGE_HOST = {
    "basis points": 10_000,
    "KiB": 3 * 2**30,  # 3 TiB of memory
    "B/s": 12_500_000_000,  # 100 Gb/s on every path at once
    "/s": 10_000_000,
    "count": 50_000,
}


def beat_bytes(core: Core) -> int:
    beat = Beat(2**31, 2**40, 2**41, 5_000, raw(core))
    return len(encode(beat)) + TLS_RECORD_BYTES


def test_beat_of_a_large_and_busy_host_is_within_the_limit() -> None:
    values: dict[str, int] = {}
    for metric in metrics():
        unit = "basis points" if metric.scale == 10_000 else metric.unit
        values[metric.name] = LARGE_HOST.get(unit, 100_000)
    assert beat_bytes(Core(**values)) <= LIMIT_BYTES


async def test_beat_of_this_host_is_within_the_limit_and_says_enough() -> None:
    with trio.fail_after(60):
        measurement = await measure_once(FamiliesSettings(), {})
    known = [v for v in msgspec.structs.astuple(measurement.core) if v is not None]
    assert len(known) >= VALUES
    assert measurement.beat_bytes + TLS_RECORD_BYTES <= LIMIT_BYTES
    assert measurement.troubles == ()
    assert measurement.core.cpu_busy_bp is not None, "rates need two readings, and have them"
