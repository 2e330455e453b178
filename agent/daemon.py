"""The agent as a process: what it is made of, who starts what, and how it stops.

serve
├ Sampler     reads every family on its own period, in threads
├ Heart       takes a sample on an absolute grid, linked or not: a beat
├ Spooler     keeps on disk what no master has stored
├ Linker      dials, and keeps the link
│ ├ replay      sends what the spool has, behind the beats
│ ├ Attention   a finer cadence for as long as somebody looks
│ ├ reader      acknowledgements, pings, the cadence, renewed keys, goodbyes
│ ├ patience    gives a silent or deaf master up
│ └ renewal     a new key in time
├ Witness     leaves a last word with every beat
├ Watchdog    ends a process whose loop stalls
└ signals     SIGTERM and SIGINT say goodbye and stop
"""

import gc
import logging
import random
import signal
import socket
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Final

import trio

from agent import enrolment
from agent.attention import Attention
from agent.batch import trio_clock
from agent.collectors import collectors
from agent.heart import Heart
from agent.host import boot_id, host_inventory
from agent.identity import Identity, IdentityFolder
from agent.linker import Linker
from agent.sampler import Sampler
from agent.spool_records import RunKey
from agent.spool_ring import SPOOL, Ring
from agent.spooler import Spooler
from agent.watchdog import Watchdog, end_process
from agent.witness import Witness
from shared import messages as m
from shared import service_manager
from shared.clock import wall_ms
from shared.errors import ConfigError, DeniedError
from shared.inventory import Inventory
from shared.messages import Refusal
from shared.metrics import Core
from shared.only_one import only_one
from shared.paths import StateFolder
from shared.settings import AgentSettings, LinkSettings
from shared.text import clean_name
from shared.tokens import cluster_of, parse_token

DEFAULT_PERIOD_S: Final = 5.0
"""Until the master says otherwise in its welcome."""

FIRST_READING_S: Final = 1.0
"""How long the first beat waits for something to report."""

LAST_WORDS: Final = "lastwords"
"""In the agent's part of the state folder."""

_JOIN_ANEW: Final = (
    "to come back as a new node, join with a new token: heartline agent --join TOKEN"
)

_log: Final = logging.getLogger(__name__)


def run(
    folder: StateFolder,
    settings: AgentSettings,
    link: LinkSettings,
    *,
    join_token: str | None = None,
) -> int:
    """Runs an agent until SIGTERM or SIGINT; returns the exit code, 0. Joins first where it has
    not.

    Raises:
        DeniedError: the master refused for good: revoked, superseded, unknown, a token that is no
        good. LinkBrokenError: no master could be reached to join. Once joined, this is retried for
        ever. UserError: not joined and no token, a state folder that cannot be used, or that
        another agent uses.
    """
    folder.ensure()
    taken = f"another agent runs on {folder.root}; stop it, or name another folder with --data"
    with only_one(folder.root, taken):
        _run_alone(folder, settings, link, join_token)
    return 0


def _run_alone(
    folder: StateFolder, settings: AgentSettings, link: LinkSettings, join_token: str | None
) -> None:
    identities = IdentityFolder(folder)
    identity = _joined(folder, identities, settings, join_token)
    if not identity.goes_by(settings.name):
        _log.warning("it keeps the name that it joined with", extra={"node": identity.name})
    try:
        trio.run(serve, identities, identity, settings, link)
    except DeniedError as error:
        if error.code not in Refusal.FINAL:
            raise
        if join_token is None or _has_joined_with(identity, join_token):
            raise DeniedError(error.code, f"{error.text}; {_JOIN_ANEW}") from error
        # The operator has given this host another token since: it is to come back as a new node.
        kept = identities.set_aside(identity.cluster)
        _log.warning("joining anew", extra={"reason": error.text, "kept": str(kept)})
        masters = settings.master or identity.masters
        identity = _join(folder, settings.name, masters, join_token)
        trio.run(serve, identities, identity, settings, link)


async def serve(
    identities: IdentityFolder, identity: Identity, settings: AgentSettings, link: LinkSettings
) -> None:
    """Measures and reports until a signal says stop.

    Raises:
        DeniedError: the master refused for good.
    """
    rng = random.Random()  # noqa: S311 - spreads load; nothing secret
    reports = Reports()
    sampler = Sampler(
        collectors(settings.families),
        settings.families,
        host_inventory(settings.families, dict(settings.labels)),
        reports,
        clock=trio_clock(),
        wall_ms=wall_ms,
    )
    reports.sampler = sampler
    heart = Heart(reports, DEFAULT_PERIOD_S, rng, least_s=settings.period_min_s)
    witness = Witness(
        identities.path / LAST_WORDS,
        boot_id(),
        period_s=lambda: heart.period_s,
        quiet_s=2 * link.ping_after_s,
        sampled=reports.sampled,
    )
    spooler = reports.spooler = Spooler(
        RunKey(witness.this_run.boot_id, witness.this_run.started_mono_ms),
        rng,
        ring=_ring(identities.path / SPOOL, settings),
    )
    linker = Linker(
        identities,
        identity,
        settings,
        link,
        heart=heart,
        spooler=spooler,
        attention=Attention(settings, heart, sampler),
        witness=witness,
        everything=reports.everything,
        rng=rng,
    )
    reports.linker = linker
    try:
        with witness.until_end():
            await _run(
                settings,
                sampler=sampler,
                heart=heart,
                spooler=spooler,
                linker=linker,
                witness=witness,
            )
    except BaseExceptionGroup as group:
        # One task's failure is the program's; a group of one says no more than it.
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from None
        raise


async def _run(
    settings: AgentSettings,
    *,
    sampler: Sampler,
    heart: Heart,
    spooler: Spooler,
    linker: Linker,
    witness: Witness,
) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(sampler.run)
        nursery.start_soon(witness.run)
        nursery.start_soon(spooler.run)
        nursery.start_soon(Watchdog(settings.watchdog_s, partial(_stalled, witness)).run)
        nursery.start_soon(service_manager.keep_alive)
        nursery.start_soon(_leave_on_signal, linker, witness)
        service_manager.notify(service_manager.READY)
        with trio.move_on_after(FIRST_READING_S):
            await sampler.ready.wait()
        gc.freeze()
        nursery.start_soon(heart.run, spooler.key, spooler.take)
        await linker.run()
        service_manager.notify(service_manager.STOPPING)
        nursery.cancel_scope.cancel()


def _ring(path: Path, settings: AgentSettings) -> Ring | None:
    if not settings.spool_bytes:
        return None
    return Ring(path, settings.spool_bytes, settings.spool_hours)


def _stalled(witness: Witness) -> None:
    witness.end("watchdog")
    end_process()


class Reports:
    """Between the sampler, which has something to say, and the link, which may be there. The rest
    of it is set once it is made."""

    sampler: Sampler
    linker: Linker
    spooler: Spooler

    def core(self) -> Core:
        """The latest core sample."""
        return self.sampler.core(trio.current_time())

    def troubles(self) -> tuple[m.Trouble, ...]:
        """What is not measured, or kept, as it should be."""
        return (*self.sampler.troubles(trio.current_time()), *self.spooler.troubles())

    def sampled(self) -> bool:
        """Whether anything at all is known of this host now."""
        return self.core() != Core()

    def align(self, next_beat_s: float, period_s: float) -> None:
        """Reads just before the beats to come."""
        self.sampler.align(next_beat_s, period_s)

    def everything(self) -> Iterable[m.FromAgent]:
        """What a master that has just been linked to does not know yet."""
        inventory = self.sampler.inventory()
        if inventory is not None:
            yield m.InventoryReport(m.raw(inventory))
        yield from self.sampler.samples()

    def on_family(self, sample: m.FamilySample) -> None:
        """A family has been read."""
        self.linker.post_bulk(sample)

    def on_inventory(self, inventory: Inventory) -> None:
        """The inventory is complete, or has changed."""
        self.linker.post_bulk(m.InventoryReport(m.raw(inventory)))


async def _leave_on_signal(linker: Linker, witness: Witness) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            _log.info("stopping", extra={"signal": signal.Signals(number).name})
            linker.leave(signal.Signals(number).name)
            witness.end(signal.Signals(number).name)


def _joined(
    folder: StateFolder,
    identities: IdentityFolder,
    settings: AgentSettings,
    join_token: str | None,
) -> Identity:
    identity = identities.load()
    if join_token is None:
        if identity is None:
            raise ConfigError(
                "this host has not joined a cluster yet; get a token on the master with: "
                "heartline token create, and run: heartline agent --join TOKEN --master HOST:PORT"
            )
        return identity
    cluster = cluster_of(parse_token(join_token).ca_pin)
    if identity is not None:
        if identity.cluster == cluster:
            return identity  # joining is done once; the token may stay in the unit file
        kept = identities.set_aside(identity.cluster)
        _log.warning("leaving another cluster", extra={"was": identity.cluster, "kept": str(kept)})
    return _join(folder, settings.name, settings.master, join_token)


def _join(folder: StateFolder, name: str, masters: tuple[str, ...], join_token: str) -> Identity:
    name = clean_name(name or socket.gethostname())
    identity = enrolment.enrol(folder, join_token, masters, name)
    _log.info("joined", extra={"cluster": identity.cluster, "node": identity.name})
    return identity


def _has_joined_with(identity: Identity, join_token: str) -> bool:
    return parse_token(join_token).token_id.hex() == identity.token_id
