"""The state of every node: `shared.liveness` applied, with evidence, and with the fleet in view.

It is the only one who decides that a node is late, hung, lost or down. Before it holds silence
against a node it makes sure that the master itself has listened: the clock is attentive
(`shared.attentive`), and bytes that have arrived and not been read are not silence. Many nodes
falling silent together are one event (`master.masses`), and coming and going is flapping
(`shared.flapping`).
"""

import math
from collections import Counter
from collections.abc import Callable
from typing import Final, Protocol

from master.masses import Masses
from master.sweeper import NOT_SCHEDULED, Sweeper
from shared.backoff import BACKOFF_CAP_S
from shared.flapping import Flapping, ends_s, recovered, settled
from shared.liveness import (
    ALIVE,
    AWAITED_S,
    LATE_FLOOR_S,
    DeadlinePassed,
    Evidence,
    Liveness,
    LivenessEvent,
    State,
    deadline_s,
    step,
)

UNREAD_S: Final = 0.25
"""How soon to look again at a node whose bytes have arrived and wait to be read."""

ILL_S: Final = 1.0
"""How soon to look again when the master itself is not well."""

COMING_BACK_S: Final = AWAITED_S - BACKOFF_CAP_S
"""After a restart of the master, nobody who is awaited is down while others are still coming back:
a large fleet takes its time to be let in. Who was not turned away is back before this matters."""

_FALLEN: Final = frozenset({State.LATE, State.LOST})
"""What nodes that are up fall into, together in a mass event."""

_GONE: Final = frozenset({State.HUNG, State.LOST, State.DOWN})
"""States from which it is a recovery to be up again, by way of joining or not."""

_SETTLED: Final = frozenset({State.UP, State.LEFT})

_DOUBTED: Final = frozenset({State.LATE, State.HUNG})
_LINKED: Final = ALIVE | {State.JOINING}
"""States that end by silence on a link that stands."""

_MAY_FALL: Final = (*ALIVE, State.LOST)


class Probe(Protocol):
    """The master's end of a node's link, as far as it bears witness."""

    def ping(self, now_s: float) -> None:
        """Sends something that the peer's kernel has to acknowledge."""
        ...

    def evidence(self) -> Evidence:
        """Whether it has."""
        ...

    def has_unread(self) -> bool:
        """Whether something has arrived that has not been read."""
        ...


class Consequences(Protocol):
    """What follows from the detector's decisions. Called at once; must not block."""

    def probe(self, node_id: str) -> Probe | None:
        """The node's link, if it has one."""
        ...

    def changed(self, node_id: str, before: Liveness, after: Liveness) -> None:
        """A node's state is another one."""
        ...

    def master_is_well(self, now_s: float) -> bool:
        """Whether what agents send gets through to the master at all."""
        ...

    def mass_event(self, node_ids: tuple[str, ...], alive: int) -> None:
        """These nodes fell silent together, out of so many that were alive."""
        ...

    def flapping_changed(self, node_id: str, *, is_on: bool) -> None:
        """A node has begun, or ceased, to come and go."""
        ...


class Detector:
    """Every known node's liveness. Decides; `consequences` does."""

    def __init__(self, sweeper: Sweeper, consequences: Consequences) -> None:
        self._sweeper: Final = sweeper
        self._consequences: Final = consequences
        self._watched: dict[str, _Watched] = {}
        self._states: Counter[State] = Counter()
        self._masses = Masses()
        self._came_back_s = -math.inf
        """When somebody who was awaited was last let in."""

    def __repr__(self) -> str:
        return f"<Detector of {len(self._watched)} nodes, {self._masses!r}>"

    def __getitem__(self, node_id: str) -> Liveness:
        """The liveness of a known node. Raises KeyError for another one."""
        return self._watched[node_id].liveness

    def is_flapping(self, node_id: str) -> bool:
        """Whether a known node comes and goes."""
        return self._watched[node_id].flapping.is_on

    def know(self, node_id: str, liveness: Liveness) -> None:
        """From now on this node is watched, starting as `liveness`."""
        watched = _Watched(self._look, node_id, liveness)
        self._watched[node_id] = watched
        self._states[liveness.state] += 1
        self._sweeper.schedule(watched)

    def forget(self, node_id: str) -> None:
        """The node is no longer watched."""
        watched = self._watched.pop(node_id, None)
        if watched is not None:
            self._states[watched.liveness.state] -= 1
            watched.forgotten = True

    def apply(self, node_id: str, event: LivenessEvent, now_s: float) -> Liveness:
        """What `event` makes of a node; raises KeyError when it is not known."""
        watched = self._watched[node_id]
        after = step(watched.liveness, event, now_s)
        self._become(watched, after, now_s)
        return after

    def _look(self, watched: "_Watched", now_s: float) -> None:
        # The sweeper's call: a deadline has come.
        flapping = settled(watched.flapping, now_s)
        if flapping is not watched.flapping:
            watched.flapping = flapping
            self._consequences.flapping_changed(watched.node_id, is_on=False)
        before = watched.liveness
        due_s = deadline_s(before)
        if due_s is None or now_s < max(due_s, watched.held_until_s):
            return
        evidence = Evidence.UNKNOWN
        probe = self._consequences.probe(watched.node_id) if before.state in _LINKED else None
        if probe is not None:
            if probe.has_unread():
                watched.held_until_s = now_s + UNREAD_S
                return
            if before.state in _DOUBTED:
                evidence = probe.evidence()
        after = step(before, DeadlinePassed(evidence), now_s)
        if after.state is State.DOWN and self._holds(watched, now_s):
            return
        self._become(watched, after, now_s)
        if probe is not None and after.state in _DOUBTED:
            probe.ping(now_s)  # each time: only what is sent now can show that the host is there

    def _holds(self, watched: "_Watched", now_s: float) -> bool:
        still_s = self._came_back_s + COMING_BACK_S
        if watched.liveness.state is State.AWAITED and now_s < still_s:
            watched.held_until_s = still_s
            return True
        if not self._consequences.master_is_well(now_s):
            watched.held_until_s = now_s + ILL_S
            return True
        # In a mass event nobody is down at once: what has failed is probably shared.
        if watched.was_held or not self._masses.holds(now_s):
            return False
        watched.was_held = True
        watched.held_until_s = self._masses.until_s
        return True

    def _become(self, watched: "_Watched", after: Liveness, now_s: float) -> None:
        before = watched.liveness
        if after is before:
            return
        watched.liveness = after
        if after.state is before.state:
            arrivals = after.arrivals
            if arrivals is None or arrivals.due_s < watched.scheduled_s - LATE_FLOOR_S:
                self._sweeper.schedule(watched)  # else it is looked at before it can be late
            return
        self._states[before.state] -= 1
        self._states[after.state] += 1
        if before.state is State.AWAITED and after.state in _LINKED:
            self._came_back_s = now_s
        recovers = after.state is State.UP and watched.is_gone
        if after.state is State.UP:
            watched.was_held, watched.held_until_s = False, -math.inf
        if after.state in _SETTLED:
            watched.is_gone = False
        elif after.state in _GONE:
            watched.is_gone = True
        self._sweeper.schedule(watched)
        self._consequences.changed(watched.node_id, before, after)
        if recovers:
            self._count_recovery(watched, now_s)
        if after.state in _FALLEN and before.state is State.UP:
            self._count_fall(watched, now_s)

    def _count_recovery(self, watched: "_Watched", now_s: float) -> None:
        was_on = watched.flapping.is_on
        watched.flapping = recovered(watched.flapping, now_s)
        if watched.flapping.is_on and not was_on:
            self._consequences.flapping_changed(watched.node_id, is_on=True)
        self._sweeper.schedule(watched)

    def _count_fall(self, watched: "_Watched", now_s: float) -> None:
        alive = sum(self._states[state] for state in _MAY_FALL)
        period_s = watched.liveness.period_s
        fallen = self._masses.fell(watched.node_id, alive, period_s, now_s)
        if fallen:
            self._consequences.mass_event(fallen, alive)


class _Watched:
    """One node as the sweeper sees it."""

    __slots__ = (
        "_look",
        "flapping",
        "forgotten",
        "held_until_s",
        "is_gone",
        "liveness",
        "node_id",
        "scheduled_s",
        "was_held",
    )

    def __init__(
        self, look: Callable[["_Watched", float], None], node_id: str, liveness: Liveness
    ) -> None:
        self._look = look
        self.node_id = node_id
        self.liveness = liveness
        self.flapping = _CALM
        self.forgotten = False
        self.is_gone = liveness.state in _GONE
        """Whether it is a recovery when the node is up again."""
        self.was_held = False
        """Whether a mass event has already put its *down* off."""
        self.held_until_s = -math.inf
        self.scheduled_s = NOT_SCHEDULED

    def deadline_s(self) -> float | None:
        if self.forgotten:
            return None
        # Asked with every beat: what is usually absent is looked at, not reckoned with.
        at_s = deadline_s(self.liveness)
        if at_s is not None and at_s < self.held_until_s:
            at_s = self.held_until_s
        if not self.flapping.is_on:
            return at_s
        settled_s = ends_s(self.flapping)
        return settled_s if at_s is None else min(at_s, settled_s)

    def expire(self, now_s: float) -> None:
        self._look(self, now_s)


_CALM: Final = Flapping()
