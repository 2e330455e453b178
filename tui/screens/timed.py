"""What the fleet and a node have in common: from both one goes into the past, and moves there."""

from abc import abstractmethod
from datetime import UTC, datetime
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.screen import Screen

from shared.instants import parse_instant
from tui import timeline
from tui.asking import ASKING_SHOWN_S
from tui.feed import Feed, PictureChanged
from tui.past import Past
from tui.tones import Piece, Tone
from tui.widgets.banner import Banner
from tui.widgets.lines import Line, Lines
from tui.widgets.prompt import Prompt

_STEP = Binding.Group("Step", compact=True)
_SKIP = Binding.Group("Ten", compact=True)
_OUTAGE = Binding.Group("To outage", compact=True)
_SPAN = Binding.Group("Zoom", compact=True)

STEPS = (
    Binding("left", "step(-1)", "Earlier", group=_STEP, priority=True),
    Binding("right", "step(1)", "Later", group=_STEP, priority=True),
)
LEAVE = Binding("escape", "leave_past", "Back to now", show=False, priority=True)
"""A screen that has another use for one of these keys has to name them again beside it."""

_PAINT_AFTER_S = ASKING_SHOWN_S + 0.05
"""When it is to be said that an answer takes long."""

_MARGIN = 2


class TimedScreen(Screen[None]):
    """A screen with a line of time at its foot while it shows the past."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *STEPS,
        Binding(
            "shift+left,left_curly_bracket",
            "skip(-10)",
            "Ten steps earlier",
            group=_SKIP,
            key_display="{",
            priority=True,
        ),
        Binding(
            "shift+right,right_curly_bracket",
            "skip(10)",
            "Ten steps later",
            group=_SKIP,
            key_display="}",
            priority=True,
        ),
        Binding("left_square_bracket", "landmark(-1)", "Outage before", group=_OUTAGE),
        Binding("right_square_bracket", "landmark(1)", "Next outage", group=_OUTAGE),
        Binding("plus", "zoom(-1)", "Less time in sight", group=_SPAN, key_display="+"),
        Binding("minus", "zoom(1)", "More time in sight", group=_SPAN, key_display="-"),
        Binding("home", "now", "Now", priority=True),
        LEAVE,
        Binding("t", "past", "Past"),
    ]

    def __init__(self, feed: Feed) -> None:
        super().__init__()
        self._feed = feed
        self._banner = Banner(id="banner")
        self._timeline = Lines(id="timeline")
        self._timeline.display = False
        self._prompt = Prompt(id="prompt")

    def check_action(
        self,
        action: str,
        parameters: tuple[object, ...],  # noqa: ARG002 - Textual's signature
    ) -> bool | None:
        """See `textual.dom.DOMNode`: keys of the past are keys of something else outside of it."""
        past = self._feed.past
        match action:
            case "step" | "skip" | "landmark" | "zoom" | "now":
                is_offered = past is not None
            case "leave_past":
                is_offered = past is not None and self.escape_ends_past
            case _:
                return True
        return is_offered and not self._prompt.is_open

    @property
    def escape_ends_past(self) -> bool:
        """Whether there is nothing else to go back from."""
        return True

    # --- keys ------------------------------------------------------------------------------------

    def action_past(self) -> None:
        """Into the past, and back to the present."""
        if self._feed.past is not None:
            self.action_now()
        elif past := self._begun():
            past.go(self._feed.master_wall_ms(), self._feed.master_wall_ms(), self._feed.now_s())
            self._went()

    def action_step(self, cells: int) -> None:
        """A cell of the line earlier or later."""
        if past := self._begun():
            past.step(cells, self._feed.master_wall_ms(), self._feed.now_s())
            self._went()

    def action_skip(self, cells: int) -> None:
        """The same, further."""
        self.action_step(cells)

    def action_landmark(self, steps: int) -> None:
        """To when the next outage was noticed, or the one before."""
        if (past := self._feed.past) is None:
            return
        at_ms = past.landmarks.instant_beside(past.wanted_wall_ms, steps)
        if at_ms is None:
            self.notify(f"No outage is known {'before' if steps < 0 else 'after'} that", timeout=3)
        else:
            self.go_to(at_ms)

    def action_zoom(self, steps: int) -> None:
        """More of the past in sight, or less."""
        if past := self._feed.past:
            past.zoom(steps, self._feed.master_wall_ms(), self._feed.now_s())
            self._went()

    def action_now(self) -> None:
        """Back to the present."""
        self._feed.end_past()
        self._went()

    def action_leave_past(self) -> None:
        """The same, by the key that leads back from anything."""
        self.action_now()

    def go_to(self, at_wall_ms: int) -> None:
        """Shows that instant."""
        if past := self._begun():
            past.go(at_wall_ms, self._feed.master_wall_ms(), self._feed.now_s())
            self._went()

    def instant_of(self, text: str) -> int:
        """The instant that somebody means who types `text` now, as Unix time in milliseconds.

        Raises:
            InstantError: none.
        """
        now = datetime.fromtimestamp(self._feed.master_wall_ms() / 1000, UTC).astimezone()
        return round(parse_instant(text, now).timestamp() * 1000)

    # --- painting --------------------------------------------------------------------------------

    @abstractmethod
    def paint(self) -> None:
        """Shows what the feed holds."""

    def _begun(self) -> Past | None:
        if self._feed.link.playing:
            self.notify("A recording has no history to look into", severity="warning", timeout=4)
            return None
        return self._feed.begin_past()

    def _went(self) -> None:
        self.refresh_bindings()
        self.paint()
        self.set_timer(_PAINT_AFTER_S, lambda: self.post_message(PictureChanged()))

    def _paint_timeline(self, total: int, known_from_wall_ms: int) -> None:
        past = self._feed.past
        if self._timeline.display != (past is not None):
            self._timeline.display = past is not None
        if past is None:
            return
        past.room = self.size.width - _MARGIN - timeline.LEAD
        now_ms = self._feed.master_wall_ms()
        past.look_around(now_ms, self._feed.now_s())
        window = past.window(now_ms)
        found = past.landmarks.cells(window)
        lead = Piece(f"{past.span.title:<{timeline.LEAD}}", Tone.BRAND)
        drawn = timeline.line(found, window, total, known_from_wall_ms, now_ms)
        beneath = timeline.axis(found, window, past.wanted_wall_ms, now_ms, total)
        blank = Piece(" " * timeline.LEAD)
        self._timeline.show(Line((lead, *drawn)), Line((blank, *beneath)))
