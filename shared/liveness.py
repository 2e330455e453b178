"""When a node is up, late, lost or down: one pure function and its deadline.

    next = step(liveness, event, now_s)          # what an event makes of a node
    at_s = deadline_s(next)                      # when silence alone will change it

`now_s` is the master's monotonic clock, always an argument: nothing here reads a clock. The driver
calls `step` with `DeadlinePassed` once `deadline_s` has come. Evidence (is the host's kernel still
answering, was the master itself attentive) adds events here; it does not change the shape.

    never-seen ─▶ joining ─▶ up ─▶ late ─▶ down          silence
                             up, late ─▶ lost ─▶ down    the link broke without a goodbye
                             any ─▶ left                 goodbye was said
                             any ─▶ revoked              by the operator; final
    awaited ─▶ up | down                                 after the master itself was restarted
"""

from enum import StrEnum
from typing import Final, TypeAlias, assert_never

from msgspec import Struct
from msgspec.structs import replace

from shared.backoff import BACKOFF_CAP_S

LATE_MARGIN_S: Final = 1.0
"""How long after the promised instant a beat is late: a scheduling hiccup or one lost packet is
not."""

DOWN_PERIODS: Final = 2.5
"""Silence of so many periods means down: the second beat is missing and half a period has gone by,
12.5 s at 5 s."""

LONGEST_PROMISE: Final = 1.5
"""In periods: the first beat on a link goes out off the grid and promises an instant on it that is
half a period away at least. What is promised for later comes from an agent that keeps a longer
period than it was asked to."""

LOST_GRACE_S: Final = 3.0
"""A broken link may come back within this: the agent's first retry takes at most half a second."""

JOINING_PERIODS: Final = 3.0
"""An agent that was welcomed and has not beaten for so many periods is down."""

AWAITED_S: Final = 1.5 * BACKOFF_CAP_S
"""After the master's own restart: by then every agent that lives has dialled, whatever its
back-off."""


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

_ALIVE: Final = frozenset({State.UP, State.LATE, State.HUNG})
_EXPECTED: Final = _ALIVE | {State.JOINING, State.LOST, State.AWAITED}


class Liveness(Struct, frozen=True, gc=False):
    """What is known of one node's life. All times are on the master's monotonic clock."""

    state: State
    since_s: float
    """When the state began."""
    reason: str = ""
    heard_s: float = 0.0
    """When the last beat (or welcome) arrived."""
    next_in_s: float = 5.0
    """How soon after that the next beat was promised."""
    period_s: float = 5.0
    """How often the agent has been asked to beat."""


class Joined(Struct, frozen=True, gc=False):
    """The node's agent has been welcomed on a link, and asked to beat every `period_s`."""

    period_s: float


class BeatArrived(Struct, frozen=True, gc=False):
    """A beat arrived, with the promise of the next, from an agent asked to beat every
    `period_s`."""

    next_in_s: float
    period_s: float


class LinkBroke(Struct, frozen=True, gc=False):
    """The node's current link ended without a goodbye: FIN, RST or a timeout."""

    reason: str


class SaidGoodbye(Struct, frozen=True, gc=False):
    """The agent took its leave, with its reason."""

    reason: str


class Revoked(Struct, frozen=True, gc=False):
    """The operator revoked the node's identity."""


class DeadlinePassed(Struct, frozen=True, gc=False):
    """`deadline_s` has come."""


LivenessEvent: TypeAlias = Joined | BeatArrived | LinkBroke | SaidGoodbye | Revoked | DeadlinePassed


def restored(state: State, reason: str, now_s: float) -> Liveness:
    """A node as the master finds it in its registry at its own start.

    Nodes that were expected to live are *awaited*: nothing can be said of them until they have had
    time to dial. The others stay as they were.
    """
    if state in _EXPECTED:
        return Liveness(State.AWAITED, now_s, "the master was restarted")
    return Liveness(state, now_s, reason)


def step(node: Liveness, event: LivenessEvent, now_s: float) -> Liveness:
    """What `event` at `now_s` makes of `node`; the same object when it changes nothing.

    A revoked node stays revoked whatever happens.
    """
    if node.state is State.REVOKED:
        return node
    match event:
        case BeatArrived(next_in_s, period_s):
            since_s = node.since_s if node.state is State.UP else now_s
            return Liveness(State.UP, since_s, "", now_s, next_in_s, period_s)
        case Joined(period_s):
            if node.state in _ALIVE:
                return replace(node, heard_s=now_s, next_in_s=period_s, period_s=period_s)
            return Liveness(State.JOINING, now_s, "", now_s, period_s, period_s)
        case LinkBroke(reason):
            if node.state not in _ALIVE and node.state is not State.JOINING:
                return node
            return replace(node, state=State.LOST, since_s=now_s, reason=reason)
        case SaidGoodbye(reason):
            return replace(node, state=State.LEFT, since_s=now_s, reason=reason)
        case Revoked():
            return replace(node, state=State.REVOKED, since_s=now_s, reason="by the operator")
        case DeadlinePassed():
            return _silent(node, now_s)
        case _:
            assert_never(event)


def deadline_s(node: Liveness) -> float | None:
    """When `node` changes by silence alone, or None when it does not."""
    match node.state:
        case State.UP:
            return node.heard_s + node.next_in_s + LATE_MARGIN_S
        case State.LATE | State.HUNG:
            return max(node.heard_s + DOWN_PERIODS * _kept_period_s(node), node.since_s)
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


def _kept_period_s(node: Liveness) -> float:
    # Not the promise itself, which on a new link is half a period or one and a half.
    return max(node.period_s, node.next_in_s / LONGEST_PROMISE)


def _silent(node: Liveness, now_s: float) -> Liveness:
    at_s = deadline_s(node)
    if at_s is None or now_s < at_s:
        return node
    if node.state is State.UP:
        return replace(node, state=State.LATE, since_s=now_s, reason="no beat when promised")
    return replace(node, state=State.DOWN, since_s=now_s, reason=_why_down(node))


def _why_down(node: Liveness) -> str:
    match node.state:
        case State.LOST:
            return f"{node.reason}, and the agent did not come back"
        case State.JOINING:
            return "no beat after joining"
        case State.AWAITED:
            return "did not come back after the master's restart"
        case _:
            return "unreachable: no beat"
