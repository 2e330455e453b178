"""The canary: one byte a second over this host's loopback, in at one end and out at the other.

When it does not come out in time, what the agents send does not come through either, and the fault
is the master's own: its event loop is behind, or its host's network is. The detector declares
nobody down meanwhile.

It is a witness, not a judge. A host whose loopback is broken for good (a firewall, a namespace
without one) still gets its agents' beats: after a while a silent canary is not believed any more.
"""

import logging
import socket
from typing import Final

import trio

from shared.errors import LinkBrokenError, reason_of
from shared.stream import SocketStream

CHIRP_S: Final = 1.0

LATE_S: Final = 0.5
"""A loopback answers within a millisecond; ten thousand beats ahead of the byte take a tenth of a
second."""

BELIEVED_S: Final = 60.0
"""For how long a silent canary keeps nodes from being declared down."""

_HATCHING_S: Final = 1.0

_log: Final = logging.getLogger(__name__)


class Canary:
    """Chirps while `run` runs. `is_late` is cheap and may be asked at any time."""

    def __init__(self) -> None:
        self._chirped_s: float | None = None

    def __repr__(self) -> str:
        return "<Canary>" if self._chirped_s is None else f"<Canary, since {self._chirped_s:.1f}>"

    def is_late(self, now_s: float) -> bool:
        """Whether a byte has been on its way for too long. `now_s` is trio's clock."""
        return self._chirped_s is not None and LATE_S < now_s - self._chirped_s <= BELIEVED_S

    async def run(self) -> None:
        """Chirps once a second, for ever."""
        while True:
            try:
                near, far = _loopback_pair()
            except OSError as error:
                _log.warning("no canary: loopback does not work", extra={"error": reason_of(error)})
                await trio.sleep(BELIEVED_S)
                continue
            try:
                await self._chirp(near, far)
            except LinkBrokenError:
                self._chirped_s = None
                await trio.sleep(CHIRP_S)
            finally:
                near.close()
                far.close()

    async def _chirp(self, near: SocketStream, far: SocketStream) -> None:
        while True:
            self._chirped_s = trio.current_time()
            near.send_nowait(b".")
            if not await far.receive_some():
                raise LinkBrokenError("end of stream")
            self._chirped_s = None
            await trio.sleep(CHIRP_S)


def _loopback_pair() -> tuple[SocketStream, SocketStream]:
    # TCP, not a socketpair: what is watched is the way that the links take.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(_HATCHING_S)
        near = socket.create_connection(listener.getsockname(), timeout=_HATCHING_S)
        try:
            far, _ = listener.accept()
        except OSError:
            near.close()
            raise
    return SocketStream(near), SocketStream(far)
