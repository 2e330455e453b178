"""What viewers may ask and operators order: every request, and every way in which it can fail."""

import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import get_args

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from master.node import NIL
from master.requests import EVENTS_LIMIT, FOLLOWED_LIMIT
from shared import messages as m
from shared.inventory import FilesystemInfo, Inventory
from shared.liveness import Revoked, State
from shared.text import TEXT_LIMIT_CHARACTERS
from tests.master.assembled import HELLO, Assembled, Client, assembled, beat, memory_store
from tests.master.test_node import WIDEST, largest


@asynccontextmanager
async def asked(root: Path) -> AsyncGenerator[tuple[Assembled, Client]]:
    """A master with two nodes, `web` and `web-old`, and an operator."""
    async with assembled(root) as master:
        for name in ("web", "web-old"):
            await master.enrol(name)
        yield master, await master.viewer()


async def failure(client: Client, request: m.FromClient) -> str:
    return (await client.ask(request, m.Failed)).code


# --- a node --------------------------------------------------------------------------------------


async def test_node_is_shown_with_all_that_is_known_of_it(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with asked(tmp_path) as (master, client):
        node = master.node("web")
        sample = m.FamilySample("cpu", 1, 2, 3, m.raw([1, 2]))
        node.take_family(sample, 0.0)
        inventory = Inventory("h", "Debian", "", "", "", "", "", 0)
        node.take_inventory(m.encode_body(inventory), inventory)
        detail = await client.ask(m.GetNode(7, "web"), m.NodeDetail)
        assert detail.request == 7
        assert (detail.info, detail.vitals) == (node.info(), node.vitals())
        assert bytes(detail.inventory) == node.inventory
        assert detail.families == (sample,)
        assert detail.left_out == ()


@pytest.mark.parametrize(
    ("wanted", "code", "words"),
    [
        ("nobody", "not-found", "no node 'nobody'"),
        ("", "not-found", "no node ''"),
        ("we", "ambiguous", "'we' could be any of: web, web-old"),
        ("\x1b[31mred", "not-found", "no node '[31mred'"),
    ],
)
async def test_name_that_means_nobody_or_several_is_an_error_that_helps(
    tmp_path: Path, autojump_clock: MockClock, wanted: str, code: str, words: str
) -> None:
    async with asked(tmp_path) as (_, client):
        failed = await client.ask(m.GetNode(1, wanted), m.Failed)
        assert (failed.code, failed.request) == (code, 1)
        assert failed.text.startswith(words)


async def test_answer_about_the_largest_node_fits_and_says_what_was_left_out(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with asked(tmp_path) as (master, client):
        node, like = master.node("web"), largest()
        for field in ("note", "labels", "filesystems", "troubles", "core", "agent_labels"):
            setattr(node, field, getattr(like, field))
        node.inventory = m.encode_body("i" * 250_000)
        for number in range(31):
            sample = m.FamilySample(f"f{number:02}", 0, 0, 0, m.raw("x" * 1_000))
            node.take_family(sample, 0.0)
        node.take_family(m.FamilySample("huge", 0, 0, 0, m.raw("x" * 400_000)), 0.0)
        detail = await client.ask(m.GetNode(1, "web"), m.NodeDetail)
        assert detail.inventory == NIL
        assert detail.left_out == ("inventory", "huge")
        assert len(detail.families) == 31
        master.registry.info_changed(node)
        assert await client.ask(m.GetNode(2, "web-old"), m.NodeDetail)


async def test_inventory_that_fits_leaves_room_for_the_small_families_first(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with asked(tmp_path) as (master, client):
        node = master.node("web")
        mounts = (FilesystemInfo("/" * 250, "d" * 250, "", 0),) * 250
        inventory = Inventory("h", "", "", "", "", "", "", 0, filesystems=mounts)
        node.take_inventory(m.encode_body(inventory), inventory)
        for name, size in {"a": 60_000, "b": 200_000, "c": 10}.items():
            node.take_family(m.FamilySample(name, 0, 0, 0, m.raw("x" * size)), 0.0)
        detail = await client.ask(m.GetNode(1, "web"), m.NodeDetail)
        assert bytes(detail.inventory) == node.inventory
        assert [sample.family for sample in detail.families] == ["c", "a"]
        assert detail.left_out == ("b",)


# --- labels --------------------------------------------------------------------------------------


async def test_labels_and_note_are_set_and_on_disk_before_it_is_confirmed(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with asked(tmp_path) as (master, client):
        order = m.SetLabels(1, "web", {"rack": "7", "old": "x"}, (), "by the window")
        assert (await client.ask(order, m.Done)).text == "web"
        await client.ask(m.SetLabels(2, "web", {"rack": "8"}, ("old", "absent")), m.Done)
        (row,) = master.store.load("SELECT labels, note FROM nodes WHERE name = 'web'")
        assert (row["labels"], row["note"]) == ('{"rack":"8"}', "by the window")
        info = (await client.ask(m.GetNode(3, "web"), m.NodeDetail)).info
        assert (info.labels, info.note) == ({"rack": "8"}, "by the window")


async def test_labels_are_made_safe_to_show(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with asked(tmp_path) as (master, client):
        hostile = m.SetLabels(1, "web", {" a\x1b ": "\x07b\n", "k" * 200: "v" * 200}, (), "n\x00")
        await client.ask(hostile, m.Done)
        assert master.node("web").labels == {"a": "b ", "k" * 64: "v" * 64}
        assert master.node("web").note == "n"


@pytest.mark.parametrize("put", [{"": "x"}, {" ": "x"}, {"a=b": "x"}, {"\x1b": "x"}])
async def test_label_that_cannot_be_one_changes_nothing(
    tmp_path: Path, autojump_clock: MockClock, put: dict[str, str]
) -> None:
    async with asked(tmp_path) as (master, client):
        assert await failure(client, m.SetLabels(1, "web", {"ok": "1"} | put)) == "bad-request"
        assert master.node("web").labels == {}


async def test_node_has_so_many_labels_and_no_more(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with asked(tmp_path) as (master, client):
        await client.ask(m.SetLabels(1, "web", {f"l{n}": "" for n in range(64)}), m.Done)
        assert await failure(client, m.SetLabels(2, "web", {"one more": ""})) == "bad-request"
        await client.ask(m.SetLabels(3, "web", {"one more": ""}, ("l0",)), m.Done)
        assert len(master.node("web").labels) == 64


# --- revoking and forgetting ---------------------------------------------------------------------


async def test_revoked_node_is_cut_at_once_and_refused_for_good(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        peer = await master.enrol("web")
        agent, client = await master.agent(peer), await master.viewer()
        await client.ask(m.RevokeNode(1, "web"), m.Done)
        assert (await agent.goodbye()).code == m.Parting.REVOKED
        assert master.state("web") is State.REVOKED
        assert await master.changes_of("web") == ["revoked"]
        again = master.client(peer)
        assert (await again.ask(HELLO, m.Deny)).code == m.Refusal.REVOKED
        await trio.sleep(100)
        assert master.state("web") is State.REVOKED
        await (await master.viewer()).ask(m.RevokeNode(2, "web"), m.Done)
        assert await master.changes_of("web") == ["revoked"]


async def test_revocation_is_state_and_identity_in_one_commit(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with asked(tmp_path) as (master, client):
        await client.ask(m.RevokeNode(1, "web"), m.Done)
        rows = master.store.load(
            "SELECT nodes.state, identities.revoked FROM nodes"
            " JOIN identities ON identity = node_id WHERE nodes.name = 'web'"
        )
        assert [tuple(row) for row in rows] == [("revoked", 1)]


async def test_forgotten_node_is_cut_is_gone_for_viewers_and_may_join_anew(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        peer = await master.enrol("web")
        agent, client = await master.agent(peer), await master.viewer()
        node_id = master.node("web").node_id
        client.link.post(m.Watch())
        await client.until(m.Snapshot)
        client.link.post(m.ForgetNode(1, "web"))
        replies = [await client.next(), await client.next()]
        assert m.Done(1, "web") in replies
        (delta,) = [reply for reply in replies if isinstance(reply, m.Delta)]
        assert delta.gone == (node_id,)
        assert (await agent.goodbye()).code == m.Parting.REVOKED
        assert (await master.client(peer).ask(HELLO, m.Deny)).code == m.Refusal.UNKNOWN
        assert master.store.load("SELECT * FROM nodes") == []
        assert master.store.load("SELECT * FROM identities") == []
        assert [event.name for event in await master.events("forgotten")] == ["web"]
        await master.enrol("web")
        assert master.state("web") is State.NEVER_SEEN


async def test_beats_in_flight_when_a_node_is_forgotten_do_no_harm(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        agent, client = await master.beating("web"), await master.viewer()
        agent.link.post(beat(2))
        client.link.post(m.ForgetNode(1, "web"))
        agent.link.post(beat(3))
        agent.link.post_bulk(m.InventoryReport(m.raw(Inventory("", "", "", "", "", "", "", 0))))
        agent.link.post_bulk(m.FamilySample("cpu", 0, 0, 0, m.raw(None)))
        await client.until(m.Done)
        await agent.rest()
        await trio.sleep(100)
        assert len(master.registry) == 0


async def test_node_whose_session_was_just_given_up_can_be_forgotten(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    # The session ends with a reason of its own, and tells the registry only when its task runs.
    async with assembled(tmp_path) as master:
        await master.beating("web")
        node = master.node("web")
        assert node.session is not None
        node.session.end(m.Parting.SILENT, "nothing was heard")
        await master.store.write(*master.registry.forget(node))
        await trio.sleep(10)
        assert len(master.sessions.roster) == 0


# --- a disk that refuses -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "order",
    [
        m.SetLabels(1, "web", {"rack": "7"}, (), "n" * 400),
        m.RevokeNode(1, "web"),
        m.ForgetNode(1, "web"),
    ],
    ids=lambda order: type(order).__name__,
)
async def test_order_that_the_disk_refuses_is_not_confirmed_is_in_force_and_stored_later(
    tmp_path: Path, autojump_clock: MockClock, order: m.FromClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = memory_store()
    async with assembled(tmp_path, store=store) as master:
        await master.enrol("web")
        client = await master.viewer()
        apply = store._apply

        def failing(statements: object) -> None:
            raise sqlite3.OperationalError("database or disk is full")

        monkeypatch.setattr(store, "_apply", failing)
        failed = await client.ask(order, m.Failed)
        assert failed.code == "not-stored"
        assert "full" in failed.text
        monkeypatch.setattr(store, "_apply", apply)
        await trio.sleep(10)
    async with assembled(tmp_path, store=store) as master:
        match order:
            case m.SetLabels():
                assert master.node("web").labels == {"rack": "7"}
            case m.RevokeNode():
                assert master.state("web") is State.REVOKED
                identity = master.identities.get(master.node("web").node_id)
                assert identity is not None
                assert identity.revoked
            case _:
                assert len(master.registry) == 0
    store.close()


# --- events --------------------------------------------------------------------------------------


async def test_events_are_listed_of_all_or_of_one_node(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with asked(tmp_path) as (master, client):
        master.registry.apply(master.node("web"), Revoked(), 0.0)
        every = await client.ask(m.ListEvents(1), m.Events)
        assert [event.event for event in every.events] == [
            "enrolled", "enrolled", "state"
        ]  # fmt: skip
        of_one = await client.ask(m.ListEvents(2, node="web"), m.Events)
        assert [event.event for event in of_one.events] == ["enrolled", "state"]
        newest = await client.ask(m.ListEvents(3, 1), m.Events)
        assert [event.after for event in newest.events] == ["revoked"]
        assert await failure(client, m.ListEvents(4, node="nobody")) == "not-found"


async def test_answer_holds_the_newest_events_that_fit(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with asked(tmp_path) as (master, client):
        for number in range(1_000):
            text = f"{number} " + WIDEST * (TEXT_LIMIT_CHARACTERS - 10)
            master.context.events.record("state", node_id="x", name=WIDEST * 64, text=text)
        listed = await client.ask(m.ListEvents(1, 10_000), m.Events)
        assert 50 < len(listed.events) < EVENTS_LIMIT
        texts = [int(event.text.split()[0]) for event in listed.events]
        assert texts == list(range(1_000 - len(texts), 1_000))
        for _ in range(600):
            master.context.events.record("state")
        listed = await client.ask(m.ListEvents(2, 10_000), m.Events)
        assert len(listed.events) == EVENTS_LIMIT


async def test_followed_events_come_after_those_of_before_none_twice_and_none_lost(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with asked(tmp_path) as (master, client):
        log = master.context.events
        latest = log.latest

        async def slowly(limit: int, node_id: str | None = None) -> tuple[m.Event, ...]:
            log.record("before the read")
            events = await latest(limit, node_id)
            log.record("after the read")
            return events

        monkeypatch.setattr(log, "latest", slowly)
        first = await client.ask(m.ListEvents(1, 1, follow=True), m.Events)
        log.record("now")
        second = await client.until(m.Events)
        assert [event.event for event in first.events] == ["before the read", "after the read"]
        assert [event.event for event in second.events] == ["now"]


async def test_follower_of_one_node_hears_of_that_one_only_and_stops_with_its_link(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with asked(tmp_path) as (master, client):
        await client.ask(m.ListEvents(1, node="web", follow=True), m.Events)
        for name in ("web-old", "web"):
            master.registry.apply(master.node(name), Revoked(), 0.0)
        assert [event.name for event in (await client.until(m.Events)).events] == ["web"]
        assert "1 followers" in repr(master.context.events)
        client.link.post(m.Goodbye("done"))
        await trio.sleep(2)
        assert "0 followers" in repr(master.context.events)


async def test_viewer_follows_so_often_and_no_more(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with asked(tmp_path) as (_, client):
        for number in range(FOLLOWED_LIMIT):
            await client.ask(m.ListEvents(number, follow=True), m.Events)
        assert await failure(client, m.ListEvents(99, follow=True)) == "too-many"


async def test_events_that_cannot_be_read_are_an_error_and_nothing_is_followed(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with asked(tmp_path) as (master, client):
        await master.store.flush()
        master.store.load("ALTER TABLE events RENAME TO elsewhere")
        assert await failure(client, m.ListEvents(1, follow=True)) == "not-stored"
        assert "0 followers" in repr(master.context.events)
        master.store.load("ALTER TABLE elsewhere RENAME TO events")
        await client.ask(m.ListEvents(2, follow=True), m.Events)


async def test_follower_that_does_not_read_is_told_so_and_cut(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with asked(tmp_path) as (master, client):
        await client.ask(m.ListEvents(1, follow=True), m.Events)
        for _ in range(3_000):
            master.context.events.record("state", text="x" * 400)
        await wait_all_tasks_blocked()
        await trio.sleep(3)
        assert len(master.viewers.roster) == 0


# --- tokens --------------------------------------------------------------------------------------


async def test_token_is_created_listed_and_revoked(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        client = await master.viewer()
        created = await client.ask(m.CreateToken(1, "agent", 60, 3), m.TokenCreated)
        (token,) = (await client.ask(m.ListTokens(2), m.Tokens)).tokens
        assert (token.token_id, token.role, token.uses_left) == (created.token_id, "agent", 3)
        assert token.state == "valid"
        await client.ask(m.RevokeToken(3, created.token_id[:4].upper()), m.Done)
        (token,) = (await client.ask(m.ListTokens(4), m.Tokens)).tokens
        assert token.state == "revoked"
        assert [event.text for event in await master.events("token-created")] == [
            f"{created.token_id} for agents"
        ]


@pytest.mark.parametrize(
    "request_",
    [
        m.CreateToken(1, "king", 60, 1),
        m.CreateToken(1, "agent", 0, 1),
        m.CreateToken(1, "agent", 366 * 86400, 1),
        m.CreateToken(1, "agent", 60, 0),
        m.CreateToken(1, "agent", 60, 1_000_001),
    ],
)
async def test_token_out_of_bounds_is_refused(
    tmp_path: Path, autojump_clock: MockClock, request_: m.CreateToken
) -> None:
    async with assembled(tmp_path) as master:
        assert await failure(await master.viewer(), request_) == "bad-request"
        assert master.identities.tokens() == []


async def test_token_that_is_not_there_or_not_the_only_one_is_not_revoked(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        client = await master.viewer()
        for number in range(40):
            await client.ask(m.CreateToken(number, "agent", 60, 1), m.TokenCreated)
        assert await failure(client, m.RevokeToken(50, "zz")) == "not-found"
        assert await failure(client, m.RevokeToken(51, "")) == "not-found"
        digits = [token.token_id.hex()[0] for token in master.identities.tokens()]
        twice = next(digit for digit in digits if digits.count(digit) > 1)
        assert await failure(client, m.RevokeToken(52, twice)) == "ambiguous"


# --- who may -------------------------------------------------------------------------------------

ORDERS: list[m.FromClient] = [
    m.SetLabels(1, "web", {}),
    m.RevokeNode(1, "web"),
    m.ForgetNode(1, "web"),
    m.CreateToken(1, "agent", 60, 1),
    m.ListTokens(1),
    m.RevokeToken(1, "00"),
]


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: type(order).__name__)
async def test_remote_viewer_reads_and_orders_nothing(
    tmp_path: Path, autojump_clock: MockClock, order: m.FromClient
) -> None:
    async with asked(tmp_path) as (master, _):
        remote = await master.viewer(await master.enrol("laptop", "viewer"))
        assert await failure(remote, order) == "not-allowed"
        assert await remote.ask(m.GetNode(2, "web"), m.NodeDetail)
        assert await remote.ask(m.ListEvents(3), m.Events)
        assert master.state("web") is State.NEVER_SEEN


async def test_every_request_of_the_protocol_is_answered(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with asked(tmp_path) as (_, client):
        reads: list[m.FromClient] = [m.GetNode(1, "web"), m.ListEvents(1), m.ListOutages(1)]
        past: list[m.FromClient] = [
            m.GetFleetAt(1, 0),
            m.GetNodeAt(1, "web", 0),
            m.GetSeries(1, "web", ("users",), 0, 1, 1),
            m.GetSamples(1, "web", 0, 1),
            m.GetCoverage(1, "web", 0, 1),
            m.BackUp(1, "relative"),
        ]
        requests = [*reads, *past, *ORDERS]
        kinds = {kind for kind in get_args(m.FromViewer) if "request" in kind.__struct_fields__}
        assert {type(request) for request in requests} == kinds
        for request in requests:
            client.link.post(request)
        for _ in requests:
            assert getattr(await client.next(), "request", None) == 1
