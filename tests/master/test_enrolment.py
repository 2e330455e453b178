"""Letting newcomers in: once per use, again for a lost answer, and never by a race."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trio
import trio.testing
from msgspec.structs import replace

from master.enrolment import load_identities, update_identity
from master.identities import AGENT, VIEWER, Identity
from master.store import IN_MEMORY, Store, StoreError
from shared import messages as m
from shared.certificates import (
    PeerCertificate,
    fingerprint,
    key_from_request,
    new_key_and_request,
    read_peer,
)
from shared.errors import RemoteProtocolError
from shared.messages import Refusal
from shared.tokens import Token
from tests.eventually import eventually
from tests.master.assembled import Assembled, assembled
from tests.master.disks import Disk

Result = TypeVar("Result")
ADDRESS = "192.0.2.7"


@pytest.fixture
async def disk() -> Disk:
    return Disk()


@pytest.fixture
def store(disk: Disk) -> Iterator[Store]:
    store = Store.open(IN_MEMORY, disk.run)
    yield store
    store.close()


def request(token: Token, csr_der: bytes, name: str = "web", role: str = "") -> m.Enrol:
    return m.Enrol(1, 1, token.token_id, token.secret, csr_der, name, "0.1.0", role)


async def token_of(master: Assembled, uses: int = 1, role: str = AGENT) -> Token:
    token, _ = await master.parts.enrolment.create_token(role, 3600, uses)
    return token


async def enrol(
    master: Assembled, token: Token, csr_der: bytes, name: str = "web", role: str = ""
) -> m.Enrolled | m.Deny:
    asked = request(token, csr_der, name, role)
    return await master.parts.enrolment.enrol(asked, ADDRESS, trio.current_time())


async def enrolled(master: Assembled, csr_der: bytes, name: str = "web") -> m.Enrolled:
    answer = await enrol(master, await token_of(master), csr_der, name)
    assert isinstance(answer, m.Enrolled), answer
    return answer


def code_of(answer: m.Enrolled | m.Deny) -> str:
    return answer.code if isinstance(answer, m.Deny) else "enrolled"


def new_request() -> bytes:
    return new_key_and_request()[1]


def key_of(csr_der: bytes) -> bytes:
    return fingerprint(key_from_request(csr_der))


def identity_of(master: Assembled, answer: m.Enrolled) -> Identity:
    identity = master.identities.get(answer.identity)
    assert identity is not None
    return identity


def stored(store: Store, answer: m.Enrolled) -> Identity:
    identity = load_identities(store).get(answer.identity)
    assert identity is not None
    return identity


def audited(master: Assembled) -> list[dict[str, Any]]:
    return [json.loads(line) for line in master.audit_path.read_text("utf-8").splitlines()]


async def test_newcomer_gets_an_identity_and_a_certificate_for_its_key(
    tmp_path: Path, store: Store
) -> None:
    async with assembled(tmp_path, store=store) as master:
        csr_der = new_request()
        answer = await enrolled(master, csr_der)
        peer = read_peer(answer.certificate_der)
        assert peer.subject.identity == answer.identity
        assert (peer.subject.role, peer.subject.generation) == (AGENT, 1)
        assert peer.key_fingerprint == key_of(csr_der) == stored(store, answer).key
        assert master.node("web").node_id == answer.identity


async def test_same_token_and_key_give_the_same_identity_again(
    tmp_path: Path, store: Store
) -> None:
    async with assembled(tmp_path, store=store) as master:
        token, csr_der = await token_of(master), new_request()
        answers = [await enrol(master, token, csr_der) for _ in range(3)]
        assert len({answer.identity for answer in answers if isinstance(answer, m.Enrolled)}) == 1
        assert len(answers) == 3
        assert len(master.registry) == 1
        assert code_of(await enrol(master, token, new_request())) == Refusal.TOKEN_USED


@pytest.mark.parametrize(("role", "wanted"), [(VIEWER, AGENT), (AGENT, VIEWER)])
async def test_newcomer_who_wants_another_role_spends_no_use(
    tmp_path: Path, store: Store, role: str, wanted: str
) -> None:
    async with assembled(tmp_path, store=store) as master:
        token, csr_der = await token_of(master, role=role), new_request()
        assert code_of(await enrol(master, token, csr_der, role=wanted)) == Refusal.TOKEN_ROLE
        assert code_of(await enrol(master, token, csr_der, role="queen")) == Refusal.TOKEN_ROLE
        assert len(master.registry) == 0
        record = master.parts.enrolment.identities.find_token(token.token_id)
        assert record is not None
        assert record.uses_left == 1
        assert code_of(await enrol(master, token, csr_der, role=role)) == "enrolled"


async def test_role_of_a_token_is_told_to_nobody_who_has_not_its_secret(tmp_path: Path) -> None:
    async with assembled(tmp_path) as master:
        token = await token_of(master, role=VIEWER)
        forged = Token(token.ca_pin, token.token_id, bytes(16))
        answer = await enrol(master, forged, new_request(), role=AGENT)
        assert code_of(answer) == Refusal.BAD_TOKEN


@pytest.mark.parametrize("role", [AGENT, VIEWER])
async def test_newcomer_of_before_roles_were_asked_for_gets_the_tokens(
    tmp_path: Path, role: str
) -> None:
    async with assembled(tmp_path) as master:
        answer = await enrol(master, await token_of(master, role=role), new_request())
        assert isinstance(answer, m.Enrolled)
        assert answer.role == role


async def test_two_newcomers_racing_for_the_last_use_do_not_share_it(
    tmp_path: Path, disk: Disk, store: Store
) -> None:
    async with assembled(tmp_path, store=store) as master:
        token = await token_of(master)
        answers: list[str] = []

        async def newcomer() -> None:
            answers.append(code_of(await enrol(master, token, new_request())))

        disk.stall()
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(newcomer)
            await eventually(lambda: disk.waiting)
            disk.go_on()
        assert sorted(answers) == ["enrolled", *[Refusal.TOKEN_USED] * 4]
        assert len(master.registry) == 1


async def test_retry_during_a_slow_enrolment_gets_the_same_identity(
    tmp_path: Path, disk: Disk, store: Store
) -> None:
    async with assembled(tmp_path, store=store) as master:
        token, csr_der = await token_of(master), new_request()
        answers: list[m.Enrolled | m.Deny] = []

        async def newcomer() -> None:
            answers.append(await enrol(master, token, csr_der))

        disk.stall()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(newcomer)
            await eventually(lambda: disk.waiting)
            nursery.start_soon(newcomer)
            await trio.testing.wait_all_tasks_blocked()
            assert not answers
            disk.go_on()
        assert [code_of(answer) for answer in answers] == ["enrolled", "enrolled"]
        assert len(master.registry) == 1


async def test_newcomer_that_gave_up_while_it_was_stored_finds_itself_enrolled(
    tmp_path: Path, disk: Disk, store: Store
) -> None:
    async with assembled(tmp_path, store=store) as master:
        token, csr_der = await token_of(master), new_request()
        disk.stall()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(enrol, master, token, csr_der)
            await eventually(lambda: disk.waiting)
            nursery.cancel_scope.cancel()
            disk.go_on()
        (node,) = master.registry
        answer = await enrol(master, token, csr_der)
        assert isinstance(answer, m.Enrolled)
        assert answer.identity == node.node_id
        assert stored(store, answer) == identity_of(master, answer)


async def test_disk_that_refuses_burns_no_token_and_takes_no_name(
    tmp_path: Path, disk: Disk, store: Store
) -> None:
    async with assembled(tmp_path, store=store) as master:
        token, csr_der = await token_of(master), new_request()
        disk.refuse()
        assert code_of(await enrol(master, token, csr_der)) == Refusal.BUSY
        assert not list(master.registry)
        disk.recover()
        answer = await enrol(master, token, csr_der)
        assert isinstance(answer, m.Enrolled)
        assert answer.name == "web"


async def test_token_revoked_during_an_enrolment_stays_revoked(
    tmp_path: Path, disk: Disk, store: Store
) -> None:
    async with assembled(tmp_path, store=store) as master:
        token = await token_of(master, uses=5)
        record = master.identities.find_token(token.token_id)
        assert record is not None
        disk.stall()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(enrol, master, token, new_request())
            await eventually(lambda: disk.waiting)
            spending = master.identities.find_token(token.token_id)
            assert spending is not None
            nursery.start_soon(master.parts.enrolment.revoke_token, spending)
            await trio.testing.wait_all_tasks_blocked()
            disk.go_on()
        assert code_of(await enrol(master, token, new_request())) == Refusal.BAD_TOKEN
        kept = load_identities(store).find_token(token.token_id)
        assert kept is not None
        assert kept.revoked
        assert kept.uses_left == 4


async def test_request_is_not_even_read_before_the_token_is_known(
    tmp_path: Path, store: Store
) -> None:
    async with assembled(tmp_path, store=store) as master:
        token = await token_of(master)
        forged = Token(token.ca_pin, token.token_id, bytes(16))
        assert code_of(await enrol(master, forged, b"no request")) == Refusal.BAD_TOKEN


async def test_bad_request_does_not_burn_the_token(tmp_path: Path, store: Store) -> None:
    async with assembled(tmp_path, store=store) as master:
        token = await token_of(master)
        with pytest.raises(RemoteProtocolError) as refused:
            await enrol(master, token, b"no request")
        assert refused.value.code == Refusal.BAD_REQUEST
        assert code_of(await enrol(master, token, new_request())) == "enrolled"


@pytest.mark.parametrize("change", [{"revoked": True}, {"key": bytes(32)}])
async def test_key_that_is_no_longer_good_cannot_join_again(
    tmp_path: Path, store: Store, change: dict[str, Any]
) -> None:
    async with assembled(tmp_path, store=store) as master:
        token, csr_der = await token_of(master, uses=5), new_request()
        answer = await enrol(master, token, csr_der)
        assert isinstance(answer, m.Enrolled)
        master.identities.put(replace(identity_of(master, answer), **change))
        again = await enrol(master, token, csr_der)
        assert code_of(again) == Refusal.SUPERSEDED
        assert code_of(await enrol(master, token, new_request())) == "enrolled"


async def test_names_are_made_safe_and_kept_apart(tmp_path: Path, store: Store) -> None:
    async with assembled(tmp_path, store=store) as master:
        names = [
            (await enrolled(master, new_request(), name)).name
            for name in ("web", "web", "web\x1b[2J\u202e", "  ", "-rf", "x" * 200)
        ]
    assert names == ["web", "web-2", "web[2J", "unnamed", "rf", "x" * 64]


async def test_viewer_is_no_node(tmp_path: Path, store: Store) -> None:
    async with assembled(tmp_path, store=store) as master:
        token = await token_of(master, role=VIEWER)
        answer = await enrol(master, token, new_request(), "ann")
        assert isinstance(answer, m.Enrolled)
        assert answer.role == read_peer(answer.certificate_der).subject.role == VIEWER
        assert not list(master.registry)


async def test_next_start_knows_who_has_joined_and_what_is_left_of_a_token(
    tmp_path: Path, store: Store
) -> None:
    async with assembled(tmp_path, store=store) as master:
        token, csr_der = await token_of(master, uses=2), new_request()
        first = await enrol(master, token, csr_der)
    async with assembled(tmp_path, store=store) as master:
        again = await enrol(master, token, csr_der)
        assert isinstance(first, m.Enrolled)
        assert isinstance(again, m.Enrolled)
        assert again.identity == first.identity
        assert code_of(await enrol(master, token, new_request())) == "enrolled"
        assert code_of(await enrol(master, token, new_request())) == Refusal.TOKEN_USED


async def test_audit_tells_who_and_how_and_never_a_secret(tmp_path: Path, store: Store) -> None:
    async with assembled(tmp_path, store=store) as master:
        token, csr_der = await token_of(master), new_request()
        forged = Token(token.ca_pin, token.token_id, bytes(16))
        await enrol(master, forged, csr_der)
        answer = await enrol(master, token, csr_der)
        await enrol(master, token, new_request())
        assert isinstance(answer, m.Enrolled)
        renewed = new_request()
        identity = identity_of(master, answer)
        await master.parts.enrolment.renew(identity, renewed, ADDRESS)
        lines = audited(master)
        written = master.audit_path.read_bytes()
    token_id = token.token_id.hex()
    assert [(line["action"], line.get("code", "")) for line in lines] == [
        ("token-created", ""),
        ("enrolment-denied", Refusal.BAD_TOKEN),
        ("enrolled", ""),
        ("enrolment-denied", Refusal.TOKEN_USED),
        ("renewed", ""),
    ]
    assert {line["token"] for line in lines if "token" in line} == {token_id}
    assert [lines[1]["key"], lines[2]["key"]] == ["", key_of(csr_der).hex()]
    assert lines[4]["key"] == key_of(renewed).hex()
    assert all(line["address"] == ADDRESS for line in lines[1:])
    for secret in (token.secret, token.secret.hex().encode(), token.encode()[-40:].encode()):
        assert secret not in written


# --- renewal --------------------------------------------------------------------------------------


async def renew(master: Assembled, answer: m.Enrolled, csr_der: bytes) -> PeerCertificate:
    identity = identity_of(master, answer)
    return read_peer(await master.parts.enrolment.renew(identity, csr_der, ADDRESS))


async def test_renewed_key_stands_beside_the_old_one_until_it_is_used(
    tmp_path: Path, store: Store
) -> None:
    async with assembled(tmp_path, store=store) as master:
        first, second = new_request(), new_request()
        answer = await enrolled(master, first)
        peer = await renew(master, answer, second)
        assert peer.subject.generation == 2
        assert peer.key_fingerprint == key_of(second)
        kept = stored(store, answer)
        assert (kept.key, kept.next_key) == (key_of(first), key_of(second))


async def test_renewal_repeated_with_another_key_leaves_the_last_one(
    tmp_path: Path, store: Store
) -> None:
    async with assembled(tmp_path, store=store) as master:
        answer, last = await enrolled(master, new_request()), new_request()
        await renew(master, answer, new_request())
        await renew(master, answer, last)
        assert stored(store, answer).next_key == key_of(last)


async def test_renewing_the_present_key_changes_no_key(tmp_path: Path, store: Store) -> None:
    async with assembled(tmp_path, store=store) as master:
        csr_der = new_request()
        answer = await enrolled(master, csr_der)
        peer = await renew(master, answer, csr_der)
        assert peer.subject.generation == 1
        assert identity_of(master, answer).next_key is None


async def test_certificate_is_not_given_away_before_its_key_is_stored(
    tmp_path: Path, disk: Disk, store: Store
) -> None:
    async with assembled(tmp_path, store=store) as master:
        answer = await enrolled(master, new_request())
        disk.refuse()
        with pytest.raises(StoreError):
            await renew(master, answer, new_request())
        disk.recover()
        assert stored(store, answer).next_key is None


async def revoke(master: Assembled, answer: m.Enrolled) -> None:
    """As the operator's order does: in force at once, then stored."""
    revoked = replace(identity_of(master, answer), revoked=True)
    master.identities.put(revoked)
    await master.store.write(update_identity(revoked))


async def test_renewal_under_way_does_not_undo_a_revocation(
    tmp_path: Path, disk: Disk, store: Store
) -> None:
    async with assembled(tmp_path, store=store) as master:
        answer = await enrolled(master, new_request())
        refused: list[str] = []

        async def renewing() -> None:
            try:
                await renew(master, answer, new_request())
            except RemoteProtocolError as error:
                refused.append(error.code)

        disk.stall()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(renewing)
            await eventually(lambda: disk.waiting)
            nursery.start_soon(partial(revoke, master, answer))
            await trio.testing.wait_all_tasks_blocked()
            disk.go_on()
        assert refused == [Refusal.REVOKED]
        assert identity_of(master, answer).revoked
        assert stored(store, answer).revoked


async def test_forgotten_node_does_not_come_back_by_a_renewal_under_way(
    tmp_path: Path, disk: Disk, store: Store
) -> None:
    async with assembled(tmp_path, store=store) as master:
        answer = await enrolled(master, new_request())
        refused: list[str] = []

        async def renewing() -> None:
            try:
                await renew(master, answer, new_request())
            except RemoteProtocolError as error:
                refused.append(error.code)

        disk.stall()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(renewing)
            await eventually(lambda: disk.waiting)
            master.identities.drop(answer.identity)
            disk.go_on()
        assert refused == [Refusal.REVOKED]
        assert master.identities.get(answer.identity) is None
