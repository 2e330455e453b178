"""The key that a viewer elsewhere dials with, and its successor.

viewer/viewer.pem    key and certificate in use
viewer/renewed.pem   their successors, until a master has welcomed them

A renewal takes nothing away: the first welcome of the new key retires the old one at the master,
and only then it takes the old one's place here. Whatever crashes, the next dial tries the newer key
first and the other one when that is refused. Every program of this user shares the files.
"""

import contextlib
import ssl
from pathlib import Path
from typing import Final

from shared.errors import IdentityError
from shared.paths import StateFolder
from shared.private_files import read_private, write_private
from shared.tls import check_pair, client_context, load_leaf

JOIN_AGAIN: Final = "join again"


class ViewerKeys:
    """One program's use of the keys: dial with `context`, then say how that was received."""

    def __init__(self, folder: StateFolder) -> None:
        self._place: Final = folder.viewer_dir
        self._current: Final = folder.viewer_dir / "viewer.pem"
        self._renewed: Final = folder.viewer_dir / "renewed.pem"
        self._dialled = b""
        self._key_pem = b""

    def __repr__(self) -> str:
        return f"<ViewerKeys in {self._place}>"

    def context(self) -> ssl.SSLContext:
        """TLS with the newest key, for masters of the viewer's cluster only.

        Raises:
            IdentityError: a file is missing, damaged or open to others.
        """
        try:
            ca_pem = read_private(self._place / "ca.pem")
            with contextlib.suppress(FileNotFoundError):
                return self._context(ca_pem, self._renewed)
            return self._context(ca_pem, self._current)
        except OSError as error:
            raise IdentityError(
                f"{error.filename}: {error.strerror or error}; {JOIN_AGAIN}"
            ) from error

    def welcomed(self) -> None:
        """The key dialled with is good: if it is the renewed one, the other has been retired.

        A disk that cannot be written to changes nothing: the next dial tries the same key first.
        """
        with contextlib.suppress(OSError):
            if self._dialled_with(self._renewed):
                self._renewed.replace(self._current)

    def refused(self) -> bool:
        """The key dialled with is no good; whether there is another one to dial with."""
        try:
            if self._dialled_with(self._renewed):
                self._renewed.unlink()
                return True
            return not self._dialled_with(self._current)
        except OSError:
            return False

    def request(self) -> bytes:
        """A new key, and the certificate request for it (DER). Takes a moment."""
        from shared.certificates import new_key_and_request  # noqa: PLC0415 - ten megabytes

        self._key_pem, csr_der = new_key_and_request()
        return csr_der

    def renewed(self, certificate_der: bytes) -> None:
        """The certificate for the key last requested with has come: it is dialled with next.

        Raises:
            IdentityError: it is not for that key, or cannot be stored; the old key stays in use.
        """
        certificate_pem = ssl.DER_cert_to_PEM_cert(certificate_der).encode()
        check_pair(self._key_pem, certificate_pem)
        try:
            write_private(self._renewed, self._key_pem + certificate_pem)
        except OSError as error:
            raise IdentityError(
                f"cannot write {self._renewed}: {error.strerror or error}"
            ) from error

    def _context(self, ca_pem: bytes, path: Path) -> ssl.SSLContext:
        pem = read_private(path)
        context = client_context(ca_pem)
        try:
            load_leaf(context, pem)
        except ssl.SSLError as error:
            raise IdentityError(f"{path} is damaged: {error}; {JOIN_AGAIN}") from error
        self._dialled = pem
        return context

    def _dialled_with(self, path: Path) -> bool:
        # By content: another program may have put another key there since.
        try:
            return read_private(path) == self._dialled
        except FileNotFoundError:
            return False
