"""Children kept running by `heartline up`."""

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from heartline.bounded_log import BoundedLog
from heartline.supervision import Keeper, Service

DEADLINE_S = 20.0


class Watched:
    """A keeper of a Python program, and what it reported."""

    def __init__(self, folder: Path, program: str) -> None:
        self.log = folder / "child.log"
        self.reports: list[str] = []
        self._changed = threading.Condition()
        service = Service("child", (sys.executable, "-c", program), self.log)
        self.keeper = Keeper(
            service, report=self.reports.append, on_change=self._notify, rng=random.Random(1)
        )

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def wait_for(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, DEADLINE_S)


def wait_for_lines(path: Path, count: int) -> list[str]:
    """The first lines of a file that another process is writing."""
    deadline = threading.Event()
    for _ in range(int(DEADLINE_S / 0.01)):
        lines = path.read_text().splitlines() if path.exists() else []
        if len(lines) >= count:
            return lines
        deadline.wait(0.01)
    raise AssertionError(f"{path} has fewer than {count} lines")


SLEEPER = "import signal, sys; print('ready', flush=True); signal.pause()"
STUBBORN = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    " print('ready', flush=True); signal.pause()"
)


def test_a_stopped_child_is_gone_and_nothing_is_reported(tmp_path: Path) -> None:
    watched = Watched(tmp_path, f"import os; print(os.getpid(), flush=True)\n{SLEEPER}")
    watched.keeper.start()
    pid = int(wait_for_lines(watched.log, 2)[0])
    watched.keeper.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert watched.reports == []


def test_a_child_that_ignores_the_request_is_killed(tmp_path: Path) -> None:
    watched = Watched(tmp_path, STUBBORN)
    watched.keeper.start()
    wait_for_lines(watched.log, 1)
    watched.keeper.stop(timeout_s=0.1)
    assert watched.reports == ["child does not stop; it is killed"]


def test_a_child_that_dies_is_reported_and_started_again(tmp_path: Path) -> None:
    watched = Watched(tmp_path, "import sys; print('heartline: no luck'); sys.exit(1)")
    watched.keeper.start()
    wait_for_lines(watched.log, 2)
    watched.keeper.stop()
    assert watched.reports[0].startswith("child ended: no luck; starting it again in 0.")
    assert not watched.keeper.is_over


@pytest.mark.parametrize("code", [0, 2, 3])
def test_an_end_that_would_repeat_itself_is_final(tmp_path: Path, code: int) -> None:
    program = f"import sys; print('heartline: revoked', file=sys.stderr); sys.exit({code})"
    watched = Watched(tmp_path, program)
    watched.keeper.start()
    watched.wait_for(lambda: watched.keeper.is_over)
    watched.keeper.stop()
    assert watched.reports == ["child ended: revoked"]
    assert watched.keeper.last_end is not None
    assert watched.keeper.last_end.code == code


def test_a_crash_is_reported_by_its_error_and_not_by_the_lines_around_it(tmp_path: Path) -> None:
    watched = Watched(tmp_path, "raise ExceptionGroup('several', [ValueError('the cause')])")
    watched.keeper.start()
    watched.wait_for(lambda: bool(watched.reports))
    watched.keeper.stop()
    assert watched.reports[0].startswith("child ended: ValueError: the cause; starting it again")


def test_a_child_killed_from_outside_is_named_by_its_signal(tmp_path: Path) -> None:
    program = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    watched = Watched(tmp_path, program)
    watched.keeper.start()
    watched.wait_for(lambda: bool(watched.reports))
    watched.keeper.stop()
    assert "killed by SIGKILL" in watched.reports[0]


def test_a_program_that_does_not_exist_is_reported(tmp_path: Path) -> None:
    watched = Watched(tmp_path, "")
    service = Service("child", (str(tmp_path / "absent"),), watched.log)
    keeper = Keeper(service, report=watched.reports.append, on_change=watched._notify)
    keeper.start()
    watched.wait_for(lambda: bool(watched.reports))
    keeper.stop()
    assert "cannot be started: No such file" in watched.reports[0]


def test_a_child_stands_in_a_process_group_of_its_own(tmp_path: Path) -> None:
    watched = Watched(
        tmp_path, f"import os; print(os.getpgid(0), os.getpid(), flush=True)\n{SLEEPER}"
    )
    watched.keeper.start()
    group, pid = wait_for_lines(watched.log, 2)[0].split()
    watched.keeper.stop()
    assert group == pid


def test_a_child_ends_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    child = (
        "import signal; from heartline.lifeline import end_with_parent; end_with_parent();"
        " print('ready', flush=True); signal.pause()"
    )
    parent = (
        "import sys, random\nfrom pathlib import Path\n"
        "from heartline.supervision import Keeper, Service\n"
        f"command = (sys.executable, '-c', {child!r})\n"
        f"service = Service('child', command, Path({str(tmp_path / 'child.log')!r}))\n"
        "keeper = Keeper(service, report=print, on_change=lambda: None)\n"
        "keeper.start()\n"
        "import time\n"
        "while keeper._process is None: time.sleep(0.01)\n"
        "print(keeper._process.pid, flush=True)\n"
        "import signal\nsignal.pause()\n"
    )
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        wait_for_lines(tmp_path / "child.log", 1)
        process.send_signal(signal.SIGKILL)
    descriptor = os.pidfd_open(pid) if _exists(pid) else None
    if descriptor is not None:
        import select

        readable, _, _ = select.select([descriptor], [], [], DEADLINE_S)
        os.close(descriptor)
        assert readable


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_log_keeps_one_generation_and_no_more(tmp_path: Path) -> None:
    log = BoundedLog(tmp_path / "a.log", limit_bytes=100)
    for number in range(100):
        log.write(f"line {number:04}\n".encode())
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept == ["a.log.1"] or kept == ["a.log", "a.log.1"]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 200
    assert "line 0099" in "".join(path.read_text() for path in tmp_path.iterdir())


def test_a_log_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    BoundedLog(tmp_path / "absent" / "a.log").write(b"line\n")
    assert not (tmp_path / "absent").exists()
