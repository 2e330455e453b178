"""The master as a process: how it starts, reloads and stops, and what it leaves behind."""

import datetime as dt
import errno
import gc
import json
import logging
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from master import announcement, daemon
from master.assembly import Master
from master.audit import Audit
from master.authority import open_authority
from master.history.history import History
from master.listener import bind, bind_local
from master.parts import Parts
from master.store import Store
from shared import messages as m
from shared.clock import wall_ms
from shared.config import load
from shared.connection import ClientConnection
from shared.errors import ConfigError, UserError
from shared.link import Link
from shared.only_one import only_one
from shared.paths import StateFolder
from shared.private_files import write_private
from shared.settings import HistorySettings, LinkSettings, MasterSettings, Settings
from shared.stream import SocketStream
from shared.unix_socket import short_path
from tests.eventually import eventually
from tests.master.assembled import VIEWER_HELLO

LOOPBACK = MasterSettings(listen=("127.0.0.1:0",))


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    folder = StateFolder(tmp_path / "data")
    folder.ensure()
    return folder


@pytest.fixture(autouse=True)
def process_as_it_was() -> Generator[None]:
    """A master makes itself at home in its process; no signal may get past it."""
    thresholds, umask = gc.get_threshold(), os.umask(0o022)
    unheeded = list[int]()
    handlers = {
        number: signal.signal(number, lambda number, _: unheeded.append(number))
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    }
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
    gc.unfreeze()
    gc.set_threshold(*thresholds)
    os.umask(umask)
    assert unheeded == [], "would have ended the process half-way"


class Running:
    """A master in the test's own loop, which heeds the signals of this process."""

    def __init__(self, folder: StateFolder) -> None:
        self.folder = folder
        self.lines: list[str] = []
        self.settings: Settings | UserError = Settings(master=LOOPBACK)
        self.has_ended = trio.Event()
        self.reloads = 0

    def reload(self) -> Settings:
        self.reloads += 1
        if isinstance(self.settings, UserError):
            raise self.settings
        return self.settings

    async def viewer(self) -> Link[m.FromClient, m.FromMaster]:
        """An operator's link, welcomed."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with short_path(self.folder.socket) as name:
            sock.connect(name)
        link: Link[m.FromClient, m.FromMaster] = Link(
            SocketStream(sock), ClientConnection(), lambda: None
        )
        link.post(VIEWER_HELLO)
        (welcome,) = await link.receive()
        assert isinstance(welcome, m.ViewerWelcome)
        return link


@asynccontextmanager
async def running(folder: StateFolder) -> AsyncGenerator[Running]:
    """Serves until the block has ended it by a signal."""
    it = Running(folder)
    authority, is_first_start = open_authority(folder.ca_dir, dt.datetime.now(dt.UTC))
    store, audit = Store.open(folder.database), Audit(folder.audit, wall_ms)
    history = History.open(folder.history, HistorySettings())
    listeners, local = bind(LOOPBACK.listen, 16), bind_local(folder.socket)
    master = Master(
        folder,
        LOOPBACK,
        LinkSettings(),
        authority=authority,
        store=store,
        history=history,
        audit=audit,
    )

    async def serve() -> None:
        await daemon.serve(
            master,
            [listeners],
            local,
            is_first_start=is_first_start,
            reload=it.reload,
            print_line=it.lines.append,
        )
        it.has_ended.set()

    try:
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(serve)
                await eventually(lambda: it.lines)
                yield it
                if not it.has_ended.is_set():
                    signal.raise_signal(signal.SIGTERM)
                    await it.has_ended.wait()
    finally:
        for sock in (*listeners, local):
            sock.close()
        audit.close()
        history.close()
        store.close()


async def rest(link: Link[m.FromClient, m.FromMaster]) -> list[m.FromMaster]:
    """What comes until the master's goodbye."""
    received: list[m.FromMaster] = []
    while not link.over:
        received += await link.receive()
    link.break_off("the master is gone")
    return received


# --- starting ------------------------------------------------------------------------------------


async def test_first_start_says_where_it_listens_and_how_to_join_and_the_next_only_the_former(
    folder: StateFolder,
) -> None:
    async with running(folder) as master:
        await eventually(lambda: len(master.lines) == 3)
        described = json.loads(folder.master_json.read_text())
        assert described["pid"] == os.getpid()
        (address,) = described["listen"]
        assert master.lines[0] == f"listening on {address}"
        assert "heartline agent --join hl1-" in master.lines[2]
        assert address in master.lines[2]
    async with running(folder) as master:
        await (await master.viewer()).finish()
        assert len(master.lines) == 1


def test_damaged_database_is_one_line_to_the_user_and_the_master_does_not_start(
    folder: StateFolder,
) -> None:
    Store.open(folder.database).close()
    with sqlite3.connect(folder.database) as database:
        for number in range(2_000):
            database.execute(
                "INSERT INTO nodes (node_id, name, first_seen_wall_ms, state, since_wall_ms, note)"
                " VALUES (?, ?, 0, 'up', 0, ?)",
                (str(number), str(number), "x" * 100),
            )
    database.close()
    content = bytearray(folder.database.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    folder.database.write_bytes(content)
    with pytest.raises(UserError, match="cannot be used"):
        daemon.run(folder, Settings(master=LOOPBACK))
    assert not folder.socket.exists()
    assert not folder.master_json.exists()


def test_second_master_on_a_folder_is_refused_and_leaves_the_first_alone(
    folder: StateFolder,
) -> None:
    held = only_one(folder.lock, "held")
    with held, pytest.raises(UserError, match="another master runs on"):
        daemon.run(folder, Settings(master=LOOPBACK))


def test_address_that_is_taken_is_said_and_nothing_is_left_behind(folder: StateFolder) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = MasterSettings(listen=(f"127.0.0.1:{taken.getsockname()[1]}",))
        with pytest.raises(UserError, match="is another master running"):
            daemon.run(folder, Settings(master=listen))
    assert not folder.socket.exists()
    assert not folder.master_json.exists()


async def test_start_on_a_full_disk_is_said_once_and_described_when_there_is_room(
    folder: StateFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries = list[Path]()

    def refuse(path: Path, data: bytes) -> None:
        tries.append(path)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(announcement, "RETRY_S", 0.01)
    monkeypatch.setattr(announcement, "write_private", refuse)
    async with running(folder) as master:
        (await master.viewer()).break_off("it is served")
        await eventually(lambda: len(tries) >= 3)
        said = [record for record in caplog.records if hasattr(record, "file")]
        assert [vars(record)["error"] for record in said] == ["No space left on device"]
        assert not folder.master_json.exists()
        monkeypatch.setattr(announcement, "write_private", write_private)
        await eventually(folder.master_json.exists)
        assert json.loads(folder.master_json.read_bytes())["pid"] == os.getpid()


async def test_first_start_on_a_full_disk_serves_without_a_token(
    folder: StateFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    apply = Store._apply

    def failing(store: Store, statements: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(Store, "_apply", failing)
    async with running(folder) as master:
        await eventually(lambda: "no join token yet" in caplog.text)
        assert len(master.lines) == 1
        await (await master.viewer()).finish()
        monkeypatch.setattr(Store, "_apply", apply)


# --- stopping ------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_to_stop_tells_who_is_there_and_leaves_a_clean_folder(
    folder: StateFolder, number: signal.Signals
) -> None:
    async with running(folder) as master:
        link = await master.viewer()
        signal.raise_signal(number)
        received = await rest(link)
        assert received[-1] == m.Goodbye(m.Parting.RESTARTING, "the master is stopping")
        await master.has_ended.wait()
    with sqlite3.connect(folder.database) as database:
        (events,) = zip(*database.execute("SELECT event FROM events"), strict=True)
    database.close()
    assert (events[0], events[-1]) == ("master-started", "master-stopped")


async def test_second_signal_to_stop_does_not_interrupt_the_first(folder: StateFolder) -> None:
    async with running(folder) as master:
        link = await master.viewer()
        signal.raise_signal(signal.SIGTERM)
        await trio.lowlevel.checkpoint()
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        assert isinstance((await rest(link))[-1], m.Goodbye)


async def test_signal_that_comes_before_the_master_is_ready_waits_its_turn(
    folder: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def announce_late(
        listeners: list[socket.socket],
        parts: Parts,
        is_first_start: bool,
        print_line: Callable[[str], None],
    ) -> None:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGHUP)
        await announcement.announce(listeners, parts, is_first_start, print_line)

    monkeypatch.setattr(daemon, "announce", announce_late)
    async with running(folder) as master:
        await master.has_ended.wait()
        assert len(master.lines) == 3


async def test_nobody_is_accepted_while_the_master_stops(folder: StateFolder) -> None:
    async with running(folder) as master:
        link = await master.viewer()  # does not read: it is waited for
        (address,) = json.loads(folder.master_json.read_text())["listen"]
        host, _, port = address.rpartition(":")
        signal.raise_signal(signal.SIGTERM)
        await link.receive()
        with pytest.raises(OSError, match="all attempts to connect"):
            await trio.open_tcp_stream(host, int(port))
        link.break_off("done")


# --- reloading -----------------------------------------------------------------------------------


async def test_sighup_with_a_broken_file_is_logged_and_the_old_settings_stay(
    folder: StateFolder, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(folder) as master:
        master.settings = ConfigError("heartline.toml: [master] period_s: expected a number")
        signal.raise_signal(signal.SIGHUP)
        await eventually(lambda: "not reloaded" in caplog.text)
        link = await master.viewer()
        link.post(m.ListEvents(1))
        assert await link.receive()
        await link.finish()
        assert master.reloads == 1


async def test_sighup_takes_over_what_can_be_and_says_what_needs_a_restart_every_time(
    folder: StateFolder, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    def reloaded(times: int) -> bool:
        return caplog.text.count("reloaded") == times

    async with running(folder) as master:
        changed = MasterSettings(listen=("127.0.0.1:1",), name="new", period_s=2, events_kept=100)
        master.settings = Settings(master=changed, link=LinkSettings(read_timeout_s=30))
        for times in (1, 2):
            signal.raise_signal(signal.SIGHUP)
            await eventually(partial(reloaded, times))
    first, second = [record for record in caplog.records if record.message == "reloaded"]
    said = [
        (getattr(each, "applied", ""), getattr(each, "needs_restart", ""))
        for each in (first, second)
    ]
    assert said == [
        ("master.period_s, master.events_kept, link.read_timeout_s", "master.listen, master.name"),
        ("-", "master.listen, master.name"),
    ]


@pytest.mark.parametrize(
    "content",
    [b"\xff\xfe", b"[master\n", b"[master]\nperiod_s = 'x'\n", b"[master]\nperiod = 5\n", None],
    ids=["no text", "no TOML", "wrong type", "misspelt", "a folder"],
)
def test_file_that_is_no_configuration_is_a_user_s_error_whatever_is_in_it(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "heartline.toml"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"heartline\.toml"):
        load(path, environment={})


# --- the real process ----------------------------------------------------------------------------


def test_killed_master_starts_again_on_what_it_left(folder: StateFolder) -> None:
    program = [sys.executable, "-m", "heartline", "master", "--data", str(folder.root)]
    # What is said into a pipe must arrive at once, whatever the tests' own environment makes of it.
    environment = {key: text for key, text in os.environ.items() if key != "PYTHONUNBUFFERED"}
    for _ in range(2):
        with subprocess.Popen(
            [*program, "--listen", "127.0.0.1:0"],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        ) as process:
            try:
                assert process.stdout is not None
                assert process.stdout.readline().startswith("listening on 127.0.0.1:")
            finally:
                process.kill()
