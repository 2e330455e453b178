"""One measurement of this host, as an agent would send it, without a master."""

from typing import Final

import trio
from msgspec import Struct

from agent.batch import trio_clock
from agent.collectors import collectors
from agent.host import host_inventory
from agent.sampler import Sampler
from shared.clock import wall_ms
from shared.families import FamilyData
from shared.families_settings import FamiliesSettings
from shared.inventory import Inventory
from shared.messages import Beat, FamilySample, Trouble, encode, raw
from shared.metrics import Core, Family

APART_S: Final = 1.0
"""Between the two readings that rates need."""

_PERIOD_MS: Final = 5_000


class Measurement(Struct, frozen=True):
    """What an agent would send of its host."""

    core: Core
    families: dict[Family, FamilyData]
    inventory: Inventory
    troubles: tuple[Trouble, ...]
    beat_bytes: int
    """Length of the beat that carries this core sample, framed, before encryption."""


async def measure_once(settings: FamiliesSettings, labels: dict[str, str]) -> Measurement:
    """Reads every family that is switched on twice, a second apart.

    A collector that hangs is left behind after its deadline and named in `troubles`.
    """
    host = host_inventory(settings, labels)
    sampler = Sampler(
        collectors(settings), settings, host, _Nowhere(), clock=trio_clock(), wall_ms=wall_ms
    )
    await sampler.read_all()
    await trio.sleep(APART_S)
    await sampler.read_all()
    now_s = trio.current_time()
    core, troubles = sampler.core(now_s), sampler.troubles(now_s)
    beat = Beat(1, round(now_s * 1000), wall_ms(), _PERIOD_MS, raw(core), troubles)
    return Measurement(
        core=core,
        families=sampler.families(),
        inventory=sampler.inventory() or host,
        troubles=troubles,
        beat_bytes=len(encode(beat)),
    )


class _Nowhere:
    """A sink for what nobody waits for: all of it is asked for at the end."""

    def on_family(self, sample: FamilySample) -> None:
        del sample

    def on_inventory(self, inventory: Inventory) -> None:
        del inventory
