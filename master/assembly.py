"""What a master is made of, put together: everything that needs no socket and no signal, which are
`master.daemon`'s."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Final

import trio

from master.admission import Admission, admission_limits
from master.attention import Attention
from master.audit import Audit
from master.backup import back_up
from master.canary import Canary
from master.context import Context
from master.enrolment import Enrolment, load_identities
from master.entry import Entry
from master.events import EventLog
from master.feed import Feed
from master.heap import keep_trimmed
from master.history.history import History
from master.history.queries import Queries
from master.history.steady_clock import SteadyClock
from master.parts import Parts
from master.past_requests import PastRequests
from master.readiness import Readiness
from master.recording import Recording
from master.registry import Registry
from master.requests import Requests
from master.sessions import Sessions
from master.store import RunSync, Store
from master.sweeper import Sweeper
from master.viewing import Viewers
from shared.addresses import parse_address
from shared.attentive import AttentiveClock, tell_of_stalls
from shared.certificates import CertificateAuthority
from shared.clock import monotonic_ms, wall_ms
from shared.paths import StateFolder
from shared.settings import LinkSettings, MasterSettings

_log: Final = logging.getLogger(__name__)


class Master:
    """Everything a master is made of, put together but not started."""

    def __init__(
        self,
        folder: StateFolder,
        settings: MasterSettings,
        link: LinkSettings,
        *,
        authority: CertificateAuthority,
        store: Store,
        history: History,
        audit: Audit,
        now_wall_ms: Callable[[], int] = wall_ms,
        now_mono_ms: Callable[[], int] = monotonic_ms,
        run_sync: RunSync | None = None,
    ) -> None:
        self.folder: Final = folder
        self.settings = settings
        self.link = link
        self.authority: Final = authority
        self.store: Final = store
        self.history: Final = history
        self.audit: Final = audit
        self._now_wall_ms: Final = now_wall_ms
        self._now_mono_ms: Final = now_mono_ms
        self._run_sync: Final = run_sync
        self.clock: Final = AttentiveClock()
        """What to run it under."""

    def assemble(self, nursery: trio.Nursery) -> Parts:
        """Loads what is known and starts the background tasks in `nursery`."""
        now_s = trio.current_time()
        sweeper, feed, readiness = Sweeper(), Feed(), Readiness(nursery.start_soon)
        events = EventLog(self.store, self._now_wall_ms, self.settings.events_kept)
        context = Context(
            self.settings,
            self.link,
            self.store,
            events,
            self.audit,
            sweeper,
            readiness,
            nursery.start_soon,
            self._now_wall_ms,
            lambda: self.clock.missed_s,
        )
        canary = Canary()
        registry = Registry(context, feed, lambda now_s: not canary.is_late(now_s))
        registry.load(now_s)
        enrolment = Enrolment(context, self.authority, load_identities(self.store), registry)
        attention = Attention(registry)
        steady = SteadyClock(self._now_wall_ms, self._now_mono_ms, partial(_on_clock_set, events))
        recording = Recording(self.history, steady)
        sessions = Sessions(context, registry, enrolment, attention, recording)
        requests = Requests(context, registry, enrolment, sessions.end, recording.forget)
        past = PastRequests(
            context,
            registry,
            Queries(self.history.path, self._run_sync),
            partial(back_up, self.folder, self.store, self.history, run_sync=self._run_sync),
        )
        viewers = Viewers(context, feed, requests, past, attention)
        admission = Admission(admission_limits(self.settings), now_s)
        for node in registry:
            identity = enrolment.identities.get(node.node_id)
            if identity is not None:
                node.certificate_expires_wall_ms = identity.expires_wall_ms
            if node.address:
                admission.remember(node.node_id, parse_address(node.address).host)
        nursery.start_soon(tell_of_stalls, partial(_on_stall, events), self.clock)
        for task in (sweeper.run, feed.run, attention.run, self.store.run, registry.run):
            nursery.start_soon(task)
        nursery.start_soon(self.history.run)
        nursery.start_soon(registry.outages.run)
        nursery.start_soon(self.audit.run)
        nursery.start_soon(canary.run)
        nursery.start_soon(readiness.run)
        nursery.start_soon(keep_trimmed, lambda: admission.released)
        nursery.start_soon(sessions.run)
        return Parts(Entry(context, admission, registry, enrolment, sessions, viewers))


def _on_clock_set(events: EventLog, by_ms: int) -> None:
    by_s = abs(by_ms) / 1000
    how = "forward, or its host was suspended" if by_ms > 0 else "back"
    _log.warning("the master's clock was set", extra={"by_s": round(by_ms / 1000, 2)})
    events.record("clock-set", text=f"the master's clock was set by {by_s:.1f} s {how}")


def _on_stall(events: EventLog, missed_s: float) -> None:
    _log.warning("the master was stalled", extra={"missed_s": round(missed_s, 2)})
    events.record("master-stalled", text=f"for {missed_s:.1f} s; no node is judged by them")
