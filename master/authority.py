"""The certificate authority on disk: made at the first start, guarded at every other.

Whoever can read the CA's folder can do everything, so it is 0700 with 0600 files, and a master
refuses to start when group or others could have read them.
"""

import datetime as dt
import logging
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final

import trio

from shared.certificates import CertificateAuthority
from shared.errors import IdentityError, reason_of
from shared.private_files import private_folder, read_private, write_private
from shared.tls import master_context

LEAF_LIFE: Final = dt.timedelta(days=90)
LEAF_ROTATION_S: Final = 30 * 86400.0
"""A master's own certificate is new at every start and every thirty days; the key never touches the
disk."""

LEAF_RETRY_S: Final = 3600.0

_log: Final = logging.getLogger(__name__)


def open_authority(folder: Path, now: dt.datetime) -> tuple[CertificateAuthority, bool]:
    """The cluster's authority, and whether it was made just now.

    The key is what matters: from it a lost certificate is made anew, with the same pin.

    Raises:
        IdentityError: the folder or a file in it is open to others, cannot be read, or the key is
            missing.
        OSError: it cannot be written.
    """
    private_folder(folder)
    key_path, certificate_path = folder / "ca.key", folder / "ca.pem"
    if not key_path.exists():
        if certificate_path.exists():
            raise IdentityError(
                f"{key_path} is missing beside {certificate_path.name}: restore it from a backup. "
                "Without it every host has to join anew; to begin anew, remove the folder"
            )
        authority = CertificateAuthority.create(now)
        # The key first: a crash between the two leaves what the certificate can be made from.
        write_private(key_path, authority.key_pem())
        write_private(certificate_path, authority.certificate_pem())
        return authority, True
    key_pem = read_private(key_path)
    if not certificate_path.exists():
        authority = CertificateAuthority.from_key(key_pem, now)
        write_private(certificate_path, authority.certificate_pem())
        return authority, False
    return CertificateAuthority.load(key_pem, read_private(certificate_path)), False


def new_leaf(authority: CertificateAuthority, now: dt.datetime) -> tuple[bytes, bytes]:
    """A fresh key and certificate for the master's port, both PEM."""
    return authority.issue_master(now, LEAF_LIFE)


def port_context(authority: CertificateAuthority, now: dt.datetime) -> ssl.SSLContext:
    """The TLS context of the master's port, with a fresh leaf."""
    return master_context(authority.clients_certificate_pem(), *new_leaf(authority, now))


async def rotate_leaf(
    authority: CertificateAuthority, show: Callable[[bytes, bytes], None]
) -> None:
    """Has the port `show` a new key and certificate every thirty days, for ever."""
    wait_s = LEAF_ROTATION_S
    while True:
        await trio.sleep(wait_s)
        try:
            show(*new_leaf(authority, dt.datetime.now(dt.UTC)))
        except OSError as error:  # no descriptor to spare, say; the old one has two months left
            _log.error(
                "the master's own certificate was not renewed", extra={"error": reason_of(error)}
            )
            wait_s = LEAF_RETRY_S
        else:
            _log.info("the master's own certificate was renewed")
            wait_s = LEAF_ROTATION_S
