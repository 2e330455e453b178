"""A fleet and its master in virtual time: hosts that can be broken in every way, and the real
detector, sweeper and attentive clock that watch them.

No sockets, no event loop, no waiting: a heap of what happens next. What is modelled is what the
detector can see of the world: when beats arrive, when links break, what a host's kernel answers,
and when the master itself was not there. Times are seconds of real time unless a name says
otherwise; the master's clock starts at the same zero.
"""

import heapq
import math
import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from typing import Final, NamedTuple

from master.detector import Detector, Probe
from master.sweeper import GRANULARITY_S, Sweeper
from shared.attentive import TICK_S, AttentiveClock
from shared.liveness import (
    BeatArrived,
    Evidence,
    Joined,
    LinkBroke,
    Liveness,
    LivenessEvent,
    SaidGoodbye,
    State,
)

PERIOD_S: Final = 5.0
FIN_S: Final = 0.005
"""From a process's death to the end of its link at the master."""

KERNEL_GIVES_UP_S: Final = 15.0
"""The links' TCP user timeout: how long sent data may stay unacknowledged."""

READ_AT_ONCE: Final = 500
"""How much of what has piled up the master reads between two sweeps: the worst order there is."""


class Change(NamedTuple):
    """A node's state became another one."""

    at_s: float
    node_id: str
    before: State
    after: State
    reason: str


class Host:
    """One host with an agent. Changed by the world only."""

    def __init__(self, node_id: str, clock_s: float, drift_ratio: float) -> None:
        self.node_id: Final = node_id
        self.clock_s: Final = clock_s
        self.drift_ratio: Final = drift_ratio
        self.stood_still_s = 0.0
        """How long its clock has not run: it was suspended."""
        self.runs = True
        """Whether its agent gets to run."""
        self.answers = True
        """Whether its kernel can be reached."""
        self.link = 0
        """Which link it has; 0 for none."""
        self.next_beat_s = 0.0
        self.turn = 0
        """Which of its planned beats counts."""
        self.held: list[BeatArrived] = []
        """Sent, and on its way until the network is back."""
        self.latest_arrival_s = 0.0

    def mono_s(self, now_s: float) -> float:
        return self.clock_s + (now_s - self.stood_still_s) * (1.0 + self.drift_ratio)


class World:
    """So many hosts, all up and beating by `settled_s`."""

    def __init__(
        self,
        hosts: int,
        *,
        seed: int = 1,
        drift_ratio: float = 0.0,
        delays_s: Callable[[random.Random], float] | None = None,
        acknowledgements_lost: float = 0.0,
    ) -> None:
        self.rng: Final = random.Random(seed)
        self.now_s = 0.0
        self.changes: Final[list[Change]] = []
        self.mass_events: Final[list[tuple[float, tuple[str, ...], int]]] = []
        self.flaps: Final[list[tuple[float, str, bool]]] = []
        self.clock: Final = AttentiveClock(lambda: self.now_s)
        self.settled_s: Final = 3 * PERIOD_S
        self._delay_s = delays_s or _local_delay_s
        self._acknowledgements_lost = acknowledgements_lost
        self._sweeper: Final = Sweeper()
        self.detector: Final = Detector(self._sweeper, self)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order: Final = count()
        self._frozen_until_s = 0.0
        self._unread: deque[tuple[Host, int, LivenessEvent]] = deque()
        self._unread_of: dict[str, int] = {}
        self.hosts: Final = [
            Host(
                f"{number:04x}",
                self.rng.uniform(1e3, 1e6),
                self.rng.uniform(-drift_ratio, drift_ratio),
            )
            for number in range(hosts)
        ]
        self._by_id = {host.node_id: host for host in self.hosts}
        self.clock.start_clock()
        self.at(0.0, self._turn)
        for host in self.hosts:
            self.detector.know(host.node_id, Liveness(State.NEVER_SEEN, 0.0))
            self.at(self.rng.random() * PERIOD_S, self.start, host)

    def at(self, at_s: float, action: Callable[..., None], *arguments: object) -> None:
        """Lets something happen then."""
        heapq.heappush(self._events, (at_s, next(self._order), lambda: action(*arguments)))

    def run(self, until_s: float) -> None:
        """Everything that happens until then."""
        while self._events and self._events[0][0] <= until_s:
            self.now_s, _, action = heapq.heappop(self._events)
            action()
        self.now_s = until_s

    def some(self, part: float) -> list[Host]:
        """So large a part of the hosts, picked at random."""
        return self.rng.sample(self.hosts, round(part * len(self.hosts)))

    # --- what can happen to a host -----------------------------------------------------------

    def start(self, host: Host) -> None:
        """Its agent starts, or starts again: it links and beats."""
        host.link = next(self._order) + 1
        host.runs, host.held = True, []
        host.latest_arrival_s = self.now_s
        self._arrives(host, Joined(PERIOD_S))
        self._beat(host, self._plan(host))

    def kill(self, host: Host) -> None:
        """SIGKILL: its kernel ends the link."""
        host.runs = False
        host.turn += 1
        self._arrives_then(host, LinkBroke("link closed"), self.now_s + FIN_S)

    def leave(self, host: Host) -> None:
        """SIGTERM: a goodbye."""
        host.runs = False
        host.turn += 1
        self._arrives_then(host, SaidGoodbye("stopped"), self.now_s + FIN_S)

    def stop(self, host: Host) -> None:
        """SIGSTOP, or a host that swaps: its agent does not run, its kernel does."""
        host.runs = False

    def go_on(self, host: Host) -> None:
        """SIGCONT: the beat that is overdue goes out at once."""
        host.runs = True
        self._beat(host, self._plan(host))

    def cut(self, host: Host) -> None:
        """Nothing gets through any more in either direction."""
        host.answers = False
        self.at(self.now_s + PERIOD_S + KERNEL_GIVES_UP_S, self._give_up, host, host.link)

    def mend(self, host: Host) -> None:
        """The network is back: what was sent is sent again, within a second."""
        host.answers = True
        held, host.held = host.held, []
        again_s = self.now_s + self.rng.random()
        for beat in held:
            self._arrives_then(host, beat, again_s)

    def suspend(self, host: Host, for_s: float) -> None:
        """Nothing of it runs, its clock neither; its link survives if that is short enough."""
        host.runs = host.answers = False
        host.turn += 1
        to_sleep_s = max(0.0, host.next_beat_s - self.now_s)
        self.at(self.now_s + for_s, self._wake, host, for_s, to_sleep_s, host.link)
        self.at(self.now_s + PERIOD_S + KERNEL_GIVES_UP_S, self._give_up, host, host.link)

    def freeze_master(self, for_s: float) -> None:
        """The master does not run for so long; what arrives meanwhile waits for it."""
        self._frozen_until_s = self.now_s + for_s

    # --- what can be asked -------------------------------------------------------------------

    def state(self, host: Host) -> State:
        return self.detector[host.node_id].state

    def became(self, state: State, hosts: Iterable[Host] | None = None) -> list[Change]:
        """Every change to that state, of these hosts or of all."""
        ids = None if hosts is None else {host.node_id for host in hosts}
        return [
            change
            for change in self.changes
            if change.after is state and (ids is None or change.node_id in ids)
        ]

    def since(self, begun_s: float) -> list[Change]:
        """Every change from then on."""
        return [change for change in self.changes if change.at_s >= begun_s]

    # --- the agents ---------------------------------------------------------------------------

    def _plan(self, host: Host) -> float:
        # The agent's own clock says when a period is over.
        self._plan_at(host, self.now_s + PERIOD_S / (1.0 + host.drift_ratio))
        return PERIOD_S

    def _plan_at(self, host: Host, at_s: float) -> None:
        host.turn += 1
        host.next_beat_s = at_s
        self.at(at_s, self._beat_is_due, host, host.turn)

    def _beat_is_due(self, host: Host, turn: int) -> None:
        if host.turn == turn and host.runs:
            self._beat(host, self._plan(host))

    def _beat(self, host: Host, next_in_s: float) -> None:
        beat = BeatArrived(host.mono_s(self.now_s), next_in_s, PERIOD_S)
        if host.answers:
            self._arrives_then(host, beat, self.now_s + self._delay_s(self.rng))
        else:
            host.held.append(beat)

    def _wake(self, host: Host, for_s: float, to_sleep_s: float, link: int) -> None:
        # What it was waiting for takes as much longer: by its own clock no time has passed.
        host.stood_still_s += for_s
        host.runs = host.answers = True
        if host.link == link:
            self._plan_at(host, self.now_s + to_sleep_s)
        else:
            self.start(host)

    def _give_up(self, host: Host, link: int) -> None:
        if not host.answers and host.link == link:
            self._arrives(host, LinkBroke("link timed out"))
            host.link = 0

    # --- the network and the master -----------------------------------------------------------

    def _arrives_then(self, host: Host, event: LivenessEvent, at_s: float) -> None:
        # TCP: in the order in which it was sent.
        host.latest_arrival_s = max(host.latest_arrival_s, at_s)
        self.at(host.latest_arrival_s, self._arrives, host, event, host.link)

    def _arrives(self, host: Host, event: LivenessEvent, link: int | None = None) -> None:
        link = host.link if link is None else link
        if self.now_s < self._frozen_until_s or self._unread_of.get(host.node_id):
            self._unread.append((host, link, event))
            self._unread_of[host.node_id] = self._unread_of.get(host.node_id, 0) + 1
        else:
            self._take(host, event, link)

    def _take(self, host: Host, event: LivenessEvent, link: int) -> None:
        if host.link == link:
            self.detector.apply(host.node_id, event, self.clock.current_time())

    def _turn(self) -> None:
        if self.now_s < self._frozen_until_s:
            self.at(self._frozen_until_s, self._turn)
            return
        next_s = self._sweeper.sweep(self.clock.current_time())
        for _ in range(min(READ_AT_ONCE, len(self._unread))):
            host, link, event = self._unread.popleft()
            self._unread_of[host.node_id] -= 1
            self._take(host, event, link)
        wait_s = max(GRANULARITY_S, min(TICK_S, next_s - self.clock.current_time()))
        self.at(self.now_s + (GRANULARITY_S if self._unread else wait_s), self._turn)

    # --- what the detector asks and tells -------------------------------------------------------

    def probe(self, node_id: str) -> Probe | None:
        host = self._by_id[node_id]
        return _HostProbe(self, host) if host.link else None

    def master_is_well(self, now_s: float) -> bool:
        return True

    def changed(self, node_id: str, before: Liveness, after: Liveness) -> None:
        change = Change(self.now_s, node_id, before.state, after.state, after.reason)
        self.changes.append(change)

    def mass_event(self, node_ids: tuple[str, ...], alive: int) -> None:
        self.mass_events.append((self.now_s, node_ids, alive))

    def flapping_changed(self, node_id: str, *, is_on: bool) -> None:
        self.flaps.append((self.now_s, node_id, is_on))

    def evidence(self, host: Host) -> Evidence:
        """What the host's kernel shows, a ping having been sent."""
        if not host.answers or self.rng.random() < self._acknowledgements_lost:
            return Evidence.SILENT
        return Evidence.ANSWERS

    def has_unread(self, host: Host) -> bool:
        return bool(self._unread_of.get(host.node_id))


class _HostProbe:
    """The master's end of a host's link."""

    def __init__(self, world: World, host: Host) -> None:
        self._world = world
        self._host = host

    def ping(self, now_s: float) -> None:
        """What comes of it is `evidence`."""

    def evidence(self) -> Evidence:
        return self._world.evidence(self._host)

    def has_unread(self) -> bool:
        return self._world.has_unread(self._host)


def percentile(values: Sequence[float], part: float) -> float:
    """The value below which so large a part lies; NaN of none."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def _local_delay_s(rng: random.Random) -> float:
    # A local network, and a scheduling hiccup in a thousand beats.
    hiccup_s = rng.uniform(0.0, 0.2) if rng.random() < 1e-3 else 0.0
    return 0.001 + rng.expovariate(500.0) + hiccup_s
