"""TLS contexts: where keys lie, and what a newcomer may do with one that is not verified."""

import datetime as dt
import os
import ssl
from pathlib import Path

import pytest

from shared.certificates import CertificateAuthority
from shared.errors import IdentityError
from shared.private_files import write_private
from shared.tls import client_context, load_leaf, master_context, newcomer_context
from tests.shared.handshakes import shake_hands

NOW = dt.datetime(2026, 11, 20, tzinfo=dt.UTC)
LIFE = dt.timedelta(days=1)
AUTHORITY = CertificateAuthority.create(NOW)


def test_newcomer_can_ask_any_master(tmp_path: Path) -> None:
    master = master_context(AUTHORITY.clients_certificate_pem(), *AUTHORITY.issue_master(NOW, LIFE))
    shake_hands(master, newcomer_context(), "whatever.example")


def test_keys_touch_no_disk_where_there_are_memory_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not hasattr(os, "memfd_create"):
        pytest.skip("not on this platform")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "there is no such folder"))
    master_context(AUTHORITY.clients_certificate_pem(), *AUTHORITY.issue_master(NOW, LIFE))


def test_elsewhere_keys_are_gone_from_the_disk_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    master = master_context(AUTHORITY.clients_certificate_pem(), *AUTHORITY.issue_master(NOW, LIFE))
    assert not list(tmp_path.iterdir())
    client = client_context(AUTHORITY.certificate_pem())
    shake_hands(master, client, AUTHORITY.server_name)


@pytest.mark.parametrize("ca_pem", [b"", b"no certificate", "ü".encode()])
def test_ca_that_is_none_is_refused_in_words(ca_pem: bytes) -> None:
    with pytest.raises(IdentityError):
        client_context(ca_pem)


def test_identity_that_is_none_is_refused_with_its_path(tmp_path: Path) -> None:
    path = tmp_path / "slot-a.pem"
    with pytest.raises(IdentityError, match=str(path)):
        client_context(AUTHORITY.certificate_pem(), path)
    write_private(path, b"no key")
    with pytest.raises(IdentityError, match=str(path)):
        client_context(AUTHORITY.certificate_pem(), path)


def test_new_leaf_counts_from_the_next_handshake_on() -> None:
    master = master_context(AUTHORITY.clients_certificate_pem(), *AUTHORITY.issue_master(NOW, LIFE))
    client = client_context(AUTHORITY.certificate_pem())
    serials: list[object] = []
    for _ in range(2):
        _, caller = shake_hands(master, client, AUTHORITY.server_name)
        certificate = caller.getpeercert()
        assert certificate is not None
        serials.append(certificate["serialNumber"])
        load_leaf(master, *AUTHORITY.issue_master(NOW, LIFE))
    assert len(set(serials)) == 2


def test_a_masters_port_speaks_tls_1_3_only() -> None:
    master = master_context(AUTHORITY.clients_certificate_pem(), *AUTHORITY.issue_master(NOW, LIFE))
    assert master.minimum_version == ssl.TLSVersion.TLSv1_3
    assert master.num_tickets == 0
    assert master.verify_mode == ssl.CERT_OPTIONAL
