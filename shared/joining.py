"""Exchanging a token for an identity: two connections, the first to check the CA, the second to
join.

The first link is not verified and carries nothing but the request for the CA's certificate, whose
pin is in the token. The second is verified by OpenSSL against that CA, and only it carries the
secret.
"""

import hmac
import ssl
from typing import Final, TypeVar

import trio
from msgspec import Struct

from shared import messages as m
from shared.addresses import Address
from shared.certificates import ca_pin_of
from shared.connection import ClientConnection
from shared.dialling import connect
from shared.errors import (
    DeniedError,
    LinkBrokenError,
    RemoteProtocolError,
    TokenError,
    WrongMasterError,
)
from shared.link import Link
from shared.tls import client_context, newcomer_context
from shared.tokens import Token, cluster_of, server_name

EXCHANGE_S: Final = 10.0
"""For each of the two connections, from the name to the answer."""

Reply = TypeVar("Reply", m.Ca, m.Enrolled)


class Joined(Struct, frozen=True):
    """What joining gave: who we are, and whom to trust."""

    cluster: str
    server_name: str
    ca_pem: bytes
    identity: str
    name: str
    certificate_pem: bytes


async def join(
    address: Address, token: Token, csr_der: bytes, name: str, software: str, *, role: str
) -> Joined:
    """Joins the cluster that `token` is for, as `role`, through the master at `address`.

    May be repeated with the same token and key: the answer is the same.

    Raises:
        DeniedError: the master refused, and says why.
        TokenError: the token is for another role.
        WrongMasterError: what answers is not the master that the token is for.
        LinkBrokenError: it cannot be reached, or broke off.
    """
    name_to_check = server_name(token.ca_pin)
    request = m.CaRequest(m.PROTOCOL_MIN, m.PROTOCOL_MAX)
    ca = await _exchange(address, newcomer_context(), name_to_check, request, m.Ca)
    if not hmac.compare_digest(ca_pin_of(ca.certificate_der), token.ca_pin):
        raise WrongMasterError(
            f"{address} is not the master that the token is for (or somebody is in between): its "
            "CA does not match the token. Nothing has been sent to it"
        )
    ca_pem = ssl.DER_cert_to_PEM_cert(ca.certificate_der).encode()
    enrol = m.Enrol(
        m.PROTOCOL_MIN,
        m.PROTOCOL_MAX,
        token.token_id,
        token.secret,
        csr_der,
        name,
        software,
        role,
    )
    try:
        context = client_context(ca_pem)
        enrolled = await _exchange(address, context, name_to_check, enrol, m.Enrolled)
    except DeniedError as error:
        if error.code == m.Refusal.TOKEN_ROLE:
            raise TokenError(error.text) from error
        raise
    if enrolled.role != role:  # by a master of before there was a role to ask for
        raise TokenError(f"the token is for the role {enrolled.role}, not {role}")
    return Joined(
        cluster_of(token.ca_pin),
        name_to_check,
        ca_pem,
        enrolled.identity,
        enrolled.name,
        ssl.DER_cert_to_PEM_cert(enrolled.certificate_der).encode(),
    )


async def _exchange(
    address: Address,
    context: ssl.SSLContext,
    name_to_check: str,
    request: m.CaRequest | m.Enrol,
    expected: type[Reply],
) -> Reply:
    try:
        with trio.fail_after(EXCHANGE_S):
            stream = await connect(address, context, name_to_check)
            link: Link[m.FromClient, m.FromMaster] = Link(stream, ClientConnection(), _no_drain)
            try:
                link.post(request)
                while True:
                    for reply in await link.receive():
                        if isinstance(reply, m.Deny):
                            raise DeniedError(reply.code, reply.text)
                        if isinstance(reply, expected):
                            return reply
            except RemoteProtocolError as error:
                raise LinkBrokenError(f"not a master: {error.text}") from error
            finally:
                link.break_off("done")
    except trio.TooSlowError as error:
        raise LinkBrokenError(f"no answer within {EXCHANGE_S:g} s") from error


def _no_drain() -> None:
    """A request of a few hundred bytes on a fresh connection always fits into the kernel's
    buffer."""
