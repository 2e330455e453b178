"""Hundreds of mixed random faults, each outage's verdict held against what really happened.

What an agent could not write down or does not tell may leave the cause unknown; it never makes it
another one.
"""

import random
from collections import Counter
from pathlib import Path
from typing import Final

import pytest
import trio
from trio.testing import MockClock

from shared import messages as m
from shared.causes import Cause
from shared.settings import LinkSettings
from tests.master.assembled import BEGINNING
from tests.scenarios.faulty_hosts import Host, Spell, Trouble
from tests.scenarios.random_faults import QUIET_S, Story
from tests.scenarios.simulation import Simulation

HOSTS: Final = 100
LASTS_S: Final = 1_800.0
CLEAR_RATIO: Final = 0.7
"""So many of the outages have one right cause and no other."""

UNKNOWN_RATIO: Final = 0.05
"""So many at most may remain without a cause though the agent tells all it knows."""


async def master_faults(
    simulation: Simulation, rng: random.Random, until_s: float, away: list[Spell]
) -> None:
    """Now and then the master stops, or is killed, for a while."""
    while trio.current_time() < until_s - 900:
        await trio.sleep(rng.uniform(300, 500))
        began_s = trio.current_time()
        await (simulation.stop_master() if rng.random() < 0.5 else simulation.kill_master())
        await trio.sleep(rng.choice([1.0, 20.0, 90.0]))
        away.append(Spell(Trouble.OFF, began_s, trio.current_time()))
        await simulation.start_master()


async def lived_through(root: Path, seed: int) -> tuple[list[Story], list[Spell], list[m.Outage]]:
    """A fleet's half hour of faults, and the outages that its master has of it."""
    rng = random.Random(seed)
    stories: list[Story] = []
    away: list[Spell] = []
    async with trio.open_nursery() as nursery:
        simulation = Simulation(root, nursery, LinkSettings())
        master = await simulation.start_master()
        for number in range(HOSTS):
            name = f"host-{number:03}"
            tells = number % 10 != 0
            peer = await master.enrol(name)
            host = Host(simulation, peer, name, random.Random(rng.random()), tells=tells)
            host.start()
            stories.append(Story(host, random.Random(rng.random())))
        until_s = trio.current_time() + LASTS_S
        async with trio.open_nursery() as faults:
            for story in stories:
                faults.start_soon(story.live, until_s)
            faults.start_soon(master_faults, simulation, rng, until_s, away)
        await trio.sleep(QUIET_S)
        assert simulation.states() == {"up"}
        assert simulation.master is not None
        registry = simulation.master.registry
        names = {node.node_id: node.name for node in registry}
        outages = await registry.outages.log.latest(100_000, names.__getitem__)
        nursery.cancel_scope.cancel()
    simulation.store.close()
    return stories, away, list(outages)


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.soak)])
async def test_no_verdict_is_wrong(tmp_path: Path, autojump_clock: MockClock, seed: int) -> None:
    stories, away, outages = await lived_through(tmp_path, seed)
    by_name = {story.host.name: story for story in stories}
    counted, clear, unknown = Counter[str](), 0, 0
    wrong: list[str] = []
    for outage in outages:
        story = by_name[outage.name]
        assert outage.to_wall_ms is not None, outage
        from_s, to_s = on_trios_clock(outage.from_wall_ms), on_trios_clock(outage.to_wall_ms)
        right = story.right_causes(from_s, to_s, away)
        counted[outage.cause] += 1
        clear += len(right) == 1
        is_unknown = outage.cause == Cause.UNKNOWN
        unknown += is_unknown and story.host.tells_all
        if outage.cause not in right and (story.host.tells_all or not is_unknown):
            what = f"{outage.name} {from_s:.0f}-{to_s:.0f}: {outage.cause}, not {right}"
            wrong.append(f"{what}: {outage.evidence}")
    print(
        f"seed {seed}: {len(outages)} outages, {dict(counted)}, {clear} clear, {len(wrong)} wrong"
    )
    assert wrong == []
    assert set(Cause) - {Cause.UNKNOWN} <= counted.keys()
    assert len(outages) >= 400
    assert clear >= CLEAR_RATIO * len(outages)
    assert unknown <= UNKNOWN_RATIO * len(outages)


def on_trios_clock(wall_ms: int) -> float:
    return wall_ms / 1000 - BEGINNING.timestamp()
