"""Listening: every address asked for, IPv4 and IPv6, and what happens when there is no room."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trio

from master import listener
from master.descriptors import KEPT_BACK, raise_ceiling
from master.listener import bind, bind_local, bound_address
from shared import messages as m
from shared.addresses import parse_address
from shared.errors import UserError
from shared.settings import MasterSettings
from tests.eventually import eventually
from tests.network.cluster import CA_REQUEST, Cluster, ask, running_cluster


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def bound(stack: ExitStack, *listen: str) -> list[str]:
    """What is listened on; closed at the end of the test."""
    return [bound_address(stack.enter_context(sock)) for sock in bind(listen, 16)]


async def answers(cluster: Cluster, address: str) -> bool:
    """Whether a master answers there."""
    cluster.address = parse_address(address)
    return isinstance(await ask(await cluster.stranger(), CA_REQUEST), m.Ca)


@needs_ipv6
async def test_several_addresses_of_both_kinds_are_served_at_once(tmp_path: Path) -> None:
    settings = MasterSettings(listen=("127.0.0.1:0", "[::1]:0", "127.0.0.2:0"))
    async with running_cluster(tmp_path, settings) as cluster:
        assert len(cluster.addresses) == 3
        for address in cluster.addresses:
            assert await answers(cluster, address)


@needs_ipv6
async def test_ipv6_peer_is_known_by_its_address(tmp_path: Path) -> None:
    settings = MasterSettings(listen=("[::1]:0",), period_s=1.0)
    async with running_cluster(tmp_path, settings) as cluster:
        member = await cluster.member("web")
        await member.linked()
        await eventually(lambda: member.node.address.startswith("[::1]:"))
        (line,) = cluster.audit("enrolled")
        assert line["address"] == "::1"


@needs_ipv6
def test_no_host_means_every_address_on_one_port(stack: ExitStack) -> None:
    first, second = bound(stack, ":0")
    assert first.startswith("0.0.0.0:")
    assert second.startswith("[::]:")
    assert parse_address(first).port == parse_address(second).port


def test_without_ipv6_there_is_ipv4(stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "has_ipv6", False)
    (only,) = bound(stack, ":0")
    assert only.startswith("0.0.0.0:")


def test_name_with_several_addresses_gets_one_port(stack: ExitStack) -> None:
    addresses = bound(stack, "localhost:0")
    assert len({parse_address(address).port for address in addresses}) == 1


def test_port_in_use_is_said_to_be_and_nothing_stays_open(stack: ExitStack) -> None:
    taken = stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
    with ExitStack() as for_a_moment:
        (free,) = bound(for_a_moment, "127.0.0.1:0")
    with pytest.raises(UserError, match=rf"127.0.0.1:{taken}.*is another master running"):
        bind((free, f"127.0.0.1:{taken}"), 16)
    assert bound(stack, free) == [free]


@pytest.mark.parametrize("listen", ["nowhere.invalid:0", "192.0.2.1:0", "foo..bar:0"])
def test_address_that_is_not_this_hosts_is_said_not_to_be(listen: str) -> None:
    with pytest.raises(UserError, match="cannot listen on") as refused:
        bind((listen,), 16)
    assert "Errno" not in str(refused.value)


def test_socket_for_the_operator_is_this_users_alone(tmp_path: Path) -> None:
    path = tmp_path / "master.sock"
    path.write_text("left by a crash")
    with bind_local(path) as sock:
        assert path.stat().st_mode & 0o777 == 0o600
        assert sock.getsockname() == str(path)


def test_only_this_user_and_root_are_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert listener._is_trusted(ours)
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
        if os.getuid() == 0:
            assert listener._is_trusted(ours)
        else:
            assert not listener._is_trusted(ours)


# --- no descriptors left --------------------------------------------------------------------------


@pytest.mark.parametrize(("ceiling", "is_served"), [(0, False), (1_000_000, True)])
async def test_above_the_ceiling_connections_are_refused(
    tmp_path: Path, ceiling: int, is_served: bool
) -> None:
    async with running_cluster(tmp_path, ceiling=ceiling) as cluster:
        if is_served:
            assert await answers(cluster, str(cluster.address))
            return
        with trio.fail_after(5):
            assert await (await cluster.tcp()).receive_some() == b""
        await eventually(lambda: "descriptors" in cluster.limits_hit())
        assert cluster.parts.entry.admission.waiting == 0


async def test_accepting_goes_on_when_there_are_descriptors_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(listener, "OUT_OF_RESOURCES_S", 0.05)
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with running_cluster(tmp_path) as cluster:
        first = await cluster.tcp()
        second = socket.socket()
        second.setblocking(False)
        # The number that the next accepted connection would get is one too many.
        resource.setrlimit(resource.RLIMIT_NOFILE, (second.fileno() + 1, hard))
        try:
            with pytest.raises(BlockingIOError):
                second.connect((cluster.address.host, cluster.address.port))
            await eventually(lambda: "cannot accept" in caplog.text)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            second.close()
            await first.aclose()
        assert await answers(cluster, str(cluster.address))


CEILING = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (100, int(sys.argv[1])))
from master.descriptors import raise_ceiling
print(raise_ceiling(), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


@pytest.mark.parametrize(("hard", "ceiling"), [(1000, 1000 - KEPT_BACK), (100, KEPT_BACK)])
def test_master_takes_the_descriptors_that_the_system_allows(hard: int, ceiling: int) -> None:
    pytest.importorskip("resource")
    done = subprocess.run(
        [sys.executable, "-c", CEILING, str(hard)],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert done.stdout.split() == [str(ceiling), str(hard)]


def test_where_the_platform_does_not_tell_there_is_no_ceiling(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)
    assert raise_ceiling() is None
