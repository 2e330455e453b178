"""Who is there: the live sessions of one kind, and telling all of them that it is over."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

import trio

from master.session import Session
from master.sweeper import Sweeper

AnySession = TypeVar("AnySession", bound=Session)


class Roster(Generic[AnySession]):
    """Live sessions, each until its peer has had the time to read why it ended."""

    def __init__(self, sweeper: Sweeper) -> None:
        self._sweeper = sweeper
        self._sessions: dict[AnySession, None] = {}
        self._emptied = trio.Event()
        self._closed: tuple[str, str] | None = None

    def __repr__(self) -> str:
        return f"<Roster of {len(self._sessions)}>"

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[AnySession]:
        return iter(tuple(self._sessions))

    @contextmanager
    def present(self, session: AnySession) -> Generator[None]:
        """The session is there while this lasts."""
        self.enter(session)
        try:
            yield
        finally:
            self.leave(session)

    def enter(self, session: AnySession) -> None:
        """The session is there from now on. After `end_all` it is told so and ended."""
        self._sessions[session] = None
        self._sweeper.schedule(session)
        if self._closed is not None:
            session.end(*self._closed)

    def leave(self, session: AnySession) -> None:
        """The session is there no more."""
        del self._sessions[session]
        if not self._sessions:
            self._emptied.set()
            self._emptied = trio.Event()

    def end_all(self, code: str, text: str) -> None:
        """Ends every session, and any that begins later."""
        self._closed = (code, text)
        for session in self:
            session.end(code, text)

    async def wait_empty(self) -> None:
        """Until no session is left."""
        while self._sessions:
            await self._emptied.wait()

    def reschedule(self) -> None:
        """The settings have changed: deadlines may be earlier than the sweeper believes."""
        for session in self:
            self._sweeper.schedule(session)
