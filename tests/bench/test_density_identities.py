"""Identities made in bulk are those that enrolment makes: the real master lets their holders in."""

import shutil
import ssl
import time
from pathlib import Path

import pytest

from bench.density.identities import (
    AGENTS_PER_ADDRESS,
    UnfitFleetError,
    load,
    load_agents,
    master_folder,
    prepare,
)
from master.enrolment import load_identities
from master.identities import AGENT, Admitted
from master.store import Store
from shared.certificates import CertificateAuthority, read_peer
from shared.tls import check_pair


def test_agents_prepared_in_bulk_are_admitted_each_as_itself(tmp_path: Path) -> None:
    prepare(tmp_path, 3)
    folder, fleet = master_folder(tmp_path), load(tmp_path)
    agents = list(load_agents(tmp_path, 0, 3))
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
    for agent in agents:
        begins = agent.pem.index(b"-----BEGIN CERTIFICATE")
        check_pair(agent.pem[:begins], agent.pem[begins:])
        certificate = read_peer(ssl.PEM_cert_to_DER_cert(agent.pem[begins:].decode()))
        verdict = identities.admit(certificate, authority.cluster, AGENT, now_wall_ms)
        assert isinstance(verdict, Admitted)
        assert verdict.identity.identity == agent.node_id
        assert addresses[agent.node_id].startswith(f"{agent.address}:")
    assert len({agent.node_id for agent in agents}) == 3


def test_a_fleet_that_is_kept_grows_and_keeps_its_agents(tmp_path: Path) -> None:
    prepare(tmp_path, 2)
    before = list(load_agents(tmp_path, 0, 2))
    told: list[int] = []
    prepare(tmp_path, 4, told.append)
    after = list(load_agents(tmp_path, 0, 4))
    assert (after[:2], told) == (before, [4])
    assert [agent.node_id for agent in load_agents(tmp_path, 1, 2)] == [
        agent.node_id for agent in after[1:3]
    ]
    assert len({agent.node_id for agent in after}) == 4


def test_agents_of_a_range_come_from_several_files_in_order(tmp_path: Path) -> None:
    count = AGENTS_PER_ADDRESS + 2
    prepare(tmp_path, count)
    agents = list(load_agents(tmp_path, 0, count))
    begin = AGENTS_PER_ADDRESS - 1
    assert list(load_agents(tmp_path, begin, 3)) == agents[begin:]
    assert [agent.address for agent in agents[begin:]] == ["127.0.1.1", "127.0.1.2", "127.0.1.2"]


def test_a_fleet_that_no_master_would_let_in_is_refused(tmp_path: Path) -> None:
    kept, other = tmp_path / "kept", tmp_path / "other"
    for root in (kept, other):
        root.mkdir()
        prepare(root, 2)
    shutil.rmtree(kept / "agents")
    shutil.copytree(other / "agents", kept / "agents")
    with pytest.raises(UnfitFleetError):
        prepare(kept, 2)
