"""An agent keeps its link: whatever ends it, it dials again; and no master can make it do more."""

import datetime as dt
import errno
import os
import random
import shutil
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import repeat
from pathlib import Path

import pytest
import trio
from msgspec.structs import replace

from agent import linker as linker_module
from agent import renewal
from agent.identity import Identity, IdentityFolder, other
from agent.keys import NewKey
from shared import messages as m
from shared.addresses import Address
from shared.certificates import (
    CertificateAuthority,
    Subject,
    key_from_request,
    new_key_and_request,
    request_for_key_pem,
)
from shared.errors import DeniedError, IdentityError
from shared.messages import Parting, Refusal
from shared.paths import StateFolder
from shared.settings import AgentSettings, LinkSettings
from tests.eventually import eventually
from tests.network.cluster import (
    DAY,
    HELLO,
    Agent,
    Cluster,
    as_link,
    ask,
    enrolled_agent,
    running_cluster,
)
from tests.network.scripted_master import MasterEnd, Script, ScriptedMaster, scripted_master
from tests.power_cut import PowerCut, power_cut_before
from tests.resolver import Resolver

NOW = dt.datetime.now(dt.UTC)
NODE_ID = "0123456789abcdef"
LOOPBACK = "127.0.0.1"


@pytest.fixture
def authority() -> CertificateAuthority:
    return CertificateAuthority.create(NOW)


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with running_cluster(tmp_path / "master") as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def quick_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys are made here, not in a process of their own, which is tested by itself."""

    async def make_key() -> NewKey:
        await trio.lowlevel.checkpoint()
        return NewKey(*new_key_and_request())

    monkeypatch.setattr(renewal, "make_key", make_key)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Agents that hardly wait before they dial again: where it is not about how long."""

    def soon(_: random.Random) -> Iterator[float]:
        return repeat(0.01)

    monkeypatch.setattr(linker_module, "delays_s", soon)


def agent_of(
    authority: CertificateAuthority,
    root: Path,
    *masters: Address,
    link: LinkSettings | None = None,
) -> Agent:
    """An agent that has joined the cluster of `authority`."""
    folder = StateFolder(root)
    identities = IdentityFolder(folder)
    identities.save_ca(authority.certificate_pem())
    fill(authority, identities, "a")
    identity = Identity(
        cluster=authority.cluster,
        server_name=authority.server_name,
        node_id=NODE_ID,
        name="web",
        masters=tuple(map(str, masters)),
    )
    identities.save(identity)
    return Agent(folder, identity, link=link)


def fill(authority: CertificateAuthority, folder: IdentityFolder, slot: str) -> None:
    key_pem, csr_der = new_key_and_request()
    subject = Subject(authority.cluster, "agent", NODE_ID, 1)
    der = authority.issue_client(key_from_request(csr_der), subject, NOW, 30 * DAY)
    folder.save_pending_key(slot, key_pem)
    folder.fill(slot, ssl.DER_cert_to_PEM_cert(der).encode())


@asynccontextmanager
async def running(agent: Agent) -> AsyncGenerator[None]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(agent.run)
        yield
        nursery.cancel_scope.cancel()


async def run_to_the_end(agent: Agent) -> Exception:
    """What ends an agent for good."""
    with trio.fail_after(10), pytest.raises((DeniedError, IdentityError)) as ended:
        await agent.run()
    return ended.value


# --- scripts --------------------------------------------------------------------------------------


async def welcome(master: ScriptedMaster, link: MasterEnd, message: m.FromClient) -> None:
    """A good master, as far as a beating agent can tell."""
    match message:
        case m.AgentHello():
            link.post(master.welcome())
        case m.Beat(sequence):
            link.post(m.Ack(sequence))
        case m.Ping(token):
            link.post(m.Pong(token))
        case _:
            pass


def deny(code: str) -> Script:
    async def denying(_: ScriptedMaster, link: MasterEnd, message: m.FromClient) -> None:
        link.post(m.Deny(code, "in a test"))

    return denying


def part(code: str) -> Script:
    async def parting(master: ScriptedMaster, link: MasterEnd, message: m.FromClient) -> None:
        await welcome(master, link, message)
        if isinstance(message, m.Beat):
            link.post_farewell(code, "in a test")

    return parting


async def say_nothing(_: ScriptedMaster, link: MasterEnd, message: m.FromClient) -> None:
    """A master that accepts, and is then silent."""


# --- dialling again -------------------------------------------------------------------------------


async def test_link_that_breaks_is_dialled_again_within_a_second(
    authority: CertificateAuthority, tmp_path: Path
) -> None:
    async def hang_up(master: ScriptedMaster, link: MasterEnd, message: m.FromClient) -> None:
        await welcome(master, link, message)
        if isinstance(message, m.Beat) and master.hellos == 1:
            link.break_off("in a test")

    async with scripted_master(authority, hang_up) as master:
        async with running(agent_of(authority, tmp_path, master.address)):
            await eventually(lambda: master.hellos == 2)
        assert master.arrived[1] - master.arrived[0] < 2


@pytest.mark.usefixtures("hasty")
async def test_masters_are_tried_in_turn(authority: CertificateAuthority, tmp_path: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as gone:
        nobody = Address(*gone.getsockname()[:2])
    async with scripted_master(authority, welcome) as master:
        agent = agent_of(authority, tmp_path, nobody, Address("foo..bar", 1), master.address)
        async with running(agent):
            await eventually(lambda: master.hellos == 1)


async def test_settings_say_where_the_master_is_now(
    authority: CertificateAuthority, tmp_path: Path
) -> None:
    async with scripted_master(authority, welcome) as master:
        joined = agent_of(authority, tmp_path, Address("moved.invalid", 7700))
        identity = joined.folder.load()
        assert identity is not None
        moved = AgentSettings(master=(str(master.address),))
        async with running(Agent(StateFolder(tmp_path), identity, moved)):
            await eventually(lambda: master.hellos == 1)


@pytest.mark.usefixtures("hasty")
async def test_name_is_resolved_anew_each_time(
    authority: CertificateAuthority, tmp_path: Path
) -> None:
    async with (
        scripted_master(authority, part(Parting.RESTARTING)) as first,
        scripted_master(authority, welcome) as second,
    ):
        resolver = Resolver(first.address, second.address)
        trio.socket.set_custom_hostname_resolver(resolver)
        async with running(agent_of(authority, tmp_path, Address("master.example", 7700))):
            await eventually(lambda: second.hellos == 1)
        assert resolver.asked == ["master.example", "master.example"]


@pytest.mark.usefixtures("hasty")
async def test_master_that_accepts_and_says_nothing_is_given_up(
    authority: CertificateAuthority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linker_module, "DIAL_S", 0.3)
    async with (
        scripted_master(authority, say_nothing) as frozen,
        scripted_master(authority, welcome) as master,
    ):
        async with running(agent_of(authority, tmp_path, frozen.address, master.address)):
            await eventually(lambda: master.hellos == 1)
        assert frozen.hellos == 1


@pytest.mark.usefixtures("hasty")
async def test_port_that_accepts_and_never_shakes_hands_is_given_up(
    authority: CertificateAuthority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linker_module, "DIAL_S", 0.3)
    with socket.create_server((LOOPBACK, 0)) as frozen:
        address = Address(*frozen.getsockname()[:2])
        async with (
            scripted_master(authority, welcome) as master,
            running(agent_of(authority, tmp_path, address, master.address)),
        ):
            await eventually(lambda: master.hellos == 1)


@pytest.mark.usefixtures("hasty")
async def test_link_that_is_dead_without_a_word_is_noticed_and_replaced(
    authority: CertificateAuthority, tmp_path: Path
) -> None:
    async def fall_silent(master: ScriptedMaster, link: MasterEnd, message: m.FromClient) -> None:
        if isinstance(message, m.AgentHello) or master.hellos == 2:
            await welcome(master, link, message)

    impatient = LinkSettings(read_timeout_s=1.0, ping_after_s=0.5)
    async with scripted_master(authority, fall_silent) as master:
        async with running(agent_of(authority, tmp_path, master.address, link=impatient)):
            await eventually(lambda: master.hellos == 2)
        assert any(isinstance(message, m.Ping) for message in master.received)


@pytest.mark.usefixtures("hasty")
async def test_busy_master_is_tried_again(authority: CertificateAuthority, tmp_path: Path) -> None:
    async def busy_at_first(master: ScriptedMaster, link: MasterEnd, message: m.FromClient) -> None:
        if master.hellos <= 2:
            link.post(m.Deny(Refusal.BUSY, "in a test"))
        else:
            await welcome(master, link, message)

    async with (
        scripted_master(authority, busy_at_first) as master,
        running(agent_of(authority, tmp_path, master.address)),
    ):
        await eventually(lambda: master.hellos == 3)


@pytest.mark.parametrize("code", sorted(Refusal.FINAL))
async def test_final_refusal_ends_the_agent_and_says_why(
    authority: CertificateAuthority, tmp_path: Path, code: str
) -> None:
    async with scripted_master(authority, deny(code)) as master:
        ended = await run_to_the_end(agent_of(authority, tmp_path, master.address))
        assert isinstance(ended, DeniedError)
        assert ended.code == code
        assert master.hellos == 1


async def test_revocation_of_a_live_link_ends_the_agent(
    authority: CertificateAuthority, tmp_path: Path
) -> None:
    async with scripted_master(authority, part(Parting.REVOKED)) as master:
        ended = await run_to_the_end(agent_of(authority, tmp_path, master.address))
        assert isinstance(ended, DeniedError)
        assert ended.code == Refusal.REVOKED


async def test_agent_that_is_replaced_again_takes_its_time(
    authority: CertificateAuthority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        scripted_master(authority, part(Parting.REPLACED)) as master,
        running(agent_of(authority, tmp_path, master.address)),
    ):
        await eventually(lambda: [r for r in caplog.records if r.message == "link ended"])
        (record,) = [r for r in caplog.records if r.message == "link ended"]
        assert 5 <= vars(record)["again_in_s"] <= 10
        assert vars(record)["master"] == str(master.address)


async def test_leaving_says_goodbye(authority: CertificateAuthority, tmp_path: Path) -> None:
    async with scripted_master(authority, welcome) as master, trio.open_nursery() as nursery:
        agent = agent_of(authority, tmp_path, master.address)
        nursery.start_soon(agent.run)
        await eventually(lambda: any(isinstance(each, m.Beat) for each in master.received))
        agent.linker.leave("SIGTERM")
        await eventually(lambda: m.Goodbye(Parting.STOPPED, "SIGTERM") in master.received)


async def test_leaving_without_a_link_is_at_once(
    authority: CertificateAuthority, tmp_path: Path
) -> None:
    agent = agent_of(authority, tmp_path, Address("nowhere.invalid", 1))
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(agent.run)
            await trio.lowlevel.checkpoint()
            agent.linker.leave("SIGTERM")


# --- a master that lies ---------------------------------------------------------------------------


async def test_master_cannot_make_an_agent_dial_without_pause(
    authority: CertificateAuthority, tmp_path: Path
) -> None:
    async with scripted_master(authority, part(Parting.RENEWED)) as master:
        async with running(agent_of(authority, tmp_path, master.address)):
            await eventually(lambda: master.hellos >= 4)
        assert master.arrived[3] - master.arrived[1] >= 2 * 0.5  # the back-off's floor, twice


async def test_master_cannot_make_an_agent_make_keys_without_pause(
    authority: CertificateAuthority, tmp_path: Path
) -> None:
    async def expired_for_ever(
        master: ScriptedMaster, link: MasterEnd, message: m.FromClient
    ) -> None:
        match message:
            case m.AgentHello():
                link.post(m.RenewFirst(1, 5))
            case m.Renew():
                link.post(master.renewed(message))
            case _:
                pass

    async with scripted_master(authority, expired_for_ever) as master:
        async with running(agent_of(authority, tmp_path, master.address)):
            await eventually(lambda: master.hellos >= 5)
        assert master.arrived[4] - master.arrived[0] >= 0.5


@pytest.mark.parametrize("certificate_der", [b"", b"garbage", "another's"])
async def test_certificate_that_is_none_does_no_harm(
    authority: CertificateAuthority, tmp_path: Path, certificate_der: bytes | str
) -> None:
    async def answer_badly(master: ScriptedMaster, link: MasterEnd, message: m.FromClient) -> None:
        await welcome(master, link, message)
        if isinstance(message, m.Renew):
            bad = certificate_der
            if isinstance(bad, str):
                bad = master.renewed(m.Renew(new_key_and_request()[1])).certificate_der
            link.post(m.Renewed(bad))

    # No life left: it renews at once.
    async with scripted_master(authority, answer_badly, life_s=0) as master:
        agent = agent_of(authority, tmp_path, master.address)
        async with running(agent):
            await eventually(lambda: any(isinstance(each, m.Renew) for each in master.received))
            beats = len(master.received)
            await eventually(lambda: len(master.received) > beats)
        assert master.hellos == 1
        agent.folder.context("a")
        assert not agent.folder.slot("b").exists()


async def test_certificate_that_nobody_asked_for_is_passed_over(
    authority: CertificateAuthority, tmp_path: Path
) -> None:
    async def push(master: ScriptedMaster, link: MasterEnd, message: m.FromClient) -> None:
        await welcome(master, link, message)
        if isinstance(message, m.AgentHello):
            link.post(master.renewed(m.Renew(new_key_and_request()[1])))

    async with scripted_master(authority, push) as master:
        agent = agent_of(authority, tmp_path, master.address)
        async with running(agent):
            await eventually(lambda: any(isinstance(each, m.Beat) for each in master.received))
        assert master.hellos == 1
        assert sorted(path.name for path in agent.folder.path.glob("slot*")) == ["slot-a.pem"]


@pytest.mark.usefixtures("hasty")
async def test_master_that_breaks_the_protocol_is_dialled_again(
    authority: CertificateAuthority, tmp_path: Path
) -> None:
    async def babble(master: ScriptedMaster, link: MasterEnd, message: m.FromClient) -> None:
        await welcome(master, link, message)
        if isinstance(message, m.Beat) and master.hellos == 1:
            link.stream.send_nowait(b"\xff\xff\xff\xff")

    async with (
        scripted_master(authority, babble) as master,
        running(agent_of(authority, tmp_path, master.address)),
    ):
        await eventually(lambda: master.hellos == 2)


# --- keys -----------------------------------------------------------------------------------------


async def test_renewed_key_is_used_and_the_old_one_removed(
    authority: CertificateAuthority, tmp_path: Path
) -> None:
    async def renew(master: ScriptedMaster, link: MasterEnd, message: m.FromClient) -> None:
        await welcome(master, link, message)
        if isinstance(message, m.Renew):
            link.post(master.renewed(message))
            master.life_s = 30 * 86_400

    async with scripted_master(authority, renew, life_s=0) as master:
        agent = agent_of(authority, tmp_path, master.address)
        async with running(agent):
            await eventually(lambda: master.hellos == 2)
            await eventually(lambda: not agent.folder.slot("a").exists())
        identity = agent.folder.load()
        assert identity is not None
        assert (identity.slot, identity.trying) == ("b", None)


@pytest.mark.parametrize("code", [Refusal.SUPERSEDED, Refusal.UNKNOWN])
async def test_renewed_key_that_is_refused_gives_way_to_the_one_before(
    authority: CertificateAuthority, tmp_path: Path, code: str
) -> None:
    async def refuse_at_first(
        master: ScriptedMaster, link: MasterEnd, message: m.FromClient
    ) -> None:
        if master.hellos == 1:
            link.post(m.Deny(code, "in a test"))
        else:
            await welcome(master, link, message)

    async with scripted_master(authority, refuse_at_first) as master:
        agent = trying_slot_b(authority, tmp_path, master)
        async with running(agent):
            await eventually(lambda: master.hellos == 2)
        assert agent.folder.load() == replace(identity_of(agent), slot="a", trying=None)


@pytest.mark.parametrize("damage", [b"", b"no key", None])
async def test_renewed_key_that_is_damaged_gives_way_to_the_one_before(
    authority: CertificateAuthority, tmp_path: Path, damage: bytes | None
) -> None:
    async with scripted_master(authority, welcome) as master:
        agent = trying_slot_b(authority, tmp_path, master)
        if damage is None:
            agent.folder.slot("b").unlink()
        else:
            agent.folder.slot("b").write_bytes(damage)
        async with running(agent):
            await eventually(lambda: master.hellos == 1)


async def test_only_key_that_is_damaged_ends_the_agent_in_words(
    authority: CertificateAuthority, tmp_path: Path
) -> None:
    agent = agent_of(authority, tmp_path, Address(LOOPBACK, 1))
    agent.folder.slot("a").write_bytes(b"no key")
    assert "slot-a.pem" in str(await run_to_the_end(agent))


def trying_slot_b(authority: CertificateAuthority, root: Path, master: ScriptedMaster) -> Agent:
    """An agent that was stopped after its renewal and before the first use of the new key."""
    agent = agent_of(authority, root, master.address)
    fill(authority, agent.folder, "b")
    identity = replace(identity_of(agent), trying="b")
    agent.folder.save(identity)
    return Agent(StateFolder(root), identity)


def identity_of(agent: Agent) -> Identity:
    identity = agent.folder.load()
    assert identity is not None
    return identity


async def test_expired_agent_renews_and_comes_back(cluster: Cluster, tmp_path: Path) -> None:
    agent = await enrolled_agent(cluster, tmp_path / "agent", "web")
    expire(cluster, agent, 29 * DAY)
    async with running(agent):
        await eventually(lambda: cluster.state("web") == "up")
    assert identity_of(agent).slot == "b"


async def test_agent_that_expired_long_ago_is_told_to_join_again(
    cluster: Cluster, tmp_path: Path
) -> None:
    agent = await enrolled_agent(cluster, tmp_path / "agent", "web")
    expire(cluster, agent, 31 * DAY)
    ended = await run_to_the_end(agent)
    assert isinstance(ended, DeniedError)
    assert ended.code == Refusal.EXPIRED


def expire(cluster: Cluster, agent: Agent, ago: dt.timedelta) -> None:
    """Gives the agent, on disk, a certificate for the same key that ended so long ago."""
    path = agent.folder.slot("a")
    key_pem = path.read_bytes().split(b"-----BEGIN CERTIFICATE")[0]
    identity = identity_of(agent)
    subject = Subject(identity.cluster, "agent", identity.node_id, 1)
    key = key_from_request(request_for_key_pem(key_pem))
    der = cluster.authority.issue_client(key, subject, NOW - ago - DAY, DAY)
    path.write_bytes(key_pem + ssl.DER_cert_to_PEM_cert(der).encode())


async def test_power_cut_at_any_step_of_a_renewal_never_locks_the_node_out(
    cluster: Cluster, tmp_path: Path
) -> None:
    step, was_cut = 0, True
    while was_cut:
        name = f"node-{step}"
        root = tmp_path / name
        agent = await enrolled_agent(cluster, root, name)
        try:
            with power_cut_before(step, of=root):
                await renew(cluster, agent)
        except PowerCut:
            step += 1
        else:
            was_cut = False
        await assert_comes_up(cluster, Agent(StateFolder(root), identity_of(agent)), name)
    assert step > 8  # drafts, their syncs and renames, what is removed
    assert not cluster.audit("denied")


async def renew(cluster: Cluster, agent: Agent) -> None:
    """A whole renewal, up to the first use of the new key, as the agent does it."""
    folder, identity = agent.folder, identity_of(agent)
    new_slot = other(identity.slot)
    asked = await renewal.begin(folder, identity)
    node = cluster.parts.enrolment.identities.get(identity.node_id)
    assert node is not None
    der = await cluster.parts.enrolment.renew(node, asked.csr_der, "192.0.2.1")
    trying = renewal.complete(folder, identity, m.Renewed(der))
    link = as_link(await cluster.tls(folder.context(new_slot)))
    assert isinstance(await ask(link, HELLO), m.Welcome)
    folder.settle(trying, new_slot)
    link.break_off("renewed")


async def assert_comes_up(cluster: Cluster, agent: Agent, name: str) -> None:
    async with running(agent):
        await eventually(lambda: cluster.state(name) == "up")


# --- a disk that fails ----------------------------------------------------------------------------


@pytest.mark.usefixtures("hasty")
async def test_agent_whose_folder_vanishes_goes_on_and_comes_back(
    cluster: Cluster, tmp_path: Path
) -> None:
    agent = await enrolled_agent(cluster, tmp_path / "agent", "web")
    async with running(agent):
        await eventually(lambda: cluster.state("web") == "up")
        shutil.rmtree(tmp_path / "agent")
        session = cluster.node("web").session
        assert session is not None
        session.link.break_off("in a test")
        await eventually(lambda: cluster.node("web").session not in {None, session})
        await eventually(lambda: cluster.state("web") == "up")


async def test_renewal_on_a_full_disk_leaves_the_link_as_it_is(
    authority: CertificateAuthority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async with scripted_master(authority, welcome, life_s=0) as master:
        agent = agent_of(authority, tmp_path, master.address)
        monkeypatch.setattr("agent.identity.write_private", full)
        async with running(agent):
            await eventually(
                lambda: len([each for each in master.received if isinstance(each, m.Beat)]) >= 2
            )
        assert master.hellos == 1
        assert not any(isinstance(each, m.Renew) for each in master.received)


@pytest.mark.usefixtures("hasty")
async def test_expired_agent_on_a_full_disk_goes_on_trying(
    authority: CertificateAuthority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async def expired(master: ScriptedMaster, link: MasterEnd, message: m.FromClient) -> None:
        if isinstance(message, m.AgentHello):
            link.post(m.RenewFirst(1, 5))

    async with scripted_master(authority, expired) as master:
        agent = agent_of(authority, tmp_path, master.address)
        monkeypatch.setattr("agent.identity.write_private", full)
        async with running(agent):
            await eventually(lambda: master.hellos >= 2)
