"""An agent that keeps what no master has stored, in virtual time: over outages and restarts,
behind the beats, and with disks that fail."""

import logging
import os
import random
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from unittest import mock

import pytest
import trio
from trio.testing import MockClock

from agent import spool_store
from agent.clocks import Instant
from agent.greeting import AgentLink, greet
from agent.heart import Heart
from agent.spool import BATCH_SAMPLES, RESEND_S, WINDOW_BATCHES
from agent.spool_records import RunKey, Sample
from agent.spool_ring import Ring, segment_files
from agent.spooler import FIRST_S, PAUSE_S, Spooler
from master.session import BYTES_PER_WINDOW, MESSAGES_PER_WINDOW, WINDOW_S
from shared import messages as m
from shared.connection import MasterConnection
from shared.errors import LinkBrokenError
from shared.link import Link
from shared.metrics import Core
from tests.agent.spool_samples import no_threads
from tests.memory_link import Wire

PERIOD_S = 5.0
UP_MS = 50_000_000
WALL_MS = 1_795_000_000_000
COMMIT_S = 0.5
DAY_S = 86_400.0

HELLO = m.AgentHello(1, 1, "0.1.0", "boot", 0)
WELCOME = m.Welcome(1, "id", "web", 5_000, 100_000, 100_000, "0.1.0")

Waiting = list[m.Beat | m.Replay | m.Lost]
MasterEnd = Link[m.FromMaster, m.FromClient]


@pytest.fixture(autouse=True)
def disks_without_threads(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    monkeypatch.setattr(os, "fsync", mock.Mock())
    with no_threads():
        yield


class Master:
    """Stores what it is sent, twice a second, and confirms it; keeps when what arrived."""

    def __init__(self) -> None:
        self.stores = True
        """Whether it has room in its history."""
        self.stored: dict[tuple[str, int], m.Spooled] = {}
        self.beats: list[tuple[float, m.Beat]] = []
        self.replays: list[tuple[float, m.Replay]] = []
        self.lost: list[tuple[float, m.Lost]] = []
        self.heard_bytes = 0

    async def serve(self, stream: object, boot_id: str) -> None:
        assert isinstance(stream, type(Wire().master))
        link: MasterEnd = Link(stream, MasterConnection(), lambda: None)
        try:
            async with trio.open_nursery() as nursery:
                waiting: Waiting = []
                beats: list[int] = []
                nursery.start_soon(self._commit, link, boot_id, waiting, beats)
                while True:
                    for message in await link.receive():
                        self._take(link, message, waiting, beats)
                    self.heard_bytes = link.heard_bytes
        except* LinkBrokenError:
            link.break_off("closed on this side")

    def _take(
        self, link: MasterEnd, message: m.FromClient, waiting: Waiting, beats: list[int]
    ) -> None:
        now_s = trio.current_time()
        match message:
            case m.AgentHello():
                link.post(WELCOME)
            case m.Beat():
                self.beats.append((now_s, message))
                link.post(m.Ack(message.sequence))
                waiting.append(message)
                beats.append(message.sequence)
            case m.Replay():
                self.replays.append((now_s, message))
                waiting.append(message)
            case m.Lost():
                self.lost.append((now_s, message))
                waiting.append(message)
            case _:
                pass

    async def _commit(
        self, link: MasterEnd, boot_id: str, waiting: Waiting, beats: list[int]
    ) -> None:
        while True:
            await trio.sleep(COMMIT_S)
            if not self.stores:
                waiting.clear()
            for message in waiting:
                match message:
                    case m.Beat(sequence, mono_ms):
                        spooled = m.Spooled(sequence, mono_ms, message.next_in_ms, message.core)
                        self.stored[boot_id, sequence] = spooled
                    case m.Replay(run_boot_id, _, samples):
                        self.stored.update({(run_boot_id, each.sequence): each for each in samples})
                        link.post(m.Stored(run_boot_id, samples[0].sequence, samples[-1].sequence))
                    case m.Lost():
                        link.post(m.Stored(message.boot_id, message.first, message.last))
            waiting.clear()
            if beats:
                # Up to there: one that was not stored bars the way until it has been replayed.
                while beats[1:] and (boot_id, beats[1]) in self.stored:
                    beats.pop(0)
                is_first_stored = (boot_id, beats[0]) in self.stored
                link.post(m.Ack(beats[-1], beats[0] if is_first_stored else 0))


class Host:
    """One host in one boot; agents run on it one after another."""

    def __init__(
        self,
        root: Path | None,
        boot_id: str = "boot",
        *,
        wall_ms: int = WALL_MS,
        up_ms: int = UP_MS,
    ) -> None:
        self.root = root
        self.boot_id = boot_id
        self.wall_ms = wall_ms
        self.up_ms = up_ms
        self.limit_bytes = 64 * 1024 * 1024
        self.taken: list[tuple[float, Sample]] = []
        self._booted_s = trio.current_time()

    def clocks(self) -> Instant:
        gone_ms = round((trio.current_time() - self._booted_s) * 1000)
        up_ms = self.up_ms + gone_ms
        return Instant(self.wall_ms + gone_ms, up_ms, up_ms)

    @asynccontextmanager
    async def agent(self) -> AsyncGenerator["Agent"]:
        """An agent's process, which is killed at the end."""
        async with trio.open_nursery() as nursery:
            each = Agent(self, nursery)
            yield each
            nursery.cancel_scope.cancel()


class Agent:
    """What of an agent has to do with samples."""

    def __init__(self, host: Host, nursery: trio.Nursery) -> None:
        self.host = host
        rng = random.Random(5)
        ring = None if host.root is None else Ring(host.root, host.limit_bytes, 24)
        key = RunKey(host.boot_id, host.clocks().boot_ms)
        self.spooler = Spooler(key, rng, host.clocks, ring=ring)
        self.heart = Heart(self, PERIOD_S, rng, host.clocks)
        nursery.start_soon(self.spooler.run)
        nursery.start_soon(self.heart.run, key, self._keep)

    def _keep(self, sample: Sample) -> None:
        self.host.taken.append((trio.current_time(), sample))
        self.spooler.take(sample)

    def core(self) -> Core:
        return Core(cpu_busy_bp=len(self.host.taken) % 10_000)

    def troubles(self) -> tuple[m.Trouble, ...]:
        return self.spooler.troubles()

    def align(self, next_beat_s: float, period_s: float) -> None:
        """Nothing is measured."""

    async def linked(self, master: Master, seconds: float) -> None:
        """A link that lasts so long, and is then cut."""
        wire = Wire()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(master.serve, wire.master, self.host.boot_id)
            link, _ = await greet(wire.client, HELLO, lambda: None)
            self.spooler.link_began()
            nursery.start_soon(self.spooler.replay, link)
            nursery.start_soon(self._read, link)
            with self.heart.linked(lambda beat: self._send(link, beat)):
                await trio.sleep(seconds)
            wire.cut()
            await trio.sleep(0)
            nursery.cancel_scope.cancel()

    def _send(self, link: AgentLink, beat: m.Beat) -> None:
        link.post(beat)
        self.spooler.beat_sent(beat.sequence)

    async def _read(self, link: AgentLink) -> None:
        try:
            while True:
                for message in await link.receive():
                    match message:
                        case m.Ack(_, stored):
                            self.spooler.beats_stored(stored)
                        case m.Stored():
                            self.spooler.stored(message)
                        case _:
                            pass
        except LinkBrokenError:
            return


def assert_all_stored(master: Master, host: Host, tolerance_ms: int = 2) -> None:
    """Each sample that was taken, once, with its content and its time; and none besides."""
    taken = {(each.boot_id, each.sequence): (at_s, each) for at_s, each in host.taken}
    assert set(master.stored) == set(taken)
    for name, (at_s, sample) in taken.items():
        stored = master.stored[name]
        assert bytes(stored.core) == sample.core
        assert stored.period_ms == sample.period_ms
        assert abs(stored.mono_ms - at_s * 1000) <= tolerance_ms


async def test_samples_of_an_outage_are_replayed_in_order_with_their_times(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    host, master = Host(tmp_path), Master()
    async with host.agent() as agent:
        await agent.linked(master, 60)
        await trio.sleep(3600)
        await agent.linked(master, 60)
        assert len(agent.spooler) == 0
    assert_all_stored(master, host)
    replayed = [each.sequence for _, replay in master.replays for each in replay.samples]
    assert replayed == sorted(replayed)
    assert 3600 / PERIOD_S - 2 <= len(replayed) <= 3600 / PERIOD_S + 2
    assert all(replay.started_mono_ms == UP_MS for _, replay in master.replays)


async def test_nothing_is_replayed_on_a_good_link(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    host, master = Host(tmp_path), Master()
    async with host.agent() as agent:
        await agent.linked(master, 3600)
    assert master.replays == []
    assert sum([path.stat().st_size for path in segment_files(tmp_path)]) < 20_000


async def test_a_day_comes_back_within_minutes_and_never_floods_the_master(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    host, master = Host(tmp_path), Master()
    async with host.agent() as agent:
        await trio.sleep(DAY_S)
        assert len(agent.spooler) >= 17_279
        began_s = trio.current_time()
        await agent.linked(master, 180)
        assert len(agent.spooler) == 0
    assert_all_stored(master, host)
    times_s = [at_s - began_s for at_s, _ in master.replays]
    assert times_s[0] >= FIRST_S
    assert times_s[-1] < 180
    assert max(len(replay.samples) for _, replay in master.replays) == BATCH_SAMPLES
    # A window of the master's holds far fewer messages and bytes than it puts up with.
    assert all(later - sooner >= PAUSE_S for sooner, later in pairwise(times_s))
    assert WINDOW_S / PAUSE_S < MESSAGES_PER_WINDOW / 10
    seconds = times_s[-1] - times_s[0]
    assert master.heard_bytes / seconds < BYTES_PER_WINDOW / WINDOW_S / 4
    # And no beat waited for it.
    beats_s = [at_s for at_s, _ in master.beats]
    assert {round(b - a, 3) for a, b in pairwise(beats_s[1:])} == {PERIOD_S}


async def test_what_a_master_does_not_store_is_sent_again_now_and_then(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    host, master = Host(tmp_path), Master()
    async with host.agent() as agent:
        await trio.sleep(3600)
        master.stores = False
        await agent.linked(master, 300)
        assert len(master.replays) <= 300 / RESEND_S + 1
        firsts = {replay.samples[0].sequence for _, replay in master.replays}
        assert firsts == {UP_MS + 1}
        master.stores = True
        await agent.linked(master, 60)
        assert len(agent.spooler) == 0
    assert_all_stored(master, host)


async def test_master_that_has_no_room_for_a_while_gets_everything_on_the_same_link(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    host, master = Host(tmp_path), Master()

    async def have_no_room() -> None:
        await trio.sleep(10)
        master.stores = False
        await trio.sleep(60)
        master.stores = True

    async with host.agent() as agent, trio.open_nursery() as nursery:
        await trio.sleep(DAY_S / 4)
        nursery.start_soon(have_no_room)
        await agent.linked(master, 240)
        assert len(agent.spooler) == 0
    assert_all_stored(master, host)


async def test_next_process_replays_what_the_last_one_left(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    host, master = Host(tmp_path), Master()
    for _ in range(3):
        async with host.agent():
            await trio.sleep(600)
        await trio.sleep(20)
    async with host.agent() as agent:
        await agent.linked(master, 60)
        assert len(agent.spooler) == 0
    assert_all_stored(master, host)
    runs = [replay.started_mono_ms for _, replay in master.replays]
    assert len(set(runs)) == 3
    assert runs == sorted(runs)


async def test_later_run_begins_beyond_every_number_of_the_one_before(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    host, master = Host(tmp_path), Master()
    for _ in range(20):
        async with host.agent() as agent:
            for _ in range(3):
                await agent.linked(master, 0.3)
    sequences = [each.sequence for _, each in host.taken]
    assert len(sequences) >= 60
    assert sequences == sorted(set(sequences))


async def test_samples_of_another_boot_are_placed_by_the_wall_clock(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    before, master = Host(tmp_path, "boot-0"), Master()
    async with before.agent():
        await trio.sleep(600)
    await trio.sleep(300)
    # The wall clock goes on; the clock since boot begins anew.
    after = Host(tmp_path, "boot-1", wall_ms=WALL_MS + 900_000, up_ms=60_000)
    after.taken = before.taken
    async with after.agent() as agent:
        await agent.linked(master, 120)
        assert len(agent.spooler) == 0
    assert_all_stored(master, after)


async def test_samples_of_another_boot_are_never_later_than_this_one(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    before, master = Host(tmp_path, "boot-0"), Master()
    async with before.agent():
        await trio.sleep(600)
    # A clock without a battery.
    after = Host(tmp_path, "boot-1", wall_ms=0, up_ms=60_000)
    booted_ms = trio.current_time() * 1000 - 60_000
    async with after.agent() as agent:
        await agent.linked(master, 60)
    times_ms = [each.mono_ms for (boot, _), each in master.stored.items() if boot == "boot-0"]
    assert abs(max(times_ms) - booted_ms) <= 2
    assert {later - sooner for sooner, later in pairwise(times_ms)} == {5_000}


async def test_without_a_disk_four_hours_are_kept_in_memory_and_the_rest_is_told(
    autojump_clock: MockClock,
) -> None:
    host, master = Host(None), Master()
    async with host.agent() as agent:
        await trio.sleep(5 * 3600)
        assert len(agent.spooler) == spool_store.MEMORY_SAMPLES
        await agent.linked(master, 120)
        assert len(agent.spooler) == 0
    (_, lost), *more = master.lost
    assert more == []
    stored = {sequence for _, sequence in master.stored}
    told = set(range(lost.first, lost.last + 1))
    assert stored | told == {each.sequence for _, each in host.taken}
    assert stored & told == set()
    first_s, _ = host.taken[0]
    assert abs(lost.first_mono_ms - first_s * 1000) <= 2


async def test_ring_that_is_too_small_drops_the_oldest_and_tells_which(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    host, master = Host(tmp_path), Master()
    host.limit_bytes = 200_000
    async with host.agent():
        await trio.sleep(3 * 3600)
    async with host.agent() as agent:
        await trio.sleep(3 * 3600)
        await agent.linked(master, 120)
        assert len(agent.spooler) == 0
        await agent.linked(master, 120)
    stored = {sequence for _, sequence in master.stored}
    told = {n for _, lost in master.lost for n in range(lost.first, lost.last + 1)}
    assert stored | told == {each.sequence for _, each in host.taken}
    assert stored & told == set()
    assert len(told) > 1000
    assert max(told) < min(stored)
    # Confirmed once, and not told again on the next link.
    assert len({(lost.first, lost.last) for _, lost in master.lost}) == len(master.lost)


class FailingDisk:
    """A disk that refuses to be written to for as long as `is_failing`."""

    def __init__(self) -> None:
        self.is_failing = False

    def write(self, write: Callable[[int, bytes], int]) -> Callable[[int, bytes], int]:
        def attempt(descriptor: int, content: bytes) -> int:
            if self.is_failing:
                raise OSError(28, "No space left on device")
            return write(descriptor, content)

        return attempt


async def test_full_disk_is_said_in_the_beats_and_nothing_is_lost(
    autojump_clock: MockClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    host, master, disk = Host(tmp_path), Master(), FailingDisk()
    with mock.patch.object(os, "write", disk.write(os.write)):
        async with host.agent() as agent:
            await trio.sleep(600)
            disk.is_failing = True
            await trio.sleep(1200)
            await agent.linked(master, 30)
            (trouble,) = master.beats[-1][1].troubles
            assert (trouble.family, trouble.state) == ("spool", "failed")
            assert "No space left on device" in trouble.text
            assert 1220 <= trouble.age_s <= 1230
            assert len(agent.spooler) == 0
            assert_all_stored(master, host)
            disk.is_failing = False
            await agent.linked(master, 30)
            assert master.beats[-1][1].troubles == ()
            await trio.sleep(300)
        async with host.agent() as agent:
            await agent.linked(master, 30)
    assert_all_stored(master, host)
    said = [record.message for record in caplog.records if "disk" in record.message]
    assert len(said) == 2  # that it fails, once, and that it does not any more


async def test_folder_that_cannot_be_made_is_tried_again(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    host, master = Host(tmp_path / "spool"), Master()
    (tmp_path / "spool").write_text("in the way")
    async with host.agent() as agent:
        await trio.sleep(60)
        assert agent.spooler.troubles()
        (tmp_path / "spool").unlink()
        await trio.sleep(30)
        assert not agent.spooler.troubles()
    async with host.agent() as agent:
        await agent.linked(master, 30)
    assert_all_stored(master, host)


async def test_disk_that_hangs_stops_neither_samples_nor_beats(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    host, master = Host(tmp_path), Master()

    async def hang(work: object, *, abandon_on_cancel: bool) -> None:
        await trio.sleep_forever()

    async with host.agent() as agent:
        await trio.sleep(60)
        with mock.patch.object(trio.to_thread, "run_sync", hang):
            await trio.sleep(60)
            await agent.linked(master, 120)
        (trouble,) = master.beats[-1][1].troubles
        assert "does not answer" in trouble.text
    beats_s = [at_s for at_s, _ in master.beats]
    assert {round(b - a, 3) for a, b in pairwise(beats_s[1:])} == {PERIOD_S}


async def test_links_that_break_at_once_do_not_keep_samples_from_coming(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    host, master = Host(tmp_path), Master()
    rng = random.Random(3)
    async with host.agent() as agent:
        await trio.sleep(DAY_S / 8)
        for _ in range(60):
            await agent.linked(master, rng.uniform(0.1, 6))
            await trio.sleep(rng.uniform(0, 10))
        await agent.linked(master, 60)
        assert len(agent.spooler) == 0
    assert_all_stored(master, host)
    assert WINDOW_BATCHES > 1


async def test_agent_that_is_killed_again_and_again_writes_down_its_losses_and_goes_on(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    host, master = Host(tmp_path), Master()
    host.limit_bytes = 64 * 300
    for _ in range(150):  # each run loses samples of its own, and every loss takes room too
        async with host.agent():
            await trio.sleep(12)
    async with host.agent() as agent:
        await agent.linked(master, 120)
        assert len(agent.spooler) == 0
    stored = {sequence for _, sequence in master.stored}
    told = {n for _, lost in master.lost for n in range(lost.first, lost.last + 1)}
    assert stored | told == {each.sequence for _, each in host.taken}
