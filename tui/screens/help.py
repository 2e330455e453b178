"""What every key does on the screen beneath, made from its live bindings."""

from collections.abc import Sequence
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from tui.keys import Use
from tui.pages.parts import beside, facts
from tui.tones import Piece, Pieces, Tone
from tui.widgets.sheet import Sheet

_WIDE_FROM: Final = 70
_TITLE: Final = (Piece(" Keys", Tone.BRAND), Piece("   Esc closes", Tone.MUTED))
_MORE: Final = (
    Piece(
        " Mouse: click a row, twice to open it; titles sort, tabs switch, the wheel scrolls.",
        Tone.MUTED,
    ),
    Piece(" Shift and drag selects text, as in any terminal program.", Tone.MUTED),
)


class HelpScreen(ModalScreen[None]):
    """Closes on nearly any key."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,q,enter", "dismiss", "Close"),
    ]

    def __init__(self, uses: Sequence[Use]) -> None:
        super().__init__()
        self._uses = uses
        self._sheet = Sheet(id="help")

    def compose(self) -> ComposeResult:
        """See `textual.screen.Screen.compose`."""
        with Vertical(id="dialog"):
            yield self._sheet

    def on_mount(self) -> None:
        """The keys scroll."""
        self._sheet.focus()

    def on_sheet_resized(self, _message: Sheet.Resized) -> None:
        """As many columns as there is room for, as high as they are."""
        head, body = [_TITLE, ()], lines_of(self._uses, self._sheet.room.width)
        self._sheet.styles.height = len(head) + len(body)
        self._sheet.show(head, body)


def lines_of(uses: Sequence[Use], width: int) -> list[Pieces]:
    """The keys and what they do, in one column or two."""
    rows: list[Pieces] = facts({" ".join(use.keys): (Piece(use.meaning),) for use in uses})
    if width >= _WIDE_FROM:
        half = -(-len(rows) // 2)
        rows = beside([rows[:half], rows[half:]], [width // 2, width - width // 2])
    return [*rows, (), *((piece,) for piece in _MORE)]
