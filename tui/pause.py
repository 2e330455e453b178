"""A picture that the user holds still, while the feed goes on behind it."""

from tui.fleet import Fleet
from tui.moment import Moment


class Pause:
    """What is shown meanwhile, and how much is not."""

    def __init__(self, fleet: Fleet, moment: Moment) -> None:
        self.fleet = fleet
        self.moment = moment
        self.missed = 0
        """Changes of nodes since then."""
