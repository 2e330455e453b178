"""What an agent remembers of its absence and how it tells it: an instant is three clocks, and only
those that cannot be set have a say."""

from dataclasses import dataclass

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.clocks import Instant
from agent.lastwords import LastWord, Run, Stretch, pack, parse
from agent.recollection import RUNS_KEPT, Recollection
from shared.errors import DeniedError, HeartlineError, LinkBrokenError, NobodyThereError
from shared.messages import Returned

PERIOD_MS = 5_000
QUIET_MS = 20_000
WALL_MS = 1_795_000_000_000


class Host:
    """Three clocks, and one run of the agent after another."""

    def __init__(self) -> None:
        self.boot_id = "boot-1"
        self.wall_ms, self.boot_ms, self.awake_ms = WALL_MS, 600_000, 500_000
        self.pid = 4_100
        self.sequence = 0
        self.recollection = self.start()

    @property
    def now(self) -> Instant:
        return Instant(self.wall_ms, self.boot_ms, self.awake_ms)

    def start(self, previous: LastWord | None = None, oom: str = "") -> Recollection:
        self.pid += 1
        run = Run(self.boot_id, self.pid, self.awake_ms, self.now)
        self.sequence = 0
        self.recollection = Recollection(run, PERIOD_MS, QUIET_MS, previous=previous, oom=oom)
        return self.recollection

    def passes(self, ms: int) -> None:
        """The host is awake, and the agent's loop stands still."""
        self.wall_ms += ms
        self.boot_ms += ms
        self.awake_ms += ms

    def sleeps(self, ms: int) -> None:
        self.wall_ms += ms
        self.boot_ms += ms

    def ticks(self, periods: int, *, sampled: bool = True) -> None:
        """The loop turns, in time."""
        for _ in range(periods):
            self.passes(PERIOD_MS)
            self.recollection.tick(self.now, PERIOD_MS, sampled=sampled)

    def beats(self, periods: int) -> None:
        """The same, with a master that acknowledges each beat."""
        for _ in range(periods):
            self.ticks(1)
            self.sequence += 1
            assert self.acknowledged() is None

    def acknowledged(self) -> Returned | None:
        return self.recollection.acknowledged(self.now, self.sequence, self.sequence)

    def dials(self, error: HeartlineError | None = None) -> None:
        self.recollection.dialling(self.now)
        if error is not None:
            self.recollection.failed(self.now, error)

    def links(self) -> Returned:
        self.dials()
        return self.linked()

    def linked(self) -> Returned:
        return self.recollection.linked(self.now, self.sequence)

    def loses_link(self, code: str = "", error: str = "reset", silence_ms: int = 0) -> None:
        self.recollection.link_ended(self.now, code, error, silence_ms)

    def word(self, ended: str = "") -> LastWord:
        return self.recollection.word(self.now, ended)

    def reboots(self) -> None:
        self.boot_id += "+"
        self.boot_ms = self.awake_ms = 20_000


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def linked(host: Host) -> Host:
    """A host whose agent a master has."""
    host.links()
    host.beats(3)
    assert not host.recollection.is_away
    return host


# --- being away -----------------------------------------------------------------------------------


def test_new_agent_is_away_since_it_first_dialled(host: Host) -> None:
    host.passes(900)
    host.dials(LinkBrokenError("no answer"))
    host.ticks(2)
    told = host.links()
    assert told.away_ms == 2 * PERIOD_MS
    assert told.silent_ms is None
    assert told.samples == 2
    assert (told.attempts, told.attempt_error) == (2, "no answer")
    assert told.runs == ()


def test_agent_that_a_master_has_is_not_away(linked: Host) -> None:
    assert linked.word() == LastWord(linked.recollection.run, linked.now)


def test_absence_begins_with_the_end_of_the_link_and_its_samples_are_counted(linked: Host) -> None:
    linked.loses_link("stopped", "SIGTERM")
    linked.ticks(6)
    linked.ticks(2, sampled=False)
    told = linked.links()
    assert told.away_ms == told.silent_ms == 8 * PERIOD_MS
    assert told.samples == 6
    assert (told.link_code, told.link_error, told.link_silence_ms) == ("stopped", "SIGTERM", 0)
    assert told.stalled_ms == told.suspended_ms == 0


def test_first_end_of_a_link_is_the_one_that_is_told(linked: Host) -> None:
    linked.loses_link(error="reset")
    linked.ticks(1)
    linked.links()
    linked.loses_link("busy", "another end")
    linked.ticks(1)
    told = linked.links()
    assert told.away_ms == 2 * PERIOD_MS
    assert (told.link_code, told.link_error, told.attempts) == ("", "reset", 2)


def test_absence_is_over_with_the_first_beat_that_follows_the_telling(linked: Host) -> None:
    linked.loses_link()
    linked.ticks(3)
    linked.links()
    assert linked.acknowledged() is None  # of a beat from before
    assert linked.recollection.is_away
    assert linked.word().away_ms == 3 * PERIOD_MS
    linked.beats(1)
    assert not linked.recollection.is_away
    linked.loses_link(error="another")
    linked.ticks(1)
    told = linked.links()
    assert (told.away_ms, told.samples, told.attempts) == (PERIOD_MS, 1, 1)
    assert told.link_error == "another"


def test_link_that_brings_no_beat_across_ends_no_absence(linked: Host) -> None:
    linked.loses_link()
    for _ in range(3):
        linked.ticks(2)
        linked.links()
        linked.loses_link(error="again")
    assert linked.links().away_ms == 6 * PERIOD_MS


def test_link_that_had_been_silent_was_lost_when_it_fell_silent(linked: Host) -> None:
    linked.ticks(9)
    linked.loses_link(error="nothing was heard", silence_ms=9 * PERIOD_MS)
    told = linked.links()
    assert told.away_ms == 9 * PERIOD_MS
    assert told.samples == 9
    assert told.link_silence_ms == 9 * PERIOD_MS


def test_link_that_never_brought_anything_counts_by_its_silence(host: Host) -> None:
    host.links()
    host.recollection.acknowledged(host.now, 1, 1)
    host.ticks(5)
    host.loses_link(silence_ms=QUIET_MS)
    assert host.links().away_ms >= QUIET_MS


def test_silence_on_a_link_that_stands_is_told_on_it(linked: Host) -> None:
    linked.ticks(4)
    linked.sequence += 1
    told = linked.acknowledged()
    assert told is not None
    assert told.away_ms == 4 * PERIOD_MS
    assert told.attempts == 0
    assert linked.recollection.is_away
    linked.beats(1)
    assert not linked.recollection.is_away


def test_absence_that_follows_upon_the_telling_of_another_is_told_too(linked: Host) -> None:
    linked.sleeps(60_000)
    linked.ticks(1)
    assert linked.acknowledged() is not None
    # The next beat goes out, and its answer finds a loop that stands still.
    linked.ticks(1)
    linked.sequence += 1
    linked.passes(50_000)
    linked.recollection.tick(linked.now, PERIOD_MS, sampled=True)
    told = linked.acknowledged()
    assert told is not None
    assert (told.suspended_ms, told.stalled_ms, told.away_ms) == (0, 45_000, 55_000)
    assert (told.longest_stall_ms, told.silent_ms, told.samples) == (45_000, 55_000, 2)
    linked.ticks(1)
    linked.sequence += 1
    assert linked.acknowledged() is None
    assert not linked.recollection.is_away


def test_acknowledgement_that_is_a_little_late_is_no_absence(linked: Host) -> None:
    linked.passes(2 * PERIOD_MS - 1)
    linked.sequence += 1
    assert linked.acknowledged() is None


# --- dialling -------------------------------------------------------------------------------------


def test_time_that_nobody_listened_lasts_from_a_refusal_to_the_next_attempt(linked: Host) -> None:
    linked.loses_link()
    linked.dials(NobodyThereError("refused"))
    linked.passes(700)
    linked.dials(NobodyThereError("refused"))
    linked.passes(300)
    linked.dials(DeniedError("busy", "later"))
    linked.passes(5_000)
    told = linked.links()
    assert told.refused_ms == 1_000
    assert told.denied == 1
    assert told.attempts == 4
    assert told.attempt_error == "later (busy)"


def test_error_that_no_frame_could_carry_is_made_fit(linked: Host) -> None:
    linked.loses_link(error="\ud800" + "x" * 1_000)
    linked.dials(LinkBrokenError("\udcff" * 1_000))
    told = linked.links()
    assert told.link_error == "?" + "x" * 199
    assert told.attempt_error == "?" * 200


# --- loops that stand still, hosts that sleep, clocks that jump -----------------------------------


def test_loop_that_stood_still_is_told_of(linked: Host) -> None:
    linked.loses_link()
    linked.passes(30_000)
    linked.recollection.tick(linked.now, PERIOD_MS, sampled=True)
    linked.passes(20_000)
    linked.recollection.tick(linked.now, PERIOD_MS, sampled=True)
    told = linked.links()
    assert told.stalled_ms == 25_000 + 15_000
    assert told.longest_stall_ms == 25_000
    assert told.suspended_ms == 0


def test_loop_that_is_a_little_late_did_not_stand_still(linked: Host) -> None:
    linked.loses_link()
    for _ in range(10):
        linked.passes(PERIOD_MS + 999)
        linked.recollection.tick(linked.now, PERIOD_MS, sampled=True)
    assert linked.links().stalled_ms == 0


def test_cadence_that_has_changed_is_no_stall(linked: Host) -> None:
    linked.loses_link()
    linked.recollection.tick(linked.now, 60_000, sampled=True)
    linked.passes(60_000)
    linked.recollection.tick(linked.now, PERIOD_MS, sampled=True)
    assert linked.links().stalled_ms == 0


def test_host_that_slept_was_suspended_and_its_loop_did_not_stand_still(linked: Host) -> None:
    linked.loses_link()
    linked.ticks(1)
    linked.sleeps(8 * 3_600_000)
    linked.ticks(1)
    told = linked.links()
    assert told.suspended_ms == 8 * 3_600_000
    assert told.stalled_ms == 0
    assert told.away_ms == 2 * PERIOD_MS  # by the clock that slept too
    assert told.silent_ms == 8 * 3_600_000 + 2 * PERIOD_MS


def test_sleep_under_a_link_that_stands_is_told_on_it(linked: Host) -> None:
    linked.sleeps(3_600_000)
    linked.ticks(1)
    linked.sequence += 1
    told = linked.acknowledged()
    assert told is not None
    assert told.suspended_ms == 3_600_000


def test_clocks_that_were_read_a_little_apart_are_no_sleep(linked: Host) -> None:
    linked.loses_link()
    for _ in range(20):
        linked.sleeps(99)
        linked.ticks(1)
    assert linked.links().suspended_ms == 0


@pytest.mark.parametrize("jump_ms", [-40 * 365 * 86_400_000, -3_600_000, 3_600_000, 2**50])
def test_wall_clock_that_is_set_changes_nothing(linked: Host, jump_ms: int) -> None:
    linked.loses_link()
    linked.ticks(2)
    linked.wall_ms += jump_ms
    linked.ticks(2)
    told = linked.links()
    assert told.away_ms == told.silent_ms == 4 * PERIOD_MS
    assert told.stalled_ms == told.suspended_ms == 0
    assert linked.word().alive.wall_ms == linked.wall_ms


# --- the runs before ------------------------------------------------------------------------------


def test_run_that_was_killed_is_told_of_by_the_next(linked: Host) -> None:
    run, word = linked.recollection.run, linked.word()
    linked.passes(3_000)
    linked.start(word, oom="named")
    linked.passes(1_500)
    told = linked.links()
    (ended,) = told.runs
    assert (ended.pid, ended.boot_id, ended.started_mono_ms) == (
        run.pid,
        run.boot_id,
        run.started_mono_ms,
    )
    assert (ended.ended, ended.oom, ended.away_ms) == ("", "named", 0)
    assert ended.lived_ms == 3 * PERIOD_MS
    assert ended.gone_ms == 4_500  # until the next run first dialled
    assert told.silent_ms is None


def test_run_that_said_why_it_ends_is_quoted(linked: Host) -> None:
    linked.start(linked.word("SIGTERM"))
    assert linked.links().runs[0].ended == "SIGTERM"


def test_absence_goes_on_in_the_next_run(linked: Host) -> None:
    linked.loses_link(error="reset")
    linked.ticks(4)
    linked.start(linked.word())
    linked.ticks(1)
    (ended,) = linked.links().runs
    assert (ended.away_ms, ended.samples, ended.link_error) == (4 * PERIOD_MS, 4, "reset")


def test_run_of_another_boot_was_gone_for_nobody_knows_how_long(linked: Host) -> None:
    word = linked.word()
    linked.reboots()
    linked.start(word)
    (ended,) = linked.links().runs
    assert ended.gone_ms is None
    assert ended.boot_id == "boot-1"


def test_what_a_master_has_been_told_is_told_once(linked: Host) -> None:
    linked.start(linked.word())
    linked.links()
    linked.beats(1)
    linked.loses_link()
    assert linked.links().runs == ()
    assert linked.word().runs == ()


def test_run_that_told_and_was_killed_before_it_was_heard_is_told_of_again(linked: Host) -> None:
    linked.start(linked.word())
    linked.links()
    linked.start(linked.word())
    assert len(linked.links().runs) == 2


def test_of_many_runs_the_first_and_the_latest_are_kept(linked: Host) -> None:
    first = linked.recollection.run.pid
    for _ in range(10):
        linked.start(linked.word())
        linked.ticks(1)
    told = linked.links()
    pids = [run.pid for run in told.runs]
    assert pids == [first, *range(linked.pid - RUNS_KEPT + 1, linked.pid)]
    assert told.runs_left_out == 10 - RUNS_KEPT


def test_loop_that_stands_still_is_in_the_last_word_of_whoever_ends_it(linked: Host) -> None:
    linked.passes(40_000)
    word = linked.word("watchdog")
    assert word.stretch.stalled_ms == 35_000
    assert word.away_ms == 40_000


def test_host_restored_to_an_earlier_instant_tells_nothing_impossible(linked: Host) -> None:
    word = linked.word()
    linked.boot_ms, linked.awake_ms = 1_000, 1_000  # a snapshot: one boot, clocks of before
    linked.start(word)
    told = linked.links()
    assert told.runs[0].gone_ms == 0
    assert delivered(told) == told


# --- whatever happens -----------------------------------------------------------------------------


def delivered(told: Returned) -> Returned:
    """As a master decodes it: a number out of range would end the link, each time anew."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(told), type=Returned)


@dataclass(frozen=True)
class Step:
    what: str
    wall_ms: int
    boot_ms: int
    awake_ms: int


jumps = st.one_of(st.integers(0, 10_000), st.integers(-(2**40), 2**40))
steps = st.lists(
    st.builds(
        Step,
        st.sampled_from(["tick", "dial", "fail", "deny", "refuse", "link", "ack", "end", "kill"]),
        jumps,
        jumps,
        jumps,
    ),
    max_size=30,
)


@given(steps)
def test_whatever_happens_and_however_clocks_jump_it_can_be_told_and_kept(
    taken: list[Step],
) -> None:
    host = Host()
    for step in taken:
        host.wall_ms += step.wall_ms
        host.boot_ms = max(0, host.boot_ms + step.boot_ms)  # no kernel counts below zero
        host.awake_ms = max(0, host.awake_ms + step.awake_ms)
        told = None
        match step.what:
            case "tick":
                host.recollection.tick(host.now, PERIOD_MS, sampled=True)
            case "dial":
                host.dials()
            case "fail":
                host.dials(LinkBrokenError("no answer"))
            case "deny":
                host.dials(DeniedError("busy", "later"))
            case "refuse":
                host.dials(NobodyThereError("refused"))
            case "link":
                told = host.links()
            case "ack":
                host.sequence += 1
                told = host.acknowledged()
            case "end":
                host.loses_link(silence_ms=step.boot_ms)
            case _:
                host.start(host.word())
        if told is not None:
            assert delivered(told) == told
        word = host.word()
        assert parse(pack(word, 1)) == (1, word)
        assert word.stretch == Stretch() or word.stretch.stalled_ms >= 0
