"""A viewer's link to its master, driven by asyncio.

The client dials, greets, watches and hands on what comes, for as long as it is left running. Losing
the master is a state, not an end: it dials again by itself, after a jittered back-off. After a
refusal that dialling again cannot cure it waits until somebody asks for another attempt.
"""

import asyncio
import contextlib
import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle
from typing import Final, NoReturn

from shared import VERSION
from shared import messages as m
from shared.backoff import delays_s
from shared.connection import ClientConnection, Phase
from shared.errors import DeniedError, LinkBrokenError, RemoteProtocolError, UserError
from shared.text import clean
from tui.credentials import Renewal
from tui.link import Link, LinkState, Viewer
from tui.target import CONNECT_TIMEOUT_S, Target, TlsTarget, explained, opened

FIRST_PING_S: Final = 1.0
"""After the welcome: by then the first picture is painted and does not count as delay."""

PING_EVERY_S: Final = 10.0
"""Keeps a silent link apart from a dead one, and measures the delay of a busy one."""

READ_TIMEOUT_S: Final = 45.0
"""Silence of four pings: the master, or the way to it, is gone."""

RETRY_CAP_S: Final = 5.0
"""Somebody is looking: shorter than an agent's cap, and a master has few viewers."""

STEADY_S: Final = 10.0
"""A link that lived so long was a success: the next back-off starts anew."""

FAREWELL_S: Final = 1.0
"""How long closing may take before the connection is dropped."""

_READ_BYTES: Final = 64 * 1024

_HOPELESS: Final = m.Refusal.FINAL | {m.Refusal.VERSION}
"""Refusals that stay until a person does something about them."""


class Client:
    """Keeps one viewer linked to one of the `targets`, which are dialled in turn. Use each for one
    `run` at a time."""

    def __init__(self, *targets: Target, rng: random.Random | None = None) -> None:
        self._targets = targets
        self._rng = rng or random.Random()  # noqa: S311 - spreads retries, keeps no secret
        self._retry = asyncio.Event()
        self._session: _Session | None = None

    def __repr__(self) -> str:
        return f"<Client of {', '.join(map(str, self._targets))}>"

    def retry_now(self) -> None:
        """Ends the current wait for the next attempt. Does nothing on a live link."""
        self._retry.set()

    def send(self, message: m.FromViewer) -> None:
        """Says `message` to the master at once; without a live link it is forgotten."""
        if self._session is not None:
            self._session.send(message)

    async def run(self, viewer: Viewer) -> None:
        """Reports the link and every message to `viewer`, until cancelled.

        Cancelling says goodbye and closes the connection, within `FAREWELL_S`.
        """
        loop = asyncio.get_running_loop()
        targets = cycle(self._targets)
        target = next(targets)
        link = Link(LinkState.CONNECTING, loop.time(), str(target))
        away = LinkState.CONNECTING
        delays = self._delays()
        while True:
            viewer.on_link(link)
            session = self._session = _Session(viewer, link, target, self._rng)
            try:
                hopeless, reason = await session.run()
            finally:
                self._session = None
            now_s = loop.time()
            is_steady = False
            if session.link.state is LinkState.LIVE:
                away = LinkState.LOST
                is_steady = now_s - session.link.since_s >= STEADY_S
            if is_steady:
                delays = self._delays()
            else:
                target = next(targets)
            wait_s = None if hopeless else next(delays)
            link = replace(
                _entering(session.link, LinkState.REFUSED if hopeless else away, now_s),
                reason=reason,
                retry_at_s=None if wait_s is None else now_s + wait_s,
                delay_s=None,
            )
            viewer.on_link(link)
            await self._wait(wait_s)
            link = _entering(link, away, loop.time())
            link = replace(link, address=str(target), retry_at_s=None)

    def _delays(self) -> Iterator[float]:
        return delays_s(self._rng, cap_s=RETRY_CAP_S)

    async def _wait(self, seconds: float | None) -> None:
        """Until the time is over (None: never) or `retry_now` is called."""
        self._retry.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._retry.wait()


def _entering(link: Link, state: LinkState, now_s: float) -> Link:
    """`link` in `state`, since now unless it was in it already."""
    return link if link.state is state else replace(link, state=state, since_s=now_s)


class _Session:
    """One connection, from dialling to its end. `link` is live once the viewer was welcomed."""

    def __init__(self, viewer: Viewer, link: Link, target: Target, rng: random.Random) -> None:
        self.link = link
        self._viewer = viewer
        self._target = target
        self._credentials = target.credentials if isinstance(target, TlsTarget) else None
        self._renewal = Renewal(self._credentials, rng)
        self._connection = ClientConnection()
        self._parting = m.Parting.STOPPED
        self._silent_at_s = 0.0
        self._ping_at_s = 0.0
        self._ping_token = 0
        self._ping_sent_s = 0.0
        self._writer: asyncio.StreamWriter | None = None

    def send(self, message: m.FromViewer) -> None:
        """Writes `message` if the link is live; the reading loop waits where the peer is slow."""
        if self._writer is not None and self.link.state is LinkState.LIVE:
            self._writer.write(self._connection.send(message))

    async def run(self) -> tuple[bool, str]:
        """Returns, once the link has ended, whether dialling again is hopeless, and the reason."""
        try:
            reader, writer = await opened(self._target)
            self._writer = writer
            try:
                await self._converse(reader, writer)
            except RemoteProtocolError as error:
                writer.write(self._connection.farewell(error.code, error.text))
                raise
            finally:
                self._writer = None
                await self._close(writer)
        except DeniedError as error:
            has_another_key = (
                error.code in m.Refusal.FINAL
                and self._credentials is not None
                and self._credentials.refused()
            )
            return error.code in _HOPELESS and not has_another_key, clean(str(error))
        except UserError as error:
            return True, clean(str(error))
        except (LinkBrokenError, RemoteProtocolError) as error:
            return False, clean(str(error))
        except OSError as error:
            return False, clean(explained(error, self._target))

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> NoReturn:
        loop = asyncio.get_running_loop()
        self._silent_at_s = self._ping_at_s = loop.time() + CONNECT_TIMEOUT_S
        writer.write(self._connection.send(m.ViewerHello(m.PROTOCOL_MIN, m.PROTOCOL_MAX, VERSION)))
        while True:
            scope = asyncio.timeout_at(min(self._silent_at_s, self._ping_at_s, self._renewal.due_s))
            try:
                async with scope:
                    await writer.drain()
                    data = await reader.read(_READ_BYTES)
            except TimeoutError:
                if not scope.expired():
                    raise
                data = None
            self._receive(data, loop.time(), writer)
            if loop.time() >= self._renewal.due_s:
                request = await self._renewal.request(loop.time())
                if request is not None:
                    writer.write(self._connection.send(request))

    def _receive(self, data: bytes | None, now_s: float, writer: asyncio.StreamWriter) -> None:
        """What came (None: nothing in time; empty: the end), and what is due by now."""
        if data is None and now_s >= self._silent_at_s:
            self._parting = m.Parting.SILENT
            raise LinkBrokenError("the master does not answer")
        if data == b"":
            raise LinkBrokenError("the master closed the link")
        for message in self._connection.receive(data or b""):
            self._take(message, now_s, writer)
        if self.link.state is not LinkState.LIVE:
            return
        if data:
            self._silent_at_s = now_s + READ_TIMEOUT_S
        if now_s >= self._ping_at_s:
            self._ping_at_s = now_s + PING_EVERY_S
            self._ping_token += 1
            self._ping_sent_s = now_s
            writer.write(self._connection.send(m.Ping(self._ping_token)))

    def _take(self, message: m.FromMaster, now_s: float, writer: asyncio.StreamWriter) -> None:
        match message:
            case m.ViewerWelcome():
                writer.write(self._connection.send(m.Watch()))
                self._renewal.welcomed(message, now_s)
                self._ping_at_s = now_s + FIRST_PING_S
                self._report(
                    replace(
                        _entering(self.link, LinkState.LIVE, now_s),
                        reason="",
                        cluster=clean(message.cluster),
                        master_version=clean(message.software),
                    )
                )
            case m.RenewFirst():
                self._renewal.demanded(now_s)
            case m.Renewed():
                self._take_renewed(message)
            case m.Ping():
                writer.write(self._connection.send(m.Pong(message.token)))
            case m.Pong():
                if message.token == self._ping_token:
                    self._report(replace(self.link, delay_s=now_s - self._ping_sent_s))
            case m.Deny() | m.Goodbye(code=m.Parting.REVOKED):
                raise DeniedError(message.code, message.text or "the master refused this viewer")
            case m.Goodbye():
                raise LinkBrokenError(_PARTINGS.get(message.code) or message.text or message.code)
            case _:
                self._viewer.on_message(message, now_s)

    def _take_renewed(self, renewed: m.Renewed) -> None:
        if self.link.state is LinkState.LIVE:
            # Where it cannot be kept, it is asked for again; the old one is still good.
            with contextlib.suppress(UserError):
                self._renewal.take(renewed)
            return
        self._renewal.take(renewed)
        raise LinkBrokenError("the certificate had expired and was renewed")

    def _report(self, link: Link) -> None:
        self.link = link
        self._viewer.on_link(link)

    async def _close(self, writer: asyncio.StreamWriter) -> None:
        if self._connection.phase is Phase.VIEWING:
            writer.write(self._connection.send(m.Goodbye(self._parting)))
        writer.close()
        try:
            async with asyncio.timeout(FAREWELL_S):
                await writer.wait_closed()
        except OSError:  # a timeout too: the peer is not there to take leave of
            writer.transport.abort()


_PARTINGS: Final = {
    m.Parting.STOPPED: "the master was stopped",
    m.Parting.RESTARTING: "the master is restarting",
    m.Parting.SILENT: "the master heard nothing from this viewer",
    m.Parting.SLOW: "this viewer read too slowly",
}
