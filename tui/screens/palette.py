"""The line after `:`: whatever can be done, found by typing some of it."""

from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from tui.commands import Command, fitting


class PaletteScreen(ModalScreen[Command | None]):
    """Ends with the command that was chosen, or None. Tab completes what was typed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "Close"),
        Binding("tab", "complete", "Complete", priority=True),
        Binding("up", "move(-1)", "Up", priority=True),
        Binding("down", "move(1)", "Down", priority=True),
    ]

    def __init__(self, commands: Callable[[str], Iterable[Command]], typed: str = "") -> None:
        super().__init__()
        self._commands = commands
        self._input = Input(typed, id="command", compact=True, select_on_focus=False)
        self._list = OptionList(id="commands", compact=True, markup=False)
        self._offered: Sequence[Command] = ()

    def compose(self) -> ComposeResult:
        """See `textual.screen.Screen.compose`."""
        with Vertical(id="dialog"):
            yield self._input
            yield self._list

    def on_mount(self) -> None:
        """All is offered at first; the mouse and the arrows choose from the list."""
        self._list.can_focus = False
        self.set_focus(self._input)  # at once: the next key may be here already
        self._offer(self._input.value)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Offers what fits."""
        self._offer(event.value)

    def on_input_submitted(self, _event: Input.Submitted) -> None:
        """Enter takes the one that is marked; where nothing fits, one goes on typing."""
        marked = self._list.highlighted
        if marked is not None and self._offered:
            self.dismiss(self._offered[marked])
        else:
            said = f"There is no such command: {self._input.value.strip()}"
            self.notify(said, severity="warning", timeout=4, markup=False)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """The mouse takes one."""
        self.dismiss(self._offered[event.option_index])

    def on_click(self, event: events.Click) -> None:
        """A click beside the dialog closes it."""
        if event.widget is self:
            self.dismiss(None)

    def action_complete(self) -> None:
        """Writes out the command that is marked."""
        marked = self._list.highlighted
        if marked is not None and self._offered:
            self._input.value = f"{self._offered[marked].name} "
            self._input.cursor_position = len(self._input.value)

    def action_move(self, lines: int) -> None:
        """Marks another one."""
        if self._offered:
            self._list.highlighted = ((self._list.highlighted or 0) + lines) % len(self._offered)

    def _offer(self, typed: str) -> None:
        self._offered = fitting(self._commands(typed), typed)
        self._list.clear_options()
        self._list.add_options(
            Option(
                Content.assemble(
                    f"{command.name:<28} ",
                    (command.meaning, "$tone-muted"),
                    (f"  {command.key}", "$primary") if command.key else "",
                )
            )
            for command in self._offered
        )
        self._list.highlighted = 0 if self._offered else None
