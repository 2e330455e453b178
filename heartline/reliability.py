"""How reliably a node is there: outages as records and as rows, availability, and what `node show`
says of both.

Everything is cleaned here, once: names and evidence came from agents.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final

import msgspec
from msgspec import Struct

from heartline.tables import Cell, Column
from heartline.times import moment, on_screen
from shared import messages as m
from shared.causes import Cause, lasting
from shared.text import NAME_LIMIT_CHARACTERS, clean
from tui import formats
from tui.outages import percent, ratio_of, window

CAUSES: Final[Mapping[Cause, str]] = {
    Cause.HOST_REBOOTED: "the host was started anew; clean, if its agent had been stopped before",
    Cause.AGENT_RESTARTED: "the agent ended and said why, and was started again",
    Cause.AGENT_KILLED: "the agent ended without a word; *out of memory* if the kernel says so",
    Cause.HOST_SUSPENDED: "the host slept, or was paused: its clocks stood still",
    Cause.MASTER_AWAY: "the master was not there, or the agent had not found it again yet",
    Cause.PROCESS_HUNG: "the agent was there and did not turn: stopped, starved, or its disk hung",
    Cause.NETWORK_CUT: "agent and master both ran, and did not reach each other",
    Cause.UNKNOWN: "what is known does not suffice; the evidence says what is missing",
}
"""What each cause means, in the order in which they are asked."""

_STILL_AWAY: Final = "still away"

_COLORS: Final[Mapping[str | None, str]] = {
    None: "red",
    Cause.AGENT_KILLED: "red",
    Cause.HOST_REBOOTED: "yellow",
    Cause.NETWORK_CUT: "yellow",
    Cause.PROCESS_HUNG: "yellow",
}

COLUMNS: Final = (
    Column("NODE", flexible=True),
    Column("FROM"),
    Column("LASTED", right=True),
    Column("CAUSE"),
    Column("EVIDENCE", flexible=True),
)


class Outage(Struct, frozen=True, kw_only=True):
    """One outage. The fields, in this order, are the keys of `outages --json`."""

    node: str
    from_: datetime | None = msgspec.field(name="from")
    """The last sign of life."""
    to: datetime | None
    """The first beat after the return; None while the node is away."""
    cause: str | None
    """None until the node is back and the cause has been judged."""
    evidence: list[str]
    lasted_s: float
    """Until now, while the node is away."""
    detected_s: float
    """From the last sign of life until the master knew that the node was gone."""
    planned: bool
    clean: bool | None
    out_of_memory: bool | None
    exit_reason: str
    node_id: str


def outage_of(outage: m.Outage, now_wall_ms: int) -> Outage:
    """An outage as it is shown."""
    until_wall_ms = now_wall_ms if outage.to_wall_ms is None else outage.to_wall_ms
    return Outage(
        node=clean(outage.name, NAME_LIMIT_CHARACTERS),
        from_=moment(outage.from_wall_ms),
        to=moment(outage.to_wall_ms),
        cause=clean(outage.cause) or None,
        evidence=[clean(line) for line in outage.evidence],
        lasted_s=max(0, until_wall_ms - outage.from_wall_ms) / 1000,
        detected_s=max(0, outage.noticed_wall_ms - outage.from_wall_ms) / 1000,
        planned=outage.planned,
        clean=outage.clean,
        out_of_memory=outage.out_of_memory,
        exit_reason=clean(outage.exit_reason),
        node_id=clean(outage.node_id, NAME_LIMIT_CHARACTERS),
    )


def row(outage: Outage) -> list[str | Cell]:
    """An outage in the order of `COLUMNS`."""
    return [
        outage.node,
        on_screen(outage.from_),
        lasting(outage.lasted_s),
        Cell(cause_of(outage), _COLORS.get(outage.cause)),
        "; ".join(outage.evidence),
    ]


def cause_of(outage: Outage) -> str:
    """The cause, with what else is known of it: `host-rebooted, unclean`."""
    if outage.to is None:
        return _STILL_AWAY
    words = [outage.cause or "not judged yet"]
    if outage.clean is not None:
        words.append("clean" if outage.clean else "unclean")
    if outage.out_of_memory:
        words.append("out of memory")
    if outage.exit_reason:
        words.append(outage.exit_reason)
    return ", ".join(words)


def summary(detail: m.NodeDetail, now_wall_ms: int) -> Iterator[tuple[str, str]]:
    """What `node show` says: availability and the last outage, as names and values."""
    shares = [
        f"{percent(ratio)} of the {window(each)}"
        for each in detail.availability
        if (ratio := ratio_of(each)) is not None
    ]
    known_s = max((each.known_s for each in detail.availability), default=0)
    longest_s = max((each.window_s for each in detail.availability), default=0)
    known = "" if known_s >= longest_s else f" (known for {formats.duration(known_s)})"
    yield "availability", ", ".join(shares) + known if shares else ""
    if detail.last_outage is not None:
        last = outage_of(detail.last_outage, now_wall_ms)
        since = on_screen(last.from_)
        yield "last outage", f"{since} for {lasting(last.lasted_s)}: {cause_of(last)}"


def detail_of(detail: m.NodeDetail, now_wall_ms: int) -> dict[str, object]:
    """The same for programs."""
    return {
        "availability": {
            window(each): {
                "ratio": ratio_of(each),
                "known_s": each.known_s,
                "down_s": each.down_s,
                "planned_s": each.planned_s,
                "unobserved_s": each.unobserved_s,
            }
            for each in detail.availability
        },
        "last_outage": None
        if detail.last_outage is None
        else outage_of(detail.last_outage, now_wall_ms),
    }
