"""Who has to do with a master under soak beside its agents: the operator, who lets new hosts in and
forgets old ones, and viewers, who look for a while and go."""

import random
import time
from pathlib import Path
from typing import Final

from bench.density.identities import Credentials
from heartline.access import Choice, open_control
from heartline.control import Control
from heartline.viewer import join_as_viewer
from shared import VERSION
from shared import messages as m
from shared.addresses import parse_address
from shared.certificates import new_key_and_request
from shared.clock import wall_ms
from shared.joining import join
from shared.paths import StateFolder
from shared.tokens import Token, parse_token

TOKEN_USES: Final = 50
"""Newcomers to a token: then it is used up, and another one is made."""

NEWCOMERS_ADDRESS: Final = "127.0.1.1"
"""Where newcomers dial from, once they have joined."""

PAST_S: Final = 600
"""How far viewers look back."""


class Operator:
    """Lets nodes in and forgets them, as the commands on the master's host do."""

    def __init__(self, folder: StateFolder, master: str) -> None:
        self._folder = folder
        self._address = parse_address(master)
        self._token: Token | None = None
        self._uses_left = 0

    async def enrol(self, name: str) -> Credentials:
        """A new node, by the conversation that joining is.

        Raises:
            HeartlineError: the master did not let it in.
        """
        if not self._uses_left:
            self._token = parse_token(self.token("agent", TOKEN_USES))
            self._uses_left = TOKEN_USES
        assert self._token is not None
        self._uses_left -= 1
        key_pem, csr_der = new_key_and_request()
        joined = await join(self._address, self._token, csr_der, name, VERSION, role="agent")
        return Credentials(joined.identity, NEWCOMERS_ADDRESS, key_pem + joined.certificate_pem)

    def forget(self, node_id: str) -> None:
        """Forgets a node, linked or not."""
        with Control.open(self._folder) as control:
            control.ask(lambda number: m.ForgetNode(number, node_id), m.Done)

    def token(self, role: str, uses: int) -> str:
        """A new token for so many newcomers."""
        with Control.open(self._folder) as control:
            made = control.ask(
                lambda number: m.CreateToken(number, role, 3600, uses), m.TokenCreated
            )
        return made.token


class Looker(Control):
    """A viewer that also looks at one node closely."""

    def look_at(self, node_id: str, length_s: float) -> int:
        """Has everything about a node sent for so long; how many messages came."""
        self._send(m.FocusNode(node_id))
        until_s, messages = time.monotonic() + length_s, 0
        while self._next(until_s) is not None:
            messages += 1
        return messages


class Viewers:
    """People: one at the master's host, with the dashboard, and one elsewhere, with commands."""

    def __init__(self, folder: StateFolder, root: Path, operator: Operator, master: str) -> None:
        self._folder = folder
        self._elsewhere = Choice(StateFolder(root / "viewer"), (master,), is_elsewhere=True)
        self._operator = operator

    def join(self) -> None:
        """The one elsewhere joins. Blocks, and runs an event loop: in a thread."""
        token = self._operator.token("viewer", 1)
        join_as_viewer(self._elsewhere.folder, token, self._elsewhere.masters)

    def look_here(self, rng: random.Random, length_s: float) -> None:
        """The whole fleet, and for a while every change of it, with one node in focus. Blocks."""
        with Looker.open(self._folder) as looker:
            node_id = _any(looker, rng)
            if node_id:
                looker.ask(lambda number: m.GetNode(number, node_id), m.NodeDetail)
                looker.look_at(node_id, length_s)

    def look_from_elsewhere(self, rng: random.Random) -> None:
        """Asks once for everything that commands ask for, over TLS. Blocks."""
        with open_control(self._elsewhere) as control:
            node_id = _any(control, rng)
            if not node_id:
                return
            until = wall_ms()
            since = until - PAST_S * 1000
            control.ask(lambda number: m.ListEvents(number, 100), m.Events)
            control.ask(lambda number: m.ListOutages(number, 100), m.Outages)
            control.gather(lambda number: m.GetFleetAt(number, until - 60_000), m.FleetAt)
            control.gather(lambda number: m.GetCoverage(number, "", since, until), m.CoverageOf)
            control.ask(
                lambda number: m.GetSeries(number, node_id, ("cpu_busy_bp",), since, until, 100),
                m.Series,
            )


def _any(control: Control, rng: random.Random) -> str:
    """The id of a node of the fleet, which is sent whole; empty when there is none."""
    ids = sorted(info.node_id for piece in control.snapshot() for info in piece.infos)
    return rng.choice(ids) if ids else ""
