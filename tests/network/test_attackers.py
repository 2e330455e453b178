"""Who can do what: every row of the attackers' table, over real TLS on real sockets."""

import datetime as dt
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from master.enrolment import load_identities
from master.identities import VIEWER
from shared import messages as m
from shared.addresses import Address
from shared.certificates import CertificateAuthority, Subject, new_key_and_request
from shared.dialling import connect
from shared.errors import DeniedError, IdentityError, LinkBrokenError
from shared.joining import join
from shared.liveness import Revoked
from shared.messages import Parting, Refusal
from shared.settings import MasterSettings
from shared.tls import client_context, load_leaf
from tests.eventually import eventually
from tests.network.cluster import (
    CA_REQUEST,
    DAY,
    HELLO,
    VIEWER_HELLO,
    ClientLink,
    Cluster,
    Member,
    answer,
    as_link,
    ask,
    beat,
    context_with,
    enrolled_agent,
    running_cluster,
)
from tests.network.interceptor import intercepting

EXPIRED_LONG_AGO = 31 * DAY


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with running_cluster(tmp_path / "master") as cluster:
        yield cluster


async def denied(link: ClientLink, message: m.FromClient) -> str:
    """The code with which the master refuses; the link is over then."""
    reply = await ask(link, message)
    assert isinstance(reply, m.Deny), reply
    with pytest.raises(LinkBrokenError):
        await answer(link)
    return reply.code


async def goodbye(link: ClientLink) -> m.Goodbye:
    """The master's last word; acknowledgements before it are passed over."""
    while True:
        message = await answer(link)
        if isinstance(message, m.Goodbye):
            return message


# --- on the wire ----------------------------------------------------------------------------------


async def test_interceptor_with_its_own_ca_learns_no_token(cluster: Cluster) -> None:
    token = await cluster.token()
    async with intercepting(cluster.server_name) as (address, interceptor):
        with pytest.raises(IdentityError, match="Nothing has been sent"):
            await join(address, token, new_key_and_request()[1], "web", "0.1.0", role="agent")
        assert interceptor.heard == [CA_REQUEST]


async def test_interceptor_that_shows_the_true_ca_learns_no_token(cluster: Cluster) -> None:
    token = await cluster.token()
    true_ca = cluster.authority.certificate_der()
    async with intercepting(cluster.server_name, true_ca) as (address, interceptor):
        with pytest.raises(LinkBrokenError, match="certificate is not good"):
            await join(address, token, new_key_and_request()[1], "web", "0.1.0", role="agent")
        assert interceptor.heard == [CA_REQUEST]
        assert interceptor.handshakes == 1


async def test_interceptor_of_an_enrolled_agent_hears_nothing_at_all(
    cluster: Cluster, tmp_path: Path
) -> None:
    member = await cluster.member("web")
    async with intercepting(cluster.server_name) as (address, interceptor):
        with pytest.raises(LinkBrokenError, match="certificate is not good"):
            await connect(address, member.context(), cluster.server_name)
        assert interceptor.heard == []


async def test_token_that_another_cluster_issued_is_not_shown_to_this_one(
    cluster: Cluster, tmp_path: Path
) -> None:
    async with running_cluster(tmp_path / "other") as other:
        with pytest.raises(IdentityError, match="is not the master that the token is for"):
            await join(cluster.address, await other.token(), b"", "web", "0.1.0", role="agent")


# --- holds a join token ---------------------------------------------------------------------------


async def test_token_lets_in_as_many_as_it_says_and_each_is_audited(cluster: Cluster) -> None:
    token = await cluster.token(uses=2)
    for name in ("one", "two"):
        await join(cluster.address, token, new_key_and_request()[1], name, "0.1.0", role="agent")
    with pytest.raises(DeniedError) as refused:
        await join(cluster.address, token, new_key_and_request()[1], "three", "0.1.0", role="agent")
    assert refused.value.code == Refusal.TOKEN_USED
    assert [line["name"] for line in cluster.audit("enrolled")] == ["one", "two"]
    assert {line["token"] for line in cluster.audit("enrolled")} == {token.token_id.hex()}
    assert [line["code"] for line in cluster.audit("enrolment-denied")] == [Refusal.TOKEN_USED]


async def test_token_holder_cannot_become_an_existing_node(cluster: Cluster) -> None:
    member = await cluster.member("web")
    joined = await join(
        cluster.address,
        await cluster.token(),
        new_key_and_request()[1],
        "web",
        "0.1.0",
        role="agent",
    )
    assert joined.identity != member.identity
    assert joined.name == "web-2"
    assert isinstance((await member.greet())[1], m.Welcome)


async def test_token_of_an_agent_gives_no_view(cluster: Cluster) -> None:
    member = await cluster.member("web")
    assert await denied(await member.dial(), VIEWER_HELLO) == Refusal.UNAUTHENTICATED


async def test_token_of_a_viewer_gives_no_node_and_no_orders(cluster: Cluster) -> None:
    node = await cluster.member("web")
    viewer = await cluster.member("ann", VIEWER)
    assert await denied(await viewer.dial(), HELLO) == Refusal.UNAUTHENTICATED
    link, welcome = await viewer.greet()
    assert isinstance(welcome, m.ViewerWelcome)
    assert not welcome.may_operate
    for order in (
        m.RevokeNode(1, node.name),
        m.ForgetNode(1, node.name),
        m.CreateToken(1, "agent", 3600, 1),
        m.ListTokens(1),
        m.RevokeToken(1, "00"),
        m.SetLabels(1, node.name, {"a": "b"}),
    ):
        reply = await ask(link, order)
        assert isinstance(reply, m.Failed)
        assert reply.code == "not-allowed"
    orders = [line for line in cluster.audit("denied") if line["code"] == "not-allowed"]
    assert {line["identity"] for line in orders} == {viewer.identity}
    assert orders[0]["order"] == "RevokeNode"
    assert isinstance((await node.greet())[1], m.Welcome)


async def test_token_holder_without_a_certificate_can_only_join(cluster: Cluster) -> None:
    for hello in (HELLO, VIEWER_HELLO):
        assert await denied(await cluster.stranger(), hello) == Refusal.UNAUTHENTICATED
    assert Refusal.UNAUTHENTICATED in cluster.limits_hit()


async def test_node_certificate_cannot_enrol_without_a_token(cluster: Cluster) -> None:
    member = await cluster.member("web")
    request = m.Enrol(1, 1, bytes(6), bytes(16), new_key_and_request()[1], "more", "0.1.0")
    assert await denied(await member.dial(), request) == Refusal.BAD_TOKEN


async def test_revoked_token_lets_nobody_in(cluster: Cluster) -> None:
    token = await cluster.token(uses=5)
    enrolment = cluster.parts.enrolment
    record = enrolment.identities.find_token(token.token_id)
    assert record is not None
    await enrolment.revoke_token(record)
    with pytest.raises(DeniedError) as refused:
        await join(cluster.address, token, new_key_and_request()[1], "web", "0.1.0", role="agent")
    assert refused.value.code == Refusal.BAD_TOKEN


async def test_answer_that_was_lost_can_be_asked_for_again(cluster: Cluster) -> None:
    token, (_, csr_der) = await cluster.token(), new_key_and_request()
    link = await cluster.stranger()
    link.post(m.Enrol(1, 1, token.token_id, token.secret, csr_der, "web", "0.1.0"))
    await eventually(lambda: len(cluster.parts.entry.registry) == 1)
    link.break_off("the answer is lost")
    joined = await join(cluster.address, token, csr_der, "web", "0.1.0", role="agent")
    assert joined.identity == cluster.node("web").node_id
    assert len(cluster.parts.entry.registry) == 1


async def test_two_newcomers_racing_for_the_last_use(cluster: Cluster) -> None:
    token = await cluster.token()
    outcomes: list[str] = []

    async def newcomer(name: str) -> None:
        try:
            joined = await join(
                cluster.address, token, new_key_and_request()[1], name, "0.1.0", role="agent"
            )
        except DeniedError as error:
            outcomes.append(error.code)
        else:
            outcomes.append(joined.name)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(newcomer, "one")
        nursery.start_soon(newcomer, "two")
    assert Refusal.TOKEN_USED in outcomes
    assert len(cluster.parts.entry.registry) == 1


# --- holds a node's key ---------------------------------------------------------------------------


async def test_stolen_node_key_cannot_be_a_master(cluster: Cluster, tmp_path: Path) -> None:
    stolen = await cluster.member("stolen")
    honest = await enrolled_agent(cluster, tmp_path / "honest", "honest")
    impostor = context_for_server(cluster, stolen)
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    address = Address(*listener.socket.getsockname()[:2])

    async def pose(stream: trio.SocketStream) -> None:
        secured = trio.SSLStream(stream, impostor, server_side=True)
        with pytest.raises((trio.BrokenResourceError, trio.ClosedResourceError)):
            await secured.receive_some()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, pose, [listener])
        with pytest.raises(LinkBrokenError, match="certificate is not good"):
            await connect(address, honest.folder.context("a"), cluster.server_name)
        nursery.cancel_scope.cancel()


def context_for_server(cluster: Cluster, member: Member) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load_leaf(context, member.key_pem, member.certificate_pem)
    return context


async def test_copied_key_is_found_out_after_the_renewal(cluster: Cluster) -> None:
    owner, thief = await renewed_member(cluster, "web")
    copied = await thief.dial()
    assert await denied(copied, HELLO) == Refusal.SUPERSEDED
    # Denied, audited and alarmed, with the address and the key that was used.
    (line,) = cluster.audit("denied")
    assert (line["code"], line["identity"]) == (Refusal.SUPERSEDED, owner.identity)
    assert line["address"] == "127.0.0.1"
    (event,) = await cluster.events("superseded-key")
    assert (event.node_id, event.name) == (owner.identity, "web")
    assert "127.0.0.1" in event.text


async def test_copied_key_does_not_lock_its_owner_out(cluster: Cluster) -> None:
    owner, thief = await renewed_member(cluster, "web")
    link = await owner.linked()
    for _ in range(5):
        assert await denied(await thief.dial(), HELLO) == Refusal.SUPERSEDED
    assert isinstance(await ask(link, beat()), m.Ack)
    assert isinstance((await owner.greet())[1], m.Welcome)
    assert len(await cluster.events("superseded-key")) == 1  # alarmed once, not five times


async def renewed_member(cluster: Cluster, name: str) -> tuple[Member, Member]:
    """A node's owner with its renewed key in use, and who holds a copy of the key before."""
    owner = await cluster.member(name)
    thief = Member.copy_of(owner)
    link = await owner.linked()
    key_pem, csr_der = new_key_and_request()
    reply = await ask(link, m.Renew(csr_der))
    assert isinstance(reply, m.Renewed)
    link.post_farewell(Parting.RENEWED)
    owner.holds(key_pem, reply.certificate_der)
    successor = await owner.linked()
    successor.break_off("gone again")
    return owner, thief


async def test_old_key_is_good_until_the_new_one_is_used(cluster: Cluster) -> None:
    owner = await cluster.member("web")
    link = await owner.linked()
    _, csr_der = new_key_and_request()
    assert isinstance(await ask(link, m.Renew(csr_der)), m.Renewed)
    link.break_off("the answer was lost, or its key")
    assert isinstance((await owner.greet())[1], m.Welcome)


async def test_stolen_key_is_no_good_after_the_node_is_revoked(cluster: Cluster) -> None:
    owner = await cluster.member("web")
    link = await owner.linked()
    assert isinstance(await ask(link, beat()), m.Ack)
    await revoke(cluster, owner)
    parting = await goodbye(link)
    assert parting.code == Parting.REVOKED
    with pytest.raises(LinkBrokenError):
        await answer(link)
    assert await denied(await owner.dial(), HELLO) == Refusal.REVOKED
    assert cluster.state("web") == "revoked"


async def test_revocation_holds_for_an_opening_that_waits_for_the_disk(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = await cluster.member("web")
    link = await owner.linked()
    key_pem, csr_der = new_key_and_request()
    reply = await ask(link, m.Renew(csr_der))
    assert isinstance(reply, m.Renewed)
    owner.holds(key_pem, reply.certificate_der)
    store, asked, may_go_on = cluster.parts.context.store, trio.Event(), trio.Event()
    write = store.write

    async def slow_write(*statements: tuple[str, tuple[object, ...]]) -> None:
        asked.set()
        await may_go_on.wait()
        await write(*statements)

    monkeypatch.setattr(store, "write", slow_write)
    successor = await owner.dial()
    successor.post(HELLO)
    await asked.wait()  # the first use of the new key is being stored
    async with trio.open_nursery() as nursery:
        nursery.start_soon(revoke, cluster, owner)
        await eventually(lambda: is_revoked(cluster, owner))
        may_go_on.set()
    reply = await answer(successor)
    assert isinstance(reply, m.Deny)
    assert reply.code == Refusal.REVOKED


async def revoke(cluster: Cluster, member: Member) -> None:
    """As the operator does it."""
    requests = cluster.parts.entry.viewers.requests
    await requests._revoke(1, member.node)


def is_revoked(cluster: Cluster, member: Member) -> bool:
    identity = cluster.parts.enrolment.identities.get(member.identity)
    return identity is not None and identity.revoked


async def test_forgotten_node_is_unknown(cluster: Cluster) -> None:
    owner = await cluster.member("web")
    link = await owner.linked()
    await cluster.parts.entry.viewers.requests._forget(1, owner.node)
    assert (await goodbye(link)).code == Parting.REVOKED
    assert await denied(await owner.dial(), HELLO) == Refusal.UNKNOWN


async def test_certificate_of_another_cluster_is_refused_in_the_handshake(
    cluster: Cluster,
) -> None:
    now = dt.datetime.now(dt.UTC)
    foreign = CertificateAuthority.create(now)
    member = await cluster.member("web")
    subject = Subject(cluster.authority.cluster, "agent", member.identity, 1)
    der = foreign.issue_client(member.key, subject, now, DAY)
    certificate_pem = ssl.DER_cert_to_PEM_cert(der).encode()
    context = context_with(cluster.ca_pem, member.key_pem, certificate_pem)
    with pytest.raises(LinkBrokenError, match=r"TLS: .*unknown ca"):
        await ask(as_link(await cluster.tls(context)), HELLO)
    await eventually(lambda: "tls-failed" in cluster.limits_hit())


async def test_masters_own_key_is_no_clients(cluster: Cluster) -> None:
    context = client_context(cluster.ca_pem)
    load_leaf(context, *cluster.authority.issue_master(dt.datetime.now(dt.UTC), DAY))
    with pytest.raises(LinkBrokenError, match="TLS:"):
        await ask(as_link(await cluster.tls(context)), HELLO)


# --- time -----------------------------------------------------------------------------------------


async def test_expired_certificate_may_be_renewed_and_nothing_else(cluster: Cluster) -> None:
    owner = await cluster.member("web")
    owner.expired(29 * DAY)
    link, reply = await owner.greet()
    assert isinstance(reply, m.RenewFirst)
    assert reply.expired_s // 86_400 == 29
    link.stream.send_nowait(m.encode(beat()))
    refused = await answer(link)
    assert isinstance(refused, m.Deny)
    assert cluster.state("web") == "never-seen"


async def test_expired_certificate_is_renewed_on_a_link_of_its_own(cluster: Cluster) -> None:
    owner = await cluster.member("web")
    owner.expired(29 * DAY)
    link, _ = await owner.greet()
    key_pem, csr_der = new_key_and_request()
    reply = await ask(link, m.Renew(csr_der))
    assert isinstance(reply, m.Renewed)
    with pytest.raises(LinkBrokenError):
        await answer(link)
    owner.holds(key_pem, reply.certificate_der)
    assert isinstance((await owner.greet())[1], m.Welcome)


async def test_certificate_that_expired_long_ago_is_refused(cluster: Cluster) -> None:
    owner = await cluster.member("web")
    owner.expired(EXPIRED_LONG_AGO)
    assert await denied(await owner.dial(), HELLO) == Refusal.EXPIRED


async def test_viewer_with_an_expired_certificate_sees_nothing_before_it_has_renewed(
    cluster: Cluster,
) -> None:
    viewer = await cluster.member("ann", VIEWER)
    viewer.expired(dt.timedelta(seconds=5))
    link, reply = await viewer.greet()
    assert isinstance(reply, m.RenewFirst)
    link.stream.send_nowait(m.encode(m.Watch()))
    assert isinstance(await answer(link), m.Deny)
    viewer.expired(EXPIRED_LONG_AGO)
    assert await denied(await viewer.dial(), VIEWER_HELLO) == Refusal.EXPIRED


@pytest.mark.parametrize("off", [-400 * DAY, 400 * DAY])
async def test_agent_whose_clock_is_wrong_by_400_days_connects(
    cluster: Cluster, off: dt.timedelta
) -> None:
    # To that agent, the master's certificate and its own are either not valid yet or long over.
    owner = await cluster.member("web")
    owner.dated(dt.datetime.now(dt.UTC) - off, abs(off) + 30 * DAY)
    if off < dt.timedelta(0):
        owner.dated(dt.datetime.now(dt.UTC) + abs(off), 30 * DAY)
    assert isinstance((await owner.greet())[1], m.Welcome)


@pytest.mark.parametrize("role", ["agent", VIEWER])
async def test_nobody_stays_for_longer_than_the_certificate_lasts(
    cluster: Cluster, role: str
) -> None:
    member = await cluster.member("short", role)
    member.dated(dt.datetime.now(dt.UTC), dt.timedelta(seconds=1))
    link = await member.linked()
    with trio.fail_after(10):
        parting = await goodbye(link)
    assert parting.code == Parting.EXPIRED


async def test_short_lived_certificates_are_renewed_in_band(tmp_path: Path) -> None:
    settings = MasterSettings(listen=("127.0.0.1:0",), period_s=1.0, certificate_life_s=2)
    async with running_cluster(tmp_path / "master", settings) as cluster:
        agent = await enrolled_agent(cluster, tmp_path / "agent", "web")

        def generation() -> int:
            identity = cluster.parts.enrolment.identities.get(cluster.node("web").node_id)
            return identity.generation if identity else 0

        async with trio.open_nursery() as nursery:
            nursery.start_soon(agent.run)
            await eventually(lambda: generation() >= 3, within_s=30)
            nursery.cancel_scope.cancel()
        states = [event.after for event in await cluster.events("state")]
        assert "down" not in states
        stored = load_identities(cluster.parts.context.store).get(cluster.node("web").node_id)
        assert stored is not None
        assert stored.generation >= 3
        assert len(cluster.audit("renewed")) >= 2


# --- a hostile agent ------------------------------------------------------------------------------


async def test_hostile_agent_speaks_for_nobody_but_itself(cluster: Cluster) -> None:
    hostile, honest = await cluster.member("hostile"), await cluster.member("honest")
    link = await hostile.linked()
    for message in (m.GetNode(1, honest.name), m.Watch(), m.RevokeNode(1, honest.name)):
        link.stream.send_nowait(m.encode(message))
        assert (await goodbye(link)).code == "bad-message"
        hostile.node.shunned_until_s = 0.0
        link = await hostile.linked()
    assert isinstance(await ask(link, beat()), m.Ack)
    assert cluster.state("honest") == "never-seen"
    assert honest.node.core is None


async def test_agent_that_broke_the_protocol_stays_away_for_a_while(cluster: Cluster) -> None:
    hostile, honest = await cluster.member("hostile"), await cluster.member("honest")
    link = await hostile.linked()
    link.stream.send_nowait(m.encode(m.Watch()))
    await goodbye(link)
    assert await denied(await hostile.dial(), HELLO) == Refusal.BUSY
    assert isinstance((await honest.greet())[1], m.Welcome)


async def test_second_link_with_one_identity_replaces_the_first_and_says_so(
    cluster: Cluster,
) -> None:
    owner = await cluster.member("web")
    first = await owner.linked()
    second = await owner.linked()
    assert (await goodbye(first)).code == Parting.REPLACED
    assert isinstance(await ask(second, beat()), m.Ack)
    assert len(cluster.audit("session-replaced")) == 1


async def test_two_agents_with_one_identity_are_a_conflict(cluster: Cluster) -> None:
    owner = await cluster.member("web")
    link = await owner.linked()
    for _ in range(4):
        link = await owner.linked()
    assert isinstance(await ask(link, beat()), m.Ack)
    (event,) = await cluster.events("conflict")
    assert event.name == "web"
    assert cluster.node("web").conflict


async def test_revoking_leaves_every_other_node_alone(cluster: Cluster) -> None:
    hostile, honest = await cluster.member("hostile"), await cluster.member("honest")
    links = [await hostile.linked(), await honest.linked()]
    cluster.parts.entry.registry.apply(hostile.node, Revoked(), trio.current_time())
    await revoke(cluster, hostile)
    assert isinstance(await ask(links[1], beat()), m.Ack)
    assert cluster.state("honest") == "up"
