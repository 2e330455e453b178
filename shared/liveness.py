"""When a node is up, late, hung, lost or down: one pure function and its deadline.

    next = step(liveness, event, now_s)          # what an event makes of a node
    at_s = deadline_s(next)                      # when silence will change it, or be looked into

`now_s` is the master's attentive clock, always an argument: nothing here reads a clock. The driver
calls `step` with `DeadlinePassed` once `deadline_s` has come, and adds what the peer's kernel
shows.

    never-seen ─▶ joining ─▶ up ─▶ late ─▶ down          silence
                             late ◀─▶ hung ─▶ down       … though the host's kernel answers
                             up, late, hung ─▶ lost ─▶ down   the link broke without a goodbye
                             any ─▶ left                 goodbye was said
                             any ─▶ revoked              by the operator; final
    awaited ─▶ up | down                                 after the master itself was restarted
    joining, up, late, hung ─▶ awaited                   after a part of it was

Timing alone cannot beat a fixed timeout; evidence can. A process that is stopped and a host that is
gone are equally silent, but the kernel of the first still acknowledges: it gets a long horizon, the
other a short one. How late a beat has to be is learnt from the link (`shared.arrivals`).
"""

import math
from enum import Enum, StrEnum
from typing import Final, TypeAlias, assert_never

from msgspec import Struct
from msgspec.structs import replace

from shared.arrivals import Arrivals, first, none_yet, observe, peak_s
from shared.backoff import BACKOFF_CAP_S

LATE_FLOOR_S: Final = 1.0
"""How long after the instant that was promised a beat is late, at the least: a scheduling hiccup or
one lost packet is not lateness."""

PEAK_FACTOR: Final = 1.25
"""Margins are this many times the greatest lateness seen lately."""

DOWN_LEAST_PERIODS: Final = 1.5
DOWN_MOST_PERIODS: Final = 4.0
"""A host whose kernel does not answer is down so many periods after the beat that is missing:
12.5 s after the last one at 5 s on a good link, at most 25 s on a bad one."""

HUNG_PERIODS: Final = 5.0
"""The same for a process that is stopped on a host that answers: 30 s after the last beat at 5 s.
Swapping, a frozen container, a debugger: most come back."""

HUNG_FROM_MARGINS: Final = 2.0
HUNG_FROM_MOST_PERIODS: Final = 3.0
"""The kernel of a running agent answers too while the agent's beat is lost and sent again. So a
node is not hung before the silence is twice as long as the lateness that its link has shown calls
for, or three periods: at 30 % loss that is wrong half as often as without, and on a link that is
in time nothing changes."""

HUNG_REASON: Final = "the host answers, the agent does not"

LOOK_AGAIN_S: Final = 1.0
"""How long after the ping, and how often, the peer's kernel is asked whether it has
acknowledged."""

SILENT_AFTER_S: Final = 2.5
"""A host that answered is not silent before several looks in a row have found nothing: one lost
packet is no evidence."""

LONGEST_PROMISE: Final = 1.5
"""In periods: the first beat on a link goes out off the grid and promises an instant on it that is
half a period away at least. What is promised for later comes from an agent that keeps a longer
period than it was asked to."""

LOST_GRACE_S: Final = 3.0
"""A broken link may come back within this: the agent's first retry takes at most half a second."""

JOINING_PERIODS: Final = 3.0
"""An agent that was welcomed and has not beaten for so many periods is down."""

RESTARTED: Final = "the master was restarted"

AWAITED_S: Final = 1.5 * BACKOFF_CAP_S
"""After the master's own restart, or that of a part of it: by then every agent that lives has
dialled, whatever its back-off."""


class State(StrEnum):
    """A node's state, in the words that people and the wire use."""

    NEVER_SEEN = "never-seen"
    JOINING = "joining"
    UP = "up"
    LATE = "late"
    HUNG = "hung"
    LOST = "lost"
    DOWN = "down"
    LEFT = "left"
    REVOKED = "revoked"
    AWAITED = "awaited"


SEVERITY: Final = (
    State.DOWN,
    State.LOST,
    State.HUNG,
    State.LATE,
    State.AWAITED,
    State.JOINING,
    State.UP,
    State.NEVER_SEEN,
    State.LEFT,
    State.REVOKED,
)
"""Problems first: the order in which people want to see nodes."""

ALIVE: Final = frozenset({State.UP, State.LATE, State.HUNG})
"""States of a node whose link stands and has beaten."""

_EXPECTED: Final = ALIVE | {State.JOINING, State.LOST, State.AWAITED}


class Evidence(Enum):
    """What the peer's kernel shows, once the silent peer has been pinged."""

    UNKNOWN = "unknown"
    """There is no telling: no link, or a system without TCP_INFO."""
    ANSWERS = "answers"
    """It has acknowledged all that was sent: the host is there, its agent does not run."""
    SILENT = "silent"
    """It has not: the host is gone, or the way to it."""


class Liveness(Struct, frozen=True, gc=False):
    """What is known of one node's life. All times are on the master's attentive clock."""

    state: State
    since_s: float
    """When the state began."""
    reason: str = ""
    period_s: float = 5.0
    """How often the agent has been asked to beat, or beats of its own will when that is longer."""
    arrivals: Arrivals | None = None
    """What the beats of the present link have shown; None before the first."""
    looked_s: float = 0.0
    """When a late node was last pinged or looked into."""
    answered_s: float = -math.inf
    """When the kernel of a node that is late or hung was last seen to answer."""


class Horizons(Struct, frozen=True, gc=False):
    """How soon it is noticed when a node that beats falls silent: seconds from its last beat."""

    late_in_s: float
    down_in_s: float
    """When its host is gone, or the way to it."""
    hung_down_in_s: float
    """When its host answers and its agent does not."""
    lost_down_in_s: float
    """When its link breaks: seconds from then."""
    margin_s: float
    """What the lateness that the link has shown calls for."""


class Joined(Struct, frozen=True, gc=False):
    """The node's agent has been welcomed on a link, and asked to beat every `period_s`."""

    period_s: float


class BeatArrived(Struct, frozen=True, gc=False):
    """A beat arrived that was sent at `mono_s` on the agent's clock, with the promise of the next,
    from an agent asked to beat every `period_s`."""

    mono_s: float
    next_in_s: float
    period_s: float


class LinkBroke(Struct, frozen=True, gc=False):
    """The node's current link ended without a goodbye: FIN, RST or a timeout."""

    reason: str


class Orphaned(Struct, frozen=True, gc=False):
    """The node's link ended by the master's own doing, which says nothing of the node."""

    reason: str


class SaidGoodbye(Struct, frozen=True, gc=False):
    """The agent took its leave, with its reason."""

    reason: str


class Revoked(Struct, frozen=True, gc=False):
    """The operator revoked the node's identity."""


class DeadlinePassed(Struct, frozen=True, gc=False):
    """`deadline_s` has come; of a late or hung node with what its kernel shows."""

    evidence: Evidence = Evidence.UNKNOWN


LivenessEvent: TypeAlias = (
    Joined | BeatArrived | LinkBroke | Orphaned | SaidGoodbye | Revoked | DeadlinePassed
)


def restored(state: State, reason: str, now_s: float) -> Liveness:
    """A node as the master finds it in its registry at its own start.

    Nodes that were expected to live are *awaited*: nothing can be said of them until they have had
    time to dial. The others stay as they were.
    """
    if state in _EXPECTED:
        return Liveness(State.AWAITED, now_s, RESTARTED)
    return Liveness(state, now_s, reason)


def step(node: Liveness, event: LivenessEvent, now_s: float) -> Liveness:
    """What `event` at `now_s` makes of `node`; the same object when it changes nothing.

    A revoked node stays revoked whatever happens.
    """
    if node.state is State.REVOKED:
        return node
    match event:
        case BeatArrived():
            return _beaten(node, event, now_s)
        case Joined(period_s):
            return _joined(node, period_s, now_s)
        case LinkBroke(reason):
            if node.state not in ALIVE and node.state is not State.JOINING:
                return node
            return replace(node, state=State.LOST, since_s=now_s, reason=reason)
        case Orphaned(reason):
            if node.state not in ALIVE and node.state is not State.JOINING:
                return node
            return replace(node, state=State.AWAITED, since_s=now_s, reason=reason)
        case SaidGoodbye(reason):
            return replace(node, state=State.LEFT, since_s=now_s, reason=reason)
        case Revoked():
            return replace(node, state=State.REVOKED, since_s=now_s, reason="by the operator")
        case DeadlinePassed(evidence):
            return _silent(node, evidence, now_s)
        case _:
            assert_never(event)


def deadline_s(node: Liveness) -> float | None:
    """When `node` changes by silence alone, or is to be looked into; None when it does not."""
    match node.state:
        case State.UP:
            return late_s(node)
        case State.LATE | State.HUNG:
            return min(down_s(node), node.looked_s + LOOK_AGAIN_S)
        case State.LOST:
            return node.since_s + LOST_GRACE_S
        case State.JOINING:
            return node.since_s + node.period_s * JOINING_PERIODS
        case State.AWAITED:
            return node.since_s + AWAITED_S
        case State.NEVER_SEEN | State.DOWN | State.LEFT | State.REVOKED:
            return None
        case _:
            assert_never(node.state)


def late_s(node: Liveness) -> float:
    """When a node that is up becomes late: its promise and max(1 s, min(1.25 P, period))."""
    arrivals = node.arrivals
    if arrivals is None:
        return node.since_s + node.period_s + LATE_FLOOR_S
    return arrivals.due_s + max(LATE_FLOOR_S, min(PEAK_FACTOR * arrivals.peak_s, node.period_s))


def down_s(node: Liveness) -> float:
    """When a late or hung node is down, should nothing be heard until then; never before the ping
    that it was sent when it became late could be answered.

    The period and 1.25 P, within 1.5 and 4 periods, from the promise or the last arrival, whichever
    is later (under TCP a late beat brings the next ones late too), or from the last answer of its
    host. However often the host answers, five periods after the promise is the end.
    """
    arrivals, period_s = node.arrivals, node.period_s
    if arrivals is None:
        from_s, margin_s = node.since_s, 0.0
    else:
        from_s = max(arrivals.due_s, arrivals.heard_s)
        margin_s = PEAK_FACTOR * peak_s(arrivals, node.since_s)
    at_s = from_s + HUNG_PERIODS * period_s
    if node.state is State.HUNG:
        return max(node.since_s, at_s)
    horizon_s = min(
        max(period_s + margin_s, DOWN_LEAST_PERIODS * period_s), DOWN_MOST_PERIODS * period_s
    )
    at_s = min(at_s, max(from_s, node.answered_s) + horizon_s)
    return max(node.since_s + LOOK_AGAIN_S, at_s)


def horizons(node: Liveness) -> Horizons | None:
    """What the node's present promise, margin and horizon mean; None of a node that does not
    beat."""
    arrivals = node.arrivals
    if node.state not in ALIVE or arrivals is None or not arrivals.filled:
        return None
    at_s, heard_s = late_s(node), arrivals.heard_s
    silent = replace(node, state=State.LATE, since_s=at_s, answered_s=-math.inf)
    return Horizons(
        late_in_s=at_s - heard_s,
        down_in_s=down_s(silent) - heard_s,
        hung_down_in_s=down_s(replace(silent, state=State.HUNG)) - heard_s,
        lost_down_in_s=LOST_GRACE_S,
        margin_s=PEAK_FACTOR * arrivals.peak_s,
    )


def _beaten(node: Liveness, beat: BeatArrived, now_s: float) -> Liveness:
    before = node.arrivals
    period_s = max(beat.period_s, beat.next_in_s / LONGEST_PROMISE)
    if before is None:
        arrivals = first(now_s, beat.mono_s, beat.next_in_s)
    else:
        arrivals = observe(before, now_s, beat.mono_s, beat.next_in_s, period_s)
    since_s = node.since_s if node.state is State.UP else now_s
    return Liveness(State.UP, since_s, "", period_s, arrivals)


def _joined(node: Liveness, period_s: float, now_s: float) -> Liveness:
    # Another link, perhaps another process with another clock; as bad a line as it was.
    before = node.arrivals
    arrivals = (
        none_yet(now_s, period_s)
        if before is None
        else none_yet(now_s, period_s, peak_s(before, now_s), before.doubt)
    )
    if node.state in ALIVE:
        return replace(node, period_s=period_s, arrivals=arrivals)
    return Liveness(State.JOINING, now_s, "", period_s, arrivals)


def _silent(node: Liveness, evidence: Evidence, now_s: float) -> Liveness:
    at_s = deadline_s(node)
    if at_s is None or now_s < at_s:
        return node
    match node.state:
        case State.UP:
            return replace(
                node,
                state=State.LATE,
                since_s=now_s,
                reason="no beat when promised",
                looked_s=now_s,
            )
        case State.LATE | State.HUNG:
            return _looked_into(node, evidence, now_s)
        case _:
            return replace(node, state=State.DOWN, since_s=now_s, reason=_why_down(node))


def _looked_into(node: Liveness, evidence: Evidence, now_s: float) -> Liveness:
    if evidence is Evidence.ANSWERS:
        node = replace(node, answered_s=now_s)
        if node.state is State.LATE and now_s >= _hung_s(node):
            node = replace(node, state=State.HUNG, since_s=now_s, reason=HUNG_REASON)
    elif (
        evidence is Evidence.SILENT
        and node.state is State.HUNG
        and now_s >= node.answered_s + SILENT_AFTER_S
    ):
        node = replace(node, state=State.LATE, since_s=now_s, reason="its host has gone silent")
    if now_s >= down_s(node):
        return replace(node, state=State.DOWN, since_s=now_s, reason=_why_down(node))
    return replace(node, looked_s=now_s)


def _hung_s(node: Liveness) -> float:
    """When a host that answers says something of its agent. Until then a beat may be on its way
    that was lost and is sent again."""
    arrivals = node.arrivals
    if arrivals is None:
        return node.since_s
    margin_s = PEAK_FACTOR * peak_s(arrivals, node.since_s)
    most_s = HUNG_FROM_MOST_PERIODS * node.period_s
    return max(arrivals.due_s, arrivals.heard_s) + min(HUNG_FROM_MARGINS * margin_s, most_s)


def _why_down(node: Liveness) -> str:
    match node.state:
        case State.LOST:
            return f"{node.reason}, and the agent did not come back"
        case State.JOINING:
            return "no beat after joining"
        case State.AWAITED:
            return f"{node.reason}, and the agent did not come back"
        case State.HUNG:
            return f"hung: {HUNG_REASON}"
        case _:
            return "unreachable: no beat, and its host does not answer"
