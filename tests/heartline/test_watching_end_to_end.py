"""Looking at a node with real processes: it is measured more finely, and then no more."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared import messages as m
from shared.connection import ClientConnection
from shared.families import Processes, decode_family
from shared.paths import StateFolder
from shared.unix_socket import short_path
from tests.heartline.processes import up

FINE_S = 1.0
ORDINARY_S = 5.0
ENOUGH_S = 30.0
"""Far more than anything here takes."""


class Onlooker:
    """A viewer on the unix socket that speaks the protocol by hand."""

    def __init__(self, root: Path) -> None:
        self._stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with short_path(StateFolder(root).socket) as path:
            self._stream.connect(path)
        self._connection = ClientConnection()
        self.send(m.ViewerHello(m.PROTOCOL_MIN, m.PROTOCOL_MAX, "0.1.0"))
        assert isinstance(next(self.messages(5)), m.ViewerWelcome)

    def __enter__(self) -> "Onlooker":
        return self

    def __exit__(self, *_: object) -> None:
        """Vanishes without a word."""
        self._stream.close()

    def send(self, message: m.ViewerHello | m.FromViewer) -> None:
        self._stream.sendall(self._connection.send(message))

    def messages(self, seconds: float) -> Iterator[m.FromMaster]:
        """What comes in so many seconds."""
        deadline_s = time.monotonic() + seconds
        while (left_s := deadline_s - time.monotonic()) > 0:
            self._stream.settimeout(left_s)
            try:
                data = self._stream.recv(65536)
            except TimeoutError:
                return
            assert data, "the master closed the link"
            yield from self._connection.receive(data)

    def node_id(self) -> str:
        """The only node's, from the fleet that is sent from now on."""
        self.send(m.Watch())
        for message in self.messages(5):
            if isinstance(message, m.Snapshot):
                return message.infos[0].node_id
        raise AssertionError("no snapshot")

    def await_cadence(self, period_s: float, tables: int = 0) -> None:
        """Until two beats have come so far apart, while their period was shown as this, and so
        many process tables with them."""
        seen_ms, gap_ms = 0, 0
        for message in self.messages(ENOUGH_S):
            match message:
                case m.Delta(vitals=(vitals, *_)) if vitals.period_ms != period_s * 1000:
                    gap_ms = 0
                case m.Delta(vitals=(vitals, *_)) if vitals.seen_mono_ms != seen_ms:
                    gap_ms = (vitals.seen_mono_ms or 0) - seen_ms
                    seen_ms += gap_ms
                case m.FocusUpdate(sample=m.FamilySample(family="processes", data=data)):
                    processes = decode_family("processes", data)
                    tables -= isinstance(processes, Processes) and bool(processes.largest)
                case _:
                    pass
            if abs(gap_ms / 1000 - period_s) < 0.2 * period_s and tables <= 0:
                return
        raise AssertionError(f"the last beats were {gap_ms} ms apart, {tables} tables are missing")


@pytest.mark.timeout(90)
def test_node_is_measured_finely_while_somebody_looks_and_as_before_when_they_vanish(
    tmp_path: Path,
) -> None:
    with up(tmp_path):
        with Onlooker(tmp_path) as onlooker:
            onlooker.send(m.FocusNode(onlooker.node_id()))
            onlooker.await_cadence(FINE_S, tables=2)
        with Onlooker(tmp_path) as later:
            later.node_id()
            later.await_cadence(ORDINARY_S)
