"""Playing a recording: a source like any other.

A replay has its own clock, on which ages and times are those of the recording, however fast it is
played; it stands still at the end, with the last picture on the screen. What is in the file is
checked and cleaned as if a master had sent it. Whoever opens a node is answered by what has been
played of it so far.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from shared import VERSION
from shared import messages as m
from shared.connection import ClientConnection
from shared.errors import RemoteProtocolError
from shared.text import clean
from tui.answers import Answers
from tui.link import Link, LinkState, Viewer
from tui.recording import Ended, Header, Heard, LinkWas, RecordingError, read


class Played(NamedTuple):
    """One thing that was reported, `at_s` seconds into the recording."""

    at_s: float
    what: Link | m.FromMaster


def played(path: Path) -> Iterator[Header | Played]:
    """What a recording holds: its header, then what was reported, in order of time.

    Raises:
        RecordingError: while iterating: see `tui.recording.read`; or it holds what no master says.
    """
    connection = _viewing()
    at_s = 0.0
    for entry in read(path):
        match entry:
            case Header():
                yield entry
            case LinkWas():
                at_s = max(at_s, entry.at_ms / 1000)
                yield Played(at_s, _link(entry))
            case Heard(at_ms, frames):
                at_s = max(at_s, at_ms / 1000)
                try:
                    for message in connection.receive(frames):
                        yield Played(at_s, message)
                except RemoteProtocolError as error:
                    raise RecordingError(
                        f"{path} is damaged: {at_s:.0f} s into it, {clean(error.text)}"
                    ) from error
            case Ended():
                return


class ReplayClock:
    """The clock of a recording; see `tui.clock.Clock`. Stands at 0 until it is started."""

    def __init__(
        self, speed: float, began_wall_ms: int, mono_s: Callable[[], float] = time.monotonic
    ) -> None:
        self.speed: Final = speed
        self._began_wall_ms = began_wall_ms
        self._mono_s = mono_s
        self._began_s: float | None = None
        self._stopped_s: float | None = None

    def start(self) -> None:
        """It is 0 now."""
        self._began_s = self._mono_s()

    def stop(self, at_s: float) -> None:
        """It stays at `at_s` from now on."""
        self._stopped_s = at_s

    def mono_s(self) -> float:
        """Seconds into the recording."""
        if self._stopped_s is not None:
            return self._stopped_s
        return 0.0 if self._began_s is None else (self._mono_s() - self._began_s) * self.speed

    def wall_ms(self) -> int:
        """What the clock on the viewer's wall said then."""
        return self._began_wall_ms + round(self.mono_s() * 1000)

    def wait_s(self, at_s: float) -> float:
        """How long it takes until it is `at_s`."""
        return max(0.0, (at_s - self.mono_s()) / self.speed)


class Replay:
    """A source that plays a recording at `speed` times the pace at which it was made.

    Raises:
        RecordingError: it cannot be read, or is no recording.
    """

    def __init__(self, path: Path, speed: float = 1.0) -> None:
        self._path = path
        self._entries = played(path)
        header = next(self._entries)
        began_wall_ms = header.began_wall_ms if isinstance(header, Header) else 0
        self.clock: Final = ReplayClock(speed, began_wall_ms)
        self._link = Link(LinkState.CONNECTING, 0.0, str(path))
        self._answers = Answers()
        self._viewer: Viewer | None = None
        self._open_node = ""

    def __repr__(self) -> str:
        return f"<Replay of {self._path} at {self.clock.speed:g}>"

    async def run(self, viewer: Viewer) -> None:
        """Plays it, and then shows its end for as long as it is left running."""
        self.clock.start()
        self._viewer = viewer
        at_s, ending = 0.0, "the recording ends here"
        try:
            for entry in self._entries:
                if isinstance(entry, Played):
                    at_s = entry.at_s
                    await asyncio.sleep(self.clock.wait_s(at_s))
                    self._show(viewer, entry)
        except RecordingError as error:
            ending = clean(str(error))
        self.clock.stop(at_s)
        viewer.on_link(replace(self._link, playing=ending, delay_s=None))
        await asyncio.Event().wait()

    def retry_now(self) -> None:
        """See `tui.link.Source`: there is nobody to dial."""

    def send(self, message: m.FromViewer) -> None:
        """See `tui.link.Source`: what is known is told at once; nothing, where nothing is."""
        if isinstance(message, m.FocusNode):
            self._open_node = message.node_id
        if self._viewer is not None:
            for answer in self._answers.to(message):
                self._viewer.on_message(answer, self.clock.mono_s())

    def _show(self, viewer: Viewer, entry: Played) -> None:
        if isinstance(entry.what, Link):
            self._link = replace(entry.what, playing=f"replay at {self.clock.speed:g}×")
            viewer.on_link(self._link)
            return
        self._answers.learn(entry.what)
        if isinstance(entry.what, m.Outages):
            # It may tell of other nodes, or of a few: whoever looks at one is told all of it.
            self.send(m.ListOutages(entry.what.request, node=self._open_node))
        else:
            viewer.on_message(entry.what, entry.at_s)


def _link(entry: LinkWas) -> Link:
    known = entry.state in LinkState.__members__.values()
    retry_at_ms, delay_us = entry.retry_at_ms, entry.delay_us
    return Link(
        state=LinkState(entry.state) if known else LinkState.LOST,
        since_s=entry.since_ms / 1000,
        address=clean(entry.address),
        reason=clean(entry.reason),
        retry_at_s=None if retry_at_ms is None else retry_at_ms / 1000,
        cluster=clean(entry.cluster),
        master_version=clean(entry.master_version),
        delay_s=None if delay_us is None else delay_us / 1_000_000,
    )


def _viewing() -> ClientConnection:
    """A viewer's end that has been welcomed, so that it takes what a master says to viewers."""
    connection = ClientConnection()
    connection.send(m.ViewerHello(m.PROTOCOL_MIN, m.PROTOCOL_MAX, VERSION))
    welcome = m.ViewerWelcome(m.PROTOCOL_MAX, VERSION, "", may_operate=False)
    for _ in connection.receive(m.encode(welcome)):
        pass
    return connection
