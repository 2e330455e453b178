"""The short numbers by which rows of the history name nodes and runs of agents."""

import sqlite3
from typing import Final, NamedTuple

from master.history.database import insert


class NewRun(NamedTuple):
    """A row of `runs`."""

    number: int
    node: int
    boot_id: str
    started_mono_ms: int


class Numbers:
    """All numbers that were given. What is new is good at once, and has to be stored together with
    the first row that uses it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Reads those that are on disk."""
        nodes = connection.execute("SELECT node_id, number FROM nodes").fetchall()
        runs = connection.execute("SELECT number, node, boot_id, started_mono_ms FROM runs")
        self._nodes: dict[str, int] = dict(nodes)
        self._runs: dict[tuple[int, str, int], int] = {
            (node, boot_id, started_mono_ms): number
            for number, node, boot_id, started_mono_ms in runs
        }
        (forgotten,) = connection.execute("SELECT max(node) FROM forgotten").fetchone()
        self._last_node = max([forgotten or 0, *self._nodes.values()])
        self._last_run = max(self._runs.values(), default=0)
        self.new_nodes: Final = dict[str, int]()
        self.new_runs: Final = list[NewRun]()
        self.new_forgotten: Final = list[int]()

    def __repr__(self) -> str:
        return f"<Numbers of {len(self._nodes)} nodes, {len(self._runs)} runs>"

    def node(self, node_id: str) -> int:
        """A node's number; a new one for a node that has none."""
        number = self._nodes.get(node_id)
        if number is None:
            self._last_node = number = self._last_node + 1
            self._nodes[node_id] = number
            self.new_nodes[node_id] = number
        return number

    def run(self, node: int, boot_id: str, started_mono_ms: int) -> int:
        """The number of a run of a node's agent; a new one for a run that has none."""
        key = (node, boot_id, started_mono_ms)
        number = self._runs.get(key)
        if number is None:
            self._last_run = number = self._last_run + 1
            self._runs[key] = number
            self.new_runs.append(NewRun(number, *key))
        return number

    def forget(self, node_id: str) -> None:
        """Takes a node's number away, for good."""
        number = self._nodes.pop(node_id, None)
        if number is None:
            return
        self._runs = {key: run for key, run in self._runs.items() if key[0] != number}
        self.new_nodes.pop(node_id, None)
        self.new_runs[:] = [run for run in self.new_runs if run.node != number]
        self.new_forgotten.append(number)

    def write(self, connection: sqlite3.Connection) -> None:
        """Writes what is new, which stays so until `stored`.

        Raises:
            sqlite3.Error: the disk refuses it.
        """
        gone = [(number,) for number in self.new_forgotten]
        nodes = [(number, node_id) for node_id, number in self.new_nodes.items()]
        if gone:
            connection.executemany("DELETE FROM nodes WHERE number = ?", gone)
            insert(connection, "INSERT OR FAIL INTO forgotten", gone)
        insert(connection, "INSERT OR FAIL INTO nodes", nodes)
        insert(connection, "INSERT OR FAIL INTO runs", self.new_runs)

    def stored(self) -> None:
        """What was written is on disk."""
        self.new_nodes.clear()
        self.new_runs.clear()
        self.new_forgotten.clear()
