"""An absence as master and agent know it, divided by what kept the node away for how long.

    off         no agent ran: between the last word of one run and the first dial of the next
    suspended   the host slept, or its clocks stood still, as a paused virtual machine's do
    master      the master was not there, or did not turn
    stalled     the agent's event loop did not turn
    network     the rest: agent, host and master were there, and what one sent did not arrive

The master's share may overlap with the others. No wall clock takes part, but for the master's own
between two of its lives. What a host did between its last word and its going down nobody can tell:
a process that was stopped, or a host that slept, until it lost its power was off.
"""

from enum import StrEnum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from shared.messages import EndedRun, Returned

SETTLING_S: Final = 120.0
"""So soon after booting, a network that is not there yet belongs to the reboot."""

STILL_LEAST_S: Final = 2.0
"""Clocks of master and host part by less for many reasons."""

BLUR_S: Final = 15.0
"""The same across two lives of the master, or two runs of the agent: when the first ended is known
as well as that."""

FOUND_S: Final = 2.0
"""An agent finds a master that is back within this, if it has not waited for it for long."""


class How(StrEnum):
    """How the master saw a node go."""

    GOODBYE = "goodbye"
    BROKE = "broke"
    """The link ended without a goodbye: FIN, RST, or given up."""
    SILENT = "silent"
    HUNG = "hung"
    """The host's kernel answered, and the agent did not."""
    UNSEEN = "unseen"
    """The master was not there to see."""


class Process(Struct, frozen=True, gc=False):
    """One run of an agent, as its hello names it."""

    boot_id: str
    started_mono_ms: int


class Departure(Struct, frozen=True):
    """What the master saw when the node went."""

    how: How
    reason: str
    process: Process | None
    """Whose link it was; None: the master does not remember."""


class Absence(Struct, frozen=True):
    """What the master knows of the time until the return, and what the agent tells."""

    lasted_s: float
    is_exact: bool
    """It was measured by one monotonic clock: the master lived through it."""
    process: Process | None
    """Of the link on which the node came back; None: not known."""
    returned: Returned | None
    """None: this agent tells nothing."""
    master_away_s: float = 0.0
    """How long of it the master was not there."""
    finding_s: float = 0.0
    """How long after that agents may need to find it again."""
    noticed_nothing: bool = False
    """The agent would have told, on this link that stood throughout, and it did not."""
    hung_s: float = 0.0
    """How long the host's kernel answered on the old link, and the agent did not."""
    period_s: float = 0.0
    """Between two beats of the node: an absence begins with the last of them."""


class Story(Struct, frozen=True):
    """What the agent tells, as far as it belongs to this absence."""

    told: Returned
    runs: tuple[EndedRun, ...]
    """Those that ended since the master had this node."""
    is_new_process: bool
    has_rebooted: bool
    has_words: bool
    """The run that the master had left its last words, or is still there."""


class Shares(Struct, frozen=True):
    """Seconds of the absence."""

    total_s: float
    off_s: float
    suspended_s: float
    still_s: float
    """As part of `suspended_s`: time that its clocks do not know of."""
    master_s: float
    stalled_s: float
    network_s: float


def story_of(departure: Departure, absence: Absence, told: Returned) -> Story | None:
    """What the agent tells of this absence; None: it is not the agent that went."""
    known, runs = departure.process, told.runs
    if known is None or _was_linked_later(departure, absence, told):
        boots = {run.boot_id for run in runs}
        return Story(
            told,
            runs,
            is_new_process=told.silent_ms is None,
            has_rebooted=bool(boots - {told.boot_id}),
            has_words=bool(runs) or told.silent_ms is not None,
        )
    if known == Process(told.boot_id, told.started_mono_ms):
        return Story(told, (), is_new_process=False, has_rebooted=False, has_words=True)
    if told.silent_ms is not None:
        return None  # this process has been linked before, and was not the last that was
    first = next(
        (
            place
            for place, run in enumerate(runs)
            if Process(run.boot_id, run.started_mono_ms) == known
        ),
        None,
    )
    return Story(
        told,
        () if first is None else runs[first:],
        is_new_process=True,
        has_rebooted=known.boot_id != told.boot_id,
        has_words=first is not None,
    )


def _was_linked_later(departure: Departure, absence: Absence, told: Returned) -> bool:
    """Whether a master had this run when, as far as this one remembers, there was none: its disk
    was full then, and what it knew of runs is out of date."""
    if departure.how is not How.UNSEEN or told.silent_ms is None:
        return False
    return told.silent_ms / 1000 < absence.lasted_s


def shares_of(departure: Departure, absence: Absence, story: Story) -> Shares:
    """How long each of them kept the node away. `absence.is_exact` says whether what the host's
    clocks do not know of counts as time in which they stood still."""
    told, runs = story.told, _not_told_before(absence, story)
    suspended_s = (told.suspended_ms + sum(run.suspended_ms for run in runs)) / 1000
    apart_s = _apart_s(told, runs)
    stalled_s = min(
        apart_s - suspended_s, (told.stalled_ms + sum(run.stalled_ms for run in runs)) / 1000
    )
    gone_s = _gone_s(story)
    total_s = absence.lasted_s
    if gone_s is not None:
        by_host_s = apart_s + gone_s
        total_s = max(by_host_s, absence.lasted_s) if absence.is_exact else by_host_s
    stood_still_s = still_s(absence, story) if absence.is_exact else 0.0
    off_s = max(0.0, total_s - apart_s) if gone_s is None else gone_s
    if _ended_with_link(departure, story):
        off_s, stood_still_s = off_s + stood_still_s, 0.0  # whatever the clocks did: nobody ran
    hung_s = 0.0
    if story.has_rebooted:
        off_s += _settling_s(told)  # and what looked like its kernel was a proxy's
    else:
        hung_s = min(off_s, absence.hung_s)
        off_s -= hung_s
    suspended_s += stood_still_s
    stalled_s += hung_s
    master_s = min(absence.master_away_s, total_s)
    rest_s = max(0.0, total_s - off_s - suspended_s - master_s - stalled_s)
    # An agent that waits because nobody listened is finding the master again. Where the master's
    # host did not even refuse, the network may have been cut as well.
    waited_s = max(FOUND_S, told.refused_ms / 1000 - master_s)
    finding_s = min(rest_s, absence.finding_s, waited_s)
    return Shares(
        total_s,
        off_s,
        suspended_s,
        stood_still_s,
        master_s + finding_s,
        stalled_s,
        rest_s - finding_s,
    )


def still_s(absence: Absence, story: Story) -> float:
    """How much longer the absence was by the master's clock than by the host's; 0 where that
    cannot be told, or is too little to say anything."""
    told = story.told
    is_sharp = absence.is_exact and not story.is_new_process
    if story.is_new_process:
        gone_s = _gone_s(story)
        if gone_s is None:
            return 0.0
        by_host_s = gone_s + _apart_s(told, story.runs)
    elif told.silent_ms is None:
        return 0.0
    else:
        by_host_s = told.silent_ms / 1000
    still_s = absence.lasted_s - by_host_s
    return still_s if still_s >= (STILL_LEAST_S if is_sharp else BLUR_S) else 0.0


def _gone_s(story: Story) -> float | None:
    """How long no agent ran, by the host's clock; None where another boot, or a run that left no
    word, came between."""
    if not story.is_new_process:
        return 0.0
    if not story.has_words or story.has_rebooted:
        return None
    return sum(run.gone_ms or 0 for run in story.runs) / 1000


def _ended_with_link(departure: Departure, story: Story) -> bool:
    """Whether the run that had the link ended when the link did."""
    if not story.is_new_process:
        return False
    if departure.how is How.BROKE:
        return bool(story.runs) and story.runs[0].away_ms == 0
    return departure.how is How.GOODBYE


def _apart_s(told: Returned, runs: tuple[EndedRun, ...]) -> float:
    """How long an agent ran and had no master, suspended or not."""
    in_runs_ms = sum(run.away_ms + run.suspended_ms for run in runs)
    return (told.away_ms + told.suspended_ms + in_runs_ms) / 1000


def _not_told_before(absence: Absence, story: Story) -> tuple[EndedRun, ...]:
    """The runs, the first without what it had told of an absence before this one: it was killed
    before it knew that it had been heard."""
    runs, gone_s = story.runs, _gone_s(story)
    if not runs or gone_s is None or not absence.is_exact:
        return runs
    if gone_s + _apart_s(story.told, runs) < absence.lasted_s + BLUR_S:
        return runs
    return (replace(runs[0], away_ms=0, stalled_ms=0, suspended_ms=0), *runs[1:])


def _settling_s(told: Returned) -> float:
    """How long after booting a network was still missing. Where the master's host answered that
    nobody listened, it was there."""
    dialled_at_s = (told.uptime_ms - told.away_ms - told.suspended_ms) / 1000
    missing_s = (told.away_ms - told.refused_ms) / 1000
    return max(0.0, min(missing_s, SETTLING_S - dialled_at_s))
