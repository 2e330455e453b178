"""A viewer elsewhere, over the months: its certificate is renewed by being used."""

import datetime as dt
import json
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from heartline.exits import Exit
from heartline.viewer import join_as_viewer
from master.authority import open_authority
from shared.certificates import Subject, new_key_and_request
from shared.liveness import State
from shared.paths import StateFolder
from shared.private_files import write_private
from tests.heartline.processes import output_of, run, up

LIFE = dt.timedelta(days=7)
DAY = dt.timedelta(days=1)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("state")
    with up(folder):
        yield folder


class Laptop:
    """A viewer that has joined, and the two files that its keys lie in."""

    def __init__(self, root: Path, own: Path) -> None:
        self.own = own
        self._root = root
        token = output_of("token", "create", "--role", "viewer", "--data", root)["token"]
        listen = json.loads((root / "master.json").read_bytes())["listen"]
        self._identity = join_as_viewer(StateFolder(own), token, listen).identity
        place = StateFolder(own).viewer_dir
        self.current, self.renewed = place / "viewer.pem", place / "renewed.pem"

    def grow_older(self, age: dt.timedelta) -> bytes:
        """Gives the viewer a certificate for its key that was issued so long ago."""
        key_pem, marker, _ = self.current.read_bytes().partition(b"-----BEGIN CERTIFICATE-----")
        assert marker
        self.put(self.current, key_pem, age)
        return key_pem

    def put(self, path: Path, key_pem: bytes, age: dt.timedelta) -> None:
        now = dt.datetime.now(dt.UTC)
        authority, _ = open_authority(StateFolder(self._root).ca_dir, now)
        key = serialization.load_pem_private_key(key_pem, None).public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        subject = Subject(authority.cluster, "viewer", self._identity, 1)
        der = authority.issue_client(key, subject, now - age, LIFE)
        write_private(path, key_pem + ssl.DER_cert_to_PEM_cert(der).encode())

    def sees_the_fleet(self) -> bool:
        return bool(output_of("nodes", "--data", self.own)[0]["state"] == State.UP)

    def uses(self, key_pem: bytes) -> bool:
        return self.current.read_bytes().startswith(key_pem)


@pytest.fixture
def laptop(root: Path, tmp_path: Path) -> Laptop:
    return Laptop(root, tmp_path)


def test_certificate_that_lasts_is_left_alone(laptop: Laptop) -> None:
    first = laptop.grow_older(1 * DAY)
    assert laptop.sees_the_fleet()
    assert laptop.uses(first)
    assert not laptop.renewed.exists()


def test_certificate_that_nears_its_end_is_renewed_by_the_way(laptop: Laptop) -> None:
    first = laptop.grow_older(6 * DAY)
    assert laptop.sees_the_fleet()
    assert laptop.uses(first)  # until the new one has been welcomed
    assert laptop.renewed.exists()
    assert laptop.sees_the_fleet()
    assert not laptop.uses(first)
    assert not laptop.renewed.exists()
    assert laptop.sees_the_fleet()


def test_certificate_that_has_ended_lately_is_renewed_first(laptop: Laptop) -> None:
    first = laptop.grow_older(LIFE + 29 * DAY)
    assert laptop.sees_the_fleet()
    assert not laptop.uses(first)


def test_certificate_that_ended_long_ago_takes_a_new_token(laptop: Laptop) -> None:
    laptop.grow_older(LIFE + 31 * DAY)
    refused = run("nodes", "--data", laptop.own)
    assert refused.returncode == Exit.REFUSED
    assert "expired too long ago" in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_renewed_key_that_the_master_does_not_know_gives_way_to_the_old_one(
    laptop: Laptop,
) -> None:
    first = laptop.grow_older(1 * DAY)
    laptop.put(laptop.renewed, new_key_and_request()[0], 1 * DAY)
    assert laptop.sees_the_fleet()
    assert laptop.uses(first)
    assert not laptop.renewed.exists()
