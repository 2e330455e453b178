"""Which nodes a line of terms means, and what it says to a line that is none."""

from collections.abc import Mapping
from typing import Any

import pytest

from shared.liveness import State
from shared.messages import NodeInfo, NodeVitals, Trouble, raw
from tests.tui.fleets import MONO_MS, WALL_MS, core, info, vitals
from tui.filters import EVERYTHING, FilterError, parse_filter
from tui.moment import Moment
from tui.node import Node, Profile

NOW = Moment(MONO_MS, WALL_MS)

DATABASE = info(
    "db-1", labels={"role": "db", "Zone": "eu-1"}, note="Ask Kim first", address="10.0.0.9:4711"
)
BUSY = core(
    cpu_busy_bp=9_100,
    memory_used_bp=1_000,
    network_receive_bytes_per_s=20 * 2**20,
    load_1m_centi=1_600,
    cpu_count=8,
)


def node(about: NodeInfo = DATABASE, state: str = State.UP, **changes: Any) -> Node:
    fields: Mapping[str, Any] = {"core": raw(BUSY), **changes}
    heard: NodeVitals = vitals(about.name, state, **fields)
    return Node(Profile(about), heard)


def means(text: str, subject: Node) -> bool:
    return parse_filter(text).matches(subject, NOW)


@pytest.mark.parametrize(
    "text",
    [
        "db",
        "DB-1",
        "role=db",
        "kim",
        '"ask kim"',
        "10.0.0.9",
        "debian",
        "state:up",
        "state:down,up",
        "label:role",
        "label:role=db",
        "label:zone=EU-*",
        "name:db-?",
        "name:b-",
        "os:debian",
        "note:kim",
        "address:10.",
        "version:0.1",
        "cpu>80",
        "cpu>=91",
        "cpu<91.5%",
        "mem<=10",
        "in>10M",
        "in<0.1g",
        "load>=16",
        "load/core>=2",
        "up>12d",
        "age<5s",
        "temp>50",
        "!web",
        "!!db",
        "!state:down",
        "!cpu<50",
        '!"no such text"',
        "db cpu>80 state:up",
        '"10.0.0.9:4711"',
        "",
        "   ",
    ],
)
def test_terms_that_hold(text: str) -> None:
    assert means(text, node())


@pytest.mark.parametrize(
    "text",
    [
        "web",
        "state:down",
        "is:fault",
        "is:stale",
        "label:role=web",
        "label:rack",
        "name:d?-2",
        "cpu>91",
        "mem<10",
        "in>1g",
        "age>1m",
        "!db",
        "db cpu<80",
        "swap>0",
    ],
)
def test_terms_that_do_not_hold(text: str) -> None:
    assert not means(text, node())


def test_fault_is_whatever_stands_before_those_that_are_up() -> None:
    troubled = node(troubles=(Trouble("disks", "stuck", 9, "hangs"),))
    assert means("is:fault", troubled)
    assert means("is:degraded", troubled)
    assert means("hangs", troubled)
    assert means("is:fault", node(state=State.DOWN))
    assert not means("is:degraded", node(state=State.DOWN))
    assert means("is:stale", node(state=State.DOWN))
    flapping = node(flapping=True)
    assert means("is:flapping is:fault !is:degraded flapping", flapping)
    assert not means("is:flapping", troubled)


def test_value_that_is_not_known_satisfies_no_comparison_and_so_every_inverted_one() -> None:
    unknown = node(core=raw(None))
    assert not means("cpu>0", unknown)
    assert not means("cpu<=100", unknown)
    assert not means("load/core>=0", unknown)
    assert means("!cpu>0", unknown)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cpu:80", "cpu:80: expected cpu and > or >= or < or <= a percentage"),
        ("cpu>", "expected cpu and > or >= or < or <= a percentage, such as 80"),
        ("cpu>much", "a percentage"),
        ("mem>5M", "a percentage"),
        ("in>5x", "a size, such as 512, 10M or 1.5G"),
        ("age>5w", "a duration, such as 30s, 5m, 2h or 3d"),
        ("state:gone", "expected state: and one of never-seen, joining, up"),
        ("is:odd", "expected is: and one of fault, degraded, flapping, stale"),
        ("state>down", "expected state:VALUE"),
        ("name:", "expected a value after name:"),
        ("colour:red", "there is no colour; expected one of state, is, label"),
    ],
)
def test_error_says_what_was_expected(text: str, expected: str) -> None:
    with pytest.raises(FilterError, match="expected") as caught:
        parse_filter(f"web {text}")
    assert expected in str(caught.value)


def test_filter_knows_whether_numbers_can_change_its_answers() -> None:
    assert not EVERYTHING
    assert EVERYTHING.is_lasting
    assert parse_filter("db state:down !label:role=web is:fault").is_lasting
    assert not parse_filter("db cpu>5").is_lasting
    assert not parse_filter("is:stale").is_lasting
