"""Ending together with the program that started this one, however that ended.

`heartline up` holds the other end of its children's standard input. Even killed, it lets go of it,
and they stop as if they had been asked to: nothing goes on running that nobody sees.
"""

import os
import signal
import sys
import threading


def end_with_parent() -> None:
    """From now on, the end of standard input asks this process to stop (SIGTERM)."""
    threading.Thread(
        target=_watch, args=(sys.stdin.fileno(),), daemon=True, name="lifeline"
    ).start()


def _watch(descriptor: int) -> None:
    while os.read(descriptor, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
