"""The instant for which a view is made, on the master's clock, which a viewer can only estimate.

Nothing here reads a clock: frames come in with the instant they were received.
"""

from dataclasses import dataclass
from typing import Final

DRIFT_PER_S: Final = 0.001
"""How fast an old estimate of the master's clock gives way; real clocks drift ten times less."""


@dataclass(frozen=True, slots=True)
class Moment:
    """The instant for which a view is made."""

    master_mono_ms: float | None
    """On the master's monotonic clock, as estimated; None before its first frame."""
    wall_ms: int
    """The viewer's wall clock: for records of before the master's start, and to say when."""


class MasterClock:
    """An estimate of the master's monotonic clock, from the frames it stamped.

    A frame that was held up on its way shows a time that is too early, never one that is too late.
    So the frame that was delayed least is believed, and given up slowly in case a clock drifts.
    """

    __slots__ = ("_at_s", "_offset_ms")

    def __init__(self) -> None:
        self._offset_ms: float | None = None
        self._at_s = 0.0

    def heard(self, stamp_mono_ms: int, received_s: float) -> None:
        """A frame stamped `stamp_mono_ms` arrived at `received_s`, on the viewer's clock."""
        offset_ms = stamp_mono_ms - received_s * 1000
        if self._offset_ms is not None:
            elapsed_ms = (received_s - self._at_s) * 1000
            offset_ms = max(offset_ms, self._offset_ms - elapsed_ms * DRIFT_PER_S)
        self._offset_ms, self._at_s = offset_ms, received_s

    def reading_ms(self, now_s: float) -> float | None:
        """What the master's clock says at `now_s` on the viewer's; None before the first frame."""
        return None if self._offset_ms is None else now_s * 1000 + self._offset_ms
