"""When a beat was sent, told by its own sample, so that whoever sees it can say how old it is.

Two of the integers carry it, as they would look on a host that was booted when this one was: the
uptime in seconds, and in the agent's own memory the milliseconds. On the grid of one agent's beats
these hardly vary, so the master's history finds nothing unusual in them.
"""

import struct
from typing import Final

from shared.metrics import Core

_BASE_KIB: Final = 30_000
"""As large as an agent is, and of the same length on the wire whatever is added to it."""

_UPTIME: Final = struct.Struct(">BI")
_MEMORY: Final = struct.Struct(">BH")
_UINT32: Final = 0xCE
_UINT16: Final = 0xCD
"""MessagePack's marks of integers that take four bytes and two."""


def stamp(sent_mono_ms: int) -> tuple[bytes, bytes]:
    """What to send as `uptime_s` and as `agent_memory_kib`."""
    seconds, milliseconds = divmod(sent_mono_ms, 1000)
    return _UPTIME.pack(_UINT32, seconds), _MEMORY.pack(_UINT16, _BASE_KIB + milliseconds)


def shown_stamp(sent_mono_ms: int) -> tuple[int, int]:
    """What to send as `cpu_busy_bp` and as `memory_used_bp` so that a screen with whole percents
    tells it: seconds and hundredths."""
    seconds, milliseconds = divmod(sent_mono_ms, 1000)
    return seconds % 100 * 100, milliseconds // 10 * 100


def shown_age_ms(cpu_percent: int, memory_percent: int, now_mono_ms: int) -> int:
    """How old a sample with such a stamp is, to 5 ms: less than a hundred seconds."""
    return (now_mono_ms - cpu_percent * 1000 - memory_percent * 10 - 5) % 100_000


def sent_mono_ms(core: Core) -> int | None:
    """When a sample was sent, on this host's monotonic clock; None: it is not stamped."""
    if core.uptime_s is None or core.agent_memory_kib is None:
        return None
    return core.uptime_s * 1000 + core.agent_memory_kib - _BASE_KIB
