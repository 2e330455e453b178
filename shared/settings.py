"""Every setting: its name, bounds, default and meaning.

A section of `heartline.toml` is a Struct here; where its values come from is `shared.config`.
Bounds and descriptions stand in the annotations, which errors and the reference are made from.
Seconds are plain numbers and say so in their names.
"""

import re
from itertools import pairwise
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

from shared.addresses import parse_address
from shared.families_settings import FamiliesSettings
from shared.text import NAME_LIMIT_CHARACTERS, clean, clean_name

DAY_S: Final = 86_400
MEBIBYTE: Final = 1024 * 1024

SPOOL_LEAST_BYTES: Final = MEBIBYTE
"""Less would be given up in pieces of a hundred samples."""

Label: TypeAlias = Annotated[str, Meta(min_length=1, max_length=NAME_LIMIT_CHARACTERS)]
HostPort: TypeAlias = Annotated[str, Meta(min_length=1, max_length=300)]

PROFILE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""What a profile may be called: its viewer's folder is."""


class InvalidSettingError(ValueError):
    """A value of the right type that is still no good: the field, and what was expected of it."""

    def __init__(self, field: str, expected: str) -> None:
        super().__init__(f"{field}: expected {expected}")
        self.field: Final = field
        self.expected: Final = expected


class LinkSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[link]`: the patience of one end of a link. The shorter read timeout of the two decides."""

    read_timeout_s: Annotated[
        float, Meta(ge=1, le=600, description="Silence of the peer after which a link is given up")
    ] = 60.0
    write_timeout_s: Annotated[
        float,
        Meta(ge=1, le=600, description="How long the peer may take nothing of what is sent to it"),
    ] = 15.0
    ping_after_s: Annotated[
        float, Meta(ge=0.5, le=300, description="Silence of the peer after which it is pinged")
    ] = 10.0

    def __post_init__(self) -> None:
        if self.ping_after_s >= self.read_timeout_s:
            raise InvalidSettingError(
                "ping_after_s", f"less than read_timeout_s, which is {self.read_timeout_s:g}"
            )


class MasterSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[master]`: the service that agents link to."""

    listen: Annotated[
        tuple[HostPort, ...],
        Meta(
            min_length=1,
            max_length=64,
            description="Where to listen, HOST:PORT each; no host: all addresses, IPv4 and IPv6",
        ),
    ] = (":7700",)
    backlog: Annotated[
        int,
        Meta(
            ge=1, le=65_535, description="Connections the kernel may hold before they are accepted"
        ),
    ] = 4096
    workers: Annotated[
        int,
        Meta(
            ge=0,
            le=64,
            description="Processes that accept and hold links for this one; 0: it does so itself",
        ),
    ] = 0
    name: Annotated[
        str,
        Meta(
            max_length=NAME_LIMIT_CHARACTERS,
            description="What this cluster is called on screens; empty: as the master's host",
        ),
    ] = ""
    period_s: Annotated[
        float, Meta(ge=1, le=60, description="How often agents are asked to beat")
    ] = 5.0
    certificate_life_s: Annotated[
        int,
        Meta(
            ge=1,
            le=3650 * DAY_S,
            description="Life of an agent's certificate; renewed at 50-80 % of it",
        ),
    ] = 30 * DAY_S
    viewer_certificate_life_s: Annotated[
        int, Meta(ge=1, le=3650 * DAY_S, description="Life of a remote viewer's certificate")
    ] = 7 * DAY_S
    handshake_timeout_s: Annotated[
        float, Meta(ge=0.1, le=60, description="From being accepted to being authenticated")
    ] = 5.0
    unauthenticated_connections: Annotated[
        int, Meta(ge=1, le=100_000, description="Connections not yet authenticated, in all")
    ] = 256
    unauthenticated_connections_per_address: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="Connections not yet authenticated, per IPv4 address or IPv6 /64",
        ),
    ] = 16
    handshakes_per_s: Annotated[
        float, Meta(gt=0, le=100_000, description="TLS handshakes begun in a second")
    ] = 50.0
    events_kept: Annotated[
        int, Meta(ge=100, le=100_000_000, description="Stored events; the oldest go first")
    ] = 100_000
    outages_kept: Annotated[
        int, Meta(ge=100, le=100_000_000, description="Stored outages; the oldest go first")
    ] = 100_000

    def __post_init__(self) -> None:
        _check_addresses("listen", self.listen)
        if clean(self.name) != self.name:
            raise InvalidSettingError("name", "text without control characters")


class HistorySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[history]`: what the master keeps of the past. A tier is gone when it is too old, or when
    all of them together are too large: then the oldest samples go first."""

    keep_samples_days: Annotated[
        float, Meta(ge=0.01, le=36_500, description="How long every single sample is kept")
    ] = 14
    keep_1m_days: Annotated[
        float,
        Meta(ge=0.01, le=36_500, description="How long the least, mean and most of a minute are"),
    ] = 60
    keep_15m_days: Annotated[
        float, Meta(ge=0.01, le=36_500, description="The same of a quarter of an hour")
    ] = 400
    keep_2h_days: Annotated[
        float, Meta(ge=0.01, le=36_500, description="The same of two hours")
    ] = 3650
    keep_bytes: Annotated[
        int,
        Meta(
            ge=16 * MEBIBYTE,
            le=2**50,
            description="How large all of it may become; beyond, the oldest samples go first",
        ),
    ] = 16 * 1024 * MEBIBYTE
    compact_every_s: Annotated[
        float,
        Meta(
            ge=1,
            le=86_400,
            description="How often what has arrived becomes compressed columns: rarely, and a "
            "start takes longer; often, and they compress less",
        ),
    ] = 600.0

    def __post_init__(self) -> None:
        tiers = ("keep_samples_days", "keep_1m_days", "keep_15m_days", "keep_2h_days")
        for finer, coarser in pairwise(tiers):
            least = getattr(self, finer)
            if getattr(self, coarser) < least:
                raise InvalidSettingError(coarser, f"at least {finer}, which is {least:g}")


class AgentSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[agent]`: the daemon on a host."""

    master: Annotated[
        tuple[HostPort, ...],
        Meta(
            max_length=64,
            description="Masters to link to, HOST:PORT each (port 7700), tried in turn",
        ),
    ] = ()
    name: Annotated[
        str,
        Meta(
            max_length=NAME_LIMIT_CHARACTERS,
            description="What this node is called; empty: the host's name",
        ),
    ] = ""
    labels: Annotated[
        dict[Label, Annotated[str, Meta(max_length=NAME_LIMIT_CHARACTERS)]],
        Meta(max_length=64, description="Labels the node carries while its agent runs with them"),
    ] = {}
    watchdog_s: Annotated[
        float, Meta(ge=1, le=3600, description="A loop that stalls this long ends the process")
    ] = 30.0
    period_min_s: Annotated[
        float, Meta(ge=1, le=60, description="Fastest beat a master may ask for")
    ] = 1.0
    period_max_s: Annotated[
        float, Meta(ge=1, le=60, description="Slowest beat a master may ask for")
    ] = 60.0
    watching: Annotated[
        bool, Meta(description="Measure more finely while somebody looks at this node")
    ] = True
    watching_period_min_s: Annotated[
        float,
        Meta(ge=1, le=60, description="Fastest beat meanwhile; never faster than `period_min_s`"),
    ] = 1.0
    watching_detail_min_s: Annotated[
        float, Meta(ge=1, le=600, description="Shortest time between two process tables meanwhile")
    ] = 2.0
    spool_bytes: Annotated[
        int,
        Meta(
            ge=0,
            le=2**40,
            description="Disk for samples that no master has stored yet; 0: keep them in memory",
        ),
    ] = 64 * MEBIBYTE
    spool_hours: Annotated[
        float, Meta(gt=0, le=8784, description="How many hours of such samples are kept on disk")
    ] = 24.0
    families: FamiliesSettings = FamiliesSettings()

    def __post_init__(self) -> None:
        _check_addresses("master", self.master, dialled=True)
        _check_name("name", self.name)
        if self.period_min_s > self.period_max_s:
            raise InvalidSettingError(
                "period_min_s", f"at most period_max_s, which is {self.period_max_s:g}"
            )
        if 0 < self.spool_bytes < SPOOL_LEAST_BYTES:
            raise InvalidSettingError("spool_bytes", f"0, or at least {SPOOL_LEAST_BYTES}")


class TopSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[top]`: the dashboard."""

    warn_ratio: Annotated[
        float, Meta(gt=0, le=1, description="From this part of a whole on, a value is worth an eye")
    ] = 0.70
    critical_ratio: Annotated[
        float, Meta(gt=0, le=1, description="From this part of a whole on, a value is worth a hand")
    ] = 0.90
    symbols: Annotated[
        Literal["auto", "braille", "blocks", "ascii"],
        Meta(description="What the terminal can draw; auto: by its kind and the locale"),
    ] = "auto"

    def __post_init__(self) -> None:
        if self.warn_ratio > self.critical_ratio:
            raise InvalidSettingError(
                "warn_ratio", f"at most critical_ratio, which is {self.critical_ratio:g}"
            )


class ProfileSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[profiles.NAME]`: a cluster elsewhere that this user looks at, by a name of their own."""

    master: Annotated[
        tuple[HostPort, ...],
        Meta(
            min_length=1,
            max_length=64,
            description="Masters of that cluster, HOST:PORT each (port 7700), dialled in turn",
        ),
    ]

    def __post_init__(self) -> None:
        _check_addresses("master", self.master, dialled=True)


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of them, as one file holds them."""

    link: LinkSettings = msgspec.field(default_factory=LinkSettings)
    master: MasterSettings = msgspec.field(default_factory=MasterSettings)
    history: HistorySettings = msgspec.field(default_factory=HistorySettings)
    agent: AgentSettings = msgspec.field(default_factory=AgentSettings)
    top: TopSettings = msgspec.field(default_factory=TopSettings)
    profiles: dict[str, ProfileSettings] = {}
    """By name. In the file only: they are many, and each has a name of its user's choice."""


RELOADABLE: Final = frozenset(
    {
        "link.read_timeout_s",
        "link.write_timeout_s",
        "link.ping_after_s",
        "master.period_s",
        "master.certificate_life_s",
        "master.viewer_certificate_life_s",
        "master.handshake_timeout_s",
        "master.unauthenticated_connections",
        "master.unauthenticated_connections_per_address",
        "master.handshakes_per_s",
        "master.events_kept",
        "master.outages_kept",
        "history.keep_samples_days",
        "history.keep_1m_days",
        "history.keep_15m_days",
        "history.keep_2h_days",
        "history.keep_bytes",
        "history.compact_every_s",
    }
)
"""What a running master takes over on SIGHUP; anything else waits for the next start."""


def changes(old: Struct, new: Struct, prefix: str = "") -> tuple[list[str], list[str]]:
    """The keys whose values differ: what can be applied at once, and what needs a restart.

    `prefix` is put before every key: `changes(old, new, "master.")` compares two `MasterSettings`.
    """
    applied: list[str] = []
    needs_restart: list[str] = []
    for field in msgspec.structs.fields(new):
        before, after = getattr(old, field.name), getattr(new, field.name)
        key = prefix + field.name
        if isinstance(before, Struct) and isinstance(after, Struct):
            below = changes(before, after, key + ".")
            applied += below[0]
            needs_restart += below[1]
        elif before != after:
            (applied if key in RELOADABLE else needs_restart).append(key)
    return applied, needs_restart


def _check_addresses(field: str, texts: tuple[str, ...], *, dialled: bool = False) -> None:
    for text in texts:
        try:
            address = parse_address(text)
        except ValueError as error:
            raise InvalidSettingError(field, f"HOST:PORT; {error}") from error
        if dialled and (address.is_everywhere or not address.port):
            raise InvalidSettingError(field, f"HOST:PORT that can be dialled; {text!r} cannot")


def _check_name(field: str, name: str) -> None:
    if name and clean_name(name) != name:
        raise InvalidSettingError(
            field, f"a name without blanks or control characters, such as {clean_name(name)!r}"
        )
