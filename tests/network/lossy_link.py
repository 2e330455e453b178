"""A line that loses packets, or all of them, on the real TCP stack, in a network namespace.

A TUN device is the line: what is sent to 10.9.K.N comes back as if 10.9.K.N had sent it to
10.9.0.1. So a master that listens on 10.9.0.1 is reached at any address of 10.9.0.0/16, and sees
whoever dials there come from that address. Swapping two addresses leaves both checksums as they
are. It takes root, and no other feature of the kernel.

    with LossyLink() as line:
        subprocess.Popen(line.inside(["heartline", "master", "--listen", f"{MASTER_HOST}:0"]))
        line.lose(0.05)                   # one packet in twenty, in each direction
        line.cut("10.9.7.1")              # and everything to and from this host

The namespace and the line end with the process that `LossyLink` starts.
"""

import fcntl
import heapq
import ipaddress
import os
import random
import select
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from shared.clock import wall_ms

MASTER_HOST: Final = "10.9.0.1"
NETWORK: Final = "10.9.0.1/16"
DELAY_S: Final = 0.005
"""Each way."""

_DEVICE: Final = "lossy0"
_TUNSETIFF: Final = 0x400454CA
_IFF_TUN_NO_PI: Final = 0x1001
_MTU: Final = 1400
_QUEUE_PACKETS: Final = "10000"
"""That wait for the line: what is lost is lost on it, and not before it."""

_IPV4: Final = 4
_STOP_S: Final = 5.0


def why_not_here() -> str:
    """Why there can be no such line here; empty where there can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "a network namespace takes Linux and root"
    if not Path("/dev/net/tun").exists():
        return "this kernel has no TUN device"
    missing = [name for name in ("unshare", "nsenter", "ip") if shutil.which(name) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    tried = subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False)
    return "" if tried.returncode == 0 else "a network namespace may not be made here"


def host_of(number: int) -> str:
    """The address of the host with this number, from 0 to 250, each in a subnet of its own."""
    return f"10.9.{1 + number}.1"


class LossyLink:
    """A namespace with its line. Everything is carried until something else is said.

    `lose`, `cut` and `mend` return when they began: wall time in milliseconds. When they return, it
    is done.
    """

    def __init__(self, seed: int = 1) -> None:
        self._process = subprocess.Popen(
            ["unshare", "-n", sys.executable, "-m", "tests.network.lossy_link", str(seed)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        try:
            self._wait_done()
        except OSError:
            self.close()
            raise

    def inside(self, command: Sequence[str]) -> list[str]:
        """What runs `command` in the namespace, as a process of its own with the same pid."""
        return ["nsenter", f"--net=/proc/{self._process.pid}/ns/net", "--", *command]

    def lose(self, part: float) -> int:
        """Every packet, in either direction, is lost with this probability."""
        return self._say(f"lose {part}")

    def cut(self, host: str) -> int:
        """Nothing gets to or from this host any more."""
        return self._say(f"cut {host}")

    def mend(self, host: str) -> int:
        """Undoes `cut`."""
        return self._say(f"mend {host}")

    def close(self) -> None:
        """Ends the line. The namespace goes with the last process in it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _say(self, command: str) -> int:
        assert self._process.stdin is not None
        at_ms = wall_ms()
        self._process.stdin.write(f"{command}\n".encode())
        self._process.stdin.flush()
        self._wait_done()
        return at_ms

    def _wait_done(self) -> None:
        assert self._process.stdout is not None
        if not self._process.stdout.readline():
            raise OSError("there is no line; the reason is on standard error")


class Line:
    """The device, and what becomes of the packets on it. Runs in the namespace."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._lost_part = 0.0
        self._cut: set[bytes] = set()
        self._waiting: list[tuple[float, int, bytes]] = []
        self._order = count()
        self._device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        asked = struct.pack("16sH", _DEVICE.encode(), _IFF_TUN_NO_PI)
        fcntl.ioctl(self._device, _TUNSETIFF, asked)
        for command in (
            ["ip", "link", "set", "lo", "up"],
            ["ip", "address", "add", NETWORK, "dev", _DEVICE],
            ["ip", "link", "set", _DEVICE, "mtu", str(_MTU), "txqueuelen", _QUEUE_PACKETS, "up"],
        ):
            subprocess.run(command, check=True)

    def obey(self, command: str) -> None:
        """`lose PART`, `cut HOST` or `mend HOST`."""
        what, _, value = command.partition(" ")
        match what:
            case "lose":
                self._lost_part = float(value)
            case "cut":
                self._cut.add(ipaddress.IPv4Address(value).packed)
            case "mend":
                self._cut.discard(ipaddress.IPv4Address(value).packed)
            case _:
                raise ValueError(command)

    def run(self) -> None:
        """Carries packets until standard input ends."""
        commands = sys.stdin.fileno()
        while True:
            wait_s = max(0.0, self._waiting[0][0] - time.monotonic()) if self._waiting else None
            readable, _, _ = select.select([self._device, commands], [], [], wait_s)
            if self._device in readable:
                self._take_up()
            if commands in readable:
                given = os.read(commands, 4096)
                if not given:
                    return
                for command in given.decode().splitlines():
                    self.obey(command)
                    _tell_done()
            self._deliver(time.monotonic())

    def _take_up(self) -> None:
        while True:
            try:
                packet = os.read(self._device, 2 * _MTU)
            except BlockingIOError:
                return
            if packet[0] >> 4 != _IPV4 or self._is_lost(packet):
                continue
            turned = packet[:12] + packet[16:20] + packet[12:16] + packet[20:]
            entry = (time.monotonic() + DELAY_S, next(self._order), turned)
            heapq.heappush(self._waiting, entry)

    def _is_lost(self, packet: bytes) -> bool:
        # Both ends of a conversation with 10.9.K.N send to that address.
        return packet[16:20] in self._cut or self._random.random() < self._lost_part

    def _deliver(self, now_s: float) -> None:
        while self._waiting and self._waiting[0][0] <= now_s:
            _, _, packet = heapq.heappop(self._waiting)
            os.write(self._device, packet)


def _tell_done() -> None:
    sys.stdout.buffer.write(b"done\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    line = Line(int(sys.argv[1]))
    _tell_done()
    line.run()
