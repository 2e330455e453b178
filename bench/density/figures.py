"""What counts and delays look like in a row of the results."""

from typing import Final

from bench.density.cost import Cpu
from bench.density.histogram import Histogram
from bench.density.load import Report

CURVE: Final = "_curve"
"""How the keys of a row end that hold many points: for plots, not for a table."""

_PARTS: Final = (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 0.9999, 1.0)


def cpu_figures(
    used: Cpu, beats: int, measured_s: float, *, has_workers: bool
) -> dict[str, object]:
    """What a beat cost; with workers, what of it the first process did, and what all others."""
    per_beat = 1e6 / max(1, beats)
    figures: dict[str, object] = {
        "beats_per_s": round(beats / measured_s),
        "us_per_beat": round(used.all_s * per_beat, 1),
        "user_us": round(used.user_s * per_beat, 1),
        "system_us": round(used.system_s * per_beat, 1),
        "first_us": round(used.first_thread_s * per_beat, 1),
        "cpu_percent": percent(used.all_s, measured_s),
    }
    if has_workers:
        figures["hub_percent"] = percent(used.hub_s, measured_s)
        figures["workers_percent"] = percent(used.all_s - used.hub_s, measured_s)
    return figures


def delay_figures(report: Report) -> dict[str, object]:
    """From a beat's being written to its answers."""
    return {
        **quantiles("ack", report.acknowledged),
        **quantiles("confirmed", report.confirmed),
        "late_p99_ms": milliseconds(report.late, 0.99),
        "lost_links": report.lost_links,
    }


def quantiles(name: str, delays: Histogram) -> dict[str, object]:
    """The usual three, and points enough to draw them all."""
    return {
        f"{name}_p50_ms": milliseconds(delays, 0.5),
        f"{name}_p99_ms": milliseconds(delays, 0.99),
        f"{name}_p999_ms": milliseconds(delays, 0.999),
        f"{name}{CURVE}": [[part, milliseconds(delays, part)] for part in _PARTS],
    }


def milliseconds(delays: Histogram, part: float) -> object:
    """The delay that this part of all was not above; `-` where there was none."""
    delay_s = delays.at(part)
    return "-" if delay_s is None else round(delay_s * 1000, 2)


def percent(used_s: float, measured_s: float) -> float:
    """Of one core."""
    return round(used_s / measured_s * 100, 1)


def turned(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """A column per server: there is more to say of each than there are servers."""
    keys = [key for key in dict.fromkeys(key for row in rows for key in row) if key != "server"]
    return [
        {"": key} | {str(row["server"]): row.get(key, "-") for row in rows}
        for key in keys
        if not key.endswith(CURVE)
    ]
