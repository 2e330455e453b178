"""Which nodes are meant: a line of terms that a person types, and what each says of a node.

    db                  the text is in the name, a label, the address, the system, state or reason
    state:down          the state; several with commas: state:down,lost
    is:fault            fault (whatever needs an eye), degraded, flapping, or stale
    label:role=db       a label and its value; label:role for any value, * and ? as in file names
    name:web-*          the name; so too os: address: version: note:
    cpu>80  mem<=10     a measure: > >= < <= and a number; sizes as 10M, durations as 5m
    !TERM               the opposite
    role=db             text as well: labels are searched as KEY=VALUE
    "two words"         as one, and taken literally

All terms must hold. Pure: a filter is parsed once and asked of each node at a moment. A value that
is not known satisfies no comparison.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, NamedTuple, TypeAlias

from shared.errors import UserError
from shared.liveness import State
from tui.measures import MEASURES, Measure, Unit
from tui.moment import Moment
from tui.node import Node


class FilterError(UserError):
    """The line is no filter. The text says which term, and what was expected."""


_Holds: TypeAlias = Callable[[Node, Moment], bool]

_TOKEN: Final = re.compile(r'(?P<inverted>!*)(?:"(?P<quoted>[^"]*)"?|(?P<word>[^\s"]+))')
_TERM: Final = re.compile(r"(?P<key>[a-z/]+)(?P<operator>>=|<=|>|<|:|=)(?P<value>.*)")
_NUMBER: Final = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<suffix>[a-z%]*)")

_COMPARISONS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    ">": lambda value, bound: value > bound,
    ">=": lambda value, bound: value >= bound,
    "<": lambda value, bound: value < bound,
    "<=": lambda value, bound: value <= bound,
}

_SUFFIXES: Final[Mapping[Unit, Mapping[str, float]]] = {
    Unit.PERCENT: {"": 1, "%": 1},
    Unit.NUMBER: {"": 1},
    Unit.SIZE: {"": 1, **{letter: 1024.0**power for power, letter in enumerate("kmgtp", 1)}},
    Unit.DURATION: {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400},
}

_PROPERTIES: Final[Mapping[str, _Holds]] = {
    "fault": lambda node, _moment: node.is_problem,
    "degraded": lambda node, _moment: node.is_degraded,
    "flapping": lambda node, _moment: node.vitals.flapping,
    "stale": lambda node, moment: node.is_stale(moment),
}

_TEXTS: Final[Mapping[str, Callable[[Node], str]]] = {
    "name": lambda node: node.profile.name,
    "os": lambda node: node.profile.os,
    "address": lambda node: node.profile.address,
    "version": lambda node: node.profile.agent_version,
    "note": lambda node: node.profile.note,
}

KEYS: Final = ("state", "is", "label", *_TEXTS, *MEASURES)
"""What may stand before an operator."""


class Term(NamedTuple):
    """One condition."""

    holds: _Holds
    is_inverted: bool
    is_lasting: bool
    """Whether only news of the node's profile or state can change the answer."""


@dataclass(frozen=True, slots=True)
class Filter:
    """A parsed line. The empty one lets every node through."""

    text: str = ""
    terms: tuple[Term, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.terms)

    @property
    def is_lasting(self) -> bool:
        """Whether new numbers and the passing of time leave the answers as they are."""
        return all(term.is_lasting for term in self.terms)

    def matches(self, node: Node, moment: Moment) -> bool:
        """Whether every term holds for `node` at `moment`."""
        return all(term.holds(node, moment) is not term.is_inverted for term in self.terms)


EVERYTHING: Final = Filter()


def parse_filter(text: str) -> Filter:
    """The filter that `text` describes; blanks stand between its terms.

    Raises:
        FilterError: a term cannot be understood.
    """
    return Filter(text.strip(), tuple(_term(found) for found in _TOKEN.finditer(text)))


def _term(found: re.Match[str]) -> Term:
    is_inverted = len(found["inverted"]) % 2 == 1
    if found["quoted"] is not None:
        return Term(_containing(found["quoted"]), is_inverted, is_lasting=True)
    word = found["word"]
    parts = _TERM.fullmatch(word.casefold())
    if parts is None or (parts["operator"] == "=" and parts["key"] not in KEYS):
        return Term(_containing(word), is_inverted, is_lasting=True)
    key, operator, value = parts["key"], parts["operator"], parts["value"]
    if (measure := MEASURES.get(key)) is not None:
        return Term(_comparing(word, measure, operator, value), is_inverted, is_lasting=False)
    if key not in KEYS:
        raise FilterError(f"{word}: there is no {key}; expected one of {', '.join(KEYS)}")
    if operator not in ":=":
        raise FilterError(f"{word}: {key} is not a number; expected {key}:VALUE")
    if not value:
        raise FilterError(f"{word}: expected a value after {key}{operator}")
    return Term(_describing(word, key, value), is_inverted, is_lasting=value != "stale")


def _describing(word: str, key: str, value: str) -> _Holds:
    match key:
        case "state":
            return _in_states(word, value)
        case "is":
            if value not in _PROPERTIES:
                raise FilterError(f"{word}: expected is: and one of {', '.join(_PROPERTIES)}")
            return _PROPERTIES[value]
        case "label":
            return _labelled(value)
        case _:
            text_of = _TEXTS[key]
            return lambda node, _moment: _fits(text_of(node), value)


def _in_states(word: str, value: str) -> _Holds:
    wanted = frozenset(value.split(","))
    known = [state.value for state in State]
    if not wanted.issubset(known):
        raise FilterError(f"{word}: expected state: and one of {', '.join(known)}")
    return lambda node, _moment: node.state in wanted


def _labelled(value: str) -> _Holds:
    key, equals, wanted = value.partition("=")

    def holds(node: Node, _moment: Moment) -> bool:
        return any(
            name.casefold() == key and (not equals or fnmatchcase(text.casefold(), wanted))
            for name, text in node.profile.labels.items()
        )

    return holds


def _fits(text: str, wanted: str) -> bool:
    """Whether `text` contains `wanted`, or is like it where that has wildcards."""
    folded = text.casefold()
    return fnmatchcase(folded, wanted) if set(wanted) & set("*?[") else wanted in folded


def _containing(text: str) -> _Holds:
    wanted = text.casefold()
    return lambda node, _moment: wanted in node.searchable


def _comparing(word: str, measure: Measure, operator: str, text: str) -> _Holds:
    compare = _COMPARISONS.get(operator)
    number = _NUMBER.fullmatch(text)
    factor = _SUFFIXES[measure.unit].get(number["suffix"]) if number else None
    if compare is None or number is None or factor is None:
        raise FilterError(
            f"{word}: expected {measure.key} and {' or '.join(_COMPARISONS)} {measure.unit.value}"
        )
    bound = float(number["number"]) * factor

    def holds(node: Node, moment: Moment) -> bool:
        value = measure.value(node, moment)
        return value is not None and compare(value, bound)

    return holds
