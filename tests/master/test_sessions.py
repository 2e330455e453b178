"""Agents' sessions: what a link's life and end make of its node, and that no agent brings the
master down."""

import json
import sys
from pathlib import Path

import msgspec
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from master import agent_session as agent_session_module
from master import session as session_module
from master.agent_session import SHUNNED_S
from master.door import Established
from master.identities import Identity
from master.ingest import clean_inventory
from master.opening import Peer
from master.session import BYTES_PER_WINDOW, MESSAGES_PER_WINDOW, WINDOW_S
from master.store import StoreError
from shared import messages as m
from shared.certificates import new_key_and_request, read_peer
from shared.errors import Violation
from shared.frames import encode_frame
from shared.inventory import Inventory
from shared.liveness import State
from shared.metrics import Core
from shared.settings import MasterSettings
from tests.master.assembled import HELLO, Assembled, Client, assembled, beat
from tests.memory_link import Wire

OF_TOMORROW = 250
"""A kind of message that nobody knows, and everybody skips."""


def reason(master: Assembled, name: str = "web") -> str:
    return master.node(name).liveness.reason


def audited(master: Assembled, action: str) -> list[dict[str, object]]:
    master.context.audit.write_summary()
    lines = map(json.loads, master.audit_path.read_text("utf-8").splitlines())
    return [line for line in lines if line["action"] == action]


async def twin_of(master: Assembled, client: Client, peer: Peer) -> Client:
    """Another link with the same identity; the first reads why it was ended."""
    other = await master.agent(peer)
    assert (await client.goodbye()).code == m.Parting.REPLACED
    return other


# --- a link and its node -------------------------------------------------------------------------


async def test_welcome_says_who_the_agent_is_and_how_often_to_beat(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path, MasterSettings(period_s=7)) as master:
        peer = await master.enrol("web")
        welcome = await master.client(peer).ask(HELLO, m.Welcome)
        assert (welcome.name, welcome.period_ms) == ("web", 7_000)
        await wait_all_tasks_blocked()
        node = master.node("web")
        assert (welcome.node_id, node.address) == (node.node_id, peer.name)
        assert (node.agent_version, node.period_ms) == ("0.1.0", 7_000)
        assert node.liveness.state is State.JOINING


async def test_beat_brings_its_node_up_is_acknowledged_and_kept(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        agent = await master.agent(await master.enrol("web"))
        core = Core(cpu_busy_bp=1234, users=3)
        trouble = m.Trouble("disks\x1b", "stuck", 7, "hung\n")
        await trio.sleep(1)
        agent.link.post(m.Beat(41, 0, 0, 5_000, m.raw(core), (trouble,)))
        await wait_all_tasks_blocked()
        node = master.node("web")
        assert node.liveness.state is State.UP
        assert node.core == m.encode_body(core)
        assert list(node.troubles) == [m.Trouble("disks", "stuck", 7, "hung ")]
        assert node.seen_mono_s == trio.current_time()
        assert await agent.next() == m.Ack(41, 41)
        await agent.deliver(beat(42))
        assert list(node.troubles) == []


async def test_steady_beats_keep_a_node_up_for_as_long_as_they_come(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        agent = await master.beating("web")
        for sequence in range(2, 100):
            await trio.sleep(5)
            await agent.deliver(beat(sequence))
        assert await master.changes_of("web") == ["up"]


@pytest.mark.parametrize(
    ("host_answers", "expected", "why"),
    [
        (
            True,
            [(0, State.UP), (6, State.LATE), (7, State.HUNG), (30, State.DOWN)],
            "hung: the host answers, the agent does not",
        ),
        (
            False,
            [(0, State.UP), (6, State.LATE), (12.5, State.DOWN)],
            "unreachable: no beat, and its host does not answer",
        ),
    ],
)
async def test_silent_agent_is_late_then_down_and_its_link_given_up_in_the_end(
    tmp_path: Path,
    autojump_clock: MockClock,
    host_answers: bool,
    expected: list[tuple[float, State]],
    why: str,
) -> None:
    async with assembled(tmp_path) as master:
        agent = await master.beating("web")
        if not host_answers:
            agent.wire.swallow()
        began_s, seen = trio.current_time(), list[tuple[float, State]]()
        while trio.current_time() < began_s + 70:
            state = master.state("web")
            if not seen or seen[-1][1] is not state:
                seen.append((round(trio.current_time() - began_s, 1), state))
            await trio.sleep(0.05)
        assert [state for _, state in seen] == [state for _, state in expected]
        for (at_s, _), (due_s, _) in zip(seen, expected, strict=True):
            assert 0 <= at_s - due_s <= 0.2
        assert len(master.sessions.roster) == 0
        assert reason(master) == why


@pytest.mark.parametrize("how", ["cut", "close"])
async def test_link_that_breaks_makes_its_node_lost_at_once_and_down_after_the_grace(
    tmp_path: Path, autojump_clock: MockClock, how: str
) -> None:
    async with assembled(tmp_path) as master:
        agent = await master.beating("web")
        if how == "cut":
            agent.wire.cut()
        else:
            agent.wire.client.close()
        await wait_all_tasks_blocked()
        assert master.state("web") is State.LOST
        await trio.sleep(2.99)
        assert master.state("web") is State.LOST
        await trio.sleep(0.1)
        assert master.state("web") is State.DOWN
        assert reason(master).endswith(", and the agent did not come back")


async def test_agent_that_dials_again_within_the_grace_was_never_down(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        peer = await master.enrol("web")
        for _ in range(5):
            agent = await master.agent(peer)
            await agent.deliver(beat())
            agent.wire.cut()
            await trio.sleep(0.5)
        assert await master.changes_of("web") == ["up", "lost"] * 5


async def test_goodbye_of_an_agent_that_stops_is_left_with_its_reason(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        agent = await master.beating("web")
        agent.link.post(m.Goodbye(m.Parting.STOPPED, "SIG\x1bTERM"))
        agent.link.break_off("gone")
        await trio.sleep(100)
        assert master.state("web") is State.LEFT
        assert reason(master) == "stopped: SIGTERM"
        assert len(master.sessions.roster) == 0


async def test_goodbye_for_a_renewed_key_changes_nothing_until_it_is_overdue(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        agent = await master.beating("web")
        agent.link.post(m.Goodbye(m.Parting.RENEWED))
        await trio.sleep(5.9)
        assert master.state("web") is State.UP
        await trio.sleep(7)
        assert await master.changes_of("web") == ["up", "late", "down"]


@pytest.mark.parametrize("code", [Violation.BAD_FRAME, m.Parting.SILENT, m.Parting.SLOW])
async def test_goodbye_of_an_agent_that_gives_up_on_the_link_is_a_broken_link(
    tmp_path: Path, autojump_clock: MockClock, code: str
) -> None:
    async with assembled(tmp_path) as master:
        agent = await master.beating("web")
        agent.link.post(m.Goodbye(code, "why"))
        await trio.sleep(1)
        assert master.state("web") is State.LOST
        assert reason(master) == f"the agent gave the link up: {code}: why"


async def test_change_of_cadence_is_asked_of_every_agent_and_counts_with_its_next_beat(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        agent = await master.beating("web")
        master.sessions.change_period(60_000)
        assert await agent.next() == m.Cadence(60_000)
        await agent.deliver(beat(2, next_in_s=60))
        await agent.listen(60.9)
        assert master.state("web") is State.UP
        master.sessions.change_period(1_000)
        await agent.until(m.Cadence)
        await agent.deliver(beat(3, next_in_s=1))
        agent.wire.swallow()
        await trio.sleep(3.3)  # it was late once: the link is given more time
        assert master.state("web") is State.DOWN


async def test_families_and_inventory_are_kept_and_an_unchanged_inventory_is_no_news(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        agent, viewer = await master.beating("web"), await master.viewer()
        viewer.link.post(m.Watch())
        await viewer.until(m.Snapshot)
        inventory = Inventory("h", "Debian", "", "", "", "", "", 0, labels={"rack": "7"})
        for _ in range(2):
            agent.link.post_bulk(m.InventoryReport(m.raw(inventory)))
            agent.link.post_bulk(m.FamilySample("other", 1, 2, 3, m.raw([1])))
            await trio.sleep(1)
        node = master.node("web")
        assert node.inventory == m.encode_body(inventory)
        assert list(node.families) == ["other"]
        delta = await viewer.until(m.Delta)
        assert [(info.os, info.labels) for info in delta.infos] == [("Debian", {"rack": "7"})]
        with trio.move_on_after(5) as scope:
            while not (await viewer.until(m.Delta)).infos:
                pass
        assert scope.cancelled_caught


async def test_inventory_that_is_known_to_the_byte_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    read = list[msgspec.Raw]()

    def noting(packed: msgspec.Raw) -> tuple[bytes, Inventory]:
        read.append(packed)
        return clean_inventory(packed)

    monkeypatch.setattr(agent_session_module, "clean_inventory", noting)
    async with assembled(tmp_path) as master:
        peer = await master.enrol("web")
        for system in ("Debian", "Debian", "Fedora"):
            agent = await master.agent(peer)
            inventory = Inventory("h", system, "", "", "", "", "", 0)
            agent.link.post_bulk(m.InventoryReport(m.raw(inventory)))
            await agent.deliver(beat())
            assert master.node("web").inventory == m.encode_body(inventory)
        assert len(read) == 2


# --- two with one identity -----------------------------------------------------------------------


async def test_newer_link_wins_and_the_older_is_told_by_whom(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        peer = await master.enrol("web")
        first = await master.agent(peer)
        await first.deliver(beat())
        elsewhere = Peer("192.0.2.9", "192.0.2.9:1", peer.certificate)
        second = await master.agent(elsewhere)
        goodbye = await first.goodbye()
        assert goodbye.code == m.Parting.REPLACED
        assert "192.0.2.9:1" in goodbye.text
        await trio.sleep(2)
        node = master.node("web")
        assert node.session is not None
        assert node.session.address == "192.0.2.9:1"
        assert len(master.sessions.roster) == 1
        await second.deliver(beat())
        assert await master.changes_of("web") == ["up"]
        (line,) = audited(master, "session-replaced")
        assert (line["address"], line["before"]) == ("192.0.2.9:1", "192.0.2.1:50000")


async def test_end_of_the_older_link_however_late_does_not_touch_the_newer(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        peer = await master.enrol("web")
        first = await master.agent(peer)
        second = await master.agent(peer)
        await second.deliver(beat())
        first.link.post(m.Goodbye(m.Parting.STOPPED, "too late to count"))
        first.wire.cut()
        await trio.sleep(3)
        assert master.state("web") is State.UP
        second.wire.cut()
        await wait_all_tasks_blocked()
        assert master.state("web") is State.LOST


async def test_two_that_take_each_other_s_place_again_and_again_are_a_conflict_told_once(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        peer = await master.enrol("web")
        client = await master.agent(peer)
        for takeover in range(1, 6):
            await client.deliver(beat(takeover))
            client = await twin_of(master, client, peer)
            assert master.node("web").conflict == (takeover >= 3)
            await trio.sleep(4)
        (event,) = await master.events("conflict")
        assert event.name == "web"
        assert "two agents use this identity" in event.text


async def test_node_whose_copy_says_goodbye_has_not_left(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        peer = await master.enrol("web")
        client = await master.agent(peer)
        for started_mono_ms in (7_000, 0, 7_000):
            await client.deliver(beat())
            displaced, client = client, master.client(peer)
            hello = msgspec.structs.replace(HELLO, started_mono_ms=started_mono_ms)
            await client.ask(hello, m.Welcome)
            assert (await displaced.goodbye()).code == m.Parting.REPLACED
        assert master.node("web").conflict
        await client.deliver(beat())
        client.link.post_farewell(m.Parting.STOPPED, "SIGTERM")
        await trio.sleep(10)  # the longest that the other waits
        assert State.LEFT not in await master.changes_of("web")
        assert master.state("web") is State.LATE
        client = await master.agent(peer)
        await client.deliver(beat())
        assert master.state("web") is State.UP


async def test_conflict_is_over_when_nobody_took_over_for_a_while(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        peer = await master.enrol("web")
        client = await master.agent(peer)
        for _ in range(3):
            await client.deliver(beat())
            client = await twin_of(master, client, peer)
        assert master.node("web").conflict
        for _ in range(122):
            await client.deliver(beat())
            await trio.sleep(5)
        assert not master.node("web").conflict


async def test_agent_that_comes_back_over_another_path_is_no_conflict(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        peer = await master.enrol("web")
        for _ in range(10):
            client = await master.agent(peer)
            await client.deliver(beat())
            client.wire.swallow()
            await trio.sleep(20)  # the old link is still there, and long silent
        assert not master.node("web").conflict
        assert audited(master, "session-replaced") == []


# --- timeouts ------------------------------------------------------------------------------------


async def test_link_that_says_nothing_is_pinged_then_given_up_and_the_node_lost_if_it_was_alive(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path, MasterSettings(period_s=60)) as master:
        peer = await master.enrol("web")
        agent = await master.agent(peer)
        await agent.deliver(beat(next_in_s=60))
        agent.wire.swallow()
        await trio.sleep(59.9)
        assert master.state("web") is State.UP
        await trio.sleep(0.2)
        assert master.state("web") is State.LOST
        assert reason(master) == "nothing was heard for 60 s"
        await trio.sleep(2)
        assert agent.wire.master.is_closed


async def test_ping_and_pong_keep_a_slow_beat_s_link(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path, MasterSettings(period_s=60)) as master:
        agent = await master.agent(await master.enrol("web"))
        await agent.deliver(beat(next_in_s=60))
        assert await agent.listen(59) == [m.Ack(1, 1)]  # and pings, answered in passing
        await agent.deliver(beat(2, next_in_s=60))
        assert await master.changes_of("web") == ["up"]


async def test_ping_of_an_agent_is_answered(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with assembled(tmp_path) as master:
        agent = await master.beating("web")
        assert await agent.ask(m.Ping(77), m.Pong) == m.Pong(77)


async def test_agent_that_reads_nothing_is_cut_at_the_write_timeout(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        agent = await master.agent(await master.enrol("web"), limit_bytes=300)
        began_s = trio.current_time()
        while not agent.wire.master.is_closed and trio.current_time() < began_s + 60:
            agent.link.post(beat(1_000_000))
            await trio.sleep(0.2)
        assert 15 <= trio.current_time() - began_s < 24
        assert (await master.changes_of("web"))[:2] == ["up", "lost"]
        (lost, *_) = [event for event in await master.events() if event.after == "lost"]
        assert lost.text == "nothing was read for 15 s"


async def test_shorter_patience_after_a_reload_counts_at_once(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        agent = await master.beating("web")
        shorter = msgspec.structs.replace(master.context.link, ping_after_s=0.5, read_timeout_s=2)
        master.parts.change(master.context.settings, shorter, period_changed=False)
        await trio.sleep(2.1)
        assert master.state("web") is State.LOST
        assert agent.link.broken is None


# --- hostile and broken agents -------------------------------------------------------------------


def nested(depth: int) -> bytes:
    return b"\x91" * depth + b"\xc0"


CORE_WITH_TAIL = m.raw([*[1] * len(Core.__struct_fields__), "\x1b[2Jhostile", ["more"] * 100])
BEAT_PARTS = (1, 0, 0, 5000)
HOSTILE = {
    "a core of the wrong type": m.encode(m.Beat(*BEAT_PARTS, m.raw("text"))),
    "a core with text in it": m.encode(m.Beat(*BEAT_PARTS, m.raw(["text"]))),
    "a core of negative numbers": m.encode(m.Beat(*BEAT_PARTS, m.raw([-1]))),
    "a promise out of bounds": m.encode(m.Beat(1, 0, 0, 10**9, m.raw([]))),
    "an inventory that is none": m.encode(m.InventoryReport(m.raw("text"))),
    "a family that is not what it says": m.encode(m.FamilySample("cpu", 0, 0, 0, m.raw("x"))),
    "a request for a key that is none": m.encode(m.Renew(b"not DER")),
    "a viewer's request": m.encode(m.GetNode(1, "web")),
    "a second hello": m.encode(HELLO),
    "what only masters say": m.encode(m.Ack(1)),
    "a body that is no MessagePack": encode_frame(m.Beat.kind, b"\xc1\xc1\xc1"),
    "a length of zero": bytes(4),
    "a length of two gigabytes": bytes.fromhex("80000000"),
}


@pytest.mark.parametrize("what", HOSTILE)
async def test_agent_that_breaks_the_protocol_is_told_so_lost_audited_and_shunned(
    tmp_path: Path, autojump_clock: MockClock, what: str
) -> None:
    async with assembled(tmp_path) as master:
        honest, peer = await master.beating("honest"), await master.enrol("web")
        hostile = await master.agent(peer)
        await hostile.deliver(beat())
        hostile.wire.client.send_nowait(HOSTILE[what])
        goodbye = await hostile.goodbye()
        await wait_all_tasks_blocked()
        assert master.state("web") is State.LOST
        (line,) = audited(master, "protocol-error")
        assert line["code"] == goodbye.code
        assert (await master.client(peer).ask(HELLO, m.Deny)).code == m.Refusal.BUSY
        await trio.sleep(SHUNNED_S)
        await master.agent(peer)
        await honest.deliver(beat(2))
        assert master.state("honest") is State.UP


async def test_core_keeps_nothing_but_numbers_whatever_a_hostile_agent_adds(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        agent = await master.beating("web")
        await agent.deliver(m.Beat(*BEAT_PARTS, CORE_WITH_TAIL))
        assert master.node("web").core == m.encode_body(Core(*[1] * len(Core.__struct_fields__)))


async def test_no_depth_of_nesting_gets_through_one_decoder_and_ends_the_master_in_the_next(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        fields = len(Core.__struct_fields__)
        header = b"\xdc" + (fields + 1).to_bytes(2, "big")
        hostile = await master.beating("web")
        for depth in range(sys.getrecursionlimit()):
            core = msgspec.Raw(header + b"\xc0" * fields + nested(depth))
            hostile.link.post(m.Beat(*BEAT_PARTS, core))
            if isinstance(await hostile.next(), m.Goodbye):
                break
        else:
            raise AssertionError("no depth was too deep")
        await master.beating("honest")


async def test_agent_that_floods_is_told_so_and_cut(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        agent = await master.beating("web")
        for sequence in range(MESSAGES_PER_WINDOW):
            agent.link.post(m.Ping(sequence))
            if sequence % 100 == 0:
                await wait_all_tasks_blocked()
        received, _ = await agent.rest()
        goodbye = received[-1]
        assert isinstance(goodbye, m.Goodbye)
        assert goodbye.code == Violation.FLOOD
        assert master.state("web") is State.LOST


async def test_agent_that_floods_with_what_nobody_knows_is_cut_too(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        agent = await master.beating("web")
        hundred = encode_frame(OF_TOMORROW, b"") * 100
        for _ in range(MESSAGES_PER_WINDOW // 100 - 1):
            agent.wire.client.send_nowait(hundred)
            await wait_all_tasks_blocked()
        assert master.state("web") is State.UP
        agent.wire.client.send_nowait(hundred)
        assert (await agent.goodbye()).code == Violation.FLOOD
        assert master.state("web") is State.LOST


async def test_agent_whose_message_does_not_end_is_cut_too(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "BYTES_PER_WINDOW", 10_000)
    async with assembled(tmp_path) as master:
        agent = await master.beating("web")
        nothing = m.encode(m.Part(m.InventoryReport.kind, False, b""))
        for _ in range(10):
            agent.wire.client.send_nowait(nothing * 100)
            await wait_all_tasks_blocked()
        assert (await agent.goodbye()).code == Violation.FLOOD


async def test_agent_that_sends_too_much_is_cut_too(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert BYTES_PER_WINDOW == 4 * 1024 * 1024
    monkeypatch.setattr(session_module, "BYTES_PER_WINDOW", 100_000)
    async with assembled(tmp_path) as master:
        agent = await master.beating("web")
        for _ in range(10):
            agent.link.post_bulk(m.FamilySample("other", 0, 0, 0, m.raw("x" * 12_000)))
            await wait_all_tasks_blocked()
        assert (await agent.goodbye()).code == Violation.FLOOD


async def test_as_many_messages_over_a_longer_time_are_welcome(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        agent = await master.beating("web")
        for sequence in range(2 * MESSAGES_PER_WINDOW + 100):
            agent.link.post(beat(sequence))
            await trio.sleep(1.1 * WINDOW_S / MESSAGES_PER_WINDOW)
            if sequence % 100 == 0:
                await agent.link.receive()
        assert master.state("web") is State.UP


async def test_more_families_than_there_can_be_are_a_violation(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        agent = await master.beating("web")
        for number in range(33):
            agent.link.post_bulk(m.FamilySample(f"f{number}", 0, 0, 0, m.raw(None)))
        assert (await agent.goodbye()).code == Violation.BAD_MESSAGE


# --- renewing ------------------------------------------------------------------------------------


async def test_renewed_key_comes_over_the_link_and_its_first_use_retires_the_old_one(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        peer = await master.enrol("web")
        agent = await master.agent(peer)
        _, csr_der = new_key_and_request()
        renewed = await agent.ask(m.Renew(csr_der), m.Renewed)
        agent.link.post(m.Goodbye(m.Parting.RENEWED))
        newer = Peer(peer.address, peer.name, read_peer(renewed.certificate_der))
        await (await master.agent(newer)).deliver(beat())
        assert (await master.client(peer).ask(HELLO, m.Deny)).code == m.Refusal.SUPERSEDED


async def test_beats_do_not_wait_for_a_renewal_that_waits_for_the_disk(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with assembled(tmp_path) as master:
        agent = await master.beating("web")
        renew, begun = master.parts.enrolment.renew, list[float]()

        async def slowly(identity: Identity, csr_der: bytes, address: str) -> bytes:
            begun.append(trio.current_time())
            await trio.sleep(150)
            return await renew(identity, csr_der, address)

        monkeypatch.setattr(master.parts.enrolment, "renew", slowly)
        _, csr_der = new_key_and_request()
        for _ in range(5):
            agent.link.post(m.Renew(csr_der))  # asked again and again: one at a time is worked on
        for sequence in range(2, 40):
            await agent.deliver(beat(sequence))
            await trio.sleep(5)
        assert await master.changes_of("web") == ["up"]
        assert len(begun) == 1


async def test_renewal_that_the_disk_refuses_leaves_the_link_and_the_old_key_as_they_are(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with assembled(tmp_path) as master:
        peer = await master.enrol("web")
        agent = await master.agent(peer)

        async def refuse(*statements: object) -> None:
            raise StoreError("full")

        monkeypatch.setattr(master.store, "write", refuse)
        _, csr_der = new_key_and_request()
        agent.link.post(m.Renew(csr_der))
        await agent.deliver(beat())
        monkeypatch.undo()
        assert await agent.ask(m.Renew(csr_der), m.Renewed)
        await twin_of(master, agent, peer)


# --- ends from within ----------------------------------------------------------------------------


async def test_agent_revoked_between_its_hello_and_its_session_is_not_let_in(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        peer, node = await master.enrol("web"), master.node("web")
        identity = master.identities.get(node.node_id)
        assert identity is not None
        wire, established = Wire(), list[Established | None]()
        client = Client(wire, master.nursery)

        async def let_in() -> None:
            established.append(await master.entry.open(wire.master, peer))

        master.nursery.start_soon(let_in)
        await client.ask(HELLO, m.Welcome)
        (run,) = established
        assert run is not None
        master.identities.put(msgspec.structs.replace(identity, revoked=True))
        master.nursery.start_soon(run)
        assert (await client.goodbye()).code == m.Parting.REVOKED
        assert node.session is None
        assert node.liveness.state is State.NEVER_SEEN


async def test_certificate_that_ends_while_the_link_lasts_ends_it_without_making_the_node_lost(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path, MasterSettings(certificate_life_s=8)) as master:
        agent = await master.beating("web")
        await trio.sleep(4)
        await agent.deliver(beat(2))
        assert (await agent.goodbye()).code == m.Parting.EXPIRED
        assert trio.current_time() <= 8.1
        await wait_all_tasks_blocked()
        assert master.state("web") is State.UP


async def test_stop_tells_every_agent_waits_until_they_have_read_it_and_calls_none_lost(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        agents = [await master.beating(f"web-{number}") for number in range(5)]
        deaf = await master.beating("deaf")
        goodbyes: list[m.Goodbye] = []

        async def read(client: Client) -> None:
            goodbyes.append(await client.goodbye())

        async with trio.open_nursery() as nursery:
            for agent in agents:
                nursery.start_soon(read, agent)
            began_s = trio.current_time()
            await master.parts.stop()
        assert trio.current_time() - began_s <= 1.1  # who does not read is not waited for longer
        assert {goodbye.code for goodbye in goodbyes} == {m.Parting.RESTARTING}
        assert len(goodbyes) == 5
        assert deaf.wire.master.is_closed
        assert {node.liveness.state for node in master.registry} == {State.UP}
        assert [row["state"] for row in master.store.load("SELECT state FROM nodes")] == ["up"] * 6
        assert (await master.events("master-stopped"))[-1].event == "master-stopped"


async def test_agent_that_links_while_the_master_stops_is_told_to_dial_again(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        peer = await master.enrol("web")
        await master.parts.stop()
        client = master.client(peer)
        client.link.post(HELLO)
        assert (await client.goodbye()).code == m.Parting.RESTARTING
        assert master.state("web") is State.NEVER_SEEN


async def test_end_of_the_master_says_nothing_about_its_nodes(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        agent = await master.beating("web")
    assert agent.wire.master.is_closed
    assert master.state("web") is State.UP
