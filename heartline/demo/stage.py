"""What all agents of a demo share: the plan, the clock, and the end."""

from collections.abc import Callable
from typing import Final

import trio

from heartline.demo.plan import Plan
from shared.settings import AgentSettings


class Stage:
    """What all agents of a demo share. `now_s` is the demo's clock: 0 when it began."""

    def __init__(self, plan: Plan, began_s: float, began_wall_s: float, master: str) -> None:
        self.plan: Final = plan
        self.began_s: Final = began_s
        """On trio's clock."""
        self.began_wall_s: Final = began_wall_s
        self.settings: Final = AgentSettings(master=(master,))
        self.is_over = False
        self.empty: Final = trio.Event()
        """Set once the stage has been closed and every agent has said its goodbye."""
        self._leavers: dict[Callable[[], None], None] = {}

    def __repr__(self) -> str:
        return f"<Stage of {len(self._leavers)} agents>"

    def now_s(self) -> float:
        """The demo's clock."""
        return trio.current_time() - self.began_s

    async def until(self, at_s: float) -> None:
        """Waits for a time on the demo's clock."""
        await trio.sleep_until(self.began_s + at_s)

    def enter(self, leave: Callable[[], None]) -> None:
        """An agent has begun, which `leave` ends with a goodbye."""
        self._leavers[leave] = None

    def exit(self, leave: Callable[[], None]) -> None:
        """It has ended."""
        del self._leavers[leave]
        self._look_around()

    def close(self) -> None:
        """Every agent says goodbye, and no other begins."""
        self.is_over = True
        for leave in tuple(self._leavers):
            leave()
        self._look_around()

    def _look_around(self) -> None:
        if self.is_over and not self._leavers:
            self.empty.set()
