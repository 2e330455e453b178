"""Physical memory and swap space."""

import psutil

from agent.collectors.reading import Reading, bp, kib, whole
from agent.rates import Counters, share
from shared.families import Memory, Swap
from shared.metrics import Family


class MemoryCollector:
    """How physical memory is used."""

    family: Family = "memory"

    def collect(self, now_s: float) -> Reading:
        """See `Collector`."""
        del now_s
        memory = psutil.virtual_memory()

        def optional(field: str) -> int | None:
            value: int | None = getattr(memory, field, None)
            return value

        data = Memory(
            total_bytes=memory.total,
            available_bytes=min(memory.available, memory.total),
            used_ratio=share(memory.total - memory.available, memory.total),
            free_bytes=memory.free,
            cached_bytes=optional("cached"),
            buffers_bytes=optional("buffers"),
            shared_bytes=optional("shared"),
            active_bytes=optional("active"),
            inactive_bytes=optional("inactive"),
            slab_bytes=optional("slab"),
        )
        core = {
            "memory_total_kib": kib(data.total_bytes),
            "memory_used_bp": bp(data.used_ratio),
            "memory_available_kib": kib(data.available_bytes),
            "memory_free_kib": kib(data.free_bytes),
            "memory_cached_kib": kib(data.cached_bytes),
            "memory_buffers_kib": kib(data.buffers_bytes),
            "memory_shared_kib": kib(data.shared_bytes),
        }
        return Reading(data, core, {"memory_total_kib": data.total_bytes // 1024})


class SwapCollector:
    """Swap space in use, and what goes to and from it."""

    family: Family = "swap"

    def __init__(self) -> None:
        self._traffic = Counters()

    def collect(self, now_s: float) -> Reading:
        """See `Collector`."""
        swap = psutil.swap_memory()
        rates = self._traffic.update({"all": (swap.sin, swap.sout)}, now_s)["all"]
        data = Swap(
            total_bytes=swap.total,
            used_bytes=swap.used,
            used_ratio=share(swap.used, swap.total) if swap.total else None,
            in_bytes_per_s=rates[0] if rates else None,
            out_bytes_per_s=rates[1] if rates else None,
            absent={} if swap.total else {"used": "this host has no swap space"},
        )
        core = {
            "swap_total_kib": kib(data.total_bytes),
            "swap_used_bp": bp(data.used_ratio),
            "swap_in_bytes_per_s": whole(data.in_bytes_per_s),
            "swap_out_bytes_per_s": whole(data.out_bytes_per_s),
        }
        return Reading(data, core, {"swap_total_kib": data.total_bytes // 1024})
