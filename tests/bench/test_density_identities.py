"""Identities made in bulk are those that enrolment makes: the real master lets their holders in."""

import ssl
import time
from pathlib import Path

from bench.density.identities import load, prepare, save
from master.enrolment import load_identities
from master.identities import AGENT, Admitted
from master.store import Store
from shared.certificates import CertificateAuthority, read_peer
from shared.paths import StateFolder
from shared.tls import check_pair


def test_agents_prepared_in_bulk_are_admitted_each_as_itself(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "master")
    save(tmp_path / "fleet", prepare(folder, 3))
    fleet = load(tmp_path / "fleet")
    key_pem, ca_pem = ((folder.ca_dir / name).read_bytes() for name in ("ca.key", "ca.pem"))
    authority = CertificateAuthority.load(key_pem, ca_pem)
    assert (fleet.ca_pem, fleet.server_name) == (ca_pem, authority.server_name)
    store = Store.open(folder.database)
    try:
        identities = load_identities(store)
        addresses = {row["node_id"]: row["address"] for row in store.load("SELECT * FROM nodes")}
    finally:
        store.close()
    now_wall_ms = time.time_ns() // 1_000_000
    for agent in fleet.agents:
        begins = agent.pem.index(b"-----BEGIN CERTIFICATE")
        check_pair(agent.pem[:begins], agent.pem[begins:])
        certificate = read_peer(ssl.PEM_cert_to_DER_cert(agent.pem[begins:].decode()))
        verdict = identities.admit(certificate, authority.cluster, AGENT, now_wall_ms)
        assert isinstance(verdict, Admitted)
        assert verdict.identity.identity == agent.node_id
        assert addresses[agent.node_id].startswith(f"{agent.address}:")
    assert len({agent.node_id for agent in fleet.agents}) == 3
