"""Nodes that are enrolled before their master starts: a fleet in a second, by the real CA's code.

What is left out is the conversation that joining is; it has tests of its own. On disk everything is
as it would be: identities and nodes in the master's database, key and certificate in each agent's
folder.
"""

import datetime as dt
import hashlib
import secrets
import ssl
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec
import trio

from agent.identity import Identity as AgentIdentity
from agent.identity import IdentityFolder
from master import node_rows
from master.authority import open_authority
from master.enrolment import insert_identity
from master.identities import AGENT, Identity
from master.node import Node
from master.store import Statement, Store
from shared.certificates import (
    CertificateAuthority,
    Subject,
    fingerprint,
    key_from_request,
    new_key_and_request,
)
from shared.liveness import Liveness, State
from shared.paths import StateFolder

LIFE: Final = dt.timedelta(days=30)


def enrol_offline(master: StateFolder, agents: Iterable[StateFolder]) -> None:
    """Enrols every agent's folder, under the folder's name, with a master that does not run yet."""
    now = dt.datetime.now(dt.UTC)
    master.ensure()
    authority, _ = open_authority(master.ca_dir, now)
    store = Store.open(master.database)
    try:
        statements = [each for folder in agents for each in _enrol(authority, folder, now)]
        trio.run(store.write, *statements)
    finally:
        store.close()


def _enrol(
    authority: CertificateAuthority, folder: StateFolder, now: dt.datetime
) -> Iterator[Statement]:
    name, node_id = folder.root.name, secrets.token_hex(8)
    wall_ms = int(now.timestamp() * 1000)
    key_pem, csr_der = new_key_and_request()
    key = key_from_request(csr_der)
    subject = Subject(authority.cluster, AGENT, node_id, 1)
    certificate = ssl.DER_cert_to_PEM_cert(authority.issue_client(key, subject, now, LIFE))
    token_id = hashlib.sha256(b"offline").digest()[:8]
    ours = IdentityFolder(folder)
    identity = AgentIdentity(
        cluster=authority.cluster,
        server_name=authority.server_name,
        node_id=node_id,
        name=name,
        masters=(),
        token_id=token_id.hex(),
    )
    folder.ensure()
    ours.path.mkdir(mode=0o700)
    _write(ours.path / "ca.pem", authority.certificate_pem())
    _write(ours.slot(identity.slot), key_pem + certificate.encode())
    _write(ours.path / "identity.json", msgspec.json.encode(identity))
    expires_wall_ms = wall_ms + int(LIFE.total_seconds() * 1000)
    digest = fingerprint(key)
    yield insert_identity(
        Identity(node_id, AGENT, name, digest, 1, expires_wall_ms, token_id, digest)
    )
    yield node_rows.insert(Node(node_id, name, Liveness(State.NEVER_SEEN, 0.0), wall_ms))


def _write(path: Path, content: bytes) -> None:
    # Unlike the agent's own writing, not synced to the disk: that takes a fleet a minute.
    path.touch(0o600)
    path.write_bytes(content)
