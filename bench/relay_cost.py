"""What it costs to hand a beat from the process that holds the socket to the one that decides: over
the relay of docs/decisions/0025, or through Redis.

    python -m bench.relay_cost [--beats 100000] [--batch 50] [--redis PATH] [--json]

Relay: one process frames beats of 350 bytes and writes them a batch at a time, another unpacks
them. Redis (where the package `coredis` is installed and PATH names a `redis-server`): one process
sends HSET and PUBLISH of each beat, a batch to a pipeline, over a unix socket; another is
subscribed. CPU time, user and system, in microseconds a beat; every process on its own, and nothing
else is done with a beat.
"""

import argparse
import multiprocessing as mp
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, Final

import psutil
import trio

from bench.tables import print_results
from master import relay as r

BEAT: Final = bytes(350)
NODES: Final = 10_000
RECEIVE_BYTES: Final = 256 * 1024
CHANNEL: Final = "beats"
START_S: Final = 10.0


def main() -> None:
    parser = argparse.ArgumentParser(description="What it costs to hand a beat on.")
    parser.add_argument("--beats", type=int, default=100_000, help="how many (100000)")
    parser.add_argument("--batch", type=int, default=50, help="beats that are sent at once (50)")
    parser.add_argument("--redis", type=Path, help="a redis-server to compare with")
    parser.add_argument("--json", action="store_true", help="print JSON only")
    given = parser.parse_args()
    rows = [_over_relay(given.beats, given.batch)]
    if given.redis is not None:
        rows.append(_through_redis(given.redis, given.beats, given.batch))
    print_results(rows, as_json=given.json)


def _over_relay(beats: int, batch: int) -> dict[str, object]:
    near, far = socket.socketpair()
    with near, far:
        sender_s, receiver_s = _timed(
            (_write_frames, near, beats, batch), (_read_frames, far, beats)
        )
    return _row("relay", beats, sender_s, receiver_s)


def _write_frames(sock: socket.socket, beats: int, batch: int) -> None:
    for first in range(0, beats, batch):
        out = bytearray()
        for number in range(first, min(beats, first + batch)):
            out += r.HEAD.pack(r.DATA, number % NODES, len(BEAT))
            out += BEAT
        sock.sendall(out)


def _read_frames(sock: socket.socket, beats: int) -> None:
    unpacker = r.Unpacker()
    while beats > 0:
        beats -= sum(1 for _ in unpacker.feed(sock.recv(RECEIVE_BYTES)))


def _through_redis(program: Path, beats: int, batch: int) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/redis.sock"
        server = subprocess.Popen(
            [program, "--port", "0", "--unixsocket", path, "--save", "", "--dir", folder],
            stdout=subprocess.DEVNULL,
        )
        try:
            _wait_for(Path(path))
            before_s = _cpu_s(server.pid)
            ready = mp.get_context("fork").Event()
            sender_s, receiver_s = _timed(
                (_publish, path, ready, beats, batch), (_subscribe, path, ready, beats)
            )
            return _row("redis", beats, sender_s, receiver_s, _cpu_s(server.pid) - before_s)
        finally:
            server.kill()
            server.wait()


def _publish(path: str, ready: Event, beats: int, batch: int) -> None:
    async def publish() -> None:
        async with _redis(path) as redis:
            for first in range(0, beats, batch):
                async with redis.pipeline(transaction=False) as pipeline:
                    for number in range(first, min(beats, first + batch)):
                        pipeline.hset(f"node:{number % NODES}", {"beat": BEAT})
                        pipeline.publish(CHANNEL, BEAT)

    ready.wait(START_S)
    trio.run(publish)


def _subscribe(path: str, ready: Event, beats: int) -> None:
    async def subscribe() -> None:
        async with _redis(path) as redis, redis.pubsub(channels=[CHANNEL]) as pubsub:
            ready.set()
            left = beats
            while left:
                message = await pubsub.get_message(timeout=START_S)
                left -= message is not None and message["type"] == "message"

    trio.run(subscribe)


def _redis(path: str) -> Any:
    coredis = import_module("coredis")
    return coredis.Redis(unix_socket_path=path, decode_responses=False)


def _timed(*jobs: tuple[Any, ...]) -> list[float]:
    """The CPU time of each job, in a process of its own: a function and what to call it with."""
    context = mp.get_context("fork")
    pipes = [context.Pipe(duplex=False) for _ in jobs]
    processes = [
        context.Process(target=_run, args=(pipe[1], job[0], job[1:]))
        for pipe, job in zip(pipes, jobs, strict=True)
    ]
    for process in processes:
        process.start()
    used = [float(pipe[0].recv()) for pipe in pipes]
    for process in processes:
        process.join()
    return used


def _run(told: Connection, job: Callable[..., None], given: tuple[Any, ...]) -> None:
    before_s = time.process_time()
    job(*given)
    told.send(time.process_time() - before_s)


def _row(
    name: str, beats: int, sender_s: float, receiver_s: float, server_s: float = 0.0
) -> dict[str, object]:
    each = {
        "sender_us": sender_s,
        "server_us": server_s,
        "receiver_us": receiver_s,
        "total_us": sender_s + server_s + receiver_s,
    }
    return {"way": name, **{key: round(value / beats * 1e6, 2) for key, value in each.items()}}


def _cpu_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def _wait_for(path: Path) -> None:
    deadline_s = time.monotonic() + START_S
    while not path.exists():
        if time.monotonic() > deadline_s:
            sys.exit("redis-server does not start")
        time.sleep(0.01)


if __name__ == "__main__":
    main()
