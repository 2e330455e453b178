"""Marks of samples: what goes in comes out; what was changed, or is of others, is an error."""

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from master.history.codec import ChunkError
from master.history.marks import Marks, pack_marks, unpack_marks


@given(st.lists(st.tuples(st.sampled_from([1, 5_000, 2**53]), st.booleans()), min_size=1))
def test_marks_come_back_as_they_went_in(rows: list[tuple[int, bool]]) -> None:
    periods, late = zip(*rows, strict=True)
    marks = unpack_marks(
        pack_marks(Marks(np.array(periods, np.int64), np.array(late, np.bool_))), len(rows)
    )
    assert marks.period_ms.tolist() == list(periods)
    assert marks.is_late.tolist() == list(late)


def test_marks_that_were_changed_or_are_of_another_chunk_are_an_error() -> None:
    packed = pack_marks(Marks(np.full(9, 5_000), np.zeros(9, np.bool_)))
    assert len(packed) < 12
    for changed in _changed(packed):
        with pytest.raises(ChunkError):
            unpack_marks(changed, 9)
    with pytest.raises(ChunkError, match="beside a chunk of 8"):
        unpack_marks(packed, 8)


def _changed(packed: bytes) -> Iterable[bytes]:
    for place in range(len(packed)):
        yield packed[:place]
        yield packed[:place] + bytes([packed[place] ^ 1]) + packed[place + 1 :]
