"""A replay is a source like any other: in its own time, recognisable, and still at its end."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from shared import messages as m
from shared.frames import encode_frame
from shared.liveness import State
from tests.tui.fleets import MONO_MS, snapshot, vitals
from tests.tui.scripted import LIVE, LOST, NOW_S, ScriptedSource, dashboard, run, screen_lines
from tui.app import Dashboard
from tui.link import Link, LinkState
from tui.recorded import Recorded
from tui.recording import FLEET_OUTAGES_ASKED, FLEET_REQUEST, Recorder, RecordingError
from tui.replay import Replay, ReplayClock

WALL_MS = 1_795_000_000_000
FLEET = snapshot({"web-1": State.UP, "db-1": State.DOWN})


def recorder(path: Path) -> Recorder:
    return Recorder.create(path, limit_bytes=10**6, began_s=NOW_S, began_wall_ms=WALL_MS)


def recorded(path: Path, *reports: Link | m.FromMaster, every_s: float = 1.0) -> Path:
    """A recording in which something is reported every so often."""
    now_s = NOW_S
    writer = recorder(path)

    async def scenario() -> None:
        nonlocal now_s
        source = ScriptedSource()
        listening = asyncio.create_task(Recorded(source, writer, lambda: now_s).run(Heard()))
        await asyncio.sleep(0)
        for report in reports:
            source.say(report)
            now_s += every_s
        listening.cancel()

    run(scenario)
    writer.close(now_s)
    return path


class Heard:
    """A viewer that keeps what it is told, and can wait for the end."""

    def __init__(self) -> None:
        self.links: list[Link] = []
        self.messages: list[tuple[m.FromMaster, float]] = []
        self.ended = asyncio.Event()

    def on_link(self, link: Link) -> None:
        self.links.append(link)
        if "replay" not in link.playing and link.playing:
            self.ended.set()

    def on_message(self, message: m.FromMaster, received_s: float) -> None:
        self.messages.append((message, received_s))


async def play(path: Path, *, speed: float = 1000.0) -> tuple[Heard, Replay]:
    """All of a recording."""
    replay, viewer = Replay(path, speed), Heard()
    playing = asyncio.create_task(replay.run(viewer))
    async with asyncio.timeout(10):
        await viewer.ended.wait()
    playing.cancel()
    return viewer, replay


def test_recorded_source_hands_everything_on(tmp_path: Path) -> None:
    writer = recorder(tmp_path / "feed")

    async def scenario() -> None:
        source = ScriptedSource(LIVE, FLEET)
        both, viewer = Recorded(source, writer, lambda: NOW_S), Heard()
        listening = asyncio.create_task(both.run(viewer))
        await asyncio.sleep(0)
        assert viewer.links == [LIVE]
        assert viewer.messages == [(FLEET, NOW_S)]
        both.retry_now()
        both.send(m.FocusNode("id-web-1"))
        assert source.retries == 1
        assert source.sent == [
            m.ListOutages(FLEET_REQUEST, FLEET_OUTAGES_ASKED),
            m.FocusNode("id-web-1"),
        ]
        listening.cancel()

    run(scenario)
    writer.close(NOW_S)


def test_replay_reports_what_the_source_did_in_its_time(tmp_path: Path) -> None:
    delta = m.Delta(MONO_MS + 2_000, vitals=(vitals("web-1", State.LATE),))
    path = recorded(tmp_path / "feed", LIVE, FLEET, delta, LOST)

    async def scenario() -> None:
        viewer, _ = await play(path)
        # What is heard is stamped as it was received; a scripted source stamps all alike.
        assert [message for message, _ in viewer.messages] == [FLEET, delta]
        live, lost, end = viewer.links
        assert live == replace(LIVE, since_s=0.0, playing="replay at 1000×")
        assert lost.state is LinkState.LOST
        assert lost.reason == LOST.reason
        assert (end.state, end.playing) == (LinkState.LOST, "the recording ends here")

    run(scenario)


def test_clock_of_a_replay_stands_at_its_end(tmp_path: Path) -> None:
    path = recorded(tmp_path / "feed", LIVE, FLEET, LIVE, every_s=30.0)

    async def scenario() -> None:
        _, replay = await play(path)
        assert replay.clock.mono_s() == 60.0
        assert replay.clock.wall_ms() == WALL_MS + 60_000

    run(scenario)


def test_clock_of_a_replay_runs_at_its_speed_once_it_is_started() -> None:
    now_s = 5.0
    clock = ReplayClock(10.0, WALL_MS, lambda: now_s)
    now_s = 6.0
    assert (clock.mono_s(), clock.wall_ms()) == (0.0, WALL_MS)
    clock.start()
    now_s = 8.0
    assert (clock.mono_s(), clock.wall_ms()) == (20.0, WALL_MS + 20_000)
    assert clock.wait_s(25.0) == 0.5
    assert clock.wait_s(15.0) == 0.0


def test_damage_is_told_where_it_is(tmp_path: Path) -> None:
    many = [snapshot({f"web-{number}-{n}": State.UP for n in range(50)}) for number in range(40)]
    path = recorded(tmp_path / "feed", LIVE, *many)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + bytes(len(content) // 2))

    async def scenario() -> None:
        viewer, _ = await play(path)
        assert 0 < len(viewer.messages) < len(many)
        assert "damaged" in viewer.links[-1].playing

    run(scenario)


def test_what_is_no_recording_is_refused_before_anything_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "feed"
    path.write_bytes(encode_frame(1, b"{}"))
    with pytest.raises(RecordingError):
        Replay(path)


def test_dashboard_shows_a_replay_for_what_it_is(tmp_path: Path) -> None:
    path = recorded(tmp_path / "feed", LIVE, FLEET, LIVE)

    async def scenario() -> None:
        replay = Replay(path, 1000.0)
        app = Dashboard(replay, replay.clock)
        async with app.run_test(size=(80, 24)) as pilot, asyncio.timeout(10):
            while not app.feed.link.playing.startswith("the recording ends"):
                await pilot.pause(0.01)
            await pilot.pause()
            lines = screen_lines(app)
        assert "heartline  lab" in lines[0]
        assert lines[0].endswith("▶ the recording ends here")
        assert "db-1" in "\n".join(lines)

    run(scenario)


def test_dashboard_of_a_live_source_says_nothing_of_replays() -> None:
    async def scenario() -> None:
        async with dashboard(ScriptedSource(LIVE, FLEET)) as (app, _, _):
            assert "▶" not in screen_lines(app)[0]

    run(scenario)
