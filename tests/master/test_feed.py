"""The feed: one delta a tick with the latest of each node, and a slow viewer costs a set of ids."""

from collections.abc import Iterator, Sequence

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from master.feed import CHUNK_NODES, TICK_S, Changes, Feed, Piece
from master.node import Node
from shared import messages as m
from shared.liveness import Liveness, State
from tests.master.test_node import largest, received


class Fleet:
    """Nodes, without a registry."""

    def __init__(self, size: int) -> None:
        self.nodes = dict[str, Node]()
        for number in range(size):
            self.add(f"{number:04}")

    def add(self, node_id: str) -> Node:
        node = Node(node_id, f"n{node_id}", Liveness(State.UP, 0.0), 0)
        self.nodes[node_id] = node
        return node

    def get(self, node_id: str) -> Node | None:
        return self.nodes.get(node_id)

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes.values())


class Watcher:
    """Takes everything, and reads it as a viewer does."""

    def __init__(self) -> None:
        self.ticks: list[list[m.Delta]] = []

    def offer(self, pieces: Sequence[Piece]) -> None:
        messages = received([frame for piece in pieces for frame in piece.frames])
        deltas = [message for message in messages if isinstance(message, m.Delta)]
        assert len(deltas) == len(messages)
        self.ticks.append(deltas)


def feed_of(fleet: Fleet) -> tuple[Feed, Watcher]:
    feed, watcher = Feed(), Watcher()
    feed.source = fleet
    feed.join(watcher)
    return feed, watcher


def test_many_changes_of_a_node_within_a_tick_are_one_with_the_latest_values() -> None:
    fleet = Fleet(2)
    feed, watcher = feed_of(fleet)
    for note in ("first", "second", "third"):
        fleet.nodes["0000"].note = note
        feed.info_changed("0000")
        feed.vitals_changed("0000")
        feed.vitals_changed("0001")
    feed.tick(12.5)
    ((delta,),) = watcher.ticks
    assert [info.note for info in delta.infos] == ["third"]
    assert sorted(vitals.node_id for vitals in delta.vitals) == ["0000", "0001"]
    assert (delta.now_mono_ms, delta.behind_ms, delta.gone) == (12_500, 0, ())


def test_tick_without_changes_says_nothing() -> None:
    feed, watcher = feed_of(Fleet(2))
    feed.vitals_changed("0000")
    feed.tick(1.0)
    feed.tick(2.0)
    assert [len(tick) for tick in watcher.ticks] == [1, 0]


def test_changes_before_a_viewer_joined_are_not_kept_for_it() -> None:
    fleet = Fleet(2)
    feed = Feed()
    feed.source = fleet
    feed.vitals_changed("0000")
    feed.tick(1.0)
    watcher = Watcher()
    feed.join(watcher)
    feed.tick(2.0)
    assert watcher.ticks == [[]]
    feed.leave(watcher)
    feed.leave(watcher)
    feed.vitals_changed("0000")
    feed.tick(3.0)
    assert watcher.ticks == [[]]


def test_node_that_is_gone_is_only_gone_whatever_else_happened_to_it() -> None:
    fleet = Fleet(2)
    feed, watcher = feed_of(fleet)
    feed.info_changed("0000")
    feed.vitals_changed("0000")
    del fleet.nodes["0000"]
    feed.gone("0000")
    feed.vitals_changed("0000")  # a beat that was on its way
    feed.tick(1.0)
    ((delta,),) = watcher.ticks
    assert (delta.infos, delta.vitals, delta.gone) == ((), (), ("0000",))


def test_large_change_is_several_messages_of_so_many_nodes_each() -> None:
    feed, watcher = feed_of(Fleet(2 * CHUNK_NODES + 1))
    for number in range(2 * CHUNK_NODES + 1):
        feed.vitals_changed(f"{number:04}")
    feed.tick(1.0)
    (deltas,) = watcher.ticks
    assert sorted(len(delta.vitals) for delta in deltas) == [1, CHUNK_NODES, CHUNK_NODES]
    assert len({vitals.node_id for delta in deltas for vitals in delta.vitals}) == 401


def test_nodes_that_hostile_agents_have_made_long_are_split_until_every_message_fits() -> None:
    fleet = Fleet(0)
    for number in range(20):
        like = largest()
        node = fleet.add(f"{number:04}")
        for field in ("note", "labels", "filesystems", "troubles", "core"):
            setattr(node, field, getattr(like, field))
    feed, watcher = feed_of(fleet)
    for node_id in fleet.nodes:
        feed.info_changed(node_id)
        feed.vitals_changed(node_id)
    feed.tick(1.0)  # the watcher's protocol has the limits
    (deltas,) = watcher.ticks
    assert len(deltas) >= 10
    assert sorted(info.node_id for delta in deltas for info in delta.infos) == sorted(fleet.nodes)

    rest, pieces = feed.everything(), list[m.FromMaster]()
    while rest:
        pieces += received(feed.take_snapshot(rest, 1.0))
    snapshots = [piece for piece in pieces if isinstance(piece, m.Snapshot)]
    assert [piece.last for piece in snapshots] == [False] * (len(snapshots) - 1) + [True]
    assert sorted(info.node_id for piece in snapshots for info in piece.infos) == sorted(
        fleet.nodes
    )


def test_snapshot_of_an_empty_fleet_is_one_message() -> None:
    feed, _ = feed_of(Fleet(0))
    (snapshot,) = received(feed.take_snapshot(feed.everything(), 1.0))
    assert snapshot == m.Snapshot(1_000, (), (), True)


async def test_feed_ticks_four_times_a_second(autojump_clock: MockClock) -> None:
    feed, watcher = feed_of(Fleet(1))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(feed.run)
        for _ in range(100):
            feed.vitals_changed("0000")
            await trio.sleep(0.1)
        nursery.cancel_scope.cancel()
    assert len(watcher.ticks) <= 10 / TICK_S
    assert sum(map(len, watcher.ticks)) == len(watcher.ticks)


ids = st.sampled_from("abcdefgh")
sets = st.sets(ids)


@given(sets, sets, sets, st.integers(1, 9))
def test_taking_changes_apart_loses_none_and_keeps_to_the_limit(
    infos: set[str], vitals: set[str], gone: set[str], limit: int
) -> None:
    changes, together = Changes(), Changes()
    changes.infos, changes.vitals, changes.gone = set(infos), set(vitals), set(gone)
    while changes:
        part = changes.take(limit)
        assert 1 <= len(part) <= limit
        together.infos |= part.infos
        together.vitals |= part.vitals
        together.gone |= part.gone
    assert (together.infos, together.vitals, together.gone) == (infos, vitals, gone)


@pytest.mark.parametrize("earlier", ["infos", "vitals"])
def test_changes_of_a_node_noted_earlier_are_dropped_when_it_is_gone(earlier: str) -> None:
    missed, news = Changes(), Changes()
    getattr(missed, earlier).add("a")
    news.gone.add("a")
    missed.merge(news)
    assert (missed.infos, missed.vitals, missed.gone) == (set(), set(), {"a"})
    assert len(missed) == 1
