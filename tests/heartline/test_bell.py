"""Waking the main thread."""

import os
import signal
import threading

from heartline.bell import Bell, Departure

DEADLINE_S = 10.0


def test_a_bell_rung_before_anybody_waits_is_heard() -> None:
    bell = Bell()
    bell.ring()
    assert bell.wait(DEADLINE_S)
    assert not bell.wait(0)
    bell.close()


def test_a_bell_that_nobody_hears_never_blocks_who_rings() -> None:
    bell = Bell()
    for _ in range(100_000):
        bell.ring()
    assert bell.wait(0)
    bell.close()


def test_another_thread_wakes_who_waits() -> None:
    bell = Bell()
    thread = threading.Thread(target=bell.ring)
    thread.start()
    assert bell.wait(DEADLINE_S)
    thread.join()
    bell.close()


def test_a_signal_asks_to_leave_and_the_old_handler_comes_back() -> None:
    bell = Bell()
    departure = Departure(bell)
    before = signal.getsignal(signal.SIGUSR1)
    with departure.on_signals([signal.SIGUSR1]):
        os.kill(os.getpid(), signal.SIGUSR1)
        assert bell.wait(DEADLINE_S)
        assert departure.asked
    assert signal.getsignal(signal.SIGUSR1) is before
    bell.close()
