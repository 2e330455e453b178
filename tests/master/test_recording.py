"""What agents say is in the history exactly once, and confirmed when it is on disk: never before,
and in the end always."""

import sqlite3
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest
import trio
from msgspec import Raw
from trio.testing import MockClock, wait_all_tasks_blocked

from master.history.history import COMMIT_S, RETRY_S, History
from master.history.queries import Queries
from master.history.taken import Sample
from master.opening import Peer
from master.recording import CORE_LIMIT_BYTES, LOST_LIMIT, OLDEST_MS
from master.session import BYTES_PER_WINDOW
from shared import messages as m
from shared.errors import Violation
from shared.liveness import State
from shared.metrics import Core
from shared.settings import HistorySettings
from tests.master.assembled import (
    BEGINNING,
    Assembled,
    Client,
    assembled,
    beat,
    inline,
    memory_store,
    virtual_wall_ms,
)
from tests.master.disks import Disk

STARTED_MS: Final = 1_000_000
HELLO: Final = m.AgentHello(1, 1, "0.1.0", "boot", STARTED_MS)
FIRST: Final = STARTED_MS + 1
BEGAN_WALL_MS: Final = round(BEGINNING.timestamp() * 1000)
COMMITTED_S: Final = COMMIT_S + 0.1
EVER_MS: Final = 2**60
CORE: Final = m.raw(Core(cpu_busy_bp=7))


async def agent(master: Assembled, peer: Peer, hello: m.AgentHello = HELLO) -> Client:
    """Welcomed as this run of an agent."""
    client = master.client(peer)
    await client.ask(hello, m.Welcome)
    return client


async def beating(master: Assembled, name: str = "web") -> Client:
    """A new node's agent, whose first beat has arrived."""
    client = await agent(master, await master.enrol(name))
    await client.deliver(beat(FIRST))
    return client


def spooled(sequence: int, ago_s: float, core: Raw = CORE) -> m.Spooled:
    """Taken so long ago."""
    return m.Spooled(sequence, round((trio.current_time() - ago_s) * 1000), 5_000, core)


def replay(
    sequences: Iterable[int], boot_id: str = "boot", started_ms: int = STARTED_MS
) -> m.Replay:
    """Samples with these numbers, five seconds apart, the last taken five seconds ago."""
    numbers = list(sequences)
    samples = [spooled(n, 5.0 * (len(numbers) - at)) for at, n in enumerate(numbers)]
    return m.Replay(boot_id, STARTED_MS, tuple(samples))


async def recorded(master: Assembled, name: str = "web") -> list[Sample]:
    """All that is on disk of a node."""
    queries = Queries(master.history.path, inline)
    return await queries.samples(master.node(name).node_id, -EVER_MS, EVER_MS, 1_000_000)


async def numbers(master: Assembled, name: str = "web") -> list[int]:
    return [sample.sequence for sample in await recorded(master, name)]


async def stored(client: Client, for_s: float = 2 * COMMITTED_S) -> list[m.Stored]:
    """The confirmations that come within so long."""
    return [each for each in await client.listen(for_s) if isinstance(each, m.Stored)]


async def acks(client: Client, for_s: float = COMMITTED_S) -> list[m.Ack]:
    """The acknowledgements that come within so long."""
    return [each for each in await client.listen(for_s) if isinstance(each, m.Ack)]


async def at_once(client: Client, message: m.Beat) -> m.Ack:
    """The acknowledgement of a beat that waits for nothing."""
    sent_s = trio.current_time()
    ack = await client.ask(message, m.Ack)
    assert trio.current_time() == sent_s
    return ack


@asynccontextmanager
async def on_disk(root: Path, disk: Disk) -> AsyncGenerator[Assembled]:
    """A master whose history is on this disk, which goes on in the end."""
    history = History.open(
        root / "of-its-own.db", HistorySettings(), run_sync=disk.run, now_wall_ms=virtual_wall_ms
    )
    try:
        async with assembled(root, history=history) as master:
            try:
                yield master
            finally:
                disk.go_on()
    finally:
        history.close()


# --- live ----------------------------------------------------------------------------------------


async def test_beat_is_acknowledged_once_when_its_sample_is_on_disk(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        client = await agent(master, await master.enrol("web"))
        for number in range(FIRST, FIRST + 20):
            sent_s = trio.current_time()
            assert await client.ask(beat(number), m.Ack) == m.Ack(number, number)
            assert trio.current_time() - sent_s <= COMMITTED_S
            assert await numbers(master) == list(range(FIRST, number + 1))
            assert await client.listen(5.03) == []


async def test_beat_is_not_acknowledged_while_its_sample_waits_for_the_next_commit(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        client = await agent(master, await master.enrol("web"))
        for number in (FIRST, FIRST + 1):
            client.link.post(beat(number))
        assert await client.listen(COMMIT_S * 0.9) == []
        assert await numbers(master) == []
        # Each says which beat came last, and up to which all are stored.
        last = FIRST + 1
        assert await client.listen(COMMIT_S * 0.2) == [m.Ack(last, FIRST), m.Ack(last, last)]


async def test_many_beats_of_one_commit_are_confirmed_in_their_order(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("master.history.waiting.TOLD_AT_ONCE", 16)  # at once, then others' turn
    sequences = range(FIRST, FIRST + 39)
    async with assembled(tmp_path) as master:
        web, db = await agent(master, await master.enrol("web")), await beating(master, "db")
        for number in sequences:
            web.link.post(beat(number))
        assert await acks(web) == [m.Ack(sequences[-1], number) for number in sequences]
        assert await acks(db) == [m.Ack(FIRST, FIRST)]
        assert await numbers(master) == list(sequences)


async def test_sample_is_recorded_with_what_it_is_and_when_it_was_taken(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        client = await agent(master, await master.enrol("web"))
        began_ms = virtual_wall_ms()
        for number in range(3):
            core = m.raw(Core(cpu_busy_bp=number))
            await client.deliver(beat(FIRST + number, core=core))
            await trio.sleep(5)
        assert await recorded(master) == [
            Sample(
                master.node("web").node_id,
                "boot",
                STARTED_MS,
                FIRST + number,
                began_ms + 5_000 * number,
                5_000,
                m.encode_body(Core(cpu_busy_bp=number)),
                is_late=False,
            )
            for number in range(3)
        ]


async def test_beat_of_an_agent_that_counts_otherwise_is_a_beat_and_not_recorded(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        client = await agent(master, await master.enrol("web"))
        for number in (1, 2):
            assert await at_once(client, beat(number)) == m.Ack(number, 0)
            assert await client.listen(COMMITTED_S) == []
        assert master.state("web") is State.UP
        assert await numbers(master) == []


async def test_boot_id_is_recorded_without_what_could_not_be_shown(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        hello = m.AgentHello(1, 1, "0.1.0", "bo\x1b[31mot\n", STARTED_MS)
        client = await agent(master, await master.enrol("web"), hello)
        await client.deliver(beat(FIRST))
        client.link.post(replay([FIRST + 1], hello.boot_id))
        assert await stored(client) == [m.Stored(hello.boot_id, FIRST + 1, FIRST + 1)]
        (boot_id,) = {sample.boot_id for sample in await recorded(master)}
        assert boot_id.isprintable()


async def test_family_is_recorded_too(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with assembled(tmp_path) as master:
        client = await beating(master)
        taken_ms = round(trio.current_time() * 1000)
        client.link.post(m.FamilySample("novel", taken_ms, 0, 5_000, m.raw({"a": 1})))
        await trio.sleep(COMMITTED_S)
        queries = Queries(master.history.path, inline)
        families = await queries.families_at(master.node("web").node_id, virtual_wall_ms())
        assert [(each.family, each.wall_ms) for each in families] == [
            ("novel", BEGAN_WALL_MS + taken_ms)
        ]


async def test_forgotten_node_leaves_no_past(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with assembled(tmp_path) as master:
        client = await beating(master)
        node_id = master.node("web").node_id
        await trio.sleep(COMMITTED_S)
        viewer = await master.viewer()
        await viewer.ask(m.ForgetNode(1, "web"), m.Done)
        assert (await client.goodbye()).code == m.Parting.REVOKED
        await trio.sleep(5)
        queries = Queries(master.history.path, inline)
        assert await queries.samples(node_id, -EVER_MS, EVER_MS, 10) == []


# --- from the spool ------------------------------------------------------------------------------


async def test_replay_is_confirmed_once_when_all_of_it_is_on_disk(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        client = await beating(master)
        client.link.post(replay(range(FIRST + 1, FIRST + 11)))
        assert await client.listen(COMMIT_S / 2) == []
        assert await stored(client) == [m.Stored("boot", FIRST + 1, FIRST + 10)]
        late = [sample for sample in await recorded(master) if sample.is_late]
        assert [sample.sequence for sample in late] == list(range(FIRST + 1, FIRST + 11))
        assert {b.at_wall_ms - a.at_wall_ms for a, b in pairwise(late)} == {5_000}


async def test_replay_of_an_earlier_boot_lies_before_this_process_began(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        client = await beating(master)
        an_hour_ago = m.Spooled(78, round(trio.current_time() * 1000) - 3_600_000, 5_000, CORE)
        client.link.post(m.Replay("boot before", 77, (an_hour_ago,)))
        now_ms = virtual_wall_ms()
        assert await stored(client) == [m.Stored("boot before", 78, 78)]
        earlier, _ = await recorded(master)
        assert (earlier.boot_id, earlier.at_wall_ms) == ("boot before", now_ms - 3_600_000)


async def test_samples_that_are_there_are_confirmed_again_and_not_stored_again(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        client = await beating(master)
        for _ in range(3):
            client.link.post(replay(range(FIRST, FIRST + 5)))
            assert await stored(client) == [m.Stored("boot", FIRST, FIRST + 4)]
        assert await numbers(master) == sorted(range(FIRST, FIRST + 5), key=lambda n: n == FIRST)


async def test_same_samples_in_one_commit_are_stored_once(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        client = await beating(master)
        client.link.post(replay([FIRST + 1, FIRST + 2]))
        client.link.post(replay([FIRST + 1, FIRST + 2, FIRST + 3]))
        assert len(await stored(client)) == 2
        assert sorted(await numbers(master)) == list(range(FIRST, FIRST + 4))


async def test_losses_are_confirmed_when_they_are_on_disk(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        client = await beating(master)
        client.link.post(m.Lost("boot", STARTED_MS, FIRST + 5, FIRST + 9, -50_000, -30_000))
        assert await stored(client) == [m.Stored("boot", FIRST + 5, FIRST + 9)]
        rows = sqlite3.connect(master.history.path).execute("SELECT first, last FROM lost")
        assert rows.fetchall() == [(FIRST + 5, FIRST + 9)]


async def test_nothing_from_a_spool_moves_a_state_or_is_an_event(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        client = await beating(master)
        began_s = trio.current_time()
        while master.state("web") is not State.DOWN:
            client.link.post(replay([FIRST + 1 + round(trio.current_time())]))
            client.link.post(m.Lost("boot", STARTED_MS, FIRST, FIRST, 0, 0))
            await trio.sleep(0.5)
            assert trio.current_time() < began_s + 60
        before = await master.events()
        for _ in range(10):
            client.link.post(replay([FIRST + 1]))
            await trio.sleep(1)
        assert master.state("web") is State.DOWN
        assert await master.events() == before


async def test_first_beat_that_had_to_wait_is_taken_when_it_comes_again_with_its_time(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        client = await agent(master, await master.enrol("web"))
        await trio.sleep(2.0)
        assert await at_once(client, beat(FIRST)) == m.Ack(FIRST, 0)
        assert await client.listen(COMMITTED_S) == []
        assert await recorded(master) == []
        await client.deliver(beat(FIRST + 1))  # as late as the one before: this is its time
        client.link.post(replay([FIRST]))
        assert await stored(client) == [m.Stored("boot", FIRST, FIRST)]
        late, live = await recorded(master)
        assert (late.sequence, live.sequence) == (FIRST, FIRST + 1)
        assert (late.is_late, live.is_late) == (True, False)
        assert await client.ask(beat(FIRST + 2), m.Ack) == m.Ack(FIRST + 2, FIRST + 2)


async def test_spool_that_speaks_before_any_beat_is_not_taken_yet(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        client = await agent(master, await master.enrol("web"))
        client.link.post(replay([FIRST + 1]))
        assert await stored(client, COMMITTED_S) == []
        await client.deliver(beat(FIRST + 2))
        client.link.post(replay([FIRST + 1]))
        assert await stored(client) == [m.Stored("boot", FIRST + 1, FIRST + 1)]


# --- a disk that refuses, a master that is not there ---------------------------------------------


async def test_nothing_is_confirmed_while_the_disk_refuses_and_everything_afterwards(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    disk = Disk()
    async with on_disk(tmp_path, disk) as master:
        disk.refuse()
        client = await beating(master)
        client.link.post(replay([FIRST + 10, FIRST + 11]))
        assert set(await client.listen(20.1)) == {m.Ack(FIRST, 0)}
        client.link.post(beat(FIRST + 20))
        assert set(await client.listen(2.0)) == {m.Ack(FIRST + 20, 0)}
        disk.recover()
        received = await client.listen(RETRY_S + COMMITTED_S)
        while received[0] == m.Ack(FIRST + 20, 0):  # until the disk is asked again
            received.pop(0)
        assert received == [
            m.Ack(FIRST + 20, FIRST),
            m.Stored("boot", FIRST + 10, FIRST + 11),
            m.Ack(FIRST + 20, FIRST + 20),
        ]
        assert (await client.ask(beat(FIRST + 21), m.Ack)).stored == FIRST + 21
        expected = [FIRST, FIRST + 10, FIRST + 11, FIRST + 20, FIRST + 21]
        assert sorted(await numbers(master)) == expected


async def test_disk_that_hangs_keeps_no_beat_from_being_acknowledged_and_confirms_none(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    disk = Disk()
    async with on_disk(tmp_path, disk) as master:
        client = await beating(master)
        assert await client.until(m.Ack) == m.Ack(FIRST, FIRST)
        await trio.sleep(0.1)
        disk.stall()
        began_s, number = trio.current_time(), FIRST
        while trio.current_time() < began_s + 10:
            number += 1
            client.link.post(beat(number))
            with trio.fail_after(1.5):
                while (ack := await client.until(m.Ack)) != m.Ack(number, FIRST):
                    assert ack == m.Ack(number - 1, FIRST)
            await trio.sleep(1)
        disk.go_on()
        assert (await acks(client, 2 * COMMITTED_S))[-1] == m.Ack(number, number)
        assert await numbers(master) == list(range(FIRST, number + 1))


async def test_disk_that_hangs_makes_nobody_hear_again_of_a_beat_that_waits_for_nothing(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    disk = Disk()
    async with on_disk(tmp_path, disk) as master:
        stored_already = await beating(master, "db")
        assert await stored_already.until(m.Ack) == m.Ack(FIRST, FIRST)
        disk.stall()
        not_taken = await agent(master, await master.enrol("cache"))
        assert await at_once(not_taken, beat(1)) == m.Ack(1, 0)
        waits = await beating(master, "web")
        assert set(await waits.listen(5.1)) == {m.Ack(FIRST, 0)}
        assert await stored_already.listen(0.1) == []
        assert await not_taken.listen(0.1) == []


async def test_what_there_is_no_room_for_is_confirmed_when_it_has_come_again(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk()
    async with on_disk(tmp_path, disk) as master:
        client = await beating(master)
        assert await client.until(m.Ack) == m.Ack(FIRST, FIRST)
        disk.refuse()
        monkeypatch.setattr("master.history.waiting.LIMIT_BYTES", 1)
        await client.deliver(beat(FIRST + 1))  # there is room for this one alone
        for number in (2, 3):
            assert await at_once(client, beat(FIRST + number)) == m.Ack(FIRST + number, FIRST)
        client.link.post(replay([FIRST + 8, FIRST + 9]))
        assert await client.listen(2.2) == []  # the agent knows that they have arrived
        disk.recover()
        assert (await acks(client, RETRY_S + COMMITTED_S))[-1] == m.Ack(FIRST + 3, FIRST + 1)
        assert await client.ask(beat(FIRST + 4), m.Ack) == m.Ack(FIRST + 4, FIRST + 1)
        assert FIRST + 4 in await numbers(master)
        monkeypatch.undo()
        client.link.post(replay([FIRST + 2, FIRST + 3]))
        assert await stored(client) == [m.Stored("boot", FIRST + 2, FIRST + 3)]
        assert await client.ask(beat(FIRST + 5), m.Ack) == m.Ack(FIRST + 5, FIRST + 5)
        assert sorted(await numbers(master)) == [FIRST + number for number in range(6)]


async def test_next_master_knows_what_the_one_before_had_on_disk(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    store = memory_store()
    async with assembled(tmp_path, store=store) as master:
        peer = await master.enrol("web")
        client = await agent(master, peer)
        await client.deliver(beat(FIRST))
        await trio.sleep(COMMITTED_S)
        await client.deliver(beat(FIRST + 1))  # on disk in the end, and never confirmed
    async with assembled(tmp_path, store=store) as master:
        client = await agent(master, peer)
        await client.deliver(beat(FIRST + 2))
        client.link.post(replay([FIRST, FIRST + 1]))
        assert await stored(client) == [m.Stored("boot", FIRST, FIRST + 1)]
        assert sorted(await numbers(master)) == [FIRST, FIRST + 1, FIRST + 2]


async def test_master_that_stops_confirms_first(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with assembled(tmp_path) as master:
        client = await beating(master)
        client.link.post(replay([FIRST + 5, FIRST + 6]))
        await wait_all_tasks_blocked()
        master.nursery.start_soon(master.parts.stop)
        received, _ = await client.rest()
        goodbye = received.pop()
        assert isinstance(goodbye, m.Goodbye)
        assert goodbye.code == m.Parting.RESTARTING
        confirmed = [m.Ack(FIRST, FIRST), m.Stored("boot", FIRST + 5, FIRST + 6)]
        assert received == [*confirmed, m.Ack(FIRST, FIRST)]


# --- agents that lie -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        m.Replay("boot", STARTED_MS, (m.Spooled(STARTED_MS, 0, 5_000, CORE),)),
        m.Replay("boot", 0, tuple(m.Spooled(n, 0, 5_000, CORE) for n in (5, 4))),
        m.Replay("boot", 0, tuple(m.Spooled(n, 0, 5_000, CORE) for n in (5, 5))),
        m.Lost("boot", STARTED_MS, STARTED_MS, STARTED_MS + 4, 0, 0),
        m.Lost("boot", 0, 5, 4, 0, 0),
        m.Lost("boot", 0, 1, 1 + LOST_LIMIT, 0, 0),
    ],
    ids=["not-of-the-run", "backwards", "twice", "lost-before", "lost-backwards", "all-lost"],
)
async def test_numbers_that_no_run_can_have_end_the_link(
    tmp_path: Path, autojump_clock: MockClock, message: m.Replay | m.Lost
) -> None:
    async with assembled(tmp_path) as master:
        client = await beating(master)
        client.link.post(message)
        assert (await client.goodbye()).code == Violation.BAD_MESSAGE
        await trio.sleep(COMMITTED_S)
        assert await numbers(master) == [FIRST]


async def test_core_that_is_none_ends_the_link(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with assembled(tmp_path) as master:
        client = await beating(master)
        client.link.post(m.Replay("boot", 0, (spooled(5, 5.0, m.raw("no core")),)))
        assert (await client.goodbye()).code == Violation.BAD_FRAME


async def test_replayed_core_keeps_nothing_but_numbers(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        client = await beating(master)
        core = m.raw([*[None] * len(Core.__struct_fields__), "\x1b[2J", "more"])
        client.link.post(m.Replay("boot", STARTED_MS, (spooled(FIRST + 1, 5.0, core),)))
        assert await stored(client)
        late, _ = await recorded(master)
        assert late.core == m.encode_body(Core())


@pytest.mark.parametrize("mono_ms", [-(2**53), 2**53], ids=["ages-ago", "in-the-future"])
async def test_times_that_cannot_be_are_moved_to_the_nearest_that_can(
    tmp_path: Path, autojump_clock: MockClock, mono_ms: int
) -> None:
    async with assembled(tmp_path) as master:
        client = await beating(master)
        samples = [m.Spooled(FIRST + n, mono_ms, 5_000, CORE) for n in (1, 2, 3)]
        client.link.post(m.Replay("boot", STARTED_MS, tuple(samples)))
        client.link.post(m.Lost("boot", STARTED_MS, FIRST + 5, FIRST + 6, mono_ms, mono_ms))
        assert len(await stored(client)) == 2
        late = [sample.at_wall_ms for sample in await recorded(master) if sample.is_late]
        now_ms = virtual_wall_ms()
        assert late == sorted(set(late))
        assert all(now_ms - OLDEST_MS - 60_000 <= at_ms <= now_ms + 1_000 for at_ms in late)


async def test_honest_spool_of_a_day_is_no_flood(tmp_path: Path, autojump_clock: MockClock) -> None:
    full = m.raw(Core(**dict.fromkeys(Core.__struct_fields__, 2**53)))
    assert len(full) <= CORE_LIMIT_BYTES
    async with assembled(tmp_path) as master:
        client = await beating(master)
        await client.deliver(beat(FIRST + 50_000))
        sent_bytes, number = 0, FIRST
        while sent_bytes < 2 * BYTES_PER_WINDOW:  # within two seconds
            samples = [m.Spooled(number + n, n, 1_000, full) for n in range(1, 129)]
            assert client.link.post_bulk(m.Replay("boot", STARTED_MS, tuple(samples)))
            sent_bytes += 128 * len(full)
            number += 128
            await trio.sleep(0.01)
        confirmed = await stored(client, 10.0)
        assert confirmed[-1].last == number
        await client.deliver(beat(FIRST + 50_001))


async def test_more_than_any_spool_holds_is_neither_taken_nor_confirmed(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("master.allowance._FULL_S", 25.0)  # of a hundred samples
    async with assembled(tmp_path) as master:
        client = await beating(master)
        client.link.post(replay(range(FIRST + 1, FIRST + 91)))
        client.link.post(replay(range(FIRST + 101, FIRST + 111)))
        client.link.post(m.Lost("boot before", 0, 1, 1, 0, 0))
        assert await stored(client) == [m.Stored("boot", FIRST + 1, FIRST + 90)]
        await trio.sleep(5)
        client.link.post(replay(range(FIRST + 101, FIRST + 111)))
        assert await stored(client) == [m.Stored("boot", FIRST + 101, FIRST + 110)]
        assert master.state("web") is not State.DOWN


async def test_beat_beyond_the_allowance_is_acknowledged_at_once_and_not_recorded(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("master.allowance._FULL_S", 25.0)  # of a hundred samples
    async with assembled(tmp_path) as master:
        client = await beating(master)
        await client.deliver(replay(range(FIRST + 1, FIRST + 100)))
        assert await at_once(client, beat(FIRST + 200)) == m.Ack(FIRST + 200, 0)
        assert await acks(client) == [m.Ack(FIRST + 200, FIRST)]
        assert await numbers(master) == [*range(FIRST + 1, FIRST + 100), FIRST]


# --- a master whose clock is set ------------------------------------------------------------------


class SetClock:
    """The master's wall clock, which somebody sets."""

    def __init__(self) -> None:
        self.off_ms = 0

    def __call__(self) -> int:
        return virtual_wall_ms() + self.off_ms


@pytest.mark.parametrize("by_ms", [3_600_000, -3_600_000], ids=["forward", "back"])
async def test_clock_that_is_set_far_is_followed_told_and_costs_no_sample(
    tmp_path: Path, autojump_clock: MockClock, by_ms: int
) -> None:
    clock = SetClock()
    async with assembled(tmp_path, now_wall_ms=clock) as master:
        client = await agent(master, await master.enrol("web"))
        began_ms = clock()
        for number in range(10):
            if number == 5:
                clock.off_ms = by_ms
            await client.deliver(beat(FIRST + number))
            await trio.sleep(5)
        times = {each.sequence: each.at_wall_ms - began_ms for each in await recorded(master)}
        assert len(times) == 10
        assert [times[FIRST + number] for number in range(5)] == [5_000 * n for n in range(5)]
        # One late beat may have waited for the line; two that are late alike have not.
        assert [times[FIRST + n] for n in range(6, 10)] == [5_000 * n + by_ms for n in range(6, 10)]
        (event,) = await master.events("clock-set")
        assert "3600.0 s" in event.text


async def test_clock_that_is_set_back_a_little_keeps_every_sample_and_their_order(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    clock = SetClock()
    async with assembled(tmp_path, now_wall_ms=clock) as master:
        client = await agent(master, await master.enrol("web"))
        for number in range(20):
            if number == 5:
                clock.off_ms = -20_000
            await client.deliver(beat(FIRST + number))
            await trio.sleep(5)
        samples = await recorded(master)
        assert [each.sequence for each in samples] == [FIRST + number for number in range(20)]
        assert abs(samples[-1].at_wall_ms - (clock() - 5_000)) <= 1_000
        assert len(await master.events("clock-set")) == 1


async def test_spool_of_before_the_clock_was_set_lies_where_it_would_have_by_the_new_one(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    clock = SetClock()
    async with assembled(tmp_path, now_wall_ms=clock) as master:
        peer = await master.enrol("web")
        client = await agent(master, peer)
        await client.deliver(beat(FIRST))
        client.wire.cut()
        await trio.sleep(60)
        clock.off_ms = -600_000
        client = await agent(master, peer)
        await client.deliver(beat(FIRST + 10))
        client.link.post(m.Replay("boot", STARTED_MS, (spooled(FIRST + 5, 25.0),)))
        now_ms = clock()
        assert await stored(client)
        (late,) = [each for each in await recorded(master) if each.is_late]
        assert late.at_wall_ms == now_ms - 25_000
