"""What an agent leaves on disk with every beat, so that the next run can say how this one ended.

A small file of two slots that are written in turn, each with a sequence number and a checksum: a
write that is cut short spoils one slot, and the other holds the word before. It is written in place
and not synced with every beat: what the kernel has taken survives the process, however that ends,
and only a host that goes down at once loses up to a minute of it.

    slot: magic (4 B), CRC-32 of what follows (4 B), sequence (8 B), length (4 B), body

A file that is torn, foreign or not to be written costs the agent its memory, and nothing else.
"""

import logging
import os
import struct
import threading
import zlib
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from agent.clocks import Instant
from agent.oom_kills import OomKills
from shared.messages import EndedRun

SLOT_BYTES: Final = 8192
"""Twice what the longest words take; slots share no block of any filesystem."""

END_WAIT_S: Final = 1.0
"""How long the last word of all may take: a disk that hangs must not keep an agent from ending."""

_MAGIC: Final = b"HLW1"
_HEADER: Final = struct.Struct(">4sIQI")
_CHECKED_FROM: Final = 8
"""The checksum covers the header after itself, and the body."""

_log: Final = logging.getLogger(__name__)


class Run(Struct, frozen=True, array_like=True, gc=False):
    """One run of the agent: what distinguishes it from every other."""

    boot_id: str
    pid: int
    started_mono_ms: int
    """By the host's clock since boot: a later run in the same boot has a larger one."""
    began: Instant


class Stretch(Struct, frozen=True, array_like=True, gc=False):
    """How the event loop fared over a while."""

    stalled_ms: int = 0
    """How long it did not turn, in all; short delays do not count."""
    longest_stall_ms: int = 0
    suspended_ms: int = 0
    """How long the host was suspended."""
    samples: int = 0
    """Beats' worth of samples taken."""


class LastWord(Struct, frozen=True, array_like=True, gc=False):
    """What a run knows of itself and of the link at one instant."""

    run: Run
    alive: Instant
    ended: str = ""
    """Why it ends; empty while it means to go on."""
    away_ms: int = 0
    """How long it has been without the master; 0 while its link is good."""
    stretch: Stretch = Stretch()
    """Of that time."""
    link_error: str = ""
    kills: OomKills = OomKills()
    runs: tuple[EndedRun, ...] = ()
    """The runs before this one that no master has been told of."""
    left_out: int = 0


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(LastWord)


class LastWords:
    """The file. May be used from several threads; nothing raises because of the disk."""

    def __init__(self, path: Path) -> None:
        self.path: Final = path
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._sequence = 0
        self._has_ended = False
        self._is_failing = False

    def __repr__(self) -> str:
        return f"<LastWords {self.path}, {self._sequence} words>"

    def read(self) -> LastWord | None:
        """The latest whole word in the file; None where there is none. Blocks."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            self._failed(error)
            return None
        words = [parsed for start in (0, SLOT_BYTES) if (parsed := parse(content[start:]))]
        if not words:
            return None
        self._sequence, word = max(words, key=lambda parsed: parsed[0])
        return word

    def write(self, word: LastWord, *, sync: bool = False) -> None:
        """Leaves a word, on the disk itself with `sync`. Blocks; nothing after the last of all."""
        with self._lock:
            if self._has_ended and not word.ended:
                return
            try:
                self._put(word)
                if sync and self._descriptor is not None:
                    os.fsync(self._descriptor)
            except OSError as error:
                self._failed(error)
            else:
                self._is_failing = False

    def end(self, word: LastWord) -> None:
        """Leaves the last word of all and syncs it. Blocks for `END_WAIT_S` at most.

        From any thread, also while another one hangs in `write`. The first reason stays.
        """
        if self._has_ended:
            return
        self._has_ended = True
        writer = threading.Thread(
            target=self.write, args=(word,), kwargs={"sync": True}, name="last words", daemon=True
        )
        writer.start()
        writer.join(END_WAIT_S)

    def close(self) -> None:
        """Lets go of the file. Blocks for `END_WAIT_S` at most: what a hanging write holds, the end
        of the process takes from it."""
        if not self._lock.acquire(timeout=END_WAIT_S):
            return
        try:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None
        finally:
            self._lock.release()

    def _put(self, word: LastWord) -> None:
        if self._descriptor is None:
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        self._sequence += 1
        slot = pack(word, self._sequence)
        start = self._sequence % 2 * SLOT_BYTES
        if hasattr(os, "pwrite"):
            os.pwrite(self._descriptor, slot, start)
        else:
            os.lseek(self._descriptor, start, os.SEEK_SET)
            os.write(self._descriptor, slot)

    def _failed(self, error: OSError) -> None:
        if not self._is_failing:
            _log.warning(
                "last words cannot be kept: if this agent ends, its master will not know why",
                extra={"file": str(self.path), "error": error.strerror or str(error)},
            )
        self._is_failing = True


def pack(word: LastWord, sequence: int) -> bytes:
    """A whole slot."""
    body = _ENCODER.encode(word)
    checked = _HEADER.pack(_MAGIC, 0, sequence, len(body))[_CHECKED_FROM:] + body
    slot = _MAGIC + zlib.crc32(checked).to_bytes(4, "big") + checked
    return slot.ljust(SLOT_BYTES, b"\0")


def parse(slot: bytes) -> tuple[int, LastWord] | None:
    """The sequence number and word of a slot; None for anything that `pack` has not written."""
    if len(slot) < _HEADER.size:
        return None
    magic, checksum, sequence, length = _HEADER.unpack_from(slot)
    end = _HEADER.size + length
    if magic != _MAGIC or end > len(slot) or zlib.crc32(slot[_CHECKED_FROM:end]) != checksum:
        return None
    try:
        return sequence, _DECODER.decode(slot[_HEADER.size : end])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
