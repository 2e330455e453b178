"""Temperatures, fans and the battery, where the host has them."""

import sys
from typing import Final

import psutil

from agent.collectors.reading import Reading, bp, whole
from agent.wording import fit
from shared.families import ROWS_LIMIT, Battery, Fan, Sensors, Temperature
from shared.metrics import Family

COLDEST_CELSIUS: Final = -90.0
HOTTEST_CELSIUS: Final = 200.0
"""Beyond these a sensor is not connected or not initialised: -273, 255 and 65261 are common."""


class SensorsCollector:
    """What the host's chips report. psutil has these on some systems only."""

    family: Family = "sensors"

    def collect(self, now_s: float) -> Reading:
        """See `Collector`."""
        del now_s
        temperatures = _temperatures()
        fans = _fans()
        battery = _battery()
        found = {"temperatures": temperatures, "fans": fans, "battery": battery}
        data = Sensors(
            temperatures=tuple(temperatures[:ROWS_LIMIT]),
            fans=tuple(fans[:ROWS_LIMIT]),
            battery=battery,
            left_out=max(0, len(temperatures) - ROWS_LIMIT) + max(0, len(fans) - ROWS_LIMIT),
            absent={name: _reason(name) for name, value in found.items() if not value},
        )
        plugged = battery.plugged if battery else None
        core = {
            "temperature_max_dc": whole(max([t.celsius for t in temperatures], default=None), 10),
            "fan_min_rpm": min([fan.speed_rpm for fan in fans], default=None),
            "battery_bp": bp(battery.charge_ratio) if battery else None,
            "power_plugged": None if plugged is None else int(plugged),
        }
        names = {fit(f"{row.chip}/{row.label}") for row in temperatures}
        names |= {fit(f"{row.chip}/{row.label}") for row in fans}
        return Reading(data, core, {"sensors": tuple(sorted(names)[:ROWS_LIMIT])})


def believable(celsius: float | None) -> float | None:
    """A temperature that something can have, or None."""
    if celsius is None or not COLDEST_CELSIUS <= celsius <= HOTTEST_CELSIUS:
        return None
    return celsius


def _reason(name: str) -> str:
    offered = hasattr(psutil, f"sensors_{name}")
    return "none on this host" if offered else f"not offered on {sys.platform}"


def _temperatures() -> list[Temperature]:
    if not hasattr(psutil, "sensors_temperatures"):
        return []
    return [
        Temperature(
            chip=fit(chip),
            label=fit(row.label or str(number)),
            celsius=row.current,
            high_celsius=believable(row.high),
            critical_celsius=believable(row.critical),
        )
        for chip, rows in psutil.sensors_temperatures().items()
        for number, row in enumerate(rows, start=1)
        if believable(row.current) is not None
    ]


def _fans() -> list[Fan]:
    if not hasattr(psutil, "sensors_fans"):
        return []
    return [
        Fan(chip=fit(chip), label=fit(row.label or str(number)), speed_rpm=row.current)
        for chip, rows in psutil.sensors_fans().items()
        for number, row in enumerate(rows, start=1)
        if row.current >= 0
    ]


def _battery() -> Battery | None:
    row = psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
    if row is None:
        return None
    return Battery(
        charge_ratio=min(max(row.percent / 100, 0.0), 1.0),
        plugged=row.power_plugged,
        left_s=int(row.secsleft) if row.secsleft >= 0 else None,
    )
