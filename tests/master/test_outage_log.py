"""The log of outages: what is kept is read, whether the disk has it yet, takes it, or refuses."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from trio.testing import MockClock

from master import outage_log, outage_rows
from master.audit import Audit
from master.context import Context
from master.events import EventLog
from master.outage_log import PRUNE_EVERY, OutageLog
from master.outage_rows import Row
from master.readiness import Readiness
from master.store import IN_MEMORY, Store
from master.sweeper import Sweeper
from shared.absence import How, Process
from shared.causes import Cause, Verdict
from shared.settings import LinkSettings, MasterSettings
from tests.master.assembled import memory_store
from tests.master.disks import Disk

NOW_MS = 1_795_000_000_000
DAY_MS = 86_400_000
NETWORK = Verdict(Cause.NETWORK_CUT, ("the same process throughout", "seen: silence"))


def row(node_id: str = "node", number: int = 0, **fields: object) -> Row:
    plain = Row(number, node_id, NOW_MS - 60_000, NOW_MS - 50_000, How.BROKE, "reset", None)
    return replace(plain, **fields)


def over(node_id: str = "node", verdict: Verdict = NETWORK, to_wall_ms: int = NOW_MS) -> Row:
    return row(node_id, to_wall_ms=to_wall_ms, verdict=verdict)


class Kept:
    """A log on a store whose disk a test plays."""

    def __init__(self, folder: Path) -> None:
        self.disk = Disk()
        self.store = Store.open(IN_MEMORY, self.disk.run)
        self.settings = MasterSettings(outages_kept=100)
        self._folder = folder
        self.log = self.reopened()

    def reopened(self) -> OutageLog:
        """What the next life of the master finds."""

        def spawn(_: object) -> None:
            raise AssertionError("the log has no tasks of its own")

        def now() -> int:
            return NOW_MS

        return OutageLog(
            Context(
                self.settings,
                LinkSettings(),
                self.store,
                EventLog(self.store, now, 100),
                Audit(self._folder / "audit.log", now),
                Sweeper(),
                Readiness(spawn),
                spawn,
                now,
                lambda: 0.0,
            )
        )

    async def numbers(self, node_id: str = "", since_s: int = 0, limit: int = 10_000) -> list[int]:
        latest = await self.log.latest(limit, str, node_id, since_s)
        return [outage.number for outage in latest]

    def stored(self, query: str = "SELECT number FROM outages ORDER BY number") -> list[object]:
        return [each[0] for each in self.store.load(query)]


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    kept = Kept(tmp_path)
    yield kept
    kept.disk.recover()
    kept.store.close()


# --- rows -----------------------------------------------------------------------------------------

LINES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=20)


@given(
    st.builds(
        Row,
        st.integers(1, 2**53),
        LINES,
        st.integers(-(2**53), 2**53),
        st.integers(-(2**53), 2**53),
        st.sampled_from(How),
        LINES,
        st.none() | st.builds(Process, LINES, st.integers(0, 2**53)),
        st.none() | st.integers(-(2**53), 2**53),
        st.none()
        | st.builds(
            Verdict,
            st.sampled_from(Cause),
            st.lists(LINES, min_size=1, max_size=32).map(tuple),
            st.none() | st.booleans(),
            st.none() | st.booleans(),
            LINES,
        ),
    )
)
def test_row_is_read_as_it_was_stored(stored: Row) -> None:
    store = memory_store()
    statement, values = outage_rows.keep(stored)
    store.load(statement, values)
    (read,) = store.load("SELECT * FROM outages")
    store.close()
    assert outage_rows.read(read) == stored


# --- reading what is and what is not on disk ------------------------------------------------------


async def test_outage_is_numbered_at_once_and_read_before_it_is_on_disk(kept: Kept) -> None:
    assert [kept.log.keep(row(str(each))).number for each in range(3)] == [1, 2, 3]
    assert kept.stored() == []
    assert await kept.numbers() == [1, 2, 3]
    assert await kept.numbers("1") == [2]
    assert await kept.numbers(limit=2) == [2, 3]
    assert await kept.numbers(limit=0) == []


async def test_numbers_go_on_in_the_next_life(kept: Kept) -> None:
    kept.log.keep(row())
    assert await kept.log.save()
    assert kept.reopened().keep(row()).number == 2


async def test_change_that_is_not_on_disk_yet_is_what_is_shown(kept: Kept) -> None:
    begun = kept.log.keep(row())
    await kept.log.save()
    kept.log.keep(replace(begun, to_wall_ms=NOW_MS, verdict=NETWORK))
    (shown,) = await kept.log.latest(10, lambda _: "web")
    assert (shown.name, shown.cause, shown.to_wall_ms) == ("web", "network-cut", NOW_MS)


async def test_only_those_that_lasted_into_the_time_asked_for_are_shown(kept: Kept) -> None:
    kept.log.keep(over(to_wall_ms=NOW_MS - 2 * DAY_MS))
    kept.log.keep(over(to_wall_ms=NOW_MS - DAY_MS))
    kept.log.keep(row())
    for _ in range(2):  # before it is on disk, and after
        assert await kept.numbers(since_s=86_400) == [2, 3]
        assert await kept.numbers(since_s=3_600) == [3]
        assert await kept.numbers() == [1, 2, 3]
        await kept.log.save()


async def test_next_life_finds_what_was_open_and_who_was_linked(kept: Kept) -> None:
    process = Process("boot", 7)
    kept.log.keep(row("open", process=process))
    kept.log.keep(over("over"))
    kept.log.keep_process("open", process)
    assert await kept.log.save()
    after = kept.reopened()
    assert after.load_not_judged() == {"open": row("open", 1, process=process)}
    assert after.load_processes() == {"open": process}


# --- disks ----------------------------------------------------------------------------------------


async def test_disk_that_refuses_is_asked_again_with_the_latest_of_each(kept: Kept) -> None:
    begun = kept.log.keep(row())
    kept.log.keep_process("node", Process("boot", 1))
    kept.disk.refuse()
    assert not await kept.log.save()
    kept.log.keep(replace(begun, to_wall_ms=NOW_MS, verdict=NETWORK))
    kept.log.keep_process("node", Process("boot", 2))
    assert not await kept.log.save()
    kept.disk.recover()
    assert await kept.log.save()
    assert kept.stored("SELECT cause FROM outages") == ["network-cut"]
    assert kept.stored("SELECT started_mono_ms FROM runs") == [2]


async def while_stalled(kept: Kept, meanwhile: Callable[[], object], *, refuses: bool) -> None:
    """Saves; `meanwhile` happens while the disk has what is saved and has not taken it yet."""
    kept.disk.stall()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(kept.log.save)
        await trio.testing.wait_all_tasks_blocked()
        assert kept.disk.waiting
        meanwhile()
        if refuses:
            kept.disk.refuse()
        kept.disk.go_on()
    kept.disk.recover()
    assert await kept.log.save()


@pytest.mark.parametrize("refuses", [False, True])
async def test_what_changes_while_it_is_being_written_is_written_again(
    kept: Kept, refuses: bool
) -> None:
    begun = kept.log.keep(row())
    kept.log.keep_process("node", Process("boot", 1))

    def change() -> None:
        kept.log.keep(replace(begun, to_wall_ms=NOW_MS, verdict=NETWORK))
        kept.log.keep_process("node", Process("boot", 2))

    await while_stalled(kept, change, refuses=refuses)
    assert kept.stored("SELECT cause FROM outages") == ["network-cut"]
    assert kept.stored("SELECT started_mono_ms FROM runs") == [2]


@pytest.mark.parametrize("refuses", [False, True])
async def test_node_that_is_forgotten_while_it_is_being_written_stays_forgotten(
    kept: Kept, refuses: bool
) -> None:
    kept.log.keep(row("gone"))
    kept.log.keep(row("here"))
    kept.log.keep_process("gone", Process("boot", 1))
    kept.log.keep_process("here", Process("boot", 2))
    await while_stalled(kept, lambda: kept.log.forget("gone"), refuses=refuses)
    assert kept.stored("SELECT node_id FROM outages") == ["here"]
    assert kept.stored("SELECT node_id FROM runs") == ["here"]
    assert await kept.numbers() == [2]


async def test_node_that_joins_anew_after_it_was_forgotten_is_stored(kept: Kept) -> None:
    kept.disk.refuse()
    kept.log.keep(row("web"))
    kept.log.forget("web")
    assert not await kept.log.save()
    kept.log.keep(row("web"))
    kept.log.keep_process("web", Process("boot", 1))
    kept.disk.recover()
    assert await kept.log.save()
    assert kept.stored() == [2]
    assert kept.stored("SELECT node_id FROM runs") == ["web"]


async def test_large_fleet_is_stored_in_parts(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage_log, "SAVED_AT_ONCE", 7)
    for number in range(20):
        kept.log.keep(row(str(number)))
        kept.log.keep_process(str(number), Process("boot", number))
    assert await kept.log.save()
    assert kept.stored() == list(range(1, 21))
    assert kept.stored("SELECT count(*) FROM runs") == [20]


# --- how many are kept ----------------------------------------------------------------------------


async def test_oldest_go_first_the_masters_own_before_them_and_none_that_is_open(
    kept: Kept, autojump_clock: MockClock
) -> None:
    kept.log.keep(row("open"))
    for number in range(2, 62):
        kept.log.keep(
            over(verdict=Verdict(Cause.MASTER_AWAY, ("gone",)) if number > 31 else NETWORK)
        )
    assert await kept.log.save()
    for _ in range(PRUNE_EVERY):
        kept.log.keep(over())
    assert await kept.log.save()
    # Of 161 are kept 100: the 30 of the master's own absences have gone, and the 31 oldest others.
    left = kept.stored()
    assert len(left) == 100
    assert left[0] == 1
    assert kept.stored("SELECT count(*) FROM outages WHERE cause = 'master-away'") == [0]
    assert left[1] == 62 + 1
