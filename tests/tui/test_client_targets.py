"""A viewer whose cluster has several masters dials them in turn."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from pathlib import Path

from shared.liveness import State
from tests.tui.feed_server import WAIT_S, FeedServer
from tests.tui.fleets import snapshot
from tui.client import Client
from tui.link import Link, LinkState, Viewer
from tui.target import UnixTarget


def run(scenario: Callable[[], Coroutine[None, None, None]]) -> None:
    asyncio.run(scenario())


class Links(Viewer):
    """A viewer that keeps the links it is told of."""

    def __init__(self) -> None:
        self.links: list[Link] = []
        self._news = asyncio.Event()

    def on_link(self, link: Link) -> None:
        self.links.append(link)
        self._news.set()

    def on_message(self, message: object, received_s: float) -> None:
        """Not what this is about."""

    async def until_live_at(self, path: Path) -> None:
        async with asyncio.timeout(WAIT_S):
            while not self._is_live_at(path):
                self._news.clear()
                await self._news.wait()

    def _is_live_at(self, path: Path) -> bool:
        return any(
            link.state is LinkState.LIVE and link.address == str(path) for link in self.links[-1:]
        )


def server_at(path: Path) -> FeedServer:
    return FeedServer(path, lambda: [snapshot({"web-1": State.UP})])


def test_next_master_is_dialled_when_one_does_not_answer(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("absent", "second")]

    async def scenario() -> None:
        viewer = Links()
        client = Client(*map(UnixTarget, paths), rng=random.Random(1))
        with server_at(paths[1]):
            task = asyncio.create_task(client.run(viewer))
            await viewer.until_live_at(paths[1])
            task.cancel()
        tried = list(dict.fromkeys(link.address for link in viewer.links))
        assert tried == [str(path) for path in paths]

    run(scenario)


def test_viewer_moves_on_when_its_master_is_gone_and_back_again(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("first", "second")]

    async def scenario() -> None:
        viewer = Links()
        client = Client(*map(UnixTarget, paths), rng=random.Random(1))
        first, second = map(server_at, paths)
        first.start()
        task = asyncio.create_task(client.run(viewer))
        await viewer.until_live_at(paths[0])
        first.kill()
        second.start()
        await viewer.until_live_at(paths[1])
        second.kill()
        first.start()
        await viewer.until_live_at(paths[0])
        task.cancel()
        first.kill()

    run(scenario)
