"""The authority on disk: made once, guarded, and never replaced by accident."""

import datetime as dt
import ssl
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

from master.authority import (
    LEAF_RETRY_S,
    LEAF_ROTATION_S,
    open_authority,
    port_context,
    rotate_leaf,
)
from shared.certificates import CertificateAuthority
from shared.errors import IdentityError
from shared.tls import client_context, load_leaf
from tests.power_cut import every_power_cut
from tests.shared.handshakes import shake_hands

NOW = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)


def test_first_start_makes_it_and_every_other_finds_it(tmp_path: Path) -> None:
    folder = tmp_path / "ca"
    made, is_new = open_authority(folder, NOW)
    found, is_new_again = open_authority(folder, NOW)
    assert (is_new, is_new_again) == (True, False)
    assert found.pin == made.pin
    assert found.certificate_der() == made.certificate_der()


@pytest.mark.parametrize("name", ["ca.key", "ca.pem", ""])
def test_folder_or_file_open_to_others_stops_the_start(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "ca"
    open_authority(folder, NOW)
    (folder / name).chmod(0o750 if not name else 0o640)
    with pytest.raises(IdentityError, match="chmod"):
        open_authority(folder, NOW)


def test_lost_key_is_not_replaced_by_another_one(tmp_path: Path) -> None:
    folder = tmp_path / "ca"
    open_authority(folder, NOW)
    (folder / "ca.key").unlink()
    with pytest.raises(IdentityError, match="restore it from a backup"):
        open_authority(folder, NOW)
    assert (folder / "ca.pem").exists()


def test_lost_certificate_is_made_anew_and_agents_go_on(tmp_path: Path) -> None:
    folder = tmp_path / "ca"
    made, _ = open_authority(folder, NOW)
    (folder / "ca.pem").unlink()
    again, is_new = open_authority(folder, NOW)
    assert not is_new
    assert again.pin == made.pin
    shake_hands(port_context(again, NOW), client_context(made.certificate_pem()), made.server_name)


@pytest.mark.parametrize("name", ["ca.key", "ca.pem"])
def test_damaged_file_stops_the_start_in_words(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "ca"
    open_authority(folder, NOW)
    (folder / name).write_bytes(b"damaged")
    with pytest.raises(IdentityError, match="cannot be read"):
        open_authority(folder, NOW)


def test_power_cut_at_any_step_of_the_first_start_does_no_harm(tmp_path: Path) -> None:
    folder = tmp_path / "ca"
    for _ in every_power_cut(lambda: open_authority(folder, NOW)):
        first, _ = open_authority(folder, NOW)
        second, is_new = open_authority(folder, NOW)
        assert first.pin == second.pin
        assert not is_new
        for path in folder.iterdir():
            path.unlink()


def leaf_serial(authority: CertificateAuthority, context: ssl.SSLContext) -> object:
    client = client_context(authority.certificate_pem())
    _, caller = shake_hands(context, client, authority.server_name)
    certificate = caller.getpeercert()
    assert certificate is not None
    return certificate["serialNumber"]


async def test_leaf_is_rotated_while_the_port_is_in_use(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    authority = CertificateAuthority.create(NOW)
    context = port_context(authority, NOW)
    first = leaf_serial(authority, context)
    nursery.start_soon(rotate_leaf, authority, partial(load_leaf, context))
    await trio.sleep(LEAF_ROTATION_S - 1)
    assert leaf_serial(authority, context) == first
    await trio.sleep(2)
    assert leaf_serial(authority, context) != first


async def test_leaf_that_cannot_be_rotated_now_is_rotated_later(
    autojump_clock: trio.testing.MockClock,
    nursery: trio.Nursery,
) -> None:
    authority = CertificateAuthority.create(NOW)
    context = port_context(authority, NOW)
    first = leaf_serial(authority, context)
    has_descriptor = False

    def show(key_pem: bytes, certificate_pem: bytes) -> None:
        if not has_descriptor:
            raise OSError(24, "Too many open files")
        load_leaf(context, key_pem, certificate_pem)

    nursery.start_soon(rotate_leaf, authority, show)
    await trio.sleep(LEAF_ROTATION_S + 1)
    assert leaf_serial(authority, context) == first
    has_descriptor = True
    await trio.sleep(LEAF_RETRY_S)
    assert leaf_serial(authority, context) != first
