"""Who this host is, on disk: damaged, copied, full or read-only, it is never lost by surprise."""

import datetime as dt
import ssl
import stat
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from agent.identity import Identity, IdentityFolder, other
from shared.certificates import (
    CertificateAuthority,
    Subject,
    key_from_request,
    new_key_and_request,
)
from shared.errors import IdentityError
from shared.paths import StateFolder

NOW = dt.datetime(2026, 11, 20, tzinfo=dt.UTC)
AUTHORITY = CertificateAuthority.create(NOW)
IDENTITY = Identity(
    cluster=AUTHORITY.cluster,
    server_name=AUTHORITY.server_name,
    node_id="0123456789abcdef",
    name="web",
    masters=("192.0.2.1:7700",),
    token_id="00ff00ff00ff",
)


def new_key_and_certificate() -> tuple[bytes, bytes]:
    key_pem, csr_der = new_key_and_request()
    subject = Subject(AUTHORITY.cluster, "agent", IDENTITY.node_id, 1)
    issued = AUTHORITY.issue_client(key_from_request(csr_der), subject, NOW, dt.timedelta(days=30))
    return key_pem, ssl.DER_cert_to_PEM_cert(issued).encode()


def fill(folder: IdentityFolder, slot: str) -> None:
    key_pem, certificate_pem = new_key_and_certificate()
    folder.save_pending_key(slot, key_pem)
    folder.fill(slot, certificate_pem)


@pytest.fixture
def folder(tmp_path: Path) -> IdentityFolder:
    """Of a host that has joined."""
    folder = IdentityFolder(StateFolder(tmp_path))
    folder.save_ca(AUTHORITY.certificate_pem())
    fill(folder, "a")
    folder.save(IDENTITY)
    return folder


def test_host_that_has_not_joined_is_nobody(tmp_path: Path) -> None:
    assert IdentityFolder(StateFolder(tmp_path)).load() is None


def test_identity_is_read_as_it_was_written(folder: IdentityFolder) -> None:
    assert folder.load() == IDENTITY


@pytest.mark.parametrize(
    ("asked", "goes_by_it"),
    [("", True), ("web 1", True), ("web-1", True), ("web", True), ("web-12", False), ("db", False)],
)
def test_name_that_was_asked_for_is_told_from_another(asked: str, goes_by_it: bool) -> None:
    assert replace(IDENTITY, name="web-1").goes_by(asked) == goes_by_it


def test_identity_of_an_earlier_version_is_read(folder: IdentityFolder) -> None:
    path = folder.path / "identity.json"
    path.write_bytes(path.read_bytes().replace(b',"token_id":"00ff00ff00ff"', b""))
    assert folder.load() == replace(IDENTITY, token_id="")


def test_everything_is_its_owners_alone(folder: IdentityFolder) -> None:
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.path.iterdir()}
    assert modes == dict.fromkeys(("ca.pem", "identity.json", "slot-a.pem"), 0o600)


@pytest.mark.parametrize("name", ["identity.json", "slot-a.pem", "ca.pem"])
def test_file_open_to_others_is_not_trusted(folder: IdentityFolder, name: str) -> None:
    (folder.path / name).chmod(0o644)
    reading = folder.load if name == "identity.json" else partial(folder.context, "a")
    with pytest.raises(IdentityError, match="chmod 600"):
        reading()


def test_folder_open_to_others_is_not_written_to(folder: IdentityFolder) -> None:
    folder.path.chmod(0o755)
    with pytest.raises(IdentityError, match="chmod 700"):
        folder.save(IDENTITY)


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b'{"cluster": 1}', b"\xff\xfe"])
def test_damaged_identity_is_said_to_be_damaged(folder: IdentityFolder, content: bytes) -> None:
    (folder.path / "identity.json").write_bytes(content)
    with pytest.raises(IdentityError, match="damaged"):
        folder.load()


@pytest.mark.parametrize("name", ["slot-a.pem", "ca.pem"])
@pytest.mark.parametrize("content", [None, b"", b"no PEM at all"])
def test_key_or_ca_that_is_no_good_is_said_to_be(
    folder: IdentityFolder, name: str, content: bytes | None
) -> None:
    path = folder.path / name
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    with pytest.raises(IdentityError):
        folder.context("a")


def test_slot_is_filled_with_the_certificate_of_its_own_key_only(folder: IdentityFolder) -> None:
    key_pem, _ = new_key_and_certificate()
    _, certificate_of_another = new_key_and_certificate()
    folder.save_pending_key("b", key_pem)
    for wrong in (certificate_of_another, b"garbage", b""):
        with pytest.raises(IdentityError):
            folder.fill("b", wrong)
    assert not folder.slot("b").exists()
    assert folder.pending_key("b") == key_pem


def test_certificate_that_nobody_asked_for_is_refused(folder: IdentityFolder) -> None:
    before = folder.slot("a").read_bytes()
    for slot in ("a", "b"):
        with pytest.raises(IdentityError, match="missing"):
            folder.fill(slot, new_key_and_certificate()[1])
    assert folder.slot("a").read_bytes() == before


def test_settling_keeps_the_key_in_use_and_removes_the_other(folder: IdentityFolder) -> None:
    fill(folder, "b")
    trying = replace(IDENTITY, trying="b")
    folder.save(trying)
    settled = folder.settle(trying, "b")
    assert settled == folder.load() == replace(IDENTITY, slot="b")
    assert not folder.slot("a").exists()
    folder.context("b")


def test_settling_what_is_settled_touches_nothing(folder: IdentityFolder) -> None:
    before = (folder.path / "identity.json").stat().st_mtime_ns
    assert folder.settle(IDENTITY, "a") == IDENTITY
    assert (folder.path / "identity.json").stat().st_mtime_ns == before


def test_disk_that_cannot_be_written_to_does_not_stop_a_working_link(
    folder: IdentityFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fill(folder, "b")
    trying = replace(IDENTITY, trying="b")
    folder.save(trying)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("agent.identity.write_private", full)
        assert folder.settle(trying, "b") == replace(IDENTITY, slot="b")
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    # The next start finds both keys, and what it has to try.
    assert folder.load() == trying
    folder.context("a")
    folder.context("b")


def test_another_clusters_identity_is_kept_aside(folder: IdentityFolder) -> None:
    kept = [folder.set_aside("old")]
    folder.save_ca(AUTHORITY.certificate_pem())
    kept.append(folder.set_aside("old"))
    assert [path.name for path in kept] == ["agent.old", "agent.old-2"]
    assert (kept[0] / "slot-a.pem").exists()
    assert folder.load() is None


def test_there_are_two_slots() -> None:
    assert (other("a"), other("b")) == ("b", "a")
