"""Agents as they are, but that each notes every sample it takes before anybody else knows of it.

A process of its own each, to be killed at will, and one that costs next to nothing to start: all
are forked from this one, which has loaded everything. It reads an `Order` a line and answers with
the pid.
"""

import ctypes
import gc
import hashlib
import os
import signal
import sys
import traceback
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final, Never
from unittest.mock import patch

import msgspec
import psutil
from msgspec import Struct

import agent.daemon
import heartline.commands.daemons
from agent.spool_records import Sample
from agent.spooler import Spooler
from heartline.main import main
from shared import messages as m
from shared.backoff import delays_s
from shared.metrics import Core

BACKOFF_CAP_S: Final = 3.0
RESEND_S: Final = 6.0
"""A fleet that is soon back is soon hit again."""

PRELOADED: Final = (agent.daemon, heartline.commands.daemons, psutil)

_PR_SET_PDEATHSIG: Final = 1
_delays_s: Final = partial(delays_s, cap_s=BACKOFF_CAP_S)
_CORE: Final = msgspec.msgpack.Decoder(Core | None)


class Order(Struct, frozen=True):
    """What to start: an agent on a state folder."""

    folder: str
    notes: str
    """The file to which what it takes is noted."""
    master: str
    log: str
    is_forgetful: bool
    """Its spool has room for some seconds only, in memory and on disk."""


class Note(Struct, frozen=True, array_like=True):
    """A sample that was taken."""

    boot_id: str
    started_mono_ms: int
    sequence: int
    wall_ms: int
    values: str
    """As `values_of` tells it."""


def values_of(core: bytes) -> str:
    """A core sample in short: two with the same values are the same, however they are packed."""
    return hashlib.sha1(m.encode_body(_CORE.decode(core))).hexdigest()


def read_notes(path: Path) -> list[Note]:
    """All that was noted in a file, in the order in which it was."""
    if not path.exists():
        return []
    return [msgspec.json.decode(line, type=Note) for line in path.read_bytes().splitlines()]


def serve() -> None:
    """Starts what is ordered, until standard input ends."""
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries them
    for line in sys.stdin.buffer:
        pid = os.fork()
        if not pid:
            _become_agent(msgspec.json.decode(line, type=Order))
        print(pid, flush=True)


def _become_agent(order: Order) -> Never:
    code = 1
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _redirect(order.log)
        with ExitStack() as stack:
            stack.enter_context(patch.object(Spooler, "take", _noting(order.notes)))
            stack.enter_context(patch("agent.linker.delays_s", _delays_s))
            stack.enter_context(patch("agent.spool.RESEND_S", RESEND_S))
            if order.is_forgetful:
                stack.enter_context(patch("agent.spool_ring.SEGMENT_LIMIT_BYTES", 1024))
                stack.enter_context(patch("agent.spool_store.MEMORY_SAMPLES", 6))
            code = main(["agent", "--data", order.folder, "--master", order.master])
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _redirect(log: str) -> None:
    for number, path, how in (
        (0, os.devnull, os.O_RDONLY),
        (1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND),
        (2, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND),
    ):
        descriptor = os.open(path, how)
        os.dup2(descriptor, number)
        os.close(descriptor)


def _noting(path: str) -> object:
    take = Spooler.take
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note_and_take(self: Spooler, sample: Sample) -> None:
        note = Note(*sample.run, sample.sequence, sample.wall_ms, values_of(sample.core))
        os.write(descriptor, msgspec.json.encode(note) + b"\n")
        take(self, sample)

    return note_and_take


if __name__ == "__main__":
    serve()
