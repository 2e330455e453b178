"""The agent's spool: how much of it no master has, and whether it can be written."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from agent.spool_records import Damage, Sample, parse
from agent.spool_ring import SPOOL, segment_files
from heartline.checks import Finding, Subject, fine, problem, warning

_NAME: Final = "spool"
_MEBIBYTE: Final = 2**20


def spool(subject: Subject) -> Iterator[Finding]:
    """The agent can keep what no master has stored, and how much that is."""
    if not subject.has_agent:
        return
    limit_bytes = subject.settings.agent.spool_bytes
    if not limit_bytes:
        yield fine(_NAME, "in memory only: agent.spool_bytes is 0")
        return
    folder = subject.folder.agent_dir / SPOOL
    place = folder if folder.exists() else folder.parent
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        yield problem(
            _NAME,
            f"{place} cannot be written: samples are kept in memory only, and lost with the agent",
            f"see that it is a folder of the agent's user: ls -ld {place}",
        )
        return
    yield _content(folder)
    free_bytes = shutil.disk_usage(place).free
    if free_bytes < limit_bytes:
        yield warning(
            _NAME,
            f"may become {limit_bytes // _MEBIBYTE} MiB; {free_bytes // _MEBIBYTE} MiB are free",
            "free some, or lower agent.spool_bytes; when the disk is full, samples are in memory",
        )


def _content(folder: Path) -> Finding:
    samples = size_bytes = damaged_bytes = 0
    paths = segment_files(folder)
    for path in paths:
        content = path.read_bytes()
        size_bytes += len(content)
        for record in parse(content):
            samples += isinstance(record, Sample)
            damaged_bytes += record.size_bytes if isinstance(record, Damage) else 0
    detail = f"{folder} holds {samples} samples, {size_bytes / _MEBIBYTE:.1f} MiB"
    if damaged_bytes:
        return warning(
            _NAME,
            f"{detail}, and {damaged_bytes} bytes that are damaged",
            "nothing else is lost; check the disk (smartctl -a) if it happens again",
        )
    return fine(_NAME, f"{detail}; the last few the master may have already")
