"""A viewer's keys on disk: nothing is given up before its successor works."""

import datetime as dt
import ssl
from pathlib import Path
from typing import Final

import pytest

from heartline.viewer_keys import ViewerKeys
from shared.certificates import (
    CertificateAuthority,
    Subject,
    key_from_request,
    new_key_and_request,
)
from shared.errors import IdentityError
from shared.paths import StateFolder
from shared.private_files import private_folder, write_private
from shared.tls import master_context
from tests.power_cut import PowerCut, power_cut_before
from tests.shared.handshakes import shake_hands

NOW: Final = dt.datetime(2026, 11, 20, tzinfo=dt.UTC)
AUTHORITY: Final = CertificateAuthority.create(NOW)


def certificate_for(csr_der: bytes) -> bytes:
    subject = Subject(AUTHORITY.cluster, "viewer", "0123456789abcdef", 1)
    return AUTHORITY.issue_client(key_from_request(csr_der), subject, NOW, dt.timedelta(days=7))


class Viewer:
    """What lies in the folder of a viewer that has joined."""

    def __init__(self, root: Path) -> None:
        self.folder = StateFolder(root)
        self.place = private_folder(self.folder.viewer_dir)
        self.current = self.place / "viewer.pem"
        self.renewed = self.place / "renewed.pem"
        write_private(self.place / "ca.pem", AUTHORITY.certificate_pem())
        self.first = self.put(self.current)

    def put(self, path: Path) -> bytes:
        """A key as another program puts it there."""
        key_pem, csr_der = new_key_and_request()
        pem = key_pem + ssl.DER_cert_to_PEM_cert(certificate_for(csr_der)).encode()
        write_private(path, pem)
        return pem

    def dialling(self) -> ViewerKeys:
        """A program that has dialled."""
        keys = ViewerKeys(self.folder)
        keys.context()
        return keys

    def renew(self, keys: ViewerKeys) -> bytes:
        keys.renewed(certificate_for(keys.request()))
        return self.renewed.read_bytes()


@pytest.fixture
def viewer(tmp_path: Path) -> Viewer:
    return Viewer(tmp_path)


def test_renewed_key_takes_the_old_ones_place_when_it_has_been_welcomed(viewer: Viewer) -> None:
    keys = viewer.dialling()
    keys.welcomed()
    renewed = viewer.renew(keys)
    assert viewer.current.read_bytes() == viewer.first
    keys.context()
    assert viewer.current.read_bytes() == viewer.first
    keys.welcomed()
    assert viewer.current.read_bytes() == renewed
    assert not viewer.renewed.exists()


def test_program_that_starts_later_dials_with_the_renewed_key(viewer: Viewer) -> None:
    renewed = viewer.renew(viewer.dialling())
    viewer.dialling().welcomed()
    assert viewer.current.read_bytes() == renewed


def test_welcome_of_the_old_key_leaves_the_renewed_one_for_the_next_dial(viewer: Viewer) -> None:
    keys = viewer.dialling()
    viewer.renew(keys)
    keys.welcomed()
    assert viewer.current.read_bytes() == viewer.first
    assert viewer.renewed.exists()


def test_renewed_key_that_is_refused_gives_way_to_the_one_before(viewer: Viewer) -> None:
    viewer.renew(viewer.dialling())
    keys = viewer.dialling()
    assert keys.refused()
    assert not viewer.renewed.exists()
    keys.context()
    keys.welcomed()
    assert viewer.current.read_bytes() == viewer.first


def test_only_key_that_is_refused_leaves_none(viewer: Viewer) -> None:
    assert not viewer.dialling().refused()
    assert viewer.current.read_bytes() == viewer.first


def test_key_that_another_program_has_renewed_meanwhile_is_another_key(viewer: Viewer) -> None:
    keys = viewer.dialling()
    viewer.renew(viewer.dialling())
    viewer.dialling().welcomed()
    assert keys.refused()
    keys.context()
    assert not keys.refused()


def test_key_dialled_with_is_the_one_that_the_master_sees(viewer: Viewer) -> None:
    master = master_context(
        AUTHORITY.clients_certificate_pem(), *AUTHORITY.issue_master(NOW, dt.timedelta(days=7))
    )
    for path in (viewer.current, viewer.renewed):
        shown = viewer.put(path)
        server, _ = shake_hands(master, ViewerKeys(viewer.folder).context(), AUTHORITY.server_name)
        seen = server.getpeercert(binary_form=True)
        assert seen is not None
        assert ssl.DER_cert_to_PEM_cert(seen).encode() in shown


@pytest.mark.parametrize("step", range(12))
def test_power_cut_at_any_step_leaves_a_key_that_the_master_takes(
    step: int, tmp_path: Path
) -> None:
    viewer = Viewer(tmp_path)
    keys = viewer.dialling()
    certificate = certificate_for(keys.request())
    welcomed_with = b""
    try:
        with power_cut_before(step):
            keys.renewed(certificate)
            keys.context()
            welcomed_with = viewer.renewed.read_bytes()  # the master has retired the first key
            keys.welcomed()
    except PowerCut:
        pass
    ViewerKeys(viewer.folder).context()
    kept = {path.read_bytes() for path in (viewer.current, viewer.renewed) if path.exists()}
    assert (welcomed_with or viewer.first) in kept


def test_newer_key_of_another_program_is_not_taken_for_the_one_welcomed(viewer: Viewer) -> None:
    viewer.renew(viewer.dialling())
    keys = viewer.dialling()
    newer = viewer.put(viewer.renewed)
    keys.welcomed()
    assert viewer.renewed.read_bytes() == newer
    assert viewer.current.read_bytes() == viewer.first


def test_certificate_for_another_key_is_not_kept(viewer: Viewer) -> None:
    keys = viewer.dialling()
    keys.request()
    _, other = new_key_and_request()
    with pytest.raises(IdentityError, match="not a certificate for this key"):
        keys.renewed(certificate_for(other))
    assert not viewer.renewed.exists()


def test_certificate_that_nobody_asked_for_is_not_kept(viewer: Viewer) -> None:
    _, csr_der = new_key_and_request()
    with pytest.raises(IdentityError):
        viewer.dialling().renewed(certificate_for(csr_der))
    assert not viewer.renewed.exists()


def test_renewed_key_is_its_owners_alone(viewer: Viewer) -> None:
    viewer.renew(viewer.dialling())
    assert viewer.renewed.stat().st_mode & 0o077 == 0
    viewer.renewed.chmod(0o644)
    with pytest.raises(IdentityError, match="can be read by others"):
        viewer.dialling()


def test_missing_key_says_what_to_do(viewer: Viewer) -> None:
    viewer.current.unlink()
    with pytest.raises(IdentityError, match=r"viewer\.pem: .*; join again"):
        viewer.dialling()


def test_damaged_key_says_what_to_do(viewer: Viewer) -> None:
    write_private(viewer.current, b"-----BEGIN NOTHING-----\n")
    with pytest.raises(IdentityError, match=r"viewer\.pem is damaged: .*; join again"):
        viewer.dialling()
