"""Who is logged in: from utmp, or from the session files of systemd where there is no utmp."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import psutil

from agent.collectors.reading import Reading
from agent.wording import fit
from shared.families import ROWS_LIMIT, Users, UserSession
from shared.metrics import Family

_UTMP_FILES: Final = (Path("/run/utmp"), Path("/var/run/utmp"))
_LOGIND_SESSIONS: Final = Path("/run/systemd/sessions")


class UsersCollector:
    """Login sessions; the core sample counts the people behind them once each."""

    family: Family = "users"

    def __init__(self, sessions: Path = _LOGIND_SESSIONS) -> None:
        self._sessions = sessions

    def collect(self, now_s: float) -> Reading:
        """See `Collector`."""
        del now_s
        sessions = _from_utmp()
        if sessions is None:
            sessions = _from_logind(self._sessions)
        if sessions is None:
            reason = "this system records no logins"
            return Reading(Users(absent={"sessions": reason}), {"users": None})
        data = Users(
            sessions=tuple(sessions[:ROWS_LIMIT]), left_out=max(0, len(sessions) - ROWS_LIMIT)
        )
        return Reading(data, {"users": len({session.user for session in sessions})})


def parse_logind_session(text: str) -> UserSession | None:
    """One file of /run/systemd/sessions; None unless it is a person's session that is open."""
    fields = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    if fields.get("CLASS", "user") != "user" or fields.get("STATE") == "closing":
        return None
    user = fields.get("USER")
    started_us = fields.get("REALTIME", "")
    if not user:
        return None
    return UserSession(
        user=fit(user),
        terminal=fit(fields.get("TTY", "")),
        host=fit(fields.get("REMOTE_HOST", "")),
        started_wall_s=int(started_us) // 1_000_000 if started_us.isdigit() else 0,
    )


def _from_utmp() -> list[UserSession] | None:
    """psutil's answer, or None where it would be taken from a file that does not exist."""
    if sys.platform.startswith("linux") and not any(path.exists() for path in _UTMP_FILES):
        return None
    return [
        UserSession(
            user=fit(row.name),
            terminal=fit(row.terminal or ""),
            host=fit(row.host or ""),
            started_wall_s=int(row.started),
        )
        for row in psutil.users()
    ]


def _from_logind(folder: Path) -> list[UserSession] | None:
    if not folder.is_dir():
        return None
    found = [parse_logind_session(text) for text in _texts(folder)]
    return [session for session in found if session is not None]


def _texts(folder: Path) -> Iterable[str]:
    for path in sorted(folder.iterdir()):
        if path.suffix == ".ref":  # a pipe that keeps the session alive
            continue
        try:
            yield path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:  # logged out meanwhile
            continue
