"""How the user wants things shown, apart from colours: thresholds, and the signs to draw with.

Pure values: whoever draws is given a `Look`.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tui.moment import Moment
from tui.tones import Tone

WARN_RATIO: Final = 0.70
CRITICAL_RATIO: Final = 0.90


class Symbols(StrEnum):
    """What a terminal can draw graphs with."""

    BRAILLE = "braille"
    """Two by four dots to a cell."""
    BLOCKS = "blocks"
    """Eighths of a cell: for fonts without braille, such as the Linux console's."""
    ASCII = "ascii"
    """Nothing beyond ASCII anywhere on the screen."""


@dataclass(frozen=True, slots=True)
class Look:
    """The user's choices."""

    warn_ratio: float = WARN_RATIO
    critical_ratio: float = CRITICAL_RATIO
    symbols: Symbols = Symbols.BRAILLE

    def heat(self, ratio: float) -> Tone:
        """The tone of a value that is `ratio` of its whole."""
        if ratio >= self.critical_ratio:
            return Tone.HOT
        return Tone.WARM if ratio >= self.warn_ratio else Tone.CALM


@dataclass(frozen=True, slots=True)
class Sight:
    """What a picture of a node depends on beside the node."""

    moment: Moment
    look: Look = Look()
