"""What the running master is asked to change or to stop."""

from typing import Final

import trio

from master.admission import admission_limits
from master.entry import Entry
from master.workers import Workers
from shared.messages import Parting
from shared.settings import LinkSettings, MasterSettings

STOP_S: Final = 3.0
"""How long links get to read their goodbye when the master stops."""

CONFIRM_S: Final = 1.0
"""How long a stopping master waits for the disk, to confirm to agents what it has of them. What is
not confirmed they send to the next one, which has it already."""


class Parts:
    """The parts of a running master that somebody outside has to do with."""

    def __init__(self, entry: Entry) -> None:
        self.entry: Final = entry
        self.enrolment: Final = entry.enrolment
        self.context: Final = entry.context
        self.workers: Workers | None = None
        """Those who hold the links; None: this process does."""

    def change(self, settings: MasterSettings, link: LinkSettings, *, period_changed: bool) -> None:
        """Other settings from now on, as far as they can be changed at run time."""
        self.context.settings, self.context.link = settings, link
        self.context.events.kept = settings.events_kept
        self.entry.admission.change(admission_limits(settings))
        if self.workers is not None:
            self.workers.change(settings, link)
        self.entry.sessions.roster.reschedule()
        self.entry.viewers.roster.reschedule()
        if period_changed:
            self.entry.sessions.change_period(round(settings.period_s * 1000))

    async def stop(self) -> None:
        """Confirms what is on disk, says goodbye to every link, gives them `STOP_S` to read it,
        and saves."""
        if self.workers is not None:
            self.workers.shut_door()
        self.entry.registry.outages.stopping()
        await self._confirm()
        rosters = (self.entry.sessions.roster, self.entry.viewers.roster)
        for roster in rosters:
            roster.end_all(Parting.RESTARTING, "the master is stopping")
        with trio.move_on_after(STOP_S):
            for roster in rosters:
                await roster.wait_empty()
        if self.workers is not None:
            await self.workers.stop()
        await self.entry.registry.save()
        await self.entry.registry.outages.stop()
        self.context.events.record("master-stopped")
        await self.context.store.flush()

    async def _confirm(self) -> None:
        # In a task of its own: a disk that hangs keeps nobody from being told goodbye.
        sessions, is_done = self.entry.sessions, trio.Event()

        async def store_and_tell() -> None:
            await sessions.recording.history.flush()
            sessions.confirm()
            is_done.set()

        self.context.spawn(store_and_tell)
        with trio.move_on_after(CONFIRM_S):
            await is_done.wait()
