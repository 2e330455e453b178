"""The registry: names, what survives a restart, and what happens to those who are forgotten."""

import sqlite3
from collections.abc import Generator
from contextlib import closing
from importlib import resources
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from master import registry as registry_module
from master.node import Node
from master.registry import NoSuchNodeError, Registry
from master.store import IN_MEMORY, RETRY_S, SCHEMA_STEPS, Store
from shared import messages as m
from shared.inventory import Inventory
from shared.liveness import AWAITED_S, BeatArrived, Joined, LinkBroke, Revoked, SaidGoodbye, State
from tests.master.assembled import assembled, inline, memory_store, virtual_wall_ms
from tests.master.disks import Disk
from tests.master.test_store import full

BEAT = BeatArrived(0.0, 5.0, 5.0)


@pytest.fixture
def store() -> Generator[Store]:
    store = memory_store()
    yield store
    store.close()


async def add(registry: Registry, store: Store, node_id: str, name: str) -> Node:
    node, statement = registry.new_node(node_id, registry.free_name(name), trio.current_time())
    await store.write(statement)
    registry.add(node)
    return node


# --- names ---------------------------------------------------------------------------------------


async def test_names_are_made_unique_and_safe(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with assembled(tmp_path) as master:
        for name in ("web", "web", "web", "\x1b[31mdb\n1", "", "-rf"):
            await master.enrol(name)
        names = [node.name for node in master.registry]
        assert names == ["web", "web-2", "web-3", "[31mdb-1", "unnamed", "rf"]


async def test_long_name_stays_within_its_limit_when_it_is_taken(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        for _ in range(11):
            await master.enrol("n" * 200)
        names = [node.name for node in master.registry]
        assert names[0] == "n" * 64
        assert names[-1] == "n" * 61 + "-11"
        assert len(set(names)) == 11


async def test_reserved_name_is_not_given_twice_and_is_free_again_when_nothing_came_of_it(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        registry = master.registry
        registry.reserve("web", "1111")
        assert registry.free_name("web") == "web-2"
        with pytest.raises(NoSuchNodeError):
            registry.find("web")
        registry.release("web", "2222")
        assert registry.free_name("web") == "web-2"
        registry.release("web", "1111")
        assert registry.free_name("web") == "web"


async def test_node_is_found_by_id_by_name_and_by_an_unambiguous_beginning(
    tmp_path: Path, autojump_clock: MockClock, store: Store
) -> None:
    async with assembled(tmp_path, store=store) as master:
        registry = master.registry
        first = await add(registry, store, "aa11", "web")
        second = await add(registry, store, "ab22", "web-old")
        for wanted, node in {"aa11": first, "web": first, "web-": second, "ab": second}.items():
            assert registry.find(wanted) is node
        for wanted, candidates in {"a": ("web", "web-old"), "we": ("web", "web-old")}.items():
            with pytest.raises(NoSuchNodeError) as caught:
                registry.find(wanted)
            assert caught.value.candidates == candidates
        for wanted in ("", "x", "web-older"):
            with pytest.raises(NoSuchNodeError) as caught:
                registry.find(wanted)
            assert caught.value.candidates == ()


async def test_no_node_can_pose_as_another_by_taking_its_id_for_a_name(
    tmp_path: Path, autojump_clock: MockClock, store: Store
) -> None:
    async with assembled(tmp_path, store=store) as master:
        honest = await add(master.registry, store, "aa11", "web")
        await add(master.registry, store, "bb22", "aa11")
        assert master.registry.find("aa11") is honest


# --- restarts ------------------------------------------------------------------------------------


async def test_restart_awaits_who_lived_keeps_the_rest_and_says_so_only_when_it_differs(
    tmp_path: Path, autojump_clock: MockClock, store: Store
) -> None:
    async with assembled(tmp_path, store=store) as master:
        registry, now_s = master.registry, trio.current_time()
        nodes = {name: await add(registry, store, name, name) for name in "abcdef"}
        for name in "abcd":
            registry.apply(nodes[name], BEAT, now_s)
        registry.apply(nodes["b"], LinkBroke("link reset"), now_s)
        registry.apply(nodes["c"], SaidGoodbye("stopped"), now_s)
        registry.apply(nodes["d"], Revoked(), now_s)
        registry.apply(nodes["e"], Joined(5.0), now_s)
        await registry.save()
    await trio.sleep(100)
    async with assembled(tmp_path, store=store) as master:
        now_s = trio.current_time()
        states = {node.name: node.liveness.state for node in master.registry}
        assert states == {
            "a": State.AWAITED,
            "b": State.AWAITED,
            "c": State.LEFT,
            "d": State.REVOKED,
            "e": State.AWAITED,
            "f": State.NEVER_SEEN,
        }
        assert master.node("c").liveness.reason == "stopped"
        assert master.node("c").since_wall_ms == virtual_wall_ms() - 100_000
        assert master.node("a").since_wall_ms == virtual_wall_ms()
        master.registry.apply(master.node("a"), Joined(5.0), now_s)
        master.registry.apply(master.node("a"), BEAT, now_s)
        assert await master.changes_of("a") == ["up"]  # of the first start: nothing has changed
        await trio.sleep(AWAITED_S + 1)
        assert (await master.changes_of("b"))[-1] == "down"
        assert await master.changes_of("e") == ["down"]


async def test_everything_known_of_a_node_survives_a_restart(
    tmp_path: Path, autojump_clock: MockClock, store: Store
) -> None:
    inventory = Inventory("h", "Debian", "6.1", "x86_64", "3.11", "0.1.0", "", 0, labels={"a": "b"})
    async with assembled(tmp_path, store=store) as master:
        node = await add(master.registry, store, "aa11", "web")
        node.labels, node.note = {"rack": "7"}, "by the window"
        node.address, node.agent_version = "192.0.2.1:5", "0.1.0"
        master.registry.info_changed(node)
        node.take_inventory(m.encode_body(inventory), inventory)
        master.registry.inventory_changed(node)
        master.registry.seen(node, trio.current_time())
        before = node.info()
        await master.registry.save()
    async with assembled(tmp_path, store=store) as master:
        node = master.node("web")
        assert node.info() == before
        assert node.info().labels == {"rack": "7", "a": "b"}
        assert node.vitals().seen_wall_ms is not None
        assert node.vitals().seen_mono_ms is None  # not since this start
        assert node.inventory == m.encode_body(inventory)


async def test_inventory_that_cannot_be_read_any_more_is_asked_for_again_not_fatal(
    tmp_path: Path, autojump_clock: MockClock, store: Store
) -> None:
    async with assembled(tmp_path, store=store) as master:
        await add(master.registry, store, "aa11", "web")
        await store.write(("INSERT INTO inventories VALUES (?, ?)", ("aa11", b"\xc1 damaged")))
    async with assembled(tmp_path, store=store) as master:
        assert master.node("web").inventory is None


async def test_what_an_earlier_version_stored_of_nodes_is_taken_over(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    path = tmp_path / "master.db"
    packed = m.encode_body(Inventory("h", "Debian", "", "", "", "", "", 0))
    steps = [resources.files("master").joinpath(name) for name in SCHEMA_STEPS[:4]]
    with closing(sqlite3.connect(path)) as earlier:
        earlier.executescript("".join(step.read_text("utf-8") for step in steps))
        earlier.executemany(
            "INSERT INTO nodes (node_id, name, note, first_seen_wall_ms, seen_wall_ms, state,"
            " since_wall_ms, inventory) VALUES (?, ?, 'by the window', 1, ?, ?, 2, ?)",
            [
                ("aa11", "web", 5_000, "left", packed),
                ("bb22", "db", None, "never-seen", None),
                ("cc33", "old", 7_000, "left", None),
            ],
        )
        earlier.execute("PRAGMA user_version = 4")
        earlier.commit()
    store = Store.open(path, inline)
    async with assembled(tmp_path, store=store) as master:
        web, db, old = (master.node(name) for name in ("web", "db", "old"))
        assert [node.seen_wall_ms for node in (web, db, old)] == [5_000, None, 7_000]
        assert [node.inventory for node in (web, db, old)] == [packed, None, None]
        assert (web.os, web.note, web.liveness.state) == ("Debian", "by the window", State.LEFT)
    store.close()


async def test_certificate_s_end_is_known_after_a_restart(
    tmp_path: Path, autojump_clock: MockClock, store: Store
) -> None:
    async with assembled(tmp_path, store=store) as master:
        peer = await master.enrol("web")
        assert peer.certificate is not None
        ends_ms = round(peer.certificate.expires.timestamp() * 1000)
    async with assembled(tmp_path, store=store) as master:
        assert master.node("web").info().certificate_expires_wall_ms == ends_ms


# --- what is stored when -------------------------------------------------------------------------


def stored(store: Store, what: str) -> list[object]:
    return [row[what] for row in store.load(f"SELECT {what} FROM nodes ORDER BY name")]


def stored_seen(store: Store) -> dict[str, int]:
    return {row["node_id"]: row["wall_ms"] for row in store.load("SELECT * FROM seen")}


async def test_state_is_stored_within_a_second_and_last_seen_within_half_a_minute(
    tmp_path: Path, autojump_clock: MockClock, store: Store
) -> None:
    async with assembled(tmp_path, store=store) as master:
        node = await add(master.registry, store, "aa11", "web")
        master.registry.apply(node, BEAT, trio.current_time())
        await trio.sleep(1)
        assert stored(store, "state") == ["up"]
        began_ms = virtual_wall_ms()
        for _ in range(7):
            master.registry.apply(node, BEAT, trio.current_time())
            master.registry.seen(node, trio.current_time())
            await trio.sleep(4.9)
        assert stored_seen(store)["aa11"] >= began_ms


async def test_change_of_state_stores_when_the_node_was_last_seen(
    tmp_path: Path, autojump_clock: MockClock, store: Store
) -> None:
    async with assembled(tmp_path, store=store) as master:
        node = await add(master.registry, store, "aa11", "web")
        master.registry.apply(node, BEAT, trio.current_time())
        for _ in range(4):
            await trio.sleep(1)
            master.registry.seen(node, trio.current_time())
        assert stored_seen(store) == {}
        master.registry.apply(node, LinkBroke("link reset"), trio.current_time())
        await trio.sleep(1)
        assert stored(store, "state") == ["lost"]
        assert stored_seen(store) == {"aa11": node.seen_wall_ms}


async def test_fleet_is_stored_in_few_statements(
    tmp_path: Path, autojump_clock: MockClock, store: Store
) -> None:
    async with assembled(tmp_path, store=store) as master:
        nodes = [
            await add(master.registry, store, f"{each:04}", f"web-{each}") for each in range(300)
        ]
        for node in nodes:
            node.labels, node.note = {"rack": "\u00b5 'seven'"}, 'by the "window" \\'
            node.address, node.agent_version = f"192.0.2.1:{node.node_id}", "0.1.0"
            master.registry.info_changed(node)
            master.registry.apply(node, BEAT, trio.current_time())
            master.registry.seen(node, trio.current_time())
        await store.flush()
        executed = list[str]()
        store._connection.set_trace_callback(executed.append)
        assert await master.registry.save()
        store._connection.set_trace_callback(None)
        assert len(executed) == 4  # with the two that begin and end a commit
        assert len(stored_seen(store)) == 300
        before = [node.info() for node in nodes]
    async with assembled(tmp_path, store=store) as master:
        assert [node.info() for node in master.registry] == before


async def test_changes_wait_for_a_full_disk_as_nodes_not_as_statements(
    tmp_path: Path, autojump_clock: MockClock, store: Store
) -> None:
    async with assembled(tmp_path, store=store) as master:
        node = await add(master.registry, store, "aa11", "web")
        inventory = Inventory("h", "x" * 60, "", "", "", "", "", 0)
        with full(store):
            for number in range(300):
                node.note = f"note {number}"
                node.take_inventory(m.encode_body(inventory) + bytes(10_000), inventory)
                master.registry.info_changed(node)
                master.registry.inventory_changed(node)
                await trio.sleep(0.1)
            assert stored(store, "note") == [""]
            assert "0 statements waiting" in repr(store)
        await trio.sleep(RETRY_S + 1)
        assert stored(store, "note") == ["note 299"]


async def test_large_fleet_is_saved_in_several_commits(
    tmp_path: Path,
    autojump_clock: MockClock,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(registry_module, "SAVED_AT_ONCE", 7)
    async with assembled(tmp_path, store=store) as master:
        for number in range(20):
            node = await add(master.registry, store, f"{number:04}", f"n{number:02}")
            node.note = f"{number}"
            master.registry.info_changed(node)
            master.registry.apply(node, BEAT, trio.current_time())
        commits = list[int]()
        write = store.write

        async def counted(*statements: tuple[str, tuple[object, ...]]) -> None:
            commits.append(len(statements))
            await write(*statements)

        monkeypatch.setattr(store, "write", counted)
        assert await master.registry.save()
        assert stored(store, "state") == ["up"] * 20
        assert stored(store, "note") == [str(number) for number in range(20)]
        assert len(commits) == 3


# --- forgotten -----------------------------------------------------------------------------------


def everything(store: Store) -> list[str]:
    """The tables in which something is stored of nodes."""
    tables = ("nodes", "seen", "inventories")
    return [table for table in tables if store.load(f"SELECT 1 FROM {table}")]


async def test_forgotten_node_leaves_nothing_behind_and_its_name_is_free(
    tmp_path: Path, autojump_clock: MockClock, store: Store
) -> None:
    async with assembled(tmp_path, store=store) as master:
        registry = master.registry
        node = await add(registry, store, "aa11", "web")
        inventory = Inventory("h", "Debian", "", "", "", "", "", 0)
        node.take_inventory(m.encode_body(inventory), inventory)
        registry.inventory_changed(node)
        registry.apply(node, BEAT, trio.current_time())
        registry.seen(node, trio.current_time())
        await registry.save()
        assert everything(store) == ["nodes", "seen", "inventories"]
        registry.seen(node, trio.current_time())
        registry.info_changed(node)
        await store.write(*registry.forget(node))
        assert len(registry) == 0
        assert registry.free_name("web") == "web"
        await trio.sleep(100)
        assert await master.changes_of("web") == ["up"]
        assert everything(store) == []


async def test_node_that_is_forgotten_while_it_is_being_saved_stays_forgotten(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    disk = Disk()
    store = Store.open(IN_MEMORY, disk.run)
    async with assembled(tmp_path, store=store) as master:
        registry = master.registry
        node = await add(registry, store, "aa11", "web")
        inventory = Inventory("h", "Debian", "", "", "", "", "", 0)
        node.take_inventory(m.encode_body(inventory), inventory)
        registry.inventory_changed(node)
        registry.seen(node, trio.current_time())
        disk.stall()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(registry.save)
            await wait_all_tasks_blocked()
            disk.refuse()
            statements = registry.forget(node)
            disk.go_on()
        disk.recover()
        await store.write(*statements)
        assert await registry.save()
        assert everything(store) == []
    store.close()


async def test_whatever_happens_to_a_node_after_it_was_forgotten_is_ignored(
    tmp_path: Path, autojump_clock: MockClock, store: Store
) -> None:
    async with assembled(tmp_path, store=store) as master:
        registry = master.registry
        node = await add(registry, store, "aa11", "web")
        await store.write(*registry.forget(node))
        registry.apply(node, BEAT, trio.current_time())
        registry.seen(node, trio.current_time())
        registry.info_changed(node)
        registry.inventory_changed(node)
        registry.vitals_changed(node)
        await trio.sleep(40)
        assert everything(store) == []
        assert await master.events() == []


async def test_node_of_another_object_with_the_same_id_is_not_this_one(
    tmp_path: Path, autojump_clock: MockClock, store: Store
) -> None:
    async with assembled(tmp_path, store=store) as master:
        old = await add(master.registry, store, "aa11", "web")
        await store.write(*master.registry.forget(old))
        new = await add(master.registry, store, "aa11", "web")
        master.registry.apply(old, BEAT, trio.current_time())
        assert new.liveness.state is State.NEVER_SEEN


# --- events --------------------------------------------------------------------------------------


async def test_change_of_state_is_an_event_with_its_reason_and_joining_is_none(
    tmp_path: Path, autojump_clock: MockClock, store: Store
) -> None:
    async with assembled(tmp_path, store=store) as master:
        registry, now_s = master.registry, trio.current_time()
        node = await add(registry, store, "aa11", "web")
        registry.apply(node, Joined(5.0), now_s)
        registry.apply(node, BEAT, now_s)
        registry.apply(node, LinkBroke("link reset"), now_s)
        registry.apply(node, Joined(5.0), now_s)
        registry.apply(node, BEAT, now_s)
        events = [(each.before, each.after, each.text) for each in await master.events()]
        assert events == [
            ("never-seen", "up", ""),
            ("up", "lost", "link reset"),
            ("lost", "up", ""),
        ]


async def test_agent_that_links_and_never_beats_is_told_of_once(
    tmp_path: Path, autojump_clock: MockClock, store: Store
) -> None:
    async with assembled(tmp_path, store=store) as master:
        node = await add(master.registry, store, "aa11", "web")
        for _ in range(5):
            master.registry.apply(node, Joined(5.0), trio.current_time())
            master.registry.apply(node, LinkBroke("link reset"), trio.current_time())
        assert await master.changes_of("web") == ["lost"]
