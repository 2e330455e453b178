"""Whatever befalls master, agents, lines and disks: every sample that was taken is in the history
exactly once, with its values and its time, or the ledger says that it is missing.

The faults follow from the seed, and are printed (`-s` shows them).
"""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

import pytest

from shared import messages as m
from shared.clock import wall_ms
from shared.liveness import State
from tests.eventually import eventually_in_processes
from tests.network import lossy_link, small_disk
from tests.network.fault_schedule import Fault, Kind, schedule
from tests.network.faulty_fleet import FaultyFleet
from tests.network.sample_audit import (
    Account,
    account_of,
    ask_ledger,
    is_named,
    printed_coverage,
    rows_on_disk,
)

WHY_NOT: Final = lossy_link.why_not_here() or small_disk.why_not_here()
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)

HOSTS: Final = 20
FULL_DISKS: Final = range(0, HOSTS, 4)
"""Whose disk can be filled: what is in memory then dies with the agent."""

FORGETFUL: Final = range(1, HOSTS, 5)
"""Whose spool has room for some seconds without a master. One host is both."""

OFF_MS: Final = 1_500
"""So far the master lets its clock and an agent's drift apart, and what a busy machine adds."""

EDGE_SAMPLES: Final = 1
"""The ledger spreads samples evenly: one at the edge of a span may count beyond it."""

BEFORE_MS: Final = 5_000
AROUND_MS: Final = 10_000
GAPS_LIMIT: Final = 100
AWAY_S: Final = 2.5
LOOK_S: Final = 1.5
WITHIN_S: Final = 90.0

SOAK: Final = [pytest.mark.soak, pytest.mark.timeout(1800)]


@pytest.mark.parametrize(
    ("seed", "faults", "apart_s", "longest_s", "is_patient"),
    [
        pytest.param(1196, 14, 0.6, 3.0, False, marks=pytest.mark.timeout(300)),
        pytest.param(1, 210, 0.9, 9.0, True, marks=SOAK),
        pytest.param(2, 210, 1.0, 20.0, True, marks=SOAK),
    ],
)
def test_every_sample_taken_is_in_the_history_once_or_is_named_as_missing(
    tmp_path: Path, seed: int, faults: int, apart_s: float, longest_s: float, is_patient: bool
) -> None:
    planned = schedule(
        seed, faults, hosts=HOSTS, full_disks=FULL_DISKS, apart_s=apart_s, longest_s=longest_s
    )
    print(f"seed {seed}, {len(planned)} faults:", *planned, sep="\n")
    from_ms = wall_ms() - BEFORE_MS
    with FaultyFleet(tmp_path, hosts=HOSTS, full_disks=FULL_DISKS, forgetful=FORGETFUL) as fleet:
        fleet.suffer(planned)
        span, told = (from_ms, come_back(fleet)), fleet.events()[-1].number
        accounts = arrived(fleet, span)
        if is_patient:
            accounts = nothing_awaited(fleet, span)
        assert moved(fleet.events(), told) == []
        tell(accounts)
        assert sum(account.totals.late for account in accounts) > HOSTS
        for account in accounts:
            check_samples(account)
            check_reasons(fleet, account)
            check_ledger(account, is_patient=is_patient)
        check_command_line(fleet, accounts, span)
        assert fleet.stop_master() == 0
        check_disk(fleet, accounts)


# --- waiting --------------------------------------------------------------------------------------


def come_back(fleet: FaultyFleet) -> int:
    """Kills the master once more, for all agents to have something to replay, and waits until all
    are back; returns when."""
    fleet.suffer([Fault(0.0, AWAY_S, Kind.MASTER_KILLED, -1)])
    eventually_in_processes(fleet.is_all_up, within_s=WITHIN_S)
    return wall_ms()


def arrived(fleet: FaultyFleet, span: tuple[int, int]) -> list[Account]:
    """The accounts of all nodes, once nothing is missing that must come, nor comes any more."""
    seen: list[list[Account]] = [[]]

    def is_there() -> bool:
        fleet.look_after_for(LOOK_S)
        before, now = seen[-1], look(fleet, span)
        seen.append(now)
        return [each.missing for each in before] == [each.missing for each in now] and all(
            not must_come(fleet, each) for each in now
        )

    with suppress(TimeoutError):  # what is missing then is told in a better way
        eventually_in_processes(is_there, within_s=WITHIN_S)
    return with_ledger(fleet, seen[-1], span)


def nothing_awaited(fleet: FaultyFleet, span: tuple[int, int]) -> list[Account]:
    """The same once the ledger says that no spool has anything any more."""
    seen: list[Account] = []

    def is_said() -> bool:
        fleet.look_after_for(LOOK_S)
        seen[:] = with_ledger(fleet, look(fleet, span), span)
        return not any(account.totals.awaited for account in seen)

    with suppress(TimeoutError):
        eventually_in_processes(is_said, within_s=WITHIN_S)
    return seen


def look(fleet: FaultyFleet, span: tuple[int, int]) -> list[Account]:
    with fleet.control() as control:
        return [account_of(control, name, fleet.notes, span) for name in fleet.names]


def with_ledger(
    fleet: FaultyFleet, accounts: list[Account], span: tuple[int, int]
) -> list[Account]:
    with fleet.control() as control:
        for account in accounts:
            ask_ledger(control, account, span)
    return accounts


# --- what has to hold -----------------------------------------------------------------------------


def must_come(fleet: FaultyFleet, account: Account) -> bool:
    """Whether something is missing that cannot have died with an agent."""
    if number_of(fleet, account) in {*FULL_DISKS, *FORGETFUL}:
        return False
    ends = fleet.started[account.name] - 1
    return bool(account.left_behind()) or len(account.missing) > ends


def check_samples(account: Account) -> None:
    assert account.twice == []
    assert account.invented == []
    assert account.altered == []
    off = {name: off_ms for name, off_ms in account.off_by_ms().items() if abs(off_ms) > OFF_MS}
    assert off == {}, account.name
    assert len(account.stored) > len(account.taken) / 2


def check_reasons(fleet: FaultyFleet, account: Account) -> None:
    """Without a full disk and with room in its spool, an agent that ends can take one sample with
    it, that it was about to write; and only the last."""
    assert not must_come(fleet, account), account.missing


def check_ledger(account: Account, *, is_patient: bool) -> None:
    totals, left_behind = account.totals, len(account.left_behind())
    assert account.unnamed() == []
    assert abs(totals.stored - account.stored_until()) <= EDGE_SAMPLES
    assert totals.lost + totals.awaited >= left_behind
    if is_patient:
        assert totals.awaited == 0
        assert left_behind <= totals.lost <= len(account.missing)


def moved(events: Sequence[m.Event], since: int) -> list[m.Event]:
    """Which states have changed since then, but for what any busy machine causes for a moment."""
    blips = {State.LATE, State.HUNG, State.UP}
    return [e for e in events if e.number > since and e.event == "state" and e.after not in blips]


def check_command_line(
    fleet: FaultyFleet, accounts: Sequence[Account], span: tuple[int, int]
) -> None:
    """What `heartline coverage` prints is what the master has said before, and names what is
    missing."""
    rows = {row.node: row for row in printed_coverage(fleet.folder, span)}
    for account in accounts:
        assert rows[account.name].totals.stored == account.totals.stored
        assert rows[account.name].totals.lost == account.totals.lost
        missing = account.missing
        if not missing:
            continue
        around = (missing[0].wall_ms - AROUND_MS, missing[-1].wall_ms + AROUND_MS)
        (row,) = printed_coverage(fleet.folder, around, account.name)
        gaps = [each.gap for each in row.gaps]
        told_from_ms = gaps[0].from_wall_ms if len(gaps) == GAPS_LIMIT else 0
        assert [
            note
            for note in missing
            if note.wall_ms >= told_from_ms and not is_named(account, note, gaps)
        ] == []


def check_disk(fleet: FaultyFleet, accounts: Sequence[Account]) -> None:
    """Of a master that has stopped: both files are sound, and nothing is in the history twice."""
    with closing(sqlite3.connect(fleet.folder.database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    on_disk = rows_on_disk(fleet.folder.history)
    assert set(on_disk.values()) == {1}
    assert len(on_disk) >= sum(len(account.stored) for account in accounts)
    assert list(fleet.folder.root.glob("*damaged*")) == []
    assert [name for name, said in fleet.logs().items() if "Traceback" in said] == []


def tell(accounts: Sequence[Account]) -> None:
    """What the test was about, for who looks."""
    figures: dict[str, Callable[[Account], int]] = {
        "taken": lambda each: len(each.taken),
        "stored": lambda each: len(each.stored),
        "missing": lambda each: len(each.missing),
        "late": lambda each: each.totals.late,
        "told lost": lambda each: each.totals.lost,
        "never collected": lambda each: each.totals.never_collected,
    }
    print({name: sum(map(figure, accounts)) for name, figure in figures.items()})


def number_of(fleet: FaultyFleet, account: Account) -> int:
    return fleet.names.index(account.name)
