"""How long an agent waits for its master: the driver of `shared.patience` for one link at a time.

Whatever the master does makes the next look later, so this sleeps until the look that was next when
it fell asleep. Only what this side finds out, that the kernel takes no more, may make it sooner:
then `look_again`.
"""

import trio

from agent.greeting import AgentLink
from shared import messages as m
from shared.patience import Silence, Verdict, judge, next_look_s
from shared.settings import LinkSettings


class Patience:
    """Pings a silent master, and gives a silent or deaf one up."""

    def __init__(self, settings: LinkSettings) -> None:
        self._settings = settings
        self._sooner = trio.Event()

    def look_again(self) -> None:
        """The next look may be due sooner than it was: the kernel has begun to refuse."""
        self._sooner.set()

    async def keep(self, link: AgentLink) -> None:
        """Until the link is given up, which breaks it off."""
        settings, pinged_s = self._settings, -1.0
        while True:
            self._sooner = trio.Event()
            silence = Silence(link.heard_s, link.blocked_s, pinged_s)
            with trio.move_on_at(next_look_s(silence, settings)):
                await self._sooner.wait()
            now_s = trio.current_time()
            match judge(Silence(link.heard_s, link.blocked_s, pinged_s), settings, now_s):
                case Verdict.PING:
                    pinged_s = now_s
                    link.post(m.Ping(int(now_s * 1000)))
                case Verdict.SILENT:
                    link.break_off(f"nothing was heard for {settings.read_timeout_s:g} s")
                    return
                case Verdict.SLOW:
                    link.break_off(f"nothing was taken for {settings.write_timeout_s:g} s")
                    return
                case Verdict.WAIT:
                    pass
