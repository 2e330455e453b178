"""This host: its clock, its limits, what its kernel can do, what is installed."""

import importlib.util
import socket
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from heartline.checks import Finding, Subject, fine, problem, warning
from heartline.checks.masters_time import disagreement
from shared.clock import wall_ms
from shared.tcp import bytes_received

EARLIEST: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""No clock that is right shows less: this program did not exist."""

CLOCK_SAMPLE_S: Final = 0.2
CLOCK_DRIFT_S: Final = 0.05
"""The wall clock may be slewed by a thousandth; a quarter of the sample is a clock being set."""

DESCRIPTORS_WANTED: Final = 4096
"""A master needs a descriptor for each link and a few dozen more."""

_TCP_USER_TIMEOUT_MS: Final = 15_000
_TCP_RTO_MAX_MS_OPTION: Final = 44
_RTO_MAX_MS: Final = 1000


def clock(subject: Subject) -> Iterator[Finding]:
    """The wall clock is plausible, agrees with a master's, and runs like the monotonic one."""
    name, remedy = "clock", "set up time synchronisation (chrony, systemd-timesyncd, ntpd)"
    began_wall_ms, began_s = wall_ms(), time.monotonic()
    time.sleep(CLOCK_SAMPLE_S)
    passed_s = time.monotonic() - began_s
    drift_s = (wall_ms() - began_wall_ms) / 1000 - passed_s
    now = datetime.fromtimestamp(wall_ms() / 1000, UTC)
    if now < EARLIEST:
        yield warning(name, f"this host believes that it is {now:%Y-%m-%d}", remedy)
    elif abs(drift_s) > CLOCK_DRIFT_S:
        yield warning(name, f"the clock was set by {drift_s:+.2f} s in {passed_s:.1f} s", remedy)
    elif doubt := disagreement(subject, now):
        yield warning(
            name, doubt, f"{remedy}, here or on the master; links do not depend on it, records do"
        )
    else:
        yield fine(name, f"{now:%Y-%m-%d %H:%M:%S} UTC, and running evenly")


def descriptors(subject: Subject) -> Iterator[Finding]:
    """A master may open enough files: each link is one."""
    name = "open files"
    try:
        import resource  # noqa: PLC0415 - absent on Windows
    except ImportError:
        yield fine(name, "no limit on this platform")
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    detail = f"a process may open {soft} (hard limit {hard})"
    if soft < DESCRIPTORS_WANTED and not subject.has_agent:
        yield warning(
            name,
            f"{detail}, and a master needs one for each link",
            "raise it: LimitNOFILE= in the service, or ulimit -n in the shell; or have several"
            " processes hold the links: heartline master --workers",
        )
    else:
        yield fine(name, detail)


def listen_queue(subject: Subject) -> Iterator[Finding]:
    """The kernel queues as many connections as the master asks for."""
    name, path = "listen queue", Path("/proc/sys/net/core/somaxconn")
    try:
        allowed = int(path.read_text())
    except (OSError, ValueError):
        return
    wanted = subject.settings.master.backlog
    if allowed < wanted:
        yield warning(
            name,
            f"the kernel queues {allowed} connections, master.backlog asks for {wanted}",
            f"sysctl net.core.somaxconn={wanted}; it matters when a large fleet reconnects",
        )
    else:
        yield fine(name, f"{wanted} connections")


def kernel(subject: Subject) -> Iterator[Finding]:  # noqa: ARG001
    """The kernel offers what makes a link notice a dead peer sooner."""
    missing: list[str] = []
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        if bytes_received(sock) is None:
            missing.append("TCP_INFO")
        if not _takes(sock, getattr(socket, "TCP_USER_TIMEOUT", None), _TCP_USER_TIMEOUT_MS):
            missing.append("TCP_USER_TIMEOUT")
        linux_option = _TCP_RTO_MAX_MS_OPTION if sys.platform == "linux" else None
        if not _takes(sock, linux_option, _RTO_MAX_MS):
            missing.append("TCP_RTO_MAX_MS")
    if not missing:
        yield fine("kernel", "has TCP_INFO, TCP_USER_TIMEOUT and TCP_RTO_MAX_MS")
    elif missing == ["TCP_RTO_MAX_MS"]:
        yield fine(
            "kernel",
            "has TCP_INFO and TCP_USER_TIMEOUT, not TCP_RTO_MAX_MS (Linux 6.15): on lines that "
            "lose a third of their packets a link may be silent for longer",
        )
    else:
        yield warning(
            "kernel",
            f"lacks {', '.join(missing)}",
            "nothing is broken; dead links are noticed by the read timeout instead, later",
        )


def dashboard(subject: Subject) -> Iterator[Finding]:  # noqa: ARG001
    """The dashboard is installed."""
    if importlib.util.find_spec("textual") is None:
        yield fine("dashboard", "not installed; for heartline top: pip install 'heartline[tui]'")
    else:
        yield fine("dashboard", "installed")


def _takes(sock: socket.socket, option: int | None, value: int) -> bool:
    if option is None:
        return False
    try:
        sock.setsockopt(socket.IPPROTO_TCP, option, value)
    except OSError:
        return False
    return True


def configured(subject: Subject) -> Iterator[Finding]:
    """The settings file, where there is one, is its owner's alone to write."""
    path = subject.folder.config
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    if mode & 0o022:
        yield problem("settings", f"others may write to {path}", f"chmod go-w {path}")
