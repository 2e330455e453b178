"""Joining, against whatever may answer at the address: the secret is sent to the true master."""

import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from shared import joining
from shared import messages as m
from shared.addresses import Address
from shared.certificates import new_key_and_request
from shared.errors import DeniedError, IdentityError, LinkBrokenError, TokenError
from shared.joining import join
from shared.messages import Refusal
from shared.tokens import Token
from tests.closed_port import closed_port
from tests.network.cluster import Cluster, running_cluster
from tests.network.scripted_master import MasterEnd, Script, ScriptedMaster, scripted_master

LOOPBACK = "127.0.0.1"


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with running_cluster(tmp_path / "master") as cluster:
        yield cluster


async def joined(address: Address, token: Token, role: str = "agent") -> joining.Joined:
    return await join(address, token, new_key_and_request()[1], "web", "0.1.0", role=role)


async def test_what_joining_gives_is_enough_to_link(cluster: Cluster) -> None:
    token = await cluster.token()
    given = await joined(cluster.address, token)
    assert given.cluster == cluster.authority.cluster
    assert given.server_name == cluster.server_name
    assert given.ca_pem == cluster.ca_pem
    assert given.name == "web"
    assert given.identity == cluster.node("web").node_id
    assert given.certificate_pem.startswith(b"-----BEGIN CERTIFICATE-----")


@pytest.mark.parametrize(
    ("life_s", "uses", "secret", "code"),
    [
        (0, 1, None, Refusal.TOKEN_EXPIRED),
        (60, 0, None, Refusal.TOKEN_USED),
        (60, 1, bytes(16), Refusal.BAD_TOKEN),
    ],
)
async def test_refusal_is_told_with_its_code(
    cluster: Cluster, life_s: int, uses: int, secret: bytes | None, code: str
) -> None:
    token = await cluster.token(life_s=life_s, uses=uses)
    shown = Token(token.ca_pin, token.token_id, secret or token.secret)
    with pytest.raises(DeniedError) as refused:
        await joined(cluster.address, shown)
    assert refused.value.code == code


@pytest.mark.parametrize(("role", "wanted"), [("viewer", "agent"), ("agent", "viewer")])
async def test_token_for_another_role_is_refused_in_words_and_keeps_its_use(
    cluster: Cluster, role: str, wanted: str
) -> None:
    token = await cluster.token(role)
    with pytest.raises(TokenError, match=f"is for an? {role}, not for an? {wanted}: make one"):
        await joined(cluster.address, token, wanted)
    assert cluster.audit("enrolled") == []
    assert len(cluster.parts.entry.registry) == 0
    assert (await joined(cluster.address, token, role)).name == "web"


async def test_master_that_was_not_told_the_role_is_no_way_around_it(cluster: Cluster) -> None:
    async def let_in(_: ScriptedMaster, link: MasterEnd, message: m.FromClient) -> None:
        if isinstance(message, m.CaRequest):
            link.post(m.Ca(1, cluster.authority.certificate_der()))
        else:
            link.post(m.Enrolled(1, "0123456789abcdef", "web", "viewer", b"certificate"))

    async with scripted_master(cluster.authority, let_in) as master:
        with pytest.raises(TokenError, match="viewer, not agent"):
            await joined(master.address, await cluster.token())


async def test_nobody_there_is_told_as_such(cluster: Cluster) -> None:
    token = await cluster.token()
    with closed_port() as port, pytest.raises(LinkBrokenError, match="connection refused"):
        await joined(Address(LOOPBACK, port), token)


async def test_address_that_accepts_and_says_nothing_is_given_up(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joining, "EXCHANGE_S", 0.2)
    token = await cluster.token()
    with (
        socket.create_server((LOOPBACK, 0)) as silent,
        pytest.raises(LinkBrokenError, match="no answer within"),
    ):
        await joined(Address(*silent.getsockname()[:2]), token)


async def silent(_: ScriptedMaster, link: MasterEnd, message: m.FromClient) -> None:
    """Says nothing."""


async def hangs_up(_: ScriptedMaster, link: MasterEnd, message: m.FromClient) -> None:
    link.break_off("in a test")


async def babbles(_: ScriptedMaster, link: MasterEnd, message: m.FromClient) -> None:
    link.stream.send_nowait(b"\xff\xff\xff\xff")


async def answers_another_question(
    _: ScriptedMaster, link: MasterEnd, message: m.FromClient
) -> None:
    link.stream.send_nowait(m.encode(m.Ack(1)))


async def shows_garbage(_: ScriptedMaster, link: MasterEnd, message: m.FromClient) -> None:
    link.post(m.Ca(1, b"garbage"))


@pytest.mark.parametrize(
    "script", [silent, hangs_up, babbles, answers_another_question, shows_garbage]
)
async def test_master_that_answers_wrongly_is_an_error_in_words(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, script: Script
) -> None:
    monkeypatch.setattr(joining, "EXCHANGE_S", 0.3)
    async with scripted_master(cluster.authority, script) as master:
        with pytest.raises((LinkBrokenError, IdentityError)) as refused:
            await joined(master.address, await cluster.token())
        assert str(refused.value)
        assert not any(isinstance(each, m.Enrol) for each in master.received)


async def test_giving_up_closes_what_was_opened(cluster: Cluster) -> None:
    async with scripted_master(cluster.authority, silent) as master:
        with trio.move_on_after(0.2) as gave_up:
            await joined(master.address, await cluster.token())
        assert gave_up.cancelled_caught
