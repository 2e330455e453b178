"""Hypothesis strategies for messages, made from the Structs' own annotations.

So that a new field, or a new message, is generated without anybody remembering to.
"""

from functools import cache
from typing import cast

import msgspec.inspect as mi
from hypothesis import strategies as st

from shared import messages as m

_SHORT = 12
"""Characters at most: the limits have tests of their own, and short examples are fast."""

_RAW_VALUES = (
    st.none() | st.integers(0, 2**53) | st.lists(st.integers(0, 2**53) | st.none(), max_size=9)
)


def messages_of(message: type[m.Message]) -> st.SearchStrategy[m.Message]:
    """Any valid instance of `message`."""
    return _of_type(mi.type_info(message)).map(lambda sent: cast("m.Message", sent))


@cache
def all_messages() -> tuple[type[m.Message], ...]:
    """Every message of the protocol, in the order of their kinds."""
    return tuple(sorted(m.Message.__subclasses__(), key=lambda message: message.kind))


def _of_type(info: mi.Type) -> st.SearchStrategy[object]:
    match info:
        case mi.Metadata(type=inner):
            return _of_type(inner)
        case mi.NoneType():
            return st.none()
        case mi.BoolType():
            return st.booleans()
        case mi.IntType(ge=low, le=high):
            return st.integers(
                -(2**63) if low is None else low, 2**63 - 1 if high is None else high
            )
        case mi.FloatType():
            return st.floats(allow_nan=False, allow_infinity=False)
        case mi.StrType():
            return st.text(max_size=_SHORT)
        case mi.BytesType():
            return st.binary(max_size=_SHORT)
        case mi.RawType():
            return _RAW_VALUES.map(m.raw)
        case mi.UnionType(types=types):
            return st.one_of(*map(_of_type, types))
        case mi.VarTupleType(item_type=item):
            return st.lists(_of_type(item), max_size=3).map(tuple)
        case mi.DictType(key_type=key, value_type=value):
            return st.dictionaries(_of_type(key), _of_type(value), max_size=3)
        case mi.StructType(cls=cls, fields=fields):
            return st.builds(cls, **{field.name: _of_type(field.type) for field in fields})
        case _:
            raise TypeError(f"no strategy for {info}")
