"""The kernel's own threads, which fill the process table of a host and do next to nothing."""

from collections.abc import Iterator
from itertools import count, islice
from typing import Final

from heartline.demo.hosts import Host
from shared.families import Process

MOST: Final = 160
"""What an agent tells of is bounded, and so are the numbers below those of the first program."""

_KTHREADD: Final = 2
_FIRST: Final = ("kthreadd", "pool_workqueue_release", "kworker/R-rcu_gp", "rcu_preempt")
_LAST: Final = ("kdevtmpfs", "kauditd", "khungtaskd", "oom_reaper", "kcompactd0", "kswapd0")
_OF_EACH_CPU: Final = ("cpuhp/{}", "migration/{}", "ksoftirqd/{}", "kworker/{}:0-events")


def kernel_threads(host: Host, number: int, idle: int, up_s: float) -> Iterator[Process]:
    """So many of them, of which `idle` wait for work and the others sleep."""
    names = islice(_names(host.cpus), min(number, MOST))
    for place, name in enumerate(names):
        pid = _KTHREADD + place
        yield Process(
            pid=pid,
            parent_pid=0 if pid == _KTHREADD else _KTHREADD,
            name=name,
            state="idle" if place < idle else "sleeping",
            threads=1,
            rss_bytes=0,
            user="root",
            cpu_ratio=0.0,
            age_s=up_s,
            open_files=0,
        )


def _names(cpus: int) -> Iterator[str]:
    yield from _FIRST
    for cpu in range(cpus):
        yield from (name.format(cpu) for name in _OF_EACH_CPU)
    yield from _LAST
    yield from (f"kworker/u{2 * cpus}:{number}" for number in count())
