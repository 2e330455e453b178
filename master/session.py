"""What every session of the master has in common: it can be ended, and it has only so much
patience."""

from collections.abc import Callable
from typing import Final, TypeAlias

import trio

from master.sweeper import NOT_SCHEDULED
from shared import messages as m
from shared.link import Link
from shared.messages import Parting
from shared.patience import Silence, Verdict, judge, next_look_s
from shared.settings import LinkSettings

MasterLink: TypeAlias = Link[m.FromMaster, m.FromClient]


class Session:
    """The master's end of an established link. `patience` gives the settings in force now.

    The sweeper calls `deadline_s` and `expire` (see `master.sweeper.Timed`): a silent peer is
    pinged, a peer that stays silent, or takes nothing, is told so and cut.
    """

    __slots__ = ("_patience", "_pinged_s", "ended", "link", "scheduled_s", "scope")

    def __init__(self, link: MasterLink, patience: Callable[[], LinkSettings]) -> None:
        self.link: Final = link
        self.scope: Final = trio.CancelScope()
        """Everything the session does runs in here; `end` cancels it."""
        self.ended: str | None = None
        """Why this side has ended the session; None while it has not."""
        self.scheduled_s = NOT_SCHEDULED
        self._patience = patience
        self._pinged_s = -1.0

    def end(self, code: str, text: str) -> None:
        """Says goodbye and ends the session, from any task. The first reason stays."""
        if self.ended is None:
            self.ended = code
            self.link.post_farewell(code, text)
            self.scope.cancel()

    def deadline_s(self) -> float | None:
        """When something has to be done about a silent or deaf peer."""
        if self.ended is not None:
            return None
        return next_look_s(self._silence(), self._patience())

    def expire(self, now_s: float) -> None:
        """Pings the peer, or ends the session."""
        settings = self._patience()
        match judge(self._silence(), settings, now_s):
            case Verdict.PING:
                self._pinged_s = now_s
                self.link.post(m.Ping(int(now_s * 1000)))
            case Verdict.SILENT:
                self.end(Parting.SILENT, f"nothing was heard for {settings.read_timeout_s:g} s")
            case Verdict.SLOW:
                self.end(Parting.SLOW, f"nothing was read for {settings.write_timeout_s:g} s")
            case Verdict.WAIT:
                pass  # something arrived in the meantime

    def _silence(self) -> Silence:
        return Silence(self.link.heard_s, self.link.blocked_s, self._pinged_s)
