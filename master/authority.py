"""The certificate authority on disk: made at the first start, guarded at every other.

Whoever can read the CA's folder can do everything, so it is 0700 with 0600 files, and a master
refuses to start when group or others could have read them.
"""

import datetime as dt
import logging
import ssl
from pathlib import Path
from typing import Final

import trio

from shared.certificates import CertificateAuthority
from shared.errors import IdentityError
from shared.private_files import private_folder, read_private, write_private
from shared.tls import load_leaf, master_context

LEAF_LIFE: Final = dt.timedelta(days=90)
LEAF_ROTATION_S: Final = 30 * 86400.0
"""A master's own certificate is new at every start and every thirty days; the key never touches the
disk."""

_log: Final = logging.getLogger(__name__)


def open_authority(folder: Path, now: dt.datetime) -> tuple[CertificateAuthority, bool]:
    """The cluster's authority, and whether it was made just now.

    Raises:
        IdentityError: the folder or a file in it is open to others, incomplete, or cannot be read.
        OSError: it cannot be written.
    """
    private_folder(folder)
    key_path, certificate_path = folder / "ca.key", folder / "ca.pem"
    if not key_path.exists() and not certificate_path.exists():
        authority = CertificateAuthority.create(now)
        # The certificate first: a crash between the two leaves no key that anything was issued
        # with.
        write_private(certificate_path, authority.certificate_pem())
        write_private(key_path, authority.key_pem())
        return authority, True
    if not key_path.exists():
        # Nothing has been issued by a CA whose key was never written: begin again.
        certificate_path.unlink()
        return open_authority(folder, now)
    try:
        return CertificateAuthority.load(
            read_private(key_path), read_private(certificate_path)
        ), False
    except FileNotFoundError as error:
        raise IdentityError(
            f"{certificate_path} is missing beside {key_path.name}: restore the folder from a backup"
        ) from error


def port_context(authority: CertificateAuthority, now: dt.datetime) -> ssl.SSLContext:
    """The TLS context of the master's port, with a fresh leaf."""
    return master_context(authority.certificate_pem(), *authority.issue_master(now, LEAF_LIFE))


async def rotate_leaf(authority: CertificateAuthority, context: ssl.SSLContext) -> None:
    """Gives the port a new certificate every thirty days, for ever."""
    while True:
        await trio.sleep(LEAF_ROTATION_S)
        load_leaf(context, *authority.issue_master(dt.datetime.now(dt.UTC), LEAF_LIFE))
        _log.info("the master's own certificate was renewed")
