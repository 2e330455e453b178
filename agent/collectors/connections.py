"""Connections: TCP by state, UDP sockets, the ports listened on and whose they are."""

import sys

import psutil

from agent.collectors.reading import Reading
from agent.collectors.socket_table import Listening, Read, reader
from shared.families import ROWS_LIMIT, Connections, Listener
from shared.metrics import Family


class ConnectionsCollector:
    """The sockets of the network namespace that the agent runs in."""

    family: Family = "connections"

    def __init__(self, read: Read | None = None) -> None:
        self._read = read or reader()

    def collect(self, now_s: float) -> Reading:
        """See `Collector`."""
        try:
            table = self._read(now_s)
        except psutil.AccessDenied:
            reason = f"not permitted to this user on {sys.platform}"
            return Reading(Connections({}, 0, absent={"connections": reason}), {})
        rows = unique(table.listening)
        unowned = sum([row.pid is None for row in rows])
        data = Connections(
            tcp_by_state=dict(table.tcp_by_state),
            udp_sockets=table.udp_sockets,
            listening=tuple(rows[:ROWS_LIMIT]),
            left_out=max(0, len(rows) - ROWS_LIMIT),
            absent=(
                {"process": f"not known for {unowned} of {len(rows)} listening sockets"}
                if unowned
                else {}
            ),
        )
        core = {
            "tcp_established": table.tcp_by_state["established"],
            "tcp_listening": table.tcp_by_state["listen"],
            "tcp_time_wait": table.tcp_by_state["time-wait"],
            "tcp_close_wait": table.tcp_by_state["close-wait"],
            "udp_sockets": table.udp_sockets,
        }
        return Reading(data, core)


def unique(listening: list[Listening]) -> list[Listener]:
    """Each address, port and process once (SO_REUSEPORT makes many sockets), by port."""
    rows = {
        (row.port, row.protocol, row.address, row.pid): Listener(
            row.protocol, row.address, row.port, row.pid, row.process
        )
        for row in listening
    }
    return [rows[key] for key in sorted(rows, key=lambda key: (*key[:3], key[3] or 0))]
