"""A small load on the real master: what it does is counted, confirmed, and seen by a viewer."""

from pathlib import Path

from bench.density import identities, servers
from bench.density.load import load
from bench.density.viewers import viewers
from tests.eventually import eventually_in_processes

LINKS = 20
DEADLINE_S = 60.0


def test_beats_of_a_small_fleet_are_acknowledged_stored_and_seen_by_a_viewer(
    tmp_path: Path,
) -> None:
    identities.prepare(tmp_path, LINKS)
    folder = identities.master_folder(tmp_path)
    server = servers.heartline(folder, 1.0)
    server.start()
    try:
        with load(
            tmp_path,
            LINKS,
            server.address,
            processes=2,
            period_s=1.0,
            dials_per_s=1000.0,
            family_every=3,
        ) as agents:
            agents.dial()
            curve = agents.wait_linked(DEADLINE_S)
            with viewers(folder, 1) as looking:
                agents.begin()
                looking.begin()
                eventually_in_processes(
                    lambda: (
                        agents.report().beats >= 2 * LINKS
                        and agents.report().acknowledged.total >= LINKS
                        and agents.report().confirmed.total >= LINKS
                        and looking.report().beats >= LINKS
                    ),
                    within_s=DEADLINE_S,
                )
                report, sight = agents.report(), looking.report()
            assert curve[-1][1] == LINKS
            assert report.lost_links == report.failed_dials == 0
            assert sight.seen.total == sight.beats
            before = server.tree.cpu()
            assert server.tree.cpu().since(before).all_s >= 0
    finally:
        server.stop()
