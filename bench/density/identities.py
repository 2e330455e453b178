"""Thousands of identities at once, for a master that does not run yet: the real CA's code and the
real registry's rows, without the conversation that enrolling is.

    FLEET/master     the master's state folder
    FLEET/fleet      what all agents know of it
    FLEET/agents/N   what they dial with, `AGENTS_PER_ADDRESS` to a file

Each agent has a key of its own and a source address on loopback, which the agents of one file have
in common. The master's database knows the nodes at these addresses, as it does of a fleet that has
been linked before: so it lets them in at the rate at which it takes a fleet back after a restart.
"""

import datetime as dt
import hashlib
import secrets
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec
import trio
from cryptography import x509
from cryptography.exceptions import InvalidSignature
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


class UnfitFleetError(Exception):
    """The certificates of a fleet that was kept have ended, or are not as masters issue them."""


class Credentials(Struct, frozen=True, array_like=True):
    """What one agent dials with."""

    node_id: str
    address: str
    """Its own, on loopback: where it dials from."""
    pem: bytes
    """Key and certificate."""


class Fleet(Struct, frozen=True, array_like=True):
    """What all agents know of their master."""

    ca_pem: bytes
    server_name: str
    expires_unix_s: float
    """When the first certificate ends."""


def master_folder(root: Path) -> StateFolder:
    """The state folder of a fleet's master."""
    return StateFolder(root / "master")


def prepare(root: Path, count: int, progress: Callable[[int], None] | None = None) -> None:
    """Makes a fleet of at least `count` agents here, or adds to the one there is; `progress` is
    told how many it has. What is there beyond `count` the master knows too, and never hears of.

    Raises:
        UnfitFleetError: no master would let in the agents of the one there is.
    """
    now = dt.datetime.now(dt.UTC)
    master, places = master_folder(root), root / "agents"
    master.ensure()
    places.mkdir(mode=0o700, exist_ok=True)
    authority, _ = open_authority(master.ca_dir, now)
    if not (root / "fleet").exists():
        expires = (now + LIFE).timestamp()
        made = Fleet(authority.certificate_pem(), authority.server_name, expires)
        _write(root / "fleet", msgspec.msgpack.encode(made))
    elif not _is_fit(authority, root, now):
        raise UnfitFleetError(f"no master lets in the agents in {root} any more: remove it")
    store = Store.open(master.database)
    try:
        for first in range(0, count, AGENTS_PER_ADDRESS):
            last = min(count, first + AGENTS_PER_ADDRESS)
            _prepare_block(authority, store, places, range(first, last), now)
            if progress is not None:
                progress(last)
    finally:
        store.close()


def load(root: Path) -> Fleet:
    """What all agents know."""
    return msgspec.msgpack.decode((root / "fleet").read_bytes(), type=Fleet)


def load_agents(root: Path, first: int, count: int) -> Iterator[Credentials]:
    """What these agents dial with, in order."""
    last = first + count
    for begin in range(first - first % AGENTS_PER_ADDRESS, last, AGENTS_PER_ADDRESS):
        agents = _block(_block_path(root / "agents", begin))
        yield from agents[max(0, first - begin) : last - begin]


def _is_fit(authority: CertificateAuthority, root: Path, now: dt.datetime) -> bool:
    if load(root).expires_unix_s < now.timestamp():
        return False
    issuer = x509.load_pem_x509_certificate(authority.clients_certificate_pem())
    for agent in load_agents(root, 0, 1):
        begins = agent.pem.index(b"-----BEGIN CERTIFICATE")
        try:
            x509.load_pem_x509_certificate(agent.pem[begins:]).verify_directly_issued_by(issuer)
        except (ValueError, InvalidSignature):
            return False
    return True


def _prepare_block(
    authority: CertificateAuthority, store: Store, places: Path, numbers: range, now: dt.datetime
) -> None:
    path = _block_path(places, numbers.start)
    agents = _block(path)
    statements: list[Statement] = []
    for number in numbers[len(agents) :]:
        key = ec.generate_private_key(ec.SECP256R1())
        agent = _issue(authority, key, f"127.0.1.{1 + number // AGENTS_PER_ADDRESS}", now)
        statements += _rows(agent, f"node-{number:06}", fingerprint(key.public_key()), now)
        agents.append(agent)
    if statements:
        # First what lets them in: agents that nobody knows would be refused for ever.
        trio.run(store.write, *statements)
        _write(path, msgspec.msgpack.encode(agents))


def _block_path(places: Path, first: int) -> Path:
    return places / str(first // AGENTS_PER_ADDRESS)


def _block(path: Path) -> list[Credentials]:
    try:
        return msgspec.msgpack.decode(path.read_bytes(), type=list[Credentials])
    except FileNotFoundError:
        return []


def _write(path: Path, content: bytes) -> None:
    # Private keys: for their user only.
    path.touch(mode=0o600)
    path.write_bytes(content)


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
    yield node_rows.keep([node])
