"""What the dashboard holds: the fleet, the link and the time; how news of them reaches a screen.

A source reports here, from the event loop that also paints. Each report is applied at once and then
only hinted at: any number of hints that a screen has not handled yet become one, so that a flood of
frames costs one painting.
"""

from collections.abc import Callable

from textual.message import Message

from shared.messages import Delta, FromMaster, Snapshot
from tui.clock import Clock
from tui.fleet import Fleet, Moment
from tui.link import Link, LinkState


class PictureChanged(Message):
    """Something may look different now: paint what does. Carries nothing, so hints coalesce."""

    def can_replace(self, message: Message) -> bool:
        """See `textual.message.Message`: the later of two hints says it all."""
        return isinstance(message, PictureChanged)


class Feed:
    """A `Viewer` that keeps what it is told."""

    def __init__(self, clock: Clock, changed: Callable[[], None]) -> None:
        self.fleet = Fleet()
        self.link = Link(LinkState.CONNECTING, clock.mono_s(), address="the master")
        self._clock = clock
        self._changed = changed

    def now_s(self) -> float:
        """The viewer's monotonic clock."""
        return self._clock.mono_s()

    def moment(self) -> Moment:
        """The instant it is."""
        return self.fleet.moment(self._clock.mono_s(), self._clock.wall_ms())

    def on_link(self, link: Link) -> None:
        """See `tui.link.Viewer`."""
        if link.state is not LinkState.LIVE:
            self.fleet.link_lost()
        self.link = link
        self._changed()

    def on_message(self, message: FromMaster, received_s: float) -> None:
        """See `tui.link.Viewer`. What is not about the fleet is left for others."""
        if isinstance(message, Snapshot | Delta):
            self.fleet.apply(message, received_s)
            self._changed()
