"""Which columns the fleet table has, and in which order: chosen by the user."""

from collections.abc import Sequence
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from tui.columns import BY_KEY, COLUMNS, DEFAULT
from tui.tones import Piece, Pieces, Tone
from tui.widgets.sheet import Sheet

_FIXED: Final = frozenset({"state", "name"})
"""Without them a row says nothing."""


class ColumnsScreen(ModalScreen[tuple[str, ...] | None]):
    """Ends with the keys of the columns to show, or None: leave it as it was."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "Cancel"),
        Binding("enter", "accept", "Accept"),
        Binding("space", "switch", "Show or hide"),
        Binding("up,k", "move(-1)", "Up", priority=True),
        Binding("down,j", "move(1)", "Down", priority=True),
        Binding("left,less_than_sign", "shift(-1)", "Further left"),
        Binding("right,greater_than_sign", "shift(1)", "Further right"),
        Binding("d", "default", "Defaults"),
    ]

    def __init__(self, shown: Sequence[str]) -> None:
        super().__init__()
        self._sheet = Sheet(id="help")
        self._cursor = 0
        self._begin(shown)

    def compose(self) -> ComposeResult:
        """See `textual.screen.Screen.compose`."""
        with Vertical(id="dialog"):
            yield self._sheet

    def on_mount(self) -> None:
        """The list has the keys."""
        self._sheet.focus()

    def on_sheet_resized(self, _message: Sheet.Resized) -> None:
        """There is room for it now."""
        self._paint()

    def action_accept(self) -> None:
        """Ends with what is chosen."""
        self.dismiss(tuple(key for key in self._order if key in self._shown))

    def action_switch(self) -> None:
        """Shows the column under the cursor, or hides it."""
        key = self._order[self._cursor]
        if key not in _FIXED:
            self._shown ^= {key}
            self._paint()

    def action_move(self, lines: int) -> None:
        """Moves the cursor."""
        self._cursor = (self._cursor + lines) % len(self._order)
        self._paint()

    def action_shift(self, places: int) -> None:
        """Moves the column under the cursor."""
        target = self._cursor + places
        if 0 <= target < len(self._order):
            self._order.insert(target, self._order.pop(self._cursor))
            self._cursor = target
            self._paint()

    def action_default(self) -> None:
        """As it is without any choice."""
        self._begin(DEFAULT)
        self._paint()

    def _begin(self, shown: Sequence[str]) -> None:
        self._shown = set(shown) | _FIXED
        rest = [column.key for column in COLUMNS if column.key not in shown]
        self._order = [*(key for key in shown if key in BY_KEY), *rest]

    def _paint(self) -> None:
        head: list[Pieces] = [
            (Piece(" Columns", Tone.BRAND),),
            (Piece(" Space shows or hides, ← → move, d defaults, Enter accepts", Tone.MUTED),),
            (),
        ]
        self._sheet.styles.height = len(head) + len(self._order)
        self._sheet.show(head, [self._line(place) for place in range(len(self._order))])

    def _line(self, place: int) -> Pieces:
        key = self._order[place]
        cursor = Piece("▌" if place == self._cursor else " ", Tone.BRAND)
        is_shown = key in self._shown
        sign = Piece(" ● " if is_shown else " ○ ", Tone.UP if is_shown else Tone.AWAY)
        tone = Tone.STRONG if place == self._cursor else Tone.PLAIN if is_shown else Tone.MUTED
        return cursor, sign, Piece(key, tone)
