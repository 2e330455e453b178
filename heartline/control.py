"""One conversation with a master, over its unix socket or TLS, without an event loop.

    with Control.open(folder) as control:
        control.ask(lambda request: RevokeNode(request, "web-1"), Done)

Commands are short and do one thing after another, so plain blocking calls serve them; every wait
has a deadline. The master's pings are answered in passing, and what nobody asked for is skipped.
"""

import logging
import random
import socket
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Final, Self, TypeVar

from heartline.exits import NotFoundError, UnreachableError
from heartline.local_socket import connect
from heartline.viewer_keys import ViewerKeys
from shared import VERSION
from shared import messages as m
from shared.connection import ClientConnection
from shared.errors import DeniedError, HeartlineError, IdentityError, UserError
from shared.paths import StateFolder
from shared.renewal import renewal_due_in_s
from shared.text import clean

ANSWER_S: Final = 10.0
"""How long an answer may take: a master that is busy with a fleet's return is slow, not gone."""

PING_AFTER_S: Final = 10.0
"""Silence after which a master that is only being listened to is asked whether it still lives."""

SILENCE_S: Final = 45.0
"""Silence of more than four pings: it does not."""

RENEWAL_S: Final = 3.0
"""How long a command waits for a new certificate while the old one is still good."""

_log: Final = logging.getLogger(__name__)

_READ_BYTES: Final = 64 * 1024

PAST_S: Final = 60.0
"""The same about the past of a large fleet, which has to be read from the disk."""

Reply = TypeVar(
    "Reply",
    m.NodeDetail,
    m.Events,
    m.Outages,
    m.TokenCreated,
    m.Tokens,
    m.Done,
    m.NodeAt,
    m.Series,
    m.Samples,
)
Piece = TypeVar("Piece", m.FleetAt, m.CoverageOf)


class KeyRenewedError(HeartlineError):
    """The certificate had expired and has been renewed over this link, which ends with that."""


class Control:
    """An established viewer's link. Close it, or use it as a context manager."""

    def __init__(self, stream: socket.socket, place: str) -> None:
        self._stream = stream
        self._place = place
        self._connection = ClientConnection()
        self._incoming: Iterator[m.FromMaster] = iter(())
        self._requests = 0
        self.welcome: m.ViewerWelcome

    def __repr__(self) -> str:
        return f"<Control of {self._place}, {self._connection!r}>"

    @classmethod
    def open(cls, folder: StateFolder, timeout_s: float = ANSWER_S) -> Self:
        """Links to the master that runs on `folder`.

        Raises:
            UnreachableError: none runs there, it may not be reached, or it does not answer.
            DeniedError: it does not want this viewer.
        """
        return cls.over(connect(folder, timeout_s), str(folder.socket), timeout_s)

    @classmethod
    def over(
        cls,
        stream: socket.socket,
        place: str,
        timeout_s: float = ANSWER_S,
        keys: ViewerKeys | None = None,
    ) -> Self:
        """Greets the master at the other end of a connected stream, which this owns from now on.

        `keys` are those that the stream was connected with; they are renewed when it is time.

        Raises:
            UnreachableError: it does not answer.
            DeniedError: it does not want this viewer.
            KeyRenewedError: the certificate had expired and has been renewed: connect again.
        """
        control = cls(stream, place)
        try:
            control._greet(timeout_s, keys)
        except BaseException:
            stream.close()
            raise
        return control

    def close(self) -> None:
        """Ends the link. Says no goodbye: the master knows a closed socket when it sees one."""
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def ask(
        self,
        build: Callable[[int], m.FromViewer],
        expected: type[Reply],
        timeout_s: float = ANSWER_S,
    ) -> Reply:
        """Sends one request, made by `build` from its number, and returns the answer to it.

        Raises:
            NotFoundError: no node or token, or several, go by the name in the request.
            UserError: the master did not carry it out, for another reason.
            UnreachableError: no answer came.
        """
        number = self._request(build)
        deadline_s = time.monotonic() + timeout_s
        while (message := self._next(deadline_s)) is not None:
            if isinstance(message, expected) and message.request == number:
                return message
            if isinstance(message, m.Failed) and message.request == number:
                raise _failure(message)
        raise self._unreachable(f"has not answered within {timeout_s:g} s")

    def follow(self, build: Callable[[int], m.ListEvents]) -> Iterator[tuple[m.Event, ...]]:
        """The answers to a request that follows: for ever, each as it comes.

        Raises:
            UserError: as `ask`.
            UnreachableError: the master went away or has been silent for `SILENCE_S`.
        """
        number = self._request(build)
        for message in self._while_it_lives():
            if isinstance(message, m.Events) and message.request == number:
                yield message.events
            elif isinstance(message, m.Failed) and message.request == number:
                raise _failure(message)

    def wait(self, build: Callable[[int], m.FromViewer]) -> m.Done:
        """Gives an order that takes its time, and waits until it has been carried out.

        Raises:
            UserError: it was not.
            UnreachableError: the master went away or has been silent for `SILENCE_S`.
        """
        number = self._request(build)
        for message in self._while_it_lives():
            if isinstance(message, m.Done) and message.request == number:
                return message
            if isinstance(message, m.Failed) and message.request == number:
                raise _failure(message)
        raise AssertionError("messages end with an error")

    def gather(
        self,
        build: Callable[[int], m.FromViewer],
        expected: type[Piece],
        timeout_s: float = PAST_S,
    ) -> list[Piece]:
        """Sends one request whose answer comes in pieces, and returns them all.

        Raises:
            NotFoundError, UserError: as `ask`.
            UnreachableError: no piece came for `timeout_s`.
        """
        number = self._request(build)
        pieces: list[Piece] = []
        while (message := self._next(time.monotonic() + timeout_s)) is not None:
            if isinstance(message, expected) and message.request == number:
                pieces.append(message)
                if message.last:
                    return pieces
            elif isinstance(message, m.Failed) and message.request == number:
                raise _failure(message)
        raise self._unreachable(f"has not answered within {timeout_s:g} s")

    def snapshot(self, timeout_s: float = ANSWER_S) -> list[m.Snapshot]:
        """The fleet as it is now, in as many pieces as it came.

        Raises:
            UnreachableError: it did not come whole in time.
        """
        self._send(m.Watch())
        deadline_s = time.monotonic() + timeout_s
        pieces: list[m.Snapshot] = []
        while (message := self._next(deadline_s)) is not None:
            if isinstance(message, m.Snapshot):
                pieces.append(message)
                if message.last:
                    return pieces
        raise self._unreachable(f"has not sent its fleet within {timeout_s:g} s")

    def _while_it_lives(self) -> Iterator[m.FromMaster]:
        """Messages as they come, for ever. A master that says nothing for long is asked whether it
        still lives."""
        heard_s = asked_s = time.monotonic()
        while True:
            message = self._next(max(heard_s, asked_s) + PING_AFTER_S)
            now_s = time.monotonic()
            if message is not None:
                heard_s = now_s
                yield message
                continue
            if now_s - heard_s > SILENCE_S:
                raise self._unreachable("has stopped answering")
            asked_s = now_s
            self._send(m.Ping(0))

    def _greet(self, timeout_s: float, keys: ViewerKeys | None) -> None:
        self._send(m.ViewerHello(m.PROTOCOL_MIN, m.PROTOCOL_MAX, VERSION))
        match self._next(time.monotonic() + timeout_s):
            case m.ViewerWelcome() as welcome:
                self.welcome = welcome
                if keys is not None:
                    keys.welcomed()
                    self._renew_in_time(keys)
            case m.RenewFirst() if keys is not None:
                self._renew(keys, timeout_s)
                raise KeyRenewedError
            case m.Deny(code=code, text=text):
                raise DeniedError(code, clean(text))
            case _:
                raise self._unreachable(f"has not answered within {timeout_s:g} s")

    def _renew_in_time(self, keys: ViewerKeys) -> None:
        rng = random.Random()  # noqa: S311 - spreads renewals, keeps no secret
        if not self.welcome.certificate_life_s or renewal_due_in_s(self.welcome, rng) > 0:
            return
        try:
            self._renew(keys, RENEWAL_S)
        except (IdentityError, UnreachableError) as error:
            _log.warning("the certificate is not renewed yet", extra={"reason": str(error)})

    def _renew(self, keys: ViewerKeys, timeout_s: float) -> None:
        self._send(m.Renew(keys.request()))
        deadline_s = time.monotonic() + timeout_s
        while (message := self._next(deadline_s)) is not None:
            match message:
                case m.Renewed(certificate_der):
                    keys.renewed(certificate_der)
                    return
                case m.Deny(code, text):
                    raise DeniedError(code, clean(text))
                case _:
                    pass
        raise self._unreachable(f"has renewed no certificate within {timeout_s:g} s")

    def _request(self, build: Callable[[int], m.FromViewer]) -> int:
        self._requests += 1
        self._send(build(self._requests))
        return self._requests

    def _send(self, message: m.FromViewer | m.ViewerHello) -> None:
        try:
            self._stream.settimeout(ANSWER_S)
            for frame in self._connection.send_bulk(message):
                self._stream.sendall(frame)
        except OSError as error:
            raise self._unreachable("has closed the link") from error

    def _next(self, deadline_s: float) -> m.FromMaster | None:
        """The next message that is not a ping's; None when the time is over."""
        while True:
            for message in self._incoming:
                if isinstance(message, m.Ping):
                    self._send(m.Pong(message.token))
                elif isinstance(message, m.Goodbye):
                    raise self._unreachable(f"said goodbye: {clean(message.text or message.code)}")
                else:
                    return message
            data = self._read(deadline_s)
            if data is None:
                return None
            self._incoming = self._connection.receive(data)

    def _read(self, deadline_s: float) -> bytes | None:
        wait_s = deadline_s - time.monotonic()
        if wait_s <= 0:
            return None
        try:
            self._stream.settimeout(wait_s)
            data = self._stream.recv(_READ_BYTES)
        except TimeoutError:
            return None
        except OSError as error:
            raise self._unreachable("has closed the link") from error
        if not data:
            raise self._unreachable("has closed the link")
        return data

    def _unreachable(self, what: str) -> UnreachableError:
        return UnreachableError(f"the master at {self._place} {what}")


def _failure(message: m.Failed) -> UserError:
    text = clean(message.text) or message.code
    if message.code in {"not-found", "ambiguous"}:
        return NotFoundError(text)
    return UserError(text)
