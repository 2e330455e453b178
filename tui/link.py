"""The dashboard's link to its master, as the view sees it: a value, replaced when it changes."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from shared.messages import FromMaster, FromViewer


class LinkState(StrEnum):
    """Whether what is on the screen is still true."""

    CONNECTING = "connecting"
    """There has been no link yet, and so there is nothing to show."""
    LIVE = "live"
    LOST = "lost"
    """There was a link. The last picture stays, and the client keeps dialling."""
    REFUSED = "refused"
    """The master does not want this viewer: dialling again by itself would not help."""


@dataclass(frozen=True, slots=True)
class Link:
    """How the link to the master is. Times are on the viewer's monotonic clock, in seconds."""

    state: LinkState
    since_s: float
    """When this state began."""
    address: str
    """The master's, as the user named it."""
    reason: str = ""
    """Why it is not live: what happened last."""
    retry_at_s: float | None = None
    """When the client dials again; None: it is dialling now, or has nothing to dial for."""
    cluster: str = ""
    """What the master calls itself and its fleet; kept when the link is lost."""
    master_version: str = ""
    delay_s: float | None = None
    """The latest round trip to the master; None: not measured on this link yet."""
    playing: str = ""
    """How a recording is played, or that it has ended; empty: this is the present."""


class Viewer(Protocol):
    """Whom a source of messages reports to. Both calls return quickly and do not raise."""

    def on_link(self, link: Link) -> None:
        """The link changed."""
        ...

    def on_message(self, message: FromMaster, received_s: float) -> None:
        """A message came at `received_s`, on the viewer's monotonic clock."""
        ...


class Source(Protocol):
    """Where a dashboard's messages come from: a master, or anything that behaves like one."""

    async def run(self, viewer: Viewer) -> None:
        """Reports to `viewer` until cancelled."""
        ...

    def retry_now(self) -> None:
        """Somebody asks not to wait for the next attempt. Does nothing on a live link."""
        ...

    def send(self, message: FromViewer) -> None:
        """Says something to the master; without a live link it is forgotten."""
        ...
