"""The canary: one byte a second over this host's loopback, in at one end and out at the other.

When it does not come out in time, what the agents send does not come through either, and the fault
is the master's own: its event loop is behind, or its host's network is. The detector declares
nobody down meanwhile.
"""

import socket
from typing import Final

import trio

from shared.stream import SocketStream

CHIRP_S: Final = 1.0
LATE_S: Final = 0.5
"""A loopback answers within a millisecond; ten thousand beats ahead of the byte take a tenth of a
second."""


class Canary:
    """Chirps while `run` runs. `is_late` is cheap and may be asked at any time."""

    def __init__(self) -> None:
        self._chirped_s: float | None = None

    def __repr__(self) -> str:
        return f"<Canary, silent since {self._chirped_s}>" if self._chirped_s else "<Canary>"

    def is_late(self, now_s: float) -> bool:
        """Whether a byte has been on its way for too long. `now_s` is trio's clock."""
        return self._chirped_s is not None and now_s - self._chirped_s > LATE_S

    async def run(self) -> None:
        """Chirps once a second, for ever."""
        near, far = _loopback_pair()
        try:
            while True:
                self._chirped_s = trio.current_time()
                near.send_nowait(b".")
                await far.receive_some()
                self._chirped_s = None
                await trio.sleep(CHIRP_S)
        finally:
            near.close()
            far.close()


def _loopback_pair() -> tuple[SocketStream, SocketStream]:
    # TCP, not a socketpair: what is watched is the way that the links take.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    return SocketStream(near), SocketStream(far)
