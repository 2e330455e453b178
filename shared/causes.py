"""Why a node was away: a pure function of what the master saw and what the agent tells.

An absence is divided into shares (`shared.absence`). The verdict is the first cause, in the order
of `Cause`, whose share is at least half of it; where none is, the largest. Whatever else happened
is in the evidence: a reboot during a long network cut is evidence, and a network that comes up late
after a reboot is part of the reboot. Where the evidence does not suffice, it says what is missing.
"""

from enum import StrEnum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from shared.absence import Absence, Departure, How, Shares, Story, shares_of, still_s, story_of
from shared.messages import Parting, Returned

OOM_NEAR_S: Final = 600.0
"""A kernel that killed something for want of memory on this host meant the agent, probably, if it
was gone for no longer than this. Over a longer time it may have been anything."""

WORTH_TELLING_S: Final = 1.0
"""A lesser share is not worth a line of evidence."""

REASON_CHARACTERS: Final = 120
"""Longest reason of an agent's end."""

_NATURAL: Final = frozenset({"", Parting.SILENT, Parting.SLOW, Parting.STOPPED, Parting.RESTARTING})
"""How links end where the network is to blame, or the master's own end. Any other code is a master
that did not want this link."""

_MASTER_GONE: Final = "the master was gone, or being found again, for {}"


class Cause(StrEnum):
    """Why a node was away, in the order in which it is asked."""

    HOST_REBOOTED = "host-rebooted"
    AGENT_RESTARTED = "agent-restarted"
    AGENT_KILLED = "agent-killed"
    HOST_SUSPENDED = "host-suspended"
    MASTER_AWAY = "master-away"
    PROCESS_HUNG = "process-hung"
    NETWORK_CUT = "network-cut"
    UNKNOWN = "unknown"


class Verdict(Struct, frozen=True):
    """The cause, what speaks for it, and what else is known of it."""

    cause: Cause
    evidence: tuple[str, ...]
    clean: bool | None = None
    """Of a reboot: whether the agent had been stopped in order. None: not known."""
    out_of_memory: bool | None = None
    """Of a killed agent."""
    exit_reason: str = ""
    """Of a restarted agent."""


def judge(departure: Departure, absence: Absence) -> Verdict:
    """Why the node was away. `UNKNOWN` says in its evidence what is missing."""
    if absence.returned is None:
        return _unnoticed(absence) or _by_sight(departure, absence)
    story = story_of(departure, absence, absence.returned)
    if story is None:
        return Verdict(
            Cause.UNKNOWN,
            ("another agent with the same identity came back than the one that went",),
        )
    shares = shares_of(departure, absence, story)
    cause = _largest(story, shares)
    if not absence.is_exact and still_s(absence, story):
        paused = shares_of(departure, replace(absence, is_exact=True), story)
        if _largest(story, paused) is not cause:
            return Verdict(Cause.UNKNOWN, _of_clocks(absence, story.told))
    if cause is Cause.NETWORK_CUT and (refusal := _refusal(story.told)):
        return Verdict(Cause.UNKNOWN, (refusal, *_also(Cause.NETWORK_CUT, absence, story, shares)))
    match cause:
        case Cause.HOST_REBOOTED:
            verdict = _rebooted(departure, story)
        case Cause.AGENT_RESTARTED:
            verdict = _ended(departure, story)
        case Cause.HOST_SUSPENDED:
            verdict = Verdict(cause, _of_suspension(story, shares))
        case Cause.MASTER_AWAY:
            verdict = Verdict(cause, _of_master(story, shares))
        case Cause.PROCESS_HUNG:
            verdict = Verdict(cause, _of_stalls(story, shares))
        case _:
            verdict = Verdict(cause, _of_network(story))
    return Verdict(
        verdict.cause,
        (*verdict.evidence, *_also(cause, absence, story, shares)),
        verdict.clean,
        verdict.out_of_memory,
        verdict.exit_reason,
    )


def in_words(verdict: Verdict) -> str:
    """The verdict as people say it: `host rebooted, unclean`."""
    match verdict.cause:
        case Cause.HOST_REBOOTED:
            return "host rebooted" + {True: ", clean", False: ", unclean", None: ""}[verdict.clean]
        case Cause.AGENT_RESTARTED:
            return f"agent restarted ({verdict.exit_reason})"
        case Cause.AGENT_KILLED:
            return "agent killed" + (", out of memory" if verdict.out_of_memory else "")
        case Cause.UNKNOWN:
            return "cause unknown"
        case cause:
            return {
                Cause.HOST_SUSPENDED: "host suspended",
                Cause.MASTER_AWAY: "the master was away",
                Cause.PROCESS_HUNG: "process hung",
                Cause.NETWORK_CUT: "network cut",
            }[cause]


def lasting(seconds: float) -> str:
    """How long, in two units: `0.4 s`, `42 s`, `3 m 12 s`, `4 h 12 m`, `3 d 4 h`."""
    if seconds < 9.95:
        return f"{max(0.0, seconds):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} m {whole % 60} s"
    if whole < 86_400:
        return f"{whole // 3_600} h {whole % 3_600 // 60} m"
    return f"{whole // 86_400} d {whole % 86_400 // 3_600} h"


def _largest(story: Story, shares: Shares) -> Cause:
    off = Cause.HOST_REBOOTED if story.has_rebooted else Cause.AGENT_RESTARTED
    by_cause = {
        off: shares.off_s,
        Cause.HOST_SUSPENDED: shares.suspended_s,
        Cause.MASTER_AWAY: shares.master_s,
        Cause.PROCESS_HUNG: shares.stalled_s,
        Cause.NETWORK_CUT: shares.network_s,
    }
    if not story.is_new_process:
        del by_cause[off]
    for cause, share_s in by_cause.items():
        if share_s >= shares.total_s / 2:
            return cause
    return max(by_cause, key=lambda cause: by_cause[cause])


def _refusal(told: Returned) -> str:
    if told.link_code not in _NATURAL:
        return f"the master ended the link: {told.link_error or told.link_code}"
    if told.attempts > 1 and told.denied * 2 >= told.attempts:
        return (
            f"a master refused {told.denied} of {told.attempts} attempts to link:"
            f" {told.attempt_error}"
        )
    return ""


def _rebooted(departure: Departure, story: Story) -> Verdict:
    told = story.told
    evidence = ["boot id changed", f"up for {lasting(told.uptime_ms / 1000)}"]
    before = [run for run in story.runs if run.boot_id != told.boot_id]
    clean: bool | None = None
    if departure.how is How.GOODBYE and len(before) <= 1:
        clean = True
        evidence.append(f"the agent said goodbye: {departure.reason}")
    elif not before:
        evidence.append("whether it was clean is not known: no last words of the agent")
    elif before[-1].ended.startswith("SIG"):
        clean = True
        evidence.append(f"a clean stop was recorded: {before[-1].ended}")
    elif before[-1].ended:
        evidence.append(f"the agent had ended before: {before[-1].ended}")
    else:
        clean = False
        evidence.append("no clean stop was recorded")
    return Verdict(Cause.HOST_REBOOTED, tuple(evidence), clean=clean)


def _ended(departure: Departure, story: Story) -> Verdict:
    told = story.told
    evidence = [f"another process in the same boot: {told.pid}"]
    if not story.runs:
        return _ended_without_words(departure, evidence)
    run = max(story.runs, key=lambda run: run.gone_ms or 0)
    evidence[0] += f" instead of {run.pid}"
    if run.gone_ms is not None:
        gone = lasting(run.gone_ms / 1000)
        evidence.append(f"its last word came {gone} before the next run dialled")
    said_goodbye = departure.how is How.GOODBYE and run is story.runs[0]
    if run.ended or said_goodbye:
        reason = (run.ended or departure.reason)[:REASON_CHARACTERS]
        evidence.append(f"it said why it ended: {reason}")
        return Verdict(Cause.AGENT_RESTARTED, tuple(evidence), exit_reason=reason)
    evidence.append("no clean stop was recorded")
    is_near = (run.gone_ms or 0) / 1000 <= OOM_NEAR_S
    out_of_memory = run.oom in {"named", "group"} or (run.oom == "host" and is_near)
    said_by_kernel = {
        "named": "the kernel says that it killed this process for want of memory",
        "group": "the kernel killed a process of its control group for want of memory",
        "host": "the kernel killed a process of this host for want of memory meanwhile",
    }
    if run.oom in said_by_kernel:
        evidence.append(said_by_kernel[run.oom])
    return Verdict(Cause.AGENT_KILLED, tuple(evidence), out_of_memory=out_of_memory)


def _ended_without_words(departure: Departure, evidence: list[str]) -> Verdict:
    if departure.how is How.GOODBYE:
        reason = departure.reason[:REASON_CHARACTERS]
        evidence.append(f"it said goodbye: {reason}")
        return Verdict(Cause.AGENT_RESTARTED, tuple(evidence), exit_reason=reason)
    evidence.append("how the one before ended is not known: it left no last words")
    return Verdict(Cause.UNKNOWN, tuple(evidence))


def _of_suspension(story: Story, shares: Shares) -> tuple[str, ...]:
    lines = [] if story.is_new_process else ["the same process throughout"]
    slept_s = shares.suspended_s - shares.still_s
    if slept_s >= WORTH_TELLING_S:
        lines.append(f"the host's clocks say that it was suspended for {lasting(slept_s)}")
    if shares.still_s:
        lines.append(f"its clocks stood still for {lasting(shares.still_s)}, as when paused")
    return tuple(lines)


def _of_clocks(absence: Absence, told: Returned) -> tuple[str, ...]:
    by_host = lasting((told.silent_ms or 0) / 1000)
    return (
        f"it lasted {lasting(absence.lasted_s)} by the master's wall clock, and {by_host} by the"
        " host's own clocks",
        "so the host was paused, or the master's clock was set while the master was away",
    )


def _of_master(story: Story, shares: Shares) -> tuple[str, ...]:
    lines = [_MASTER_GONE.format(lasting(shares.master_s))]
    if not story.is_new_process:
        lines.append("the same process throughout")
    return (*lines, *_of_link(story.told))


def _of_stalls(story: Story, shares: Shares) -> tuple[str, ...]:
    runs = story.runs
    lines = [f"its event loop did not turn for {lasting(shares.stalled_s)}"]
    if not story.is_new_process:
        lines.append("the same process throughout")
    lines += [f"it then ended itself: {run.ended}" for run in runs if run.stalled_ms and run.ended]
    return tuple(lines)


def _of_network(story: Story) -> tuple[str, ...]:
    told = story.told
    samples = told.samples + sum(run.samples for run in story.runs)
    lines = [] if story.is_new_process else ["the same process throughout"]
    if samples:
        lines.append(f"the host was up: {samples} samples were taken meanwhile")
    return (*lines, *_of_link(told))


def _of_link(told: Returned) -> tuple[str, ...]:
    lines: list[str] = []
    if told.link_error:
        heard = lasting(told.link_silence_ms / 1000)
        lines.append(f"the link ended {heard} after it was last heard on: {told.link_error}")
    if told.attempt_error:
        lines.append(
            f"{told.attempts} attempts to link anew; the last to fail: {told.attempt_error}"
        )
    return tuple(lines)


def _also(cause: Cause, absence: Absence, story: Story, shares: Shares) -> tuple[str, ...]:
    """What else happened during the absence. That the next beat was not due yet when it began is
    no cut of the network."""
    told, runs = story.told, story.runs
    lines: list[str] = []
    if story.has_rebooted and cause is not Cause.HOST_REBOOTED:
        lines.append("also: the host was rebooted meanwhile")
    elif story.is_new_process and cause not in {Cause.HOST_REBOOTED, Cause.AGENT_RESTARTED}:
        how = ", ".join(run.ended or "killed" for run in runs) or "how is not known"
        lines.append(f"also: the agent ended and was started again meanwhile ({how})")
    elif len(runs) + told.runs_left_out > 1:
        lines.append(f"also: {len(runs) + told.runs_left_out} runs of the agent ended meanwhile")
    others = (
        (Cause.HOST_SUSPENDED, shares.suspended_s, "the host was suspended"),
        (Cause.MASTER_AWAY, shares.master_s, "the master was away"),
        (Cause.PROCESS_HUNG, shares.stalled_s, "the agent's event loop did not turn"),
        (Cause.NETWORK_CUT, shares.network_s, "agent and master did not reach each other"),
    )
    lines += [
        f"also: {what} for {lasting(share_s)}"
        for other, share_s, what in others
        if other is not cause
        and share_s >= WORTH_TELLING_S + (other is Cause.NETWORK_CUT) * absence.period_s
    ]
    return tuple(lines)


def _unnoticed(absence: Absence) -> Verdict | None:
    """An agent that tells of every silence has noticed none, on a link that stood throughout."""
    if not (absence.noticed_nothing and absence.is_exact):
        return None
    lasted = lasting(absence.lasted_s)
    return Verdict(
        Cause.HOST_SUSPENDED,
        (
            f"on the same link, the agent noticed nothing of a silence of {lasted}",
            "its clocks stood still, as when paused",
        ),
    )


def _by_sight(departure: Departure, absence: Absence) -> Verdict:
    """Without a word of the agent's, as of one that is older than this message."""
    silence = "this agent tells nothing of its absence"
    before, now = departure.process, absence.process
    is_same = before is not None and before == now
    if before is not None and now is not None and before.boot_id != now.boot_id:
        clean = True if departure.how is How.GOODBYE else None
        return Verdict(Cause.HOST_REBOOTED, ("boot id changed", silence), clean=clean)
    if before is not None and now is not None and before != now:
        return _ended_without_words(departure, ["another process in the same boot", silence])
    if 0 < absence.lasted_s <= absence.master_away_s + absence.finding_s:
        gone = _MASTER_GONE.format(lasting(absence.master_away_s))
        return Verdict(Cause.MASTER_AWAY, (gone, silence))
    if is_same and absence.hung_s >= absence.lasted_s / 2:
        return Verdict(
            Cause.PROCESS_HUNG,
            ("the same process", "its host's kernel answered and it did not", silence),
        )
    seen = f"seen by the master: {departure.reason}" if departure.reason else "seen: silence"
    return Verdict(Cause.UNKNOWN, (seen, silence))
