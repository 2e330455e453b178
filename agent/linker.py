"""Keeping a link: dial, beat, and whatever ends the link, dial again.

The one thing that must not happen is an agent that lives while its link is dead. So: every wait has
an end (dialling, reading, writing), every end leads back to dialling, names are resolved anew each
time and the masters tried in turn. Only a master's final refusal stops it, and that is said.
"""

import logging
import random
import ssl
from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import partial
from itertools import cycle
from typing import Final, Protocol, TypeAlias

import trio
from msgspec import Struct
from msgspec.structs import replace

from agent import renewal
from agent.attention import Attention
from agent.greeting import AgentLink, greet
from agent.heart import Heart
from agent.identity import Identity, IdentityFolder
from agent.keys import KeyMakingError
from agent.lastwords import Run
from agent.patience import Patience
from agent.spooler import Spooler
from shared import VERSION
from shared import messages as m
from shared.addresses import Address, parse_address
from shared.backoff import delays_s
from shared.dialling import connect
from shared.errors import (
    DeniedError,
    HeartlineError,
    IdentityError,
    LinkBrokenError,
    RemoteProtocolError,
)
from shared.messages import Parting, Refusal
from shared.renewal import renewal_due_in_s, renewal_retry_s
from shared.settings import AgentSettings, LinkSettings
from shared.stream import LinkStream

Dial: TypeAlias = Callable[[Address, ssl.SSLContext, str], Awaitable[LinkStream]]
"""Connects to the master of this name at an address; raises LinkBrokenError. See
`shared.dialling`."""

DIAL_S: Final = 10.0
"""From the name to the welcome. A master that is frozen accepts and says nothing: try again, or the
next."""

STABLE_S: Final = 10.0
"""A link that lasted this long was a good one: the back-off begins anew. A master that welcomes and
breaks off at once is not hammered."""

DISPLACED_S: Final = (2.0, 4.0)
"""How soon an agent looks again whose place another took after a long time: if both are alive, the
master is to know before it believes that this one ended."""

CONTESTING_S: Final = (5.0, 10.0)
"""The same when it is taken again and again: so slowly that two copies of one identity cost nobody
much, and so soon that the node is not missed when one of them ends."""

CONTESTED_S: Final = 60.0
"""A link that was taken over sooner than this is contested."""

RENEWED_S: Final = 1.0
"""A link on which the key was due for renewal this late, and was renewed, was a good one too,
however short a life certificates are given. Sooner happens to a host that was off for long, once: a
master that wants it over and over is not to keep this host busy with keys and handshakes."""

_log: Final = logging.getLogger(__name__)


class Ending(Struct, frozen=True):
    """How a link ended: `code` is the master's, or empty when it broke."""

    code: str
    text: str
    again_at_once: bool = False
    """There is another key to dial with."""
    was_good: bool = False
    """It did what it was for, however short it was."""


class Memory(Protocol):
    """The witness (`agent.witness`), as this sees it."""

    @property
    def this_run(self) -> Run: ...

    def dialling(self) -> None: ...

    def failed(self, error: HeartlineError) -> None: ...

    def linked(self, sequence: int) -> m.Returned: ...

    def acknowledged(self, acked: int, sequence: int) -> m.Returned | None: ...

    def link_ended(self, code: str, error: str, silence_s: float) -> None: ...


class Linker:
    """Owns the link. `run` it for the life of the process; `post_bulk` through it; `leave` ends
    it."""

    def __init__(
        self,
        folder: IdentityFolder,
        identity: Identity,
        settings: AgentSettings,
        link_settings: LinkSettings,
        *,
        heart: Heart,
        spooler: Spooler,
        attention: Attention,
        witness: Memory,
        everything: Callable[[], Iterable[m.FromAgent]],
        rng: random.Random,
        dial: Dial = connect,
    ) -> None:
        self._folder = folder
        self._identity = identity
        self._settings = settings
        self._patience = Patience(link_settings)
        self._heart = heart
        self._spooler = spooler
        self._attention = attention
        self._witness = witness
        self._everything = everything
        self._rng = rng
        self._connect = dial
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._link: AgentLink | None = None
        self._nursery: trio.Nursery | None = None
        self._scope = trio.CancelScope()
        self._leaving: str | None = None

    def __repr__(self) -> str:
        return f"<Linker {self._identity.name} {self._link!r}>"

    async def run(self) -> None:
        """Links, for ever, until `leave`.

        Raises:
            DeniedError: the master refused for good.
            IdentityError: the agent's own key or certificate cannot be used.
        """
        with self._scope:
            await self._keep_linking()
        await self._say_goodbye()

    def leave(self, reason: str) -> None:
        """Says goodbye, for this reason, and makes `run` return."""
        self._leaving = reason
        self._scope.cancel()

    def post_bulk(self, message: m.FromAgent) -> None:
        """Sends a long message, after everything urgent.

        Without a link, or where there is no room, it is dropped: the next reading comes, and a new
        link begins with `everything`.
        """
        if self._link is not None:
            self._link.post_bulk(message)

    async def _keep_linking(self) -> None:
        delays = delays_s(self._rng)
        masters = cycle(self._masters())
        address = next(masters)
        was_at_once = False
        while True:
            began_s = trio.current_time()
            ending = await self._one_link(address)
            if ending.code == Parting.REVOKED:
                raise DeniedError(ending.code, ending.text)
            lasted_s = trio.current_time() - began_s
            was_good = ending.was_good or lasted_s >= STABLE_S
            if was_good:
                delays = delays_s(self._rng)
            was_at_once = ending.again_at_once and (was_good or not was_at_once)
            if was_at_once:
                continue
            delay_s = self._delay_s(ending, lasted_s, delays)
            _log.warning(
                "link ended",
                extra={
                    "master": str(address),
                    "reason": ending.text,
                    "again_in_s": round(delay_s, 1),
                },
            )
            if not was_good:
                address = next(masters)
            await trio.sleep(delay_s)

    def _masters(self) -> list[Address]:
        return [parse_address(text) for text in self._settings.master or self._identity.masters]

    def _delay_s(self, ending: Ending, lasted_s: float, delays: Iterator[float]) -> float:
        if ending.code == Parting.REPLACED:
            # Another agent has this identity. Both go on trying, so that the conflict shows.
            is_contested = lasted_s < CONTESTED_S
            return self._rng.uniform(*(CONTESTING_S if is_contested else DISPLACED_S))
        return next(delays)

    async def _one_link(self, address: Address) -> Ending:
        slot = self._identity.trying or self._identity.slot
        self._witness.dialling()
        try:
            link, answer = await self._dial(address, self._context(slot))
        except LinkBrokenError as error:
            self._witness.failed(error)
            return Ending("", str(error))
        except IdentityError as error:
            return self._without(slot, error)
        except DeniedError as error:
            self._witness.failed(error)
            if error.code in Refusal.FINAL:
                return self._without(slot, error)
            return Ending(error.code, str(error))
        match answer:
            case m.Welcome():
                self._identity = self._folder.settle(self._identity, slot)
                _log.info("linked", extra={"master": str(address), "node": answer.name})
                return await self._linked(link, answer)
            case m.RenewFirst():
                return await self._renew_first(link)

    async def _dial(
        self, address: Address, context: ssl.SSLContext
    ) -> tuple[AgentLink, m.Welcome | m.RenewFirst]:
        run = self._witness.this_run
        hello = m.AgentHello(
            m.PROTOCOL_MIN, m.PROTOCOL_MAX, VERSION, run.boot_id, run.started_mono_ms
        )
        try:
            with trio.fail_after(DIAL_S):
                stream = await self._connect(address, context, self._identity.server_name)
                return await greet(stream, hello, self._blocked)
        except trio.TooSlowError as error:
            raise LinkBrokenError(f"no answer within {DIAL_S:g} s") from error

    def _context(self, slot: str) -> ssl.SSLContext:
        # Read once: a disk that fails later does not keep a running agent from dialling.
        if slot not in self._contexts:
            self._contexts = {slot: self._folder.context(slot)}
        return self._contexts[slot]

    def _without(self, slot: str, error: DeniedError | IdentityError) -> Ending:
        if slot != self._identity.trying:
            raise error
        # The renewed key never reached the master, or this disk: the one before still counts.
        _log.warning("the renewed key is no good", extra={"reason": str(error)})
        self._identity = self._folder.settle(self._identity, self._identity.slot)
        return Ending("", str(error), again_at_once=True)

    async def _linked(self, link: AgentLink, welcome: m.Welcome) -> Ending:
        self._link = link
        self._spooler.link_began()
        self._attention.set_period(welcome.period_ms)
        renewal_in_s = renewal_due_in_s(welcome, self._rng)
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(self._spooler.replay, link)
                nursery.start_soon(self._attention.run)
                nursery.start_soon(self._patience.keep, link)
                nursery.start_soon(
                    self._renew_in_time, link, renewal_in_s, renewal_retry_s(welcome)
                )
                for message in self._everything():
                    link.post_bulk(message)
                link.post(self._witness.linked(self._heart.sequence))
                with self._heart.linked(partial(self._beat, link)):
                    ending = await self._read(link)
                nursery.cancel_scope.cancel()
            silence_s = trio.current_time() - link.heard_s
            self._witness.link_ended(ending.code, ending.text, silence_s)
            await link.finish()
        finally:
            self._nursery = None
            if self._leaving is None:  # else there is still a goodbye to be said
                link.break_off("closed on this side")
                self._link = None
        return replace(ending, was_good=ending.again_at_once and renewal_in_s >= RENEWED_S)

    async def _read(self, link: AgentLink) -> Ending:
        try:
            while True:
                for message in await link.receive():
                    match message:
                        case m.Ack(sequence, stored):
                            self._spooler.beats_stored(stored)
                            self._acknowledged(link, sequence)
                        case m.Stored():
                            self._spooler.stored(message)
                        case m.Ping(token):
                            link.post(m.Pong(token))
                        case m.Cadence(period_ms):
                            self._attention.set_period(period_ms)
                        case m.Attend():
                            self._attention.attend(message)
                        case m.Renewed() if self._take_renewed(message):
                            link.post_farewell(Parting.RENEWED)
                            return Ending("", "the key was renewed", again_at_once=True)
                        case m.Goodbye(code, text):
                            return Ending(code, text or code)
                        case _:
                            pass  # a pong: that it came is all it says
        except LinkBrokenError as error:
            return Ending("", str(error))
        except RemoteProtocolError as error:
            link.post_farewell(error.code, error.text)
            return Ending("", f"the master broke the protocol: {error.text}")

    def _beat(self, link: AgentLink, beat: m.Beat) -> None:
        link.post(beat)
        self._spooler.beat_sent(beat.sequence)

    def _acknowledged(self, link: AgentLink, sequence: int) -> None:
        told = self._witness.acknowledged(sequence, self._heart.sequence)
        if told is not None:
            link.post(told)

    async def _renew_in_time(self, link: AgentLink, due_in_s: float, retry_s: float) -> None:
        await trio.sleep(due_in_s)
        while True:
            try:
                link.post(await renewal.begin(self._folder, self._identity))
            except (KeyMakingError, IdentityError) as error:
                _log.error("the key cannot be renewed now", extra={"reason": str(error)})
            await trio.sleep(retry_s)

    async def _renew_first(self, link: AgentLink) -> Ending:
        try:
            with trio.fail_after(DIAL_S):
                link.post(await renewal.begin(self._folder, self._identity))
                while True:
                    for message in await link.receive():
                        match message:
                            case m.Renewed() if self._take_renewed(message):
                                return Ending("", "the expired key was renewed", again_at_once=True)
                            case m.Deny(code, text):
                                return Ending(code, text)
                            case _:
                                return Ending("", "the expired key could not be renewed")
        except (HeartlineError, trio.TooSlowError) as error:
            return Ending("", f"the expired key was not renewed: {error}")
        finally:
            link.break_off("done")

    def _take_renewed(self, renewed: m.Renewed) -> bool:
        try:
            self._identity = renewal.complete(self._folder, self._identity, renewed)
        except IdentityError as error:
            _log.error("the renewed certificate cannot be kept", extra={"reason": str(error)})
            return False
        return True

    def _blocked(self) -> None:
        if self._link is not None and self._nursery is not None:
            self._nursery.start_soon(self._link.drain)
            self._patience.look_again()

    async def _say_goodbye(self) -> None:
        link, self._link = self._link, None
        if link is not None and self._leaving is not None:
            link.post_farewell(Parting.STOPPED, self._leaving)
            await link.finish()
