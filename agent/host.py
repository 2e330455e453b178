"""The part of the inventory that no family measures: the host's system, and the agent on it."""

import platform
import socket
import time
from pathlib import Path
from typing import Final

import psutil

from agent.wording import fit
from shared import VERSION
from shared.families_settings import FamiliesSettings
from shared.inventory import FamilyInfo, Inventory

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


def host_inventory(settings: FamiliesSettings, labels: dict[str, str]) -> Inventory:
    """The host before any family is read. Reads a few small files; blocks."""
    return Inventory(
        hostname=fit(socket.gethostname()),
        os=fit(_os_name()),
        kernel=fit(f"{platform.system()} {platform.release()}"),
        architecture=platform.machine(),
        python=platform.python_version(),
        agent_version=VERSION,
        boot_id=boot_id(),
        boot_wall_s=int(psutil.boot_time()),
        labels=labels,
        families=tuple(
            [
                FamilyInfo(family, each.enabled, each.period_s, max(each.period_s, each.detail_s))
                for family, each in settings.each()
            ]
        ),
    )


def boot_id() -> str:
    """Changes with every boot: the kernel's own where it has one, else the time of the boot.

    That time is rounded to a minute, for it is the wall clock less the uptime and moves with both.
    """
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return time.strftime("boot-%Y%m%dT%H%MZ", time.gmtime(psutil.boot_time()))


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.platform(terse=True)
