"""Viewers from elsewhere renew their certificates over the link, as agents do."""

import datetime as dt
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from master.identities import VIEWER
from master.opening import Peer
from shared import messages as m
from shared.certificates import Subject, key_from_request, new_key_and_request, read_peer
from shared.errors import Violation
from shared.messages import Refusal
from tests.master.assembled import (
    BEGINNING,
    VIEWER_HELLO,
    Assembled,
    assembled,
    authority,
)

DAY = dt.timedelta(days=1)


class Laptop:
    """A viewer's key, and the certificates for it."""

    def __init__(self, identity: str, csr_der: bytes) -> None:
        self.identity = identity
        self.csr_der = csr_der

    def peer(self, *, ends_in: dt.timedelta) -> Peer:
        """The viewer, with a certificate of seven days that ends then."""
        subject = Subject(authority().cluster, VIEWER, self.identity, 1)
        issued = BEGINNING + ends_in - 7 * DAY
        der = authority().issue_client(
            key_from_request(self.csr_der), subject, issued, ends_in + BEGINNING - issued
        )
        return peer_of(der)


def peer_of(certificate_der: bytes) -> Peer:
    return Peer("192.0.2.9", "192.0.2.9:50000", read_peer(certificate_der))


async def laptop(master: Assembled) -> Laptop:
    token, _ = await master.parts.enrolment.create_token(VIEWER, 3600, 1)
    _, csr_der = new_key_and_request()
    request = m.Enrol(1, 1, token.token_id, token.secret, csr_der, "laptop", "0.1.0")
    enrolled = await master.parts.enrolment.enrol(request, "192.0.2.9", trio.current_time())
    assert isinstance(enrolled, m.Enrolled)
    return Laptop(enrolled.identity, csr_der)


async def answer_to_hello(master: Assembled, peer: Peer) -> m.FromMaster:
    client = master.client(peer)
    client.link.post(VIEWER_HELLO)
    return await client.next()


async def test_viewer_is_told_how_long_its_certificate_lasts(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        remote = await laptop(master)
        welcome = await answer_to_hello(master, remote.peer(ends_in=2 * DAY))
        assert isinstance(welcome, m.ViewerWelcome)
        assert welcome.certificate_life_s >= 7 * 86_400
        assert abs(welcome.certificate_remaining_s - 2 * 86_400) <= 1


async def test_operator_has_no_certificate_to_renew(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        client = master.client(Peer("local", "local", is_operator=True))
        welcome = await client.ask(VIEWER_HELLO, m.ViewerWelcome)
        assert (welcome.certificate_life_s, welcome.certificate_remaining_s) == (0, 0)
        client.link.post(m.Renew(b""))
        assert (await client.goodbye()).code == Violation.BAD_MESSAGE


async def test_first_use_of_the_new_key_retires_the_old_one(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        remote = await laptop(master)
        old = remote.peer(ends_in=2 * DAY)
        client = await master.viewer(old)
        _, csr_der = new_key_and_request()
        renewed = await client.ask(m.Renew(csr_der), m.Renewed)
        await client.ask(m.ListEvents(1), m.Events)  # the link goes on
        assert isinstance(await answer_to_hello(master, old), m.ViewerWelcome)  # so does the key
        new = peer_of(renewed.certificate_der)
        welcome = await answer_to_hello(master, new)
        assert isinstance(welcome, m.ViewerWelcome)
        assert welcome.certificate_remaining_s > 6 * 86_400
        denied = await answer_to_hello(master, old)
        assert isinstance(denied, m.Deny)
        assert denied.code == Refusal.SUPERSEDED


async def test_retired_key_stays_retired_when_the_master_starts_anew(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        remote = await laptop(master)
        client = await master.viewer(remote.peer(ends_in=2 * DAY))
        _, csr_der = new_key_and_request()
        renewed = await client.ask(m.Renew(csr_der), m.Renewed)
        new = peer_of(renewed.certificate_der)
        await master.viewer(new)
        assert new.certificate is not None
        (row,) = master.store.load("SELECT key, next_key FROM identities WHERE role = 'viewer'")
        assert (row["key"], row["next_key"]) == (new.certificate.key_fingerprint, None)


@pytest.mark.parametrize("days", [0.01, 1, 29.9])
async def test_viewer_whose_certificate_ended_lately_may_renew_it_and_nothing_else(
    days: float, tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        remote = await laptop(master)
        client = master.client(remote.peer(ends_in=-days * DAY))
        first = await client.ask(VIEWER_HELLO, m.RenewFirst)
        assert abs(first.expired_s - days * 86_400) <= 1
        _, csr_der = new_key_and_request()
        renewed = await client.ask(m.Renew(csr_der), m.Renewed)
        assert isinstance(
            await answer_to_hello(master, peer_of(renewed.certificate_der)), m.ViewerWelcome
        )
        other = master.client(remote.peer(ends_in=-days * DAY))
        assert len(master.viewers.roster) == 1
        assert isinstance(await other.ask(VIEWER_HELLO, m.Deny), m.Deny)  # the old key is retired


async def test_expired_viewer_that_asks_for_the_fleet_is_cut(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        remote = await laptop(master)
        client = master.client(remote.peer(ends_in=-DAY))
        await client.ask(VIEWER_HELLO, m.RenewFirst)
        client.wire.client.send_nowait(m.encode(m.Watch()))
        received, _ = await client.rest()
        assert [type(each) for each in received] == [m.Deny]


async def test_viewer_whose_certificate_ended_long_ago_has_to_join_again(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        remote = await laptop(master)
        denied = await answer_to_hello(master, remote.peer(ends_in=-31 * DAY))
        assert isinstance(denied, m.Deny)
        assert denied.code == Refusal.EXPIRED


async def test_request_that_is_none_ends_the_link(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        remote = await laptop(master)
        client = await master.viewer(remote.peer(ends_in=2 * DAY))
        client.link.post(m.Renew(b"no request"))
        assert (await client.goodbye()).code == Refusal.BAD_REQUEST
