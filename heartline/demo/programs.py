"""What runs on a host: its process table, who listens, who is connected, who is logged in."""

import math
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from heartline.demo.hosts import Host
from heartline.demo.kernel import kernel_threads
from heartline.demo.noise import drift, scramble, unit
from heartline.demo.roles import BACKGROUND, MIB, PEOPLE, RUNAWAYS
from heartline.demo.signs import Signs
from shared.families import Connections, Listener, Process, Processes, Users, UserSession

AGENT_KIB: Final = 33 * 1024
AGENT_CPU: Final = 0.0007

FIRST_PID: Final = 700
PIDS: Final = 4_000
"""Programs have been given numbers up to here since the boot."""

HELD_BY_PROGRAMS: Final = 0.85
"""Of the memory in use; the kernel has the rest."""

_PAGE_BYTES: Final = 4096
_SSH: Final = 22
_PERSON_S: Final = 900.0
_BUSY_PROCESS: Final = 0.4


class Actor(Struct, frozen=True, gc=False):
    """One process of a host, whatever the time: `cpu` and `memory` are parts of the services'."""

    pid: int
    parent_pid: int
    name: str
    user: str
    threads: int
    cpu: float = 0.0
    memory: float = 0.0
    rss_bytes: int = 0
    """What it holds beside its part."""
    port: int | None = None


def actors(host: Host) -> Iterator[Actor]:
    """The processes worth naming, parents first."""
    for place, (name, user, mib) in enumerate(BACKGROUND):
        yield Actor(
            1 if place == 0 else 300 + 37 * place,
            min(place, 1),
            name,
            user,
            1,
            0.002,
            0.0,
            mib * MIB,
        )
    pid = FIRST_PID + scramble(host.key, 8) % 200
    yield Actor(pid, 1, "heartline", "heartline", 2, rss_bytes=AGENT_KIB * 1024)
    for service in host.role.services:
        pid += 11 + scramble(host.key, pid) % 90
        # The first process of many only minds the others.
        of_first = 0.04 if service.workers else 1.0
        cpu, memory = service.cpu * of_first, service.memory * of_first
        yield Actor(
            pid, 1, service.name, service.user, service.threads, cpu, memory, 8 * MIB, service.port
        )
        first = pid
        for _ in range(service.workers):
            pid += 1 + scramble(host.key, pid) % 5
            part = 0.96 / service.workers
            yield Actor(
                pid,
                first,
                service.name,
                service.user,
                service.threads,
                service.cpu * part,
                service.memory * part,
                6 * MIB,
            )


def processes(host: Host, now: Signs, *, is_watched: bool) -> Processes:
    """The process table, largest first; the kernel's threads only while somebody looks."""
    rows = sorted(_rows(host, now), key=lambda row: (row.cpu_ratio or 0.0, row.rss_bytes))
    rows.reverse()
    running = running_of(host, now)
    blocked = sum(row.state == "disk-sleep" for row in rows)
    total = now.processes + (now.hog is not None)
    idle = 20 + host.cpus
    by_state = {"sleeping": total - running - blocked - idle, "idle": idle, "running": running}
    if blocked:
        by_state["disk-sleep"] = blocked
    if is_watched:
        rows += kernel_threads(host, total - len(rows), idle, now.at_s - now.booted_s)
    return Processes(total, threads(host, now), by_state, tuple(rows))


def running_of(host: Host, now: Signs) -> int:
    """How many processes run at this instant."""
    return 1 + round(now.busy * host.cpus)


def threads(host: Host, now: Signs) -> int:
    """Of all processes."""
    of_services = sum(each.threads * (each.workers + 1) for each in host.role.services)
    return now.processes + of_services


def largest_bytes(host: Host, now: Signs) -> int:
    """The memory of the largest process."""
    held_bytes = host.memory_kib * 1024 * now.memory * HELD_BY_PROGRAMS
    of_one = max(each.memory / (each.workers or 1) for each in host.role.services)
    return round(held_bytes * of_one)


def connections(host: Host, now: Signs) -> Connections:
    """TCP by state, and the ports that services listen on."""
    listening = [
        Listener("tcp", "0.0.0.0", _SSH, 300 + 37 * 5, "sshd"),  # noqa: S104 - nobody listens
        Listener("tcp6", "::", _SSH, 300 + 37 * 5, "sshd"),
        Listener("udp", "127.0.0.1", 323, 300 + 37 * 6, "chronyd"),
    ]
    listening += [
        Listener(
            "tcp6" if actor.port == 443 else "tcp", host.ipv4, actor.port, actor.pid, actor.name
        )
        for actor in actors(host)
        if actor.port is not None
    ]
    return Connections(
        tcp_by_state={
            "established": now.connections,
            "listen": len(listening) - 1,
            "time-wait": round(now.connections * 0.35),
            "close-wait": round(now.connections * 0.01),
            "syn-recv": round(now.busy * 3),
        },
        udp_sockets=4,
        listening=tuple(sorted(listening, key=lambda each: each.port)),
    )


def users(host: Host, now: Signs, began_wall_s: float) -> Users:
    """Who is logged in."""
    since_s = math.floor(now.at_s / _PERSON_S) * _PERSON_S
    sessions = [
        UserSession(
            user=PEOPLE[scramble(host.key, round(since_s), place) % len(PEOPLE)],
            terminal=f"pts/{place}",
            host=f"10.9.0.{20 + scramble(host.key, place) % 60}",
            started_wall_s=round(began_wall_s + since_s),
        )
        for place in range(now.people)
    ]
    return Users(tuple(sessions))


def _rows(host: Host, now: Signs) -> Iterator[Process]:
    hog_cpus = now.hog.cpus if now.hog else 0.0
    computing = max(0.0, now.busy * host.cpus - hog_cpus)
    held_bytes = host.memory_kib * 1024 * now.memory * HELD_BY_PROGRAMS
    up_s = now.at_s - now.booted_s
    for actor in actors(host):
        key = scramble(host.key, actor.pid)
        cpu = computing * actor.cpu * (0.5 + drift(key, now.at_s, 5.0))
        rss_bytes = actor.rss_bytes + held_bytes * actor.memory * (0.9 + 0.2 * unit(key))
        yield Process(
            pid=actor.pid,
            parent_pid=actor.parent_pid,
            name=actor.name,
            state=_state(actor, cpu, now),
            threads=actor.threads,
            rss_bytes=round(rss_bytes) // _PAGE_BYTES * _PAGE_BYTES,
            user=actor.user,
            cpu_ratio=AGENT_CPU if actor.name == "heartline" else cpu,
            age_s=max(0.0, up_s - 4 - actor.pid / 400),
            open_files=6 + scramble(key) % 90 if actor.port is None else 40 + now.connections // 3,
        )
    if now.hog is not None:
        name, user = RUNAWAYS[now.hog.key % len(RUNAWAYS)]
        yield Process(
            pid=FIRST_PID + PIDS + now.hog.key % 20_000,
            parent_pid=300 + 37 * 4,
            name=name,
            state="running",
            threads=max(1, round(hog_cpus)),
            rss_bytes=(310 + now.hog.key % 900) * MIB,
            user=user,
            cpu_ratio=hog_cpus * (0.96 + 0.04 * drift(now.hog.key, now.at_s, 5.0)),
            age_s=now.at_s - now.hog.since_s,
            open_files=7,
        )


def _state(actor: Actor, cpu: float, now: Signs) -> str:
    if now.stuck_since_s is not None and actor.name in {"python3", "walg", "gitlab-runner"}:
        return "disk-sleep"
    return "running" if cpu > _BUSY_PROCESS else "sleeping"
