"""What is kept of a node, and that no agent can make it too long to be shown."""

from collections.abc import Iterator
from typing import Final

import pytest

from master.feed import Changes, Feed
from master.node import FAMILIES_LIMIT, LABELS_LIMIT, Node
from shared import messages as m
from shared.connection import TRANSFER_LIMIT_BYTES, ClientConnection
from shared.inventory import FilesystemInfo, Inventory
from shared.liveness import Liveness, State
from shared.metrics import LARGEST, Core
from shared.text import TEXT_LIMIT_CHARACTERS

WIDEST: Final = "\N{GRINNING FACE}"
"""A character of four bytes, which cleaning lets through."""

NOW_S: Final = 1_000_000.0


def node(name: str = "web-1") -> Node:
    return Node("6f1d2c3b4a596877", name, Liveness(State.UP, 0.0), 0)


def inventory_with(labels: dict[str, str], mounts: int) -> Inventory:
    mount = FilesystemInfo(WIDEST * 256, "", "", 0)
    return Inventory(
        "", WIDEST * 256, "", "", "", "", "", 0, filesystems=(mount,) * mounts, labels=labels
    )


def largest() -> Node:
    """A node of whom everything is as long as its agent and its operator can make it."""
    largest = node(WIDEST * 64)
    largest.liveness = Liveness(State.DOWN, 0.0, WIDEST * (TEXT_LIMIT_CHARACTERS + 40))
    largest.note = WIDEST * TEXT_LIMIT_CHARACTERS
    largest.labels = {WIDEST * 62 + f"{number:02}": WIDEST * 64 for number in range(40)}
    largest.address = "[" + "f" * 39 + "]:65535"
    largest.agent_version = WIDEST * 64
    largest.core = m.encode_body(Core(*[LARGEST] * len(Core.__struct_fields__)))
    trouble = m.Trouble(WIDEST * 64, WIDEST * 64, LARGEST, WIDEST * TEXT_LIMIT_CHARACTERS)
    largest.troubles = (trouble,) * 32
    labels = {WIDEST * 254 + f"{number:02}": WIDEST * 256 for number in range(64)}
    inventory = inventory_with(labels, mounts=256)
    largest.take_inventory(m.encode_body(inventory), inventory)
    return largest


class OneNode:
    """A fleet of one."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def get(self, node_id: str) -> Node | None:
        return self._node if node_id == self._node.node_id else None

    def __iter__(self) -> Iterator[Node]:
        yield self._node


def received(frames: list[bytes]) -> list[m.FromMaster]:
    """What a viewer makes of frames; its limits are the protocol's."""
    connection = ClientConnection()
    connection.send(m.ViewerHello(1, 1, ""))
    list(connection.receive(m.encode(m.ViewerWelcome(1, "", "", False))))
    return list(connection.receive(b"".join(frames)))


def test_largest_node_there_can_be_fits_one_message_that_every_viewer_can_read() -> None:
    feed, largest_node = Feed(), largest()
    feed.source = OneNode(largest_node)
    for frames in (
        feed.take_delta(feed.everything(), NOW_S).frames,
        feed.take_snapshot(feed.everything(), NOW_S),
    ):
        (message,) = received(frames)
        assert isinstance(message, m.Delta | m.Snapshot)
        assert message.infos == (largest_node.info(),)
        assert message.vitals == (largest_node.vitals(),)
        assert len(m.encode_body(message)) <= TRANSFER_LIMIT_BYTES


def test_operator_s_labels_win_and_all_are_shown_before_the_agent_s_own() -> None:
    it = node()
    inventory = inventory_with({"a": "agent's", **{f"{n:02}": "" for n in range(63)}}, mounts=0)
    it.take_inventory(b"", inventory)
    assert len(it.info().labels) == LABELS_LIMIT
    it.labels = {"a": "operator's", "z": "operator's"}
    shown = it.info().labels
    assert len(shown) == LABELS_LIMIT
    assert (shown["a"], shown["z"]) == ("operator's", "operator's")


def test_families_of_one_node_are_bounded_and_each_is_the_newest() -> None:
    it = node()
    samples = [m.FamilySample(f"f{number}", 0, 0, 0, m.raw(None)) for number in range(100)]
    taken = [it.take_family(sample, NOW_S) for sample in samples]
    assert taken == [True] * FAMILIES_LIMIT + [False] * (100 - FAMILIES_LIMIT)
    newer = m.FamilySample("f0", 1, 0, 0, m.raw(None))
    assert it.take_family(newer, NOW_S)
    assert it.families["f0"].sample is newer


@pytest.mark.parametrize("seen_s", [None, 12.3456])
def test_vitals_of_a_node_say_when_it_was_seen(seen_s: float | None) -> None:
    it = node()
    it.seen_mono_s = seen_s
    assert it.vitals().seen_mono_ms == (None if seen_s is None else 12_345)
    assert it.vitals().core == m.raw(None)


def test_changes_are_taken_whole_by_node_and_those_gone_first() -> None:
    changes = Changes()
    changes.infos, changes.vitals, changes.gone = set("abc"), set("bcde"), set("xy")
    first = changes.take(4)
    assert first.gone == set("xy")
    assert len(first) == 4
    assert first.vitals == first.infos & set("bc")
    rest = changes.take(100)
    assert not changes
    assert first.infos | rest.infos == set("abc")
    assert first.vitals | rest.vitals == set("bcde")
