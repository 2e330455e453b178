"""The hosts of one demo fleet: which there are, what they are called and what is in them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct

from heartline.demo.noise import scramble, unit
from heartline.demo.roles import OUTPOSTS, ROLES, SITES, Role, Site

RACK_HOSTS: Final = 10
"""So many share a rack, and with it a switch."""

YOUNGEST_S: Final = 9 * 3600.0
OLDEST_S: Final = 290 * 86_400.0
"""How long hosts have been up when the demo begins."""

GIB_IN_KIB: Final = 2**20


class Host(Struct, frozen=True):
    """One host. Two with the same `key` behave the same."""

    number: int
    """Its place in the fleet."""
    key: int
    name: str
    role: Role
    site: Site
    rack: str
    slot: int
    """Its place in the rack, from 1."""
    cpus: int
    memory_kib: int
    booted_s: float
    """When it was booted, on the demo's clock: long before 0."""
    lively: float
    """How busy it is beside others of its kind: 1 is as they are."""

    @property
    def labels(self) -> dict[str, str]:
        """What its agent is configured to call it by."""
        return {"role": self.role.name, "site": self.site.code, "rack": self.rack}

    @property
    def ipv4(self) -> str:
        """Its address in the fleet's own network."""
        return f"10.{self.site.number}.{self._rack_number}.{10 + self.slot}"

    @property
    def ipv6(self) -> str:
        """The same, for the other protocol."""
        return f"2001:db8:{self.site.number:x}:{self._rack_number:x}::{10 + self.slot:x}"

    @property
    def gateway(self) -> str:
        """The router of its rack."""
        return f"10.{self.site.number}.{self._rack_number}.1"

    @property
    def _rack_number(self) -> int:
        return int(self.rack.rpartition("-")[2][1:])


def fleet(count: int, seed: int) -> tuple[Host, ...]:
    """`count` hosts; a larger fleet of the same seed begins with the same hosts."""
    roles = _deal([role.weight for role in ROLES])
    sites = {role.name: _deal([site.weight for site in SITES]) for role in ROLES}
    outposts = _deal([site.weight for site in OUTPOSTS])
    numbers: Counter[tuple[str, str]] = Counter()
    places: Counter[str] = Counter()
    hosts: list[Host] = []
    for number in range(count):
        role = ROLES[next(roles)]
        site = OUTPOSTS[next(outposts)] if role.name == "edge" else SITES[next(sites[role.name])]
        numbers[role.name, site.code] += 1
        rack, place = divmod(places[site.code], RACK_HOSTS)
        places[site.code] += 1
        key = scramble(seed, number)
        cpus = role.cpus[scramble(key, 1) % len(role.cpus)]
        hosts.append(
            Host(
                number=number,
                key=key,
                name=f"{role.name}-{numbers[role.name, site.code]:02d}.{site.code}",
                role=role,
                site=site,
                rack=f"{site.code}-r{rack + 1}",
                slot=place + 1,
                cpus=cpus,
                memory_kib=round(cpus * role.gib_per_cpu * GIB_IN_KIB * 0.98),
                # Cubed: most hosts were rebooted lately, a few nobody dares to touch.
                booted_s=-(YOUNGEST_S + (OLDEST_S - YOUNGEST_S) * unit(key, 2) ** 3),
                lively=0.65 + 0.7 * unit(key, 3),
            )
        )
    return tuple(hosts)


def _deal(weights: Sequence[int]) -> Iterator[int]:
    """Places in `weights`, for ever, each as often as its weight says and as evenly as can be."""
    total = sum(weights)
    owed = [0] * len(weights)
    while True:
        for place, weight in enumerate(weights):
            owed[place] += weight
        most = max(range(len(weights)), key=lambda place: owed[place])
        owed[most] -= total
        yield most
