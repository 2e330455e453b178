"""What every session of the master has in common: it can be ended, it has only so much patience,
and it takes only so much at a time."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final, TypeAlias

from master.sweeper import NOT_SCHEDULED
from shared import messages as m
from shared.errors import RemoteProtocolError, Violation
from shared.link import Link
from shared.messages import Parting
from shared.patience import Silence, Verdict, judge, next_look_s
from shared.settings import LinkSettings

MasterLink: TypeAlias = Link[m.FromMaster, m.FromClient]

WINDOW_S: Final = 10.0

MESSAGES_PER_WINDOW: Final = 2_000
"""An honest agent sends a beat a second and a dozen families at most, an honest viewer far less;
two hundred messages a second are an attack, or a bug, on everybody else's share of the
processor."""

BYTES_PER_WINDOW: Final = 4 * 1024 * 1024
"""Many times what an agent has to say when it links and is watched by somebody at once. It bounds
the work that long messages make: less than two of the longest a second."""


class Session(ABC):
    """The master's end of an established link. `patience` gives the settings in force now.

    The sweeper calls `deadline_s` and `expire` (see `master.sweeper.Timed`): a silent peer is
    pinged, a peer that stays silent, or takes nothing, is told so and cut; and nobody stays for
    longer than the certificate lasts.
    """

    __slots__ = (
        "_messages",
        "_patience",
        "_pinged_s",
        "_skipped",
        "_window_began_bytes",
        "_window_began_s",
        "ended",
        "link",
        "scheduled_s",
        "valid_until_s",
    )

    def __init__(self, link: MasterLink, patience: Callable[[], LinkSettings]) -> None:
        self.link: Final = link
        self.ended: m.Goodbye | None = None
        """How this side has ended the session; None while it has not."""
        self.scheduled_s = NOT_SCHEDULED
        self.valid_until_s = math.inf
        """When the peer's certificate ends, on trio's clock. Set before the session is run."""
        self._patience = patience
        self._pinged_s = -1.0
        self._messages = 0
        self._skipped = link.connection.skipped
        self._window_began_s = link.heard_s
        self._window_began_bytes = link.heard_bytes
        link.on_blocked = self.blocked

    @abstractmethod
    def blocked(self) -> None:
        """The kernel refuses to take more: has the rest written when it takes it, and watches for
        how long that is."""

    def end(self, code: str, text: str) -> None:
        """Says goodbye and ends the session, from any task. The first reason stays."""
        if self.ended is None:
            self.ended = m.Goodbye(code, text)
            self.link.post_farewell(code, text)
            self.stop()

    @abstractmethod
    def stop(self) -> None:
        """Does nothing more for the peer, which has been told."""

    def deadline_s(self) -> float | None:
        """When something has to be done about a silent or deaf peer."""
        if self.ended is not None or self.link.over:
            return None
        return min(self.valid_until_s, next_look_s(self._silence(), self._patience()))

    def expire(self, now_s: float) -> None:
        """Pings the peer, or ends the session."""
        if now_s >= self.valid_until_s:
            self.end(Parting.EXPIRED, "the certificate has ended: dial again to renew it")
            return
        settings = self._patience()
        match judge(self._silence(), settings, now_s):
            case Verdict.PING:
                self.ping(now_s)
            case Verdict.SILENT:
                self.end(Parting.SILENT, f"nothing was heard for {settings.read_timeout_s:g} s")
            case Verdict.SLOW:
                self.end(Parting.SLOW, f"nothing was read for {settings.write_timeout_s:g} s")
            case Verdict.WAIT:
                pass  # something arrived in the meantime

    def ping(self, now_s: float) -> None:
        """Asks the peer for a sign of life."""
        self._pinged_s = now_s
        self.link.post(m.Ping(int(now_s * 1000)))

    def count_message(self) -> None:
        """Call for every message that arrives.

        Raises:
            RemoteProtocolError: there have been too many lately, or too long ones.
        """
        link = self.link
        self._messages += 1
        arrived_bytes = link.heard_bytes - self._window_began_bytes
        if self._messages > MESSAGES_PER_WINDOW or arrived_bytes > BYTES_PER_WINDOW:
            self._end_window(arrived_bytes)

    def count_arrival(self) -> None:
        """Call when the messages in what has arrived have been taken: frames of unknown kinds and
        messages that do not end are none, and cost something too. Raises as `count_message`."""
        link = self.link
        self._messages += link.connection.skipped - self._skipped
        self._skipped = link.connection.skipped
        arrived_bytes = link.heard_bytes - self._window_began_bytes
        if self._messages > MESSAGES_PER_WINDOW or arrived_bytes > BYTES_PER_WINDOW:
            self._end_window(arrived_bytes)

    def spare(self, size_bytes: int) -> None:
        """So many of the bytes that have arrived are bounded by something else, and do not count
        here."""
        self._window_began_bytes += size_bytes

    def _end_window(self, arrived_bytes: int) -> None:
        link = self.link
        if link.heard_s - self._window_began_s < WINDOW_S:
            raise RemoteProtocolError(
                Violation.FLOOD,
                f"{self._messages} messages, {arrived_bytes} bytes in less than {WINDOW_S:g} s",
            )
        self._messages = 0
        self._window_began_s, self._window_began_bytes = link.heard_s, link.heard_bytes

    def _silence(self) -> Silence:
        return Silence(self.link.heard_s, self.link.blocked_s, self._pinged_s)
