"""What the master asks of the cadence, and how much of it this host grants.

Somebody looks at this node: for a while, the heart beats faster and what people look at is measured
and sent in full more often. That is a lease. It ends by itself, and with the link, so that nothing
stays behind of a viewer or a master that vanishes; and no request, however often it is repeated or
contradicted, gets more out of this host than its own settings allow.
"""

from collections.abc import Mapping
from typing import Final, Protocol

import trio

from agent.sampler import COUNTERS
from shared import messages as m
from shared.metrics import Family
from shared.settings import AgentSettings

CONNECTIONS_S: Final = 10.0
"""Between two tables of connections, at the finest: the kernel walks all of them for each."""


class Beating(Protocol):
    """The heart, as this sees it."""

    def set_period(self, period_s: float) -> None: ...


class Measuring(Protocol):
    """The sampler, as this sees it."""

    def hasten(self, periods_s: Mapping[Family, float]) -> None:
        """Reads these families, and sends them in full, at least so often; all others as ever."""
        ...


class Attention:
    """The cadence of one agent. `run` it for as long as a link lasts."""

    def __init__(self, settings: AgentSettings, heart: Beating, sampler: Measuring) -> None:
        self._settings = settings
        self._heart = heart
        self._sampler = sampler
        self._period_s = settings.period_max_s
        self._lease: m.Attend | None = None
        self._until_s = 0.0
        self._changed = trio.Event()

    def __repr__(self) -> str:
        watched = f"watched until {self._until_s:.1f}" if self._lease else "not watched"
        return f"<Attention every {self._period_s:g} s, {watched}>"

    def set_period(self, period_ms: int) -> None:
        """The cadence that the master wishes for while nobody looks."""
        settings = self._settings
        wished_s = period_ms / 1000
        self._period_s = min(max(wished_s, settings.period_min_s), settings.period_max_s)
        self._beat()

    def attend(self, request: m.Attend) -> None:
        """Somebody looks, for as long as the request says; or nobody does any more."""
        if not self._settings.watching:
            return
        if not request.lease_ms:
            self._end()
            return
        before, self._lease = self._lease, request
        self._until_s = trio.current_time() + request.lease_ms / 1000
        if before is None or before.detail_ms != request.detail_ms:
            self._sampler.hasten(self._hastened(request.detail_ms / 1000))
        self._beat()
        self._changed.set()

    async def run(self) -> None:
        """Ends leases when their time is over. Cancellation: the link's end is the lease's."""
        try:
            while True:
                with trio.move_on_at(self._until_s if self._lease else float("inf")):
                    await self._changed.wait()
                self._changed = trio.Event()
                if self._lease and trio.current_time() >= self._until_s:
                    self._end()
        finally:
            self._end()

    def _end(self) -> None:
        if self._lease is not None:
            self._lease = None
            self._sampler.hasten({})
            self._beat()

    def _beat(self) -> None:
        period_s = self._period_s
        if self._lease is not None:
            settings, wished_s = self._settings, self._lease.period_ms / 1000
            bounded_s = max(wished_s, settings.watching_period_min_s, settings.period_min_s)
            period_s = min(period_s, bounded_s)
        self._heart.set_period(period_s)

    def _hastened(self, wished_s: float) -> dict[Family, float]:
        detail_s = max(wished_s, self._settings.watching_detail_min_s)
        hastened = dict.fromkeys((*COUNTERS, "processes"), detail_s)
        return {**hastened, "connections": max(detail_s, CONNECTIONS_S)}
