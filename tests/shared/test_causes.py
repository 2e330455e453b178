"""The words of a verdict, where they are easily misread."""

from msgspec.structs import replace

from shared.absence import Absence, Departure, How, Process
from shared.causes import Cause, Verdict, judge
from shared.messages import Returned

PROCESS = Process("boot", 1_000)


BACK = Returned(
    "boot",
    uptime_ms=900_000,
    pid=1,
    started_mono_ms=1_000,
    away_ms=30_000,
    silent_ms=30_000,
    suspended_ms=0,
    stalled_ms=0,
    longest_stall_ms=0,
    samples=0,
)


def verdict_on(how: How, returned: Returned, process: Process = PROCESS) -> Verdict:
    here = Process(returned.boot_id, returned.started_mono_ms)
    absence = Absence(30.0, is_exact=True, process=here, returned=returned, period_s=5.0)
    return judge(Departure(how, "", process), absence)


def test_beat_that_was_not_due_yet_is_no_cut_of_the_network() -> None:
    verdict = verdict_on(How.HUNG, replace(BACK, stalled_ms=24_900))
    assert verdict.cause is Cause.PROCESS_HUNG
    assert not [line for line in verdict.evidence if "did not reach each other" in line]


def test_cut_beside_a_hung_process_is_told() -> None:
    verdict = verdict_on(How.HUNG, replace(BACK, stalled_ms=20_000))
    assert verdict.cause is Cause.PROCESS_HUNG
    assert "also: agent and master did not reach each other for 10 s" in verdict.evidence


def test_attempts_that_failed_are_not_told_as_one() -> None:
    verdict = verdict_on(How.SILENT, replace(BACK, attempts=10, attempt_error="connection refused"))
    line = "10 attempts to link anew; the last to fail: connection refused"
    assert line in verdict.evidence


def test_run_that_was_linked_while_the_master_knew_of_none_is_no_stranger() -> None:
    returned = replace(BACK, away_ms=3_000, silent_ms=3_000, started_mono_ms=2_000)
    unseen = Absence(
        10.0, is_exact=False, process=None, returned=returned, master_away_s=10.0, period_s=5.0
    )
    assert judge(Departure(How.UNSEEN, "", PROCESS), unseen).cause is Cause.MASTER_AWAY
    assert verdict_on(How.SILENT, returned).cause is Cause.UNKNOWN
