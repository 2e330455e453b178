"""What a simulated agent remembers of itself, over all its runs: the real one's witness, in memory.

The host's clocks are the demo's, so that a host that was rebooted has the uptime to show for it;
and the last words of a run are handed to the next one directly, where a real host has a disk.
"""

from collections.abc import Callable
from typing import Final

from agent.clocks import Instant
from agent.lastwords import LastWord, Run
from agent.recollection import Recollection
from shared.errors import HeartlineError
from shared.messages import Returned
from shared.settings import LinkSettings

_QUIET_MS: Final = round(2000 * LinkSettings().ping_after_s)


class SimulatedWitness:
    """Of one run. See `agent.linker.Memory` for what the link tells it."""

    def __init__(
        self,
        run: Run,
        clocks: Callable[[], Instant],
        period_s: Callable[[], float],
        previous: LastWord | None,
    ) -> None:
        self._clocks = clocks
        self._period_s = period_s
        self._recollection = Recollection(
            run, round(period_s() * 1000), _QUIET_MS, previous=previous
        )

    def __repr__(self) -> str:
        return f"<SimulatedWitness {self._recollection!r}>"

    @property
    def this_run(self) -> Run:
        """Which run of the agent this is."""
        return self._recollection.run

    def tick(self) -> None:
        """The agent lives on, and has measured."""
        self._recollection.tick(self._clocks(), round(self._period_s() * 1000), sampled=True)

    def dialling(self) -> None:
        """An attempt to link begins."""
        self._recollection.dialling(self._clocks())

    def failed(self, error: HeartlineError) -> None:
        """It came to nothing, and why."""
        self._recollection.failed(self._clocks(), error)

    def linked(self, sequence: int) -> Returned:
        """What a master is told that has welcomed this agent."""
        return self._recollection.linked(self._clocks(), sequence)

    def acknowledged(self, acked: int, sequence: int) -> Returned | None:
        """A beat has arrived: what the master is told, if anything."""
        self.tick()
        return self._recollection.acknowledged(self._clocks(), acked, sequence)

    def link_ended(self, code: str, error: str, silence_s: float) -> None:
        """The link is gone."""
        self._recollection.link_ended(self._clocks(), code, error, round(silence_s * 1000))

    def last_word(self, ended: str) -> LastWord:
        """What this run leaves behind; `ended` is empty where it had no time to say why."""
        return self._recollection.word(self._clocks(), ended)
