"""What happens to a host at random, and what was the matter with it at every instant: the truth
that verdicts are held against.

A cause is right when it took the largest part of the absence, by the rules of `shared.causes`;
where two came close, either. Of two that lasted throughout, either is right as well.
"""

import itertools
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from agent.witness import SYNC_EVERY_S
from master.outages import EVIDENCE_S
from shared.absence import SETTLING_S
from shared.causes import Cause
from tests.scenarios.faulty_hosts import Host, Spell, Trouble

QUIET_S: Final = 150.0
"""Between two episodes of a host, and at the end: everybody is back from the one before."""

CLOSE_S: Final = 12.0
CLOSE_RATIO: Final = 0.12
"""Shares that differ by less, or by less of the absence, are close: a last word is up to a period
old, and a beat too."""

_CAUSES: Final = {
    Trouble.ASLEEP: Cause.HOST_SUSPENDED,
    Trouble.PAUSED: Cause.HOST_SUSPENDED,
    Trouble.STOPPED: Cause.PROCESS_HUNG,
    Trouble.CUT: Cause.NETWORK_CUT,
}
_BEHIND_THE_MASTER: Final = frozenset({Cause.PROCESS_HUNG, Cause.NETWORK_CUT})
"""What does not matter while there is no master."""

_OFF: Final = frozenset({Cause.HOST_REBOOTED, Cause.AGENT_RESTARTED, Cause.AGENT_KILLED})


class Story:
    """What happens to one host, at random, and what happened."""

    def __init__(self, host: Host, rng: random.Random) -> None:
        self.host = host
        self.rng = rng
        self.ends: list[tuple[float, Cause]] = []
        """When an agent ended, and how."""
        self._is_down = False

    async def live(self, until_s: float) -> None:
        """Episodes of one fault or two that overlap, and quiet between them."""
        await trio.sleep(self.rng.uniform(20, 200))
        while trio.current_time() < until_s - 500:
            first, second = self.rng.sample(self._faults(), 2)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(first)
                if self.rng.random() < 0.5:
                    await trio.sleep(self.rng.uniform(0, 60))
                    nursery.start_soon(second)
            await trio.sleep(QUIET_S + self.rng.uniform(0, 60))

    def _faults(self) -> list[Callable[[], Awaitable[None]]]:
        return [
            self.killed, self.restarted, self.rebooted, self.suspended, self.paused, self.stopped,
            self.cut, self.cut,
        ]  # fmt: skip

    async def killed(self) -> None:
        host = self.host
        if not host.runs or not self._is_awake():
            return
        self.ends.append((trio.current_time(), Cause.AGENT_KILLED))
        host.kill()
        await self._start_again(self.rng.choice([0.3, 2.0, 40.0, 150.0]))

    async def restarted(self) -> None:
        if not self.host.turns:
            return
        self.ends.append((trio.current_time(), Cause.AGENT_RESTARTED))
        self.host.stop()
        await self._start_again(self.rng.choice([0.3, 2.0, 40.0, 150.0]))

    async def rebooted(self) -> None:
        host, rng = self.host, self.rng
        if self._is_down:
            return
        self._is_down = True
        host.go_down(is_clean=rng.random() < 0.5)
        await trio.sleep(rng.uniform(20, 200))
        host.boot()
        if rng.random() < 0.3 and host.is_reachable:
            host.begin(Trouble.CUT)
            self._is_down = False
            host.start()
            await trio.sleep(rng.uniform(5, 60))
            host.end(Trouble.CUT)
        else:
            await trio.sleep(rng.uniform(1, 20))
            self._is_down = False
            host.start()

    async def suspended(self) -> None:
        await self._troubled(Trouble.ASLEEP)

    async def paused(self) -> None:
        await self._troubled(Trouble.PAUSED)

    async def stopped(self) -> None:
        if self.host.turns:
            await self._troubled(Trouble.STOPPED)

    async def cut(self) -> None:
        self.host.begin(Trouble.CUT)
        await trio.sleep(self.rng.uniform(3, 240))
        self.host.end(Trouble.CUT)

    async def _troubled(self, trouble: Trouble) -> None:
        if self._is_down or not self._is_awake():
            return
        self.host.begin(trouble)
        await trio.sleep(self.rng.uniform(3, 240))
        self.host.end(trouble)

    async def _start_again(self, after_s: float) -> None:
        await trio.sleep(after_s)
        while not self._is_awake():
            await trio.sleep(1)
        if not self.host.runs and not self._is_down:
            self.host.start()

    def _is_awake(self) -> bool:
        return not {Trouble.ASLEEP, Trouble.PAUSED} & self.host.troubles

    # --- the truth -------------------------------------------------------------------------------

    def right_causes(self, from_s: float, to_s: float, master_away: list[Spell]) -> set[Cause]:
        """What a verdict on this absence may be."""
        spells = [s for s in self.host.spells if s.began_s < to_s and s.ended_s > from_s]
        away = [s for s in master_away if s.began_s < to_s and s.ended_s > from_s]
        right = self._largest(spells, away, from_s, to_s)
        right |= self._largest(_seen_to_be_stopped(spells), away, from_s, to_s)
        right |= self._largest(self._without_last_words(spells), away, from_s, to_s)
        right |= self._longest(spells, away, from_s, to_s)
        if away and any(s.trouble is Trouble.PAUSED for s in spells):
            right.add(Cause.UNKNOWN)  # by wall clocks only could it be told from one that was set
        if away and spells and all(s.ended_s <= away[-1].began_s for s in spells):
            right.add(Cause.UNKNOWN)  # told to a master that was killed before it stored it
        off = [s for s in self.host.spells if s.trouble is Trouble.OFF]
        ends_s = [s.began_s for s in (*master_away, *off)]
        if any(0 <= at_s - to_s <= 2 * EVIDENCE_S for at_s in ends_s):
            right.add(Cause.UNKNOWN)  # one of them ended while there was more to be told
        return right

    def _without_last_words(self, spells: list[Spell]) -> list[Spell]:
        """The same, where a host that lost its power was off since its agent last synced: what had
        been written after that is lost with it."""
        return [
            s._replace(began_s=s.began_s - SYNC_EVERY_S)
            if s.trouble is Trouble.OFF and s.began_s in self.host.power_lost_s
            else s
            for s in spells
        ]

    def _longest(
        self, spells: list[Spell], away: list[Spell], from_s: float, to_s: float
    ) -> set[Cause]:
        """What lasted longest of the absence, whatever else there was at the same time."""
        seconds = defaultdict[Cause, float](float, {Cause.MASTER_AWAY: 0.0})
        for spell in spells:
            if spell.trouble in _CAUSES:
                lasted_s = min(spell.ended_s, to_s) - max(spell.began_s, from_s)
                seconds[_CAUSES[spell.trouble]] += lasted_s
        seconds[Cause.MASTER_AWAY] += covered_s(
            [(s.began_s, s.ended_s) for s in away], from_s, to_s
        )
        off_s = sum(
            min(s.ended_s, to_s) - max(s.began_s, from_s)
            for s in spells
            if s.trouble is Trouble.OFF
        )
        close_s = max(CLOSE_S, CLOSE_RATIO * (to_s - from_s))
        enough_s = max(off_s, *seconds.values()) - close_s
        return {cause for cause, lasted_s in seconds.items() if lasted_s > max(0.0, enough_s)}

    def _largest(
        self, spells: list[Spell], away: list[Spell], from_s: float, to_s: float
    ) -> set[Cause]:
        shares = self.shares(spells, away, from_s, to_s)
        if not shares:
            return set()
        total_s = sum(shares.values())
        if away:
            without = [(s.began_s, s.ended_s) for s in away] + self.host.waits
            shares[Cause.MASTER_AWAY] = max(
                shares[Cause.MASTER_AWAY], covered_s(without, from_s, to_s)
            )
        close_s = max(CLOSE_S, CLOSE_RATIO * total_s)
        enough_s = min(total_s / 2, max(shares.values())) - close_s
        right = {cause for cause, share_s in shares.items() if share_s > max(0.0, enough_s)}
        if _OFF & right:
            right |= {cause for at_s, cause in self.ends if from_s - 1 <= at_s <= to_s}
            if any(from_s <= at_s <= to_s for at_s in self.host.reboots_s):
                right.add(Cause.HOST_REBOOTED)
        return right

    def shares(
        self, spells: list[Spell], away: list[Spell], from_s: float, to_s: float
    ) -> defaultdict[Cause, float]:
        """Seconds by what kept the node away."""
        turns = {at_s for s in (*spells, *away) for at_s in (s.began_s, s.ended_s)}
        turns |= {booted_s + SETTLING_S for booted_s in self.host.reboots_s}
        instants = sorted({from_s, to_s, *(at_s for at_s in turns if from_s < at_s < to_s)})
        shares = defaultdict[Cause, float](float)
        last: Cause | None = None
        for began_s, ended_s in itertools.pairwise(instants):
            last = self._cause_at((began_s + ended_s) / 2, spells, away, (from_s, to_s)) or last
            if last is not None:  # before anything has happened, all was well
                shares[last] += ended_s - began_s
        return shares

    def _cause_at(
        self, at_s: float, spells: list[Spell], away: list[Spell], absence: tuple[float, float]
    ) -> Cause | None:
        from_s, to_s = absence
        troubles = {s.trouble for s in spells if s.began_s <= at_s < s.ended_s}
        reboots_s = [b for b in self.host.reboots_s if from_s <= b <= to_s]
        settles = any(0 <= at_s - booted_s < SETTLING_S for booted_s in reboots_s)
        if Trouble.OFF in troubles or (Trouble.CUT in troubles and settles):
            if reboots_s:
                return Cause.HOST_REBOOTED
            return next((c for end_s, c in reversed(self.ends) if end_s <= to_s), None)
        is_away = any(s.began_s <= at_s < s.ended_s for s in away)
        for trouble, cause in _CAUSES.items():
            if trouble in troubles and not (is_away and cause in _BEHIND_THE_MASTER):
                return cause
        return Cause.MASTER_AWAY if is_away else None


def covered_s(spans: list[tuple[float, float]], from_s: float, to_s: float) -> float:
    """How much of a time lies in any of the spans."""
    covered_s, until_s = 0.0, from_s
    for began_s, ended_s in sorted(spans):
        covered_s += max(0.0, min(ended_s, to_s) - max(began_s, until_s))
        until_s = max(until_s, ended_s)
    return covered_s


def _seen_to_be_stopped(spells: list[Spell]) -> list[Spell]:
    """The same, where a process that was stopped until it was killed counts as stopped until then:
    the master may have seen it so."""
    stopped = {s.began_s: s.ended_s for s in spells if s.trouble is Trouble.STOPPED}
    return [
        s._replace(began_s=stopped.get(s.began_s, s.began_s)) if s.trouble is Trouble.OFF else s
        for s in spells
    ]
