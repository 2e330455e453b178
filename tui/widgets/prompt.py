"""A line to type in, at the bottom of a screen: it tells of every change, and when it is done."""

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Label


class Prompt(Horizontal):
    """Hidden until it asks. Enter keeps what was typed, Escape takes it back."""

    class Changed(Message):
        """What stands in the line now."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Closed(Message):
        """The line is gone; `text` is what it ended with."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(self, *, id: str) -> None:  # noqa: A002 - Textual's own name
        super().__init__(id=id)
        self._question = Label(id="question")
        self._input = Input(id="answer", compact=True, select_on_focus=False)
        self._complaint = Label(id="complaint")
        self._before = ""
        self.is_open = False

    def compose(self) -> ComposeResult:
        """See `textual.widget.Widget.compose`."""
        yield self._question
        yield self._input
        yield self._complaint

    def on_mount(self) -> None:
        """Out of sight at first."""
        self.display = False

    def ask(self, question: str, text: str) -> None:
        """Opens with `text`, to be changed."""
        self._before = text
        self.is_open = self.display = True
        self._question.update(f" {question} ")
        self._input.value = text
        self._input.select_all()  # now: on focus it would take what has been typed meanwhile
        self.screen.set_focus(self._input)  # at once: the next key may be here already

    def close(self) -> None:
        """Goes away, and leaves things as they are."""
        if self.is_open:
            self.is_open = self.display = False
            self.complain("")
            self.post_message(self.Closed(self._input.value))

    def complain(self, text: str) -> None:
        """Says what is wrong with the line; empty: nothing is."""
        self._complaint.update(text)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Tells at once."""
        event.stop()
        if self.is_open:
            self.post_message(self.Changed(event.value))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter: what was typed last may not have been told yet."""
        event.stop()
        self.post_message(self.Changed(event.value))
        self.close()

    def on_key(self, event: events.Key) -> None:
        """Escape."""
        if event.key == "escape" and self.is_open:
            event.stop()
            event.prevent_default()
            self._input.value = self._before
            self.post_message(self.Changed(self._before))
            self.close()
