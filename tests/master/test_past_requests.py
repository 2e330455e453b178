"""Questions about the past, as a viewer asks them of a running master."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import trio
from trio.testing import MockClock

from master.history.fleet_reading import SampleThen
from master.history.queries import Queries
from master.past_answers import vitals_then
from master.past_requests import PastRequests
from master.past_states import StateThen
from master.requests import Viewer
from shared import messages as m
from shared.connection import TRANSFER_LIMIT_BYTES
from shared.inventory import Inventory
from shared.liveness import SaidGoodbye, State
from shared.metrics import Core
from shared.outbox import BULK_LIMIT_BYTES
from tests.master.assembled import (
    Assembled,
    Client,
    assembled,
    beat,
    inline,
    memory_store,
    virtual_wall_ms,
)

PERIOD_S = 5.0


@asynccontextmanager
async def with_a_past(root: Path, beats: int = 20) -> AsyncGenerator[tuple[Assembled, Client]]:
    """A master, an agent `web` that has beaten so many times, and an operator."""
    async with assembled(root) as master:
        agent = await master.beating("web")
        await beats_of(agent, 2, beats)
        yield master, await master.viewer()


async def beats_of(agent: Client, first: int, last: int) -> None:
    for number in range(first, last + 1):
        await trio.sleep(PERIOD_S)
        await agent.deliver(beat(number, core=m.raw(Core(cpu_busy_bp=number))))
    await trio.sleep(1.0)  # until it is on disk


async def fleet_at(viewer: Client, at_wall_ms: int) -> list[m.FleetAt]:
    viewer.link.post(m.GetFleetAt(9, at_wall_ms))
    pieces = [await viewer.until(m.FleetAt)]
    while not pieces[-1].last:
        pieces.append(await viewer.until(m.FleetAt))
    return pieces


def core_of(vitals: m.NodeVitals) -> Core | None:
    return msgspec.msgpack.decode(vitals.core, type=Core | None)


# --- at an instant -------------------------------------------------------------------------------


async def test_fleet_is_told_as_it_was_states_and_values(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with with_a_past(tmp_path) as (master, viewer):
        then_ms = virtual_wall_ms() - 30_000
        node = master.node("web")
        master.registry.apply(node, SaidGoodbye("enough"), trio.current_time())
        (piece,) = await fleet_at(viewer, then_ms)
        (vitals,) = piece.vitals
        core = core_of(vitals)
        assert core is not None
        assert vitals.state == State.UP
        assert vitals.seen_mono_ms is None
        assert vitals.seen_wall_ms is not None
        assert then_ms - PERIOD_S * 1000 < vitals.seen_wall_ms <= then_ms
        assert 0 < (core.cpu_busy_bp or 0) < 20
        assert [info.name for info in piece.infos] == ["web"]
        (piece,) = await fleet_at(viewer, virtual_wall_ms())
        assert (piece.vitals[0].state, piece.vitals[0].reason) == (State.LEFT, "enough")


async def test_node_that_was_away_was_seen_last_when_it_went(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with with_a_past(tmp_path) as (master, _):
        seen_ms = master.node("web").seen_wall_ms
        await trio.sleep(120)
        viewer = await master.viewer()
        assert master.state("web") is State.DOWN
        for after_ms, state in ((13_000, State.HUNG), (100_000, State.DOWN)):
            (piece,) = await fleet_at(viewer, (seen_ms or 0) + after_ms)
            assert piece.vitals[0].state == state
            assert piece.vitals[0].seen_wall_ms == seen_ms


async def test_sample_that_came_when_an_outage_was_over_was_no_sign_of_life(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with with_a_past(tmp_path) as (master, _):
        node = master.node("web")
        samples = {node.node_id: SampleThen(9_000, 5_000, m.encode_body(Core(cpu_busy_bp=7)))}
        away = vitals_then(node, StateThen(State.DOWN, "", 6_000, seen_wall_ms=1_000), samples)
        assert away.seen_wall_ms == 1_000
        core = core_of(away)
        assert core is not None
        assert core.cpu_busy_bp == 7
        assert vitals_then(node, StateThen(State.UP, "", 6_000), samples).seen_wall_ms == 9_000


async def test_node_is_told_with_its_families(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with with_a_past(tmp_path) as (master, viewer):
        node = master.node("web")
        inventory = Inventory("h", "Debian", "", "", "", "", "", 0)
        node.take_inventory(m.encode_body(inventory), inventory)
        sample = m.FamilySample("users", 1, 2, 30_000, m.raw([]))
        then_ms = virtual_wall_ms() - 10_000
        master.parts.entry.sessions.recording.history.take_family(node.node_id, then_ms - 1, sample)
        await trio.sleep(1.0)
        answer = await viewer.ask(m.GetNodeAt(1, "we", then_ms), m.NodeAt)
        assert answer.info == node.info()
        assert bytes(answer.inventory) == node.inventory
        assert [each.family for each in answer.families] == ["users"]
        assert core_of(answer.vitals) is not None
        answer = await viewer.ask(m.GetNodeAt(1, "web", then_ms - 60_000), m.NodeAt)
        assert answer.families == ()


async def test_before_a_node_was_known_there_is_none(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with with_a_past(tmp_path) as (master, viewer):
        before_ms = master.node("web").first_seen_wall_ms - 1
        (piece,) = await fleet_at(viewer, before_ms)
        assert (piece.infos, piece.vitals) == ((), ())
        failed = await viewer.ask(m.GetNodeAt(1, "web", before_ms), m.Failed)
        assert failed.code == "not-found"


async def test_instants_to_come_are_refused(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with with_a_past(tmp_path, beats=2) as (_, viewer):
        later_ms = virtual_wall_ms() + 120_000
        for question in (m.GetFleetAt(1, later_ms), m.GetNodeAt(1, "web", later_ms)):
            assert (await viewer.ask(question, m.Failed)).code == "bad-request"


async def test_state_is_the_last_known_while_the_master_was_away(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    store = memory_store()
    async with assembled(tmp_path, store=store) as master:
        await beats_of(await master.beating("web"), 2, 5)
        await master.registry.save()
    gone_ms = virtual_wall_ms()
    await trio.sleep(3600)
    async with assembled(tmp_path, store=store) as master:
        viewer = await master.viewer()
        (piece,) = await fleet_at(viewer, gone_ms + 1_800_000)
        (vitals,) = piece.vitals
        assert vitals.state == State.UP
        assert vitals.reason == "last known: the master was not there"
        assert core_of(vitals) is None
        (piece,) = await fleet_at(viewer, gone_ms - 15_000)
        assert piece.vitals[0].reason == ""
    store.close()


async def test_state_before_the_oldest_event_is_what_that_one_changed(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with with_a_past(tmp_path, beats=3) as (master, viewer):
        then_ms = virtual_wall_ms()
        await trio.sleep(1.0)
        node = master.node("web")
        master.registry.apply(node, SaidGoodbye("enough"), trio.current_time())
        await master.store.flush()
        await master.store.write(("DELETE FROM events WHERE after != 'left'", ()))
        (piece,) = await fleet_at(viewer, then_ms)
        assert piece.vitals[0].state == State.UP


async def test_large_fleet_comes_in_pieces_that_fit_as_fast_as_they_are_read(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        for number in range(330):
            await master.enrol(f"node-{number}")
        for node in master.registry:
            node.note = "n" * 2000
        viewer = await master.viewer()
        pieces = await fleet_at(viewer, virtual_wall_ms())
        assert sum(len(m.encode_body(piece)) for piece in pieces) > BULK_LIMIT_BYTES
        assert all(len(m.encode_body(piece)) <= TRANSFER_LIMIT_BYTES for piece in pieces)
        names = [info.name for piece in pieces for info in piece.infos]
        assert sorted(names) == sorted(node.name for node in master.registry)


# --- over a span of time -------------------------------------------------------------------------


async def test_samples_come_in_pages_each_once(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with with_a_past(tmp_path, beats=30) as (_, viewer):
        to_ms, from_ms = virtual_wall_ms(), virtual_wall_ms() - 3_600_000
        found: list[m.StoredSample] = []
        while True:
            page = await viewer.ask(m.GetSamples(1, "web", from_ms, to_ms, 7), m.Samples)
            found += page.samples
            if not page.more:
                break
            assert len(page.samples) == 7
            from_ms = page.samples[-1].at_wall_ms + 1
        assert [each.sequence for each in found] == list(range(1, 31))
        values = [msgspec.msgpack.decode(each.core, type=Core).cpu_busy_bp for each in found]
        assert values == [None, *range(2, 31)]


async def test_series_has_the_least_mean_and_most_of_each_step(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with with_a_past(tmp_path, beats=24) as (_, viewer):
        to_ms = virtual_wall_ms()
        question = m.GetSeries(1, "web", ("cpu_busy_bp", "users"), to_ms - 120_000, to_ms, 4)
        answer = await viewer.ask(question, m.Series)
        cpu, users = answer.series
        assert answer.step_ms == 30_000
        assert sum(answer.counts) == 24
        assert cpu.least[1:] < cpu.least[2:]
        assert min(each for each in cpu.least if each is not None) == 2
        assert cpu.most[-1] == 24
        assert all(
            low <= mean <= high
            for low, mean, high in zip(cpu.least, cpu.mean, cpu.most, strict=True)
            if low is not None and mean is not None and high is not None
        )
        assert set(users.least + users.mean + users.most) == {None}


async def test_series_of_a_span_without_samples_is_empty(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with with_a_past(tmp_path, beats=2) as (_, viewer):
        day_before_ms = virtual_wall_ms() - 86_400_000
        question = m.GetSeries(1, "web", ("users",), day_before_ms, day_before_ms + 60_000, 4)
        answer = await viewer.ask(question, m.Series)
        assert answer.at_wall_ms == ()
        assert answer.series == (m.SeriesOf("users", (), (), ()),)


async def test_series_of_all_metrics_fits_into_an_answer(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with with_a_past(tmp_path, beats=2) as (_, viewer):
        names = Core.__struct_fields__
        to_ms = virtual_wall_ms()
        question = m.GetSeries(1, "web", names, to_ms - 86_400_000, to_ms, 10_000)
        answer = await viewer.ask(question, m.Series)
        assert [each.metric for each in answer.series] == list(names)
        assert answer.step_ms > 86_400


@pytest.mark.parametrize(
    ("question", "code"),
    [
        (m.GetSeries(1, "web", ("no_such",), 0, 1, 1), "bad-request"),
        (m.GetSeries(1, "web", (), 0, 1, 1), "bad-request"),
        (m.GetSeries(1, "web", ("users",), 1, 1, 1), "bad-request"),
        (m.GetSeries(1, "nobody", ("users",), 0, 1, 1), "not-found"),
        (m.GetSamples(1, "web", 1, 0), "bad-request"),
        (m.GetCoverage(1, "web", 1, 0), "bad-request"),
        (m.GetCoverage(1, "nobody", 0, 1), "not-found"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
async def test_question_that_makes_no_sense_is_refused(
    tmp_path: Path, autojump_clock: MockClock, question: m.FromClient, code: str
) -> None:
    async with with_a_past(tmp_path, beats=2) as (_, viewer):
        assert (await viewer.ask(question, m.Failed)).code == code


async def test_history_that_cannot_be_read_is_said_and_ends_nothing(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with with_a_past(tmp_path, beats=2) as (master, viewer):
        path = master.history.path
        path.rename(path.with_suffix(".away"))
        failed = await viewer.ask(m.GetFleetAt(1, 0), m.Failed)
        assert failed.code == "not-read"
        assert await viewer.ask(m.GetNode(2, "web"), m.NodeDetail)
        path.with_suffix(".away").rename(path)


async def coverage(viewer: Client, node: str, from_ms: int, to_ms: int) -> m.Coverage:
    answer = await viewer.ask(m.GetCoverage(1, node, from_ms, to_ms), m.CoverageOf)
    assert answer.last
    (row,) = answer.rows
    return row


async def test_all_that_was_taken_is_covered(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with with_a_past(tmp_path, beats=30) as (_, viewer):
        to_ms = virtual_wall_ms()
        row = await coverage(viewer, "", to_ms - 3_600_000, to_ms)
        assert (row.name, row.stored, row.expected) == ("web", 30, 30)
        assert row.gaps == ()


async def test_what_an_agent_may_still_have_is_awaited_until_it_has_told_all(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with with_a_past(tmp_path, beats=10) as (master, _):
        node = master.node("web")
        # It was not there for a minute, and is back: samples 11 to 22 are in its spool.
        session = node.session
        assert session is not None
        session.end(m.Parting.RESTARTING, "")
        await trio.sleep(60)
        to_ms = virtual_wall_ms()
        row = await coverage(await master.viewer(), "web", to_ms - 3_600_000, to_ms)
        assert (row.stored, row.lost, row.never_collected) == (10, 0, 0)
        assert 11 <= row.awaited <= 12
        assert [gap.kind for gap in row.gaps] == ["awaited"]


async def test_nobody_awaits_samples_of_a_node_that_has_left(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with with_a_past(tmp_path, beats=10) as (master, _):
        master.registry.apply(master.node("web"), SaidGoodbye("enough"), trio.current_time())
        await trio.sleep(60)
        to_ms = virtual_wall_ms()
        row = await coverage(await master.viewer(), "web", to_ms - 3_600_000, to_ms)
        assert row.awaited == 0
        assert 11 <= row.never_collected <= 12


# --- backup --------------------------------------------------------------------------------------


async def test_backup_is_for_the_operator(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with assembled(tmp_path) as master:
        viewer = await master.viewer(await master.enrol("looker", "viewer"))
        order = m.BackUp(1, str(tmp_path / "b.tar"))
        assert (await viewer.ask(order, m.Failed)).code == "not-allowed"
        assert not (tmp_path / "b.tar").exists()
        assert "BackUp" in master.audit_path.read_text()


async def test_only_one_backup_is_written_at_a_time(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        answers: list[m.ToViewer] = []

        async def slow(target: Path) -> int:
            await trio.sleep(100)
            return 512

        async def send(answer: m.ToViewer) -> None:
            answers.append(answer)

        queries = Queries(master.history.path, inline)
        past = PastRequests(master.context, master.registry, queries, slow)
        operator = Viewer("", "local", may_operate=True, send_event=lambda _number, _event: None)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(past.answer, m.BackUp(1, "/b.tar"), operator, send)
            await trio.sleep(1)
            await past.answer(m.BackUp(2, "/c.tar"), operator, send)
        await past.answer(m.BackUp(3, "/d.tar"), operator, send)
        assert answers == [
            m.Failed(2, "busy", "a backup is being written already"),
            m.Done(1, "512"),
            m.Done(3, "512"),
        ]
        assert "/d.tar" in master.audit_path.read_text()
