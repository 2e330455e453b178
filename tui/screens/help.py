"""What every key does on the screen beneath, made from its live bindings."""

from collections.abc import Sequence
from typing import ClassVar, Final

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from tui.keys import Use
from tui.pages.parts import GAP, INDENT, beside, cell
from tui.tones import Piece, Pieces, Tone
from tui.widgets.sheet import Sheet
from tui.wrapping import wrapped

_WIDE_FROM: Final = 70
_TITLE: Final = (Piece(" Keys", Tone.BRAND), Piece("   Esc closes", Tone.MUTED))
_MORE: Final = (
    cell(
        "Mouse: click a row, twice to open it; titles sort, tabs switch, the wheel scrolls.",
        Tone.MUTED,
    ),
    cell("Shift and drag selects text, as in any terminal program.", Tone.MUTED),
)
_MORE_LINES: Final = 3


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
    if width >= _WIDE_FROM:
        half, across = -(-len(uses) // 2), width // 2
        blocks = [_rows(uses[:half], across), _rows(uses[half:], width - across)]
        rows = beside(blocks, [across, width - across])
    else:
        rows = _rows(uses, width)
    more = (line for text in _MORE for line in wrapped(text, width - 2 * INDENT, _MORE_LINES))
    return [*rows, (), *((Piece(" " * INDENT), *line) for line in more)]


def _rows(uses: Sequence[Use], width: int) -> list[Pieces]:
    """Keys in a column of their own; what they do goes on in a second line where it has to."""
    names = [" ".join(use.keys) for use in uses]
    lead = INDENT + max(map(cell_len, names), default=0) + GAP
    rows: list[Pieces] = []
    for name, use in zip(names, uses, strict=True):
        first, *more = wrapped(cell(use.meaning), width - lead - INDENT, 2)
        rows.append((Piece(f"{' ' * INDENT}{name}".ljust(lead), Tone.MUTED), *first))
        rows += ((Piece(" " * lead), *line) for line in more)
    return rows
