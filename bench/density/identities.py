"""Thousands of identities at once, for a master that does not run yet: the real CA's code and the
real registry's rows, without the conversation that enrolling is.

Each agent has a key of its own and a source address on loopback, `AGENTS_PER_ADDRESS` to an
address. The master's database knows the nodes at these addresses, as it does of a fleet that has
been linked before: so it lets them in at the rate at which it takes a fleet back after a restart.
"""

import datetime as dt
import hashlib
import secrets
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
import trio
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Struct

from master import node_rows
from master.authority import open_authority
from master.enrolment import insert_identity
from master.identities import AGENT, Identity
from master.node import Node
from master.store import Statement, Store
from shared.certificates import CertificateAuthority, Subject, fingerprint, private_key_pem
from shared.liveness import Liveness, State
from shared.paths import StateFolder

LIFE: Final = dt.timedelta(days=30)

AGENTS_PER_ADDRESS: Final = 1_000

AGENTS_LIMIT: Final = 250 * AGENTS_PER_ADDRESS
"""As many as there are addresses 127.0.1.1 to 127.0.1.250 for."""

_TOKEN_ID: Final = hashlib.sha256(b"bench.density").digest()[:8]


class Credentials(Struct, frozen=True, array_like=True):
    """What one agent dials with."""

    node_id: str
    address: str
    """Its own, on loopback: where it dials from."""
    pem: bytes
    """Key and certificate."""


class Fleet(Struct, frozen=True, array_like=True):
    """Agents that a master will let in, and what they know of it."""

    ca_pem: bytes
    server_name: str
    agents: tuple[Credentials, ...]


def prepare(master: StateFolder, count: int) -> Fleet:
    """Enrols `count` agents with the master of this folder, which is made where there is none."""
    now = dt.datetime.now(dt.UTC)
    master.ensure()
    authority, _ = open_authority(master.ca_dir, now)
    agents: list[Credentials] = []
    statements: list[Statement] = []
    for number in range(count):
        key = ec.generate_private_key(ec.SECP256R1())
        agent = _issue(authority, key, f"127.0.1.{1 + number // AGENTS_PER_ADDRESS}", now)
        statements += _rows(agent, f"node-{number:06}", fingerprint(key.public_key()), now)
        agents.append(agent)
    store = Store.open(master.database)
    try:
        trio.run(store.write, *statements)
    finally:
        store.close()
    return Fleet(authority.certificate_pem(), authority.server_name, tuple(agents))


def save(path: Path, fleet: Fleet) -> None:
    """For the processes that load the master: private keys, so in a folder of their user's."""
    path.touch(mode=0o600)
    path.write_bytes(msgspec.msgpack.encode(fleet))


def load(path: Path) -> Fleet:
    """What `save` has written."""
    return msgspec.msgpack.decode(path.read_bytes(), type=Fleet)


def _issue(
    authority: CertificateAuthority, key: ec.EllipticCurvePrivateKey, address: str, now: dt.datetime
) -> Credentials:
    node_id = secrets.token_hex(8)
    subject = Subject(authority.cluster, AGENT, node_id, 1)
    certificate = ssl.DER_cert_to_PEM_cert(
        authority.issue_client(key.public_key(), subject, now, LIFE)
    )
    return Credentials(node_id, address, private_key_pem(key) + certificate.encode())


def _rows(
    agent: Credentials, name: str, key_digest: bytes, now: dt.datetime
) -> Iterator[Statement]:
    wall_ms = int(now.timestamp() * 1000)
    expires_wall_ms = wall_ms + int(LIFE.total_seconds() * 1000)
    yield insert_identity(
        Identity(agent.node_id, AGENT, name, key_digest, 1, expires_wall_ms, _TOKEN_ID, key_digest)
    )
    node = Node(agent.node_id, name, Liveness(State.NEVER_SEEN, 0.0), wall_ms)
    node.address = f"{agent.address}:1"
    yield node_rows.insert(node)
    yield node_rows.describe(node)
