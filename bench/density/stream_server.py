"""The same server written with trio the ordinary way: a task per link over `trio.SSLStream`, and a
timeout around every read. Keeps a node's last sample, and acknowledges.

    python -m bench.density.stream_server CA KEY CERTIFICATE WELCOME PORT
"""

import gc
import ssl
import sys
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import trio

from shared import messages as m
from shared.errors import RemoteProtocolError
from shared.frames import LINK_FRAME_LIMIT_BYTES, FrameDecoder
from shared.metrics import Core
from shared.tls import master_context

SILENCE_S: Final = 60.0
BACKLOG: Final = 4096
RECEIVE_BYTES: Final = 16 * 1024
GC_THRESHOLDS: Final = (50_000, 20, 1000)
"""As the master's: what is compared is the way of the bytes."""

_BEAT: Final = msgspec.msgpack.Decoder(m.Beat)
_CORE: Final = msgspec.msgpack.Decoder(Core)


async def serve_link(
    welcome: bytes, latest: dict[int, Core], stream: trio.SSLStream[trio.SocketStream]
) -> None:
    """One agent's link, to its end."""
    frames = FrameDecoder(LINK_FRAME_LIMIT_BYTES)
    try:
        while True:
            with trio.fail_after(SILENCE_S):
                data = await stream.receive_some(RECEIVE_BYTES)
            if not data:
                return
            frames.receive_data(bytes(data))
            while (frame := frames.next_frame()) is not None:
                if frame.kind == m.AgentHello.kind:
                    await stream.send_all(welcome)
                elif frame.kind == m.Beat.kind:
                    beat = _BEAT.decode(frame.body)
                    latest[id(stream)] = _CORE.decode(beat.core)
                    await stream.send_all(m.encode(m.Ack(beat.sequence, beat.sequence)))
    except (trio.BrokenResourceError, trio.TooSlowError, RemoteProtocolError):
        pass
    finally:
        latest.pop(id(stream), None)
        await trio.aclose_forcefully(stream)


async def serve(tls: ssl.SSLContext, welcome: bytes, port: int) -> None:
    """Until it is killed."""
    listeners = await trio.open_tcp_listeners(port, host="127.0.0.1", backlog=BACKLOG)
    handler = partial(serve_link, welcome, dict[int, Core]())
    secured = [trio.SSLListener(each, tls) for each in listeners]
    print(f"listening on 127.0.0.1:{listeners[0].socket.getsockname()[1]}", flush=True)
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    await trio.serve_listeners(handler, secured)


def main() -> None:
    ca, key, certificate, welcome = (Path(path).read_bytes() for path in sys.argv[1:5])
    tls = master_context(ca, key, certificate)
    tls.verify_mode = ssl.CERT_REQUIRED
    trio.run(serve, tls, welcome, int(sys.argv[5]))


if __name__ == "__main__":
    main()
