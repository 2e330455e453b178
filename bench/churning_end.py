"""The agents of `bench.density` as a soak needs them: one can be stopped in order, have its link
reset, or be deaf for a while; and how they are made."""

import select
import socket
import struct
from pathlib import Path
from typing import Final

from bench.density import identities
from bench.density.agent_end import AgentEnd, Plan
from shared import messages as m
from shared.addresses import Address

_ABORT: Final = struct.pack("ii", 1, 0)
"""SO_LINGER of no time at all: closing resets, socket(7)."""

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class ChurningEnd(AgentEnd):
    """An agent that can be stopped in order, and have its link reset."""

    __slots__ = ()

    def say_goodbye(self) -> None:
        """As an agent that its service manager stops; the master closes then.

        Raises:
            OSError: the link is over.
        """
        self._send(m.Goodbye(m.Parting.STOPPED, "SIGTERM"))

    def will_reset(self) -> None:
        """Closing the link will send RST."""
        sock = socket.socket(fileno=self.descriptor)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
        finally:
            sock.detach()

    def look_away(self, epoll: select.epoll) -> None:
        """Nothing of what arrives is noticed from now on."""
        epoll.unregister(self.descriptor)

    def look_again(self, epoll: select.epoll) -> None:
        """All that has arrived meanwhile is."""
        epoll.register(self.descriptor, select.EPOLLIN)


def plan_of(root: Path, master: Address, period_s: float, family_every: int) -> Plan:
    """What the agents of a fleet (`bench.density.identities`) have in common; `family_every`: beats
    to one family in full."""
    return Plan(
        (master.host, master.port),
        identities.load(root).server_name,
        boot_id=_BOOT_ID.read_text().strip(),
        period_s=period_s,
        family_every=family_every,
    )
