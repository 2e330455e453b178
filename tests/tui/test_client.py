"""The viewer's link against a real socket: it watches, loses its master, and finds it again."""

import asyncio
import random
import ssl
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trustme

from shared import VERSION
from shared import messages as m
from shared.connection import MasterConnection
from shared.errors import IdentityError
from shared.liveness import State
from tests.tui.feed_server import WAIT_S, FeedServer
from tests.tui.fleets import MONO_MS, snapshot, vitals
from tui import client as client_module
from tui.client import Client
from tui.fleet import Fleet
from tui.link import Link, LinkState
from tui.target import Target, TlsTarget, UnixTarget

FLEET = {"web-1": State.UP, "db-1": State.DOWN}


class Recorder:
    """A viewer that remembers, and lets a test wait for what it is told."""

    def __init__(self) -> None:
        self.links: list[Link] = []
        self.messages: list[m.FromMaster] = []
        self.fleet = Fleet()
        self._news = asyncio.Event()

    def on_link(self, link: Link) -> None:
        self.links.append(link)
        self._news.set()

    def on_message(self, message: m.FromMaster, received_s: float) -> None:
        self.messages.append(message)
        if isinstance(message, m.Snapshot | m.Delta):
            self.fleet.apply(message, received_s)
        self._news.set()

    @property
    def link(self) -> Link:
        return self.links[-1]

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not holds():
                self._news.clear()
                await self._news.wait()

    async def until_failures(self, number: int) -> None:
        await self.until(lambda: sum(link.retry_at_s is not None for link in self.links) >= number)

    async def until_state(self, state: LinkState) -> Link:
        await self.until(lambda: self.links and self.link.state is state)
        return self.link


@asynccontextmanager
async def watching(client: Client) -> AsyncGenerator[Recorder]:
    """The client at work, until the block ends."""
    recorder = Recorder()
    task = asyncio.create_task(client.run(recorder))
    try:
        yield recorder
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def run(scenario: Callable[[], Coroutine[None, None, None]]) -> None:
    """Drives an asyncio scenario to its end."""
    asyncio.run(scenario())


def a_client(target: Target) -> Client:
    return Client(target, rng=random.Random(1))


@pytest.fixture
def server(tmp_path: Path) -> Generator[FeedServer]:
    with FeedServer(tmp_path / "master.sock", lambda: [snapshot(FLEET)]) as server:
        yield server


def test_viewer_greets_watches_and_gets_the_fleet(server: FeedServer) -> None:
    async def scenario() -> None:
        async with watching(a_client(UnixTarget(server.path))) as viewer:
            await viewer.until(lambda: len(viewer.fleet) == 2)
            server.push(m.Delta(MONO_MS, vitals=(vitals("web-1", State.LOST),)))
            await viewer.until(lambda: viewer.fleet.counts == [("down", 1), ("lost", 1)])
        assert [link.state for link in viewer.links[:2]] == [LinkState.CONNECTING, LinkState.LIVE]
        assert viewer.link.cluster == "lab"

    run(scenario)
    hello = server.wait_for(m.ViewerHello)
    assert hello == m.ViewerHello(m.PROTOCOL_MIN, m.PROTOCOL_MAX, VERSION)
    assert server.wait_for(m.Watch) == m.Watch()


def test_leaving_says_goodbye(server: FeedServer) -> None:
    async def scenario() -> None:
        async with watching(a_client(UnixTarget(server.path))) as viewer:
            await viewer.until_state(LinkState.LIVE)

    run(scenario)
    assert server.wait_for(m.Goodbye) == m.Goodbye(m.Parting.STOPPED)


def test_killed_master_is_lost_and_found_again_when_it_is_back(server: FeedServer) -> None:
    async def scenario() -> None:
        async with watching(a_client(UnixTarget(server.path))) as viewer:
            await viewer.until(lambda: len(viewer.fleet) == 2)
            server.kill()
            lost = await viewer.until_state(LinkState.LOST)
            assert (lost.reason, lost.cluster) == ("the master closed the link", "lab")
            await viewer.until(lambda: "nobody answers" in viewer.link.reason)
            assert viewer.link.since_s == lost.since_s
            server.greeting = lambda: [snapshot({"new": State.UP})]
            server.start()
            await viewer.until_state(LinkState.LIVE)
            await viewer.until(lambda: len(viewer.fleet) == 1)

    run(scenario)


def test_absent_master_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "master.sock"
    server = FeedServer(path, lambda: [snapshot(FLEET)])

    async def scenario() -> None:
        async with watching(a_client(UnixTarget(path))) as viewer:
            await viewer.until(lambda: viewer.links and viewer.link.reason)
            assert viewer.link.state is LinkState.CONNECTING
            assert viewer.link.reason == f"no master runs here: {path} does not exist"
            with server:
                await viewer.until(lambda: len(viewer.fleet) == 2)

    run(scenario)


def test_attempts_are_never_further_apart_than_the_cap(tmp_path: Path) -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        client = a_client(UnixTarget(tmp_path / "absent.sock"))
        async with watching(client) as viewer:
            for failures in range(1, 12):
                await viewer.until_failures(failures)
                assert viewer.link.retry_at_s is not None
                assert viewer.link.retry_at_s - loop.time() <= client_module.RETRY_CAP_S
                client.retry_now()

    run(scenario)


def test_socket_under_a_path_too_long_for_the_kernel_is_reached(tmp_path: Path) -> None:
    folder = tmp_path / ("d" * 120)
    folder.mkdir()

    async def scenario() -> None:
        with FeedServer(folder / "master.sock", lambda: [snapshot(FLEET)]) as server:
            async with watching(a_client(UnixTarget(server.path))) as viewer:
                await viewer.until(lambda: len(viewer.fleet) == 2)

    run(scenario)


def test_path_that_cannot_be_dialled_is_refused_with_the_reason(tmp_path: Path) -> None:
    async def scenario() -> None:
        target = UnixTarget(tmp_path / ("s" * 110))
        async with watching(a_client(target)) as viewer:
            refused = await viewer.until_state(LinkState.REFUSED)
            assert "over 107 bytes" in refused.reason

    run(scenario)


def test_snapshot_longer_than_a_frame_arrives_whole(server: FeedServer) -> None:
    states = {f"node-{number}": State.UP for number in range(300)}
    server.greeting = lambda: [snapshot(states)]

    async def scenario() -> None:
        async with watching(a_client(UnixTarget(server.path))) as viewer:
            await viewer.until(lambda: len(viewer.fleet) == 300)
            assert len(viewer.messages) == 1

    run(scenario)


def test_ping_of_the_master_is_answered(server: FeedServer) -> None:
    server.greeting = lambda: [m.Ping(7)]

    async def scenario() -> None:
        async with watching(a_client(UnixTarget(server.path))) as viewer:
            await viewer.until_state(LinkState.LIVE)
            assert await asyncio.to_thread(server.wait_for, m.Pong) == m.Pong(7)

    run(scenario)


def test_delay_of_the_link_is_measured(server: FeedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "FIRST_PING_S", 0.0)

    async def scenario() -> None:
        async with watching(a_client(UnixTarget(server.path))) as viewer:
            await viewer.until(lambda: viewer.links and viewer.link.delay_s is not None)
            assert viewer.link.delay_s is not None
            assert 0 < viewer.link.delay_s < WAIT_S

    run(scenario)


def test_master_that_falls_silent_is_given_up(
    server: FeedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in (("FIRST_PING_S", 0.05), ("PING_EVERY_S", 0.05), ("READ_TIMEOUT_S", 0.3)):
        monkeypatch.setattr(client_module, name, seconds)
    server.answers_pings = False

    async def scenario() -> None:
        async with watching(a_client(UnixTarget(server.path))) as viewer:
            await viewer.until_state(LinkState.LIVE)
            lost = await viewer.until_state(LinkState.LOST)
            assert lost.reason == "the master does not answer"

    run(scenario)
    assert server.wait_for(m.Ping) == m.Ping(1)
    assert server.wait_for(m.Ping) == m.Ping(2)
    assert server.wait_for(m.Goodbye) == m.Goodbye(m.Parting.SILENT)


def test_silence_between_frames_is_not_the_end_while_pings_are_answered(
    server: FeedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in (("FIRST_PING_S", 0.0), ("PING_EVERY_S", 0.05), ("READ_TIMEOUT_S", 1.0)):
        monkeypatch.setattr(client_module, name, seconds)

    async def scenario() -> None:
        async with watching(a_client(UnixTarget(server.path))) as viewer:
            await viewer.until_state(LinkState.LIVE)
            for _ in range(40):
                await asyncio.to_thread(server.wait_for, m.Ping)
            assert {link.state for link in viewer.links[1:]} == {LinkState.LIVE}

    run(scenario)


def test_peer_that_never_welcomes_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "CONNECT_TIMEOUT_S", 0.2)

    async def scenario() -> None:
        async def ignore(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        path = tmp_path / "mute.sock"
        async with (
            await asyncio.start_unix_server(ignore, path),
            watching(a_client(UnixTarget(path))) as viewer,
        ):
            await viewer.until(lambda: viewer.links and viewer.link.reason)
            assert viewer.link.reason == "the master does not answer"

    run(scenario)


def test_final_refusal_waits_for_a_person(server: FeedServer) -> None:
    server.denial = m.Deny(m.Refusal.REVOKED, "this viewer was revoked")

    async def scenario() -> None:
        client = a_client(UnixTarget(server.path))
        async with watching(client) as viewer:
            refused = await viewer.until_state(LinkState.REFUSED)
            assert refused.reason == "this viewer was revoked (revoked)"
            assert refused.retry_at_s is None
            server.denial = None
            client.retry_now()
            await viewer.until_state(LinkState.LIVE)

    run(scenario)


def test_busy_master_is_dialled_again(server: FeedServer) -> None:
    server.denial = m.Deny(m.Refusal.BUSY, "too many viewers")

    async def scenario() -> None:
        async with watching(a_client(UnixTarget(server.path))) as viewer:
            await viewer.until(lambda: viewer.links and viewer.link.retry_at_s)
            assert viewer.link.state is LinkState.CONNECTING
            assert viewer.link.reason == "too many viewers (busy)"
            server.denial = None
            await viewer.until_state(LinkState.LIVE)

    run(scenario)


@pytest.mark.parametrize(
    ("goodbye", "state", "reason"),
    [
        (m.Goodbye(m.Parting.RESTARTING), LinkState.LOST, "the master is restarting"),
        (m.Goodbye("of-the-future", "because"), LinkState.LOST, "because"),
        (m.Goodbye("of-the-future"), LinkState.LOST, "of-the-future"),
        (m.Goodbye(m.Parting.REVOKED, "by ops"), LinkState.REFUSED, "by ops (revoked)"),
    ],
    ids=lambda value: getattr(value, "code", None),
)
def test_goodbye_of_the_master_is_told_in_words(
    server: FeedServer, goodbye: m.Goodbye, state: LinkState, reason: str
) -> None:
    server.greeting = lambda: [snapshot(FLEET), goodbye]

    async def scenario() -> None:
        async with watching(a_client(UnixTarget(server.path))) as viewer:
            told = await viewer.until_state(state)
            assert told.reason == reason

    run(scenario)


def test_peer_that_does_not_speak_the_protocol_is_told_so(tmp_path: Path) -> None:
    heard = bytearray()

    async def scenario() -> None:
        async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            master = MasterConnection()
            writer.write(m.encode(m.ViewerWelcome(1, "0.1.0", "lab", False)))
            writer.write(b"\x00\x00\x00\x02\x21\xc1")
            while data := await reader.read(4096):
                heard.extend(data)
            writer.close()
            assert master.phase

        path = tmp_path / "babble.sock"
        async with (
            await asyncio.start_unix_server(babble, path),
            watching(a_client(UnixTarget(path))) as viewer,
        ):
            lost = await viewer.until_state(LinkState.LOST)
            assert "Snapshot that does not decode" in lost.reason

    run(scenario)
    assert b"bad-frame" in heard


# --- over TLS -------------------------------------------------------------------------------------


DAY_S = 86_400
WELCOME = m.ViewerWelcome(1, "0.1.0", "far", False, 7 * DAY_S, 7 * DAY_S)
NEARLY_OVER = m.ViewerWelcome(1, "0.1.0", "far", False, 7 * DAY_S, DAY_S)


class Keys:
    """Credentials that are asked for nothing but how they are used."""

    def __init__(self, *, others: int = 0) -> None:
        self.uses: list[str] = []
        self.is_full = False
        self._context = ssl.create_default_context()
        self._others = others

    def trust(self, ca: trustme.CA) -> None:
        self._context = ssl.create_default_context(cadata=ca.cert_pem.bytes().decode())

    def context(self) -> ssl.SSLContext:
        self.uses.append("dialled")
        return self._context

    def welcomed(self) -> None:
        self.uses.append("welcomed")

    def refused(self) -> bool:
        self.uses.append("refused")
        self._others -= 1
        return self._others >= 0

    def request(self) -> bytes:
        self.uses.append("asked")
        return b"request"

    def renewed(self, certificate_der: bytes) -> None:
        assert certificate_der == b"certificate"
        if self.is_full:
            raise IdentityError("the disk is full")
        self.uses.append("renewed")


class FarMaster:
    """Greets each viewer with the next of `greetings`, the last one again and again."""

    def __init__(self, *greetings: m.FromMaster) -> None:
        self._greetings = list(greetings or (WELCOME,))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        master = MasterConnection()
        with suppress(ConnectionError, ssl.SSLError):
            while data := await reader.read(4096):
                for message in master.receive(data):
                    for answer in self._answers(message):
                        writer.write(master.send(answer))
        writer.close()

    def _answers(self, message: m.FromClient) -> Iterable[m.FromMaster]:
        match message:
            case m.ViewerHello():
                yield self._greetings.pop(0) if self._greetings[1:] else self._greetings[0]
            case m.Watch():
                yield snapshot(FLEET)
            case m.Renew(b"request"):
                yield m.Renewed(b"certificate")
            case m.Ping(token):
                yield m.Pong(token)
            case _:
                pass


@asynccontextmanager
async def tls_master(ca: trustme.CA, master: FarMaster) -> AsyncGenerator[int]:
    """A master on a loopback port, with a certificate for `master.example`."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate = ca.issue_cert("master.example").private_key_and_cert_chain_pem
    with certificate.tempfile() as path:
        context.load_cert_chain(path)
    server = await asyncio.start_server(master.serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


def test_master_elsewhere_is_watched_over_tls() -> None:
    async def scenario() -> None:
        async with far_away(Keys()) as viewer:
            await viewer.until(lambda: len(viewer.fleet) == 2)
            assert viewer.link.cluster == "far"

    run(scenario)


def test_master_with_the_wrong_certificate_is_not_believed() -> None:
    async def scenario() -> None:
        async with tls_master(trustme.CA(), FarMaster()) as port:
            target = TlsTarget("127.0.0.1", port, Keys(), "master.example")
            async with watching(a_client(target)) as viewer:
                await viewer.until(lambda: viewer.links and viewer.link.reason)
                assert viewer.link.state is LinkState.CONNECTING
                assert viewer.link.reason.startswith("not the expected master at 127.0.0.1:")

    run(scenario)


@asynccontextmanager
async def far_away(keys: Keys, *greetings: m.FromMaster) -> AsyncGenerator[Recorder]:
    """A viewer of a master elsewhere, which trusts it."""
    ca = trustme.CA()
    keys.trust(ca)
    async with (
        tls_master(ca, FarMaster(*greetings)) as port,
        watching(a_client(TlsTarget("127.0.0.1", port, keys, "master.example"))) as viewer,
    ):
        yield viewer


async def used(keys: Keys, *uses: str) -> None:
    """Until the keys have been used so, and no otherwise."""
    async with asyncio.timeout(WAIT_S):
        while len(keys.uses) < len(uses):
            await asyncio.sleep(0.01)
    assert tuple(keys.uses) == uses


def test_certificate_that_lasts_is_left_alone() -> None:
    async def scenario() -> None:
        keys = Keys()
        async with far_away(keys, WELCOME) as viewer:
            await viewer.until_state(LinkState.LIVE)
            await viewer.until(lambda: viewer.link.delay_s is not None)
            await used(keys, "dialled", "welcomed")

    run(scenario)


def test_certificate_is_renewed_in_time_and_the_link_goes_on() -> None:
    async def scenario() -> None:
        keys = Keys()
        async with far_away(keys, NEARLY_OVER) as viewer:
            await used(keys, "dialled", "welcomed", "asked", "renewed")
            await viewer.until(lambda: viewer.link.delay_s is not None)
            assert viewer.link.state is LinkState.LIVE

    run(scenario)


def test_certificate_that_cannot_be_kept_does_not_end_the_link() -> None:
    async def scenario() -> None:
        keys = Keys()
        keys.is_full = True
        async with far_away(keys, NEARLY_OVER) as viewer:
            await used(keys, "dialled", "welcomed", "asked")
            await viewer.until(lambda: viewer.link.delay_s is not None)
            assert viewer.link.state is LinkState.LIVE

    run(scenario)


def test_expired_certificate_is_renewed_before_anything_else() -> None:
    async def scenario() -> None:
        keys = Keys()
        async with far_away(keys, m.RenewFirst(1, 3600), WELCOME) as viewer:
            await viewer.until(lambda: len(viewer.fleet) == 2)
            await used(keys, "dialled", "asked", "renewed", "dialled", "welcomed")

    run(scenario)


def test_expired_certificate_that_cannot_be_renewed_is_for_a_person_to_mend() -> None:
    async def scenario() -> None:
        keys = Keys()
        keys.is_full = True
        async with far_away(keys, m.RenewFirst(1, 3600)) as viewer:
            refused = await viewer.until_state(LinkState.REFUSED)
            assert "the disk is full" in refused.reason

    run(scenario)


def test_key_that_is_wanted_no_more_gives_way_to_another_one() -> None:
    async def scenario() -> None:
        keys = Keys(others=1)
        async with far_away(keys, m.Deny("superseded", "a newer key"), WELCOME) as viewer:
            await viewer.until(lambda: len(viewer.fleet) == 2)
            await used(keys, "dialled", "refused", "dialled", "welcomed")

    run(scenario)


def test_viewer_without_another_key_is_refused_for_good() -> None:
    async def scenario() -> None:
        async with far_away(Keys(), m.Deny("revoked", "by the operator")) as viewer:
            refused = await viewer.until_state(LinkState.REFUSED)
            assert "by the operator" in refused.reason

    run(scenario)


def test_master_that_is_busy_says_nothing_about_the_key() -> None:
    async def scenario() -> None:
        keys = Keys(others=1)
        async with far_away(keys, m.Deny("busy", "later"), WELCOME) as viewer:
            await viewer.until(lambda: len(viewer.fleet) == 2)
            await used(keys, "dialled", "dialled", "welcomed")

    run(scenario)


def test_target_is_named_as_the_user_would() -> None:
    keys = Keys()
    assert str(TlsTarget("2001:db8::1", 7700, keys, "x")) == "[2001:db8::1]:7700"
    assert str(TlsTarget("master.example", 7700, keys, "x")) == "master.example:7700"
    assert str(UnixTarget(Path("/run/m.sock"))) == "/run/m.sock"
