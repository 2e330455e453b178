"""Who this host is to its cluster, on disk: two slots for keys, so that a crash at any point is
safe.

    agent/identity.json   which cluster, which node, which slot is in use
    agent/ca.pem          the cluster's CA, whose pin came with the join token
    agent/slot-a.pem      key and certificate; slot-b.pem the other, while one is being renewed
    agent/slot-a.key      a key that has no certificate yet

A renewal fills the free slot, then points `trying` at it, and only then is the new key used for the
first time, which retires the old one at the master. Whatever the crash, the next start tries the
slot that may be newer first, and the other one when that is refused.
"""

import logging
import ssl
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from shared.errors import IdentityError
from shared.paths import StateFolder
from shared.private_files import check_private, private_folder, read_private, write_private
from shared.text import clean_name
from shared.tls import check_pair, client_context

SLOTS: Final = ("a", "b")

_log: Final = logging.getLogger(__name__)


class Identity(Struct, frozen=True, kw_only=True):
    """What `identity.json` holds."""

    cluster: str
    server_name: str
    """The name in the master's certificate, whatever address it is dialled at."""
    node_id: str
    name: str
    masters: tuple[str, ...]
    """`HOST:PORT`s that the host was joined through; settings override them."""
    slot: str = "a"
    trying: str | None = None
    """A slot filled by a renewal, whose key may or may not have been used yet."""
    token_id: str = ""
    """The token that the host joined with, in hexadecimal: what it can do again is nothing new."""

    def goes_by(self, asked: str) -> bool:
        """Whether this is the name of one that asked for that name, or for none, when it joined:
        one that was taken is given with a number."""
        wanted = clean_name(asked)
        return not asked or self.name == wanted or self.name.startswith(f"{wanted}-")


class IdentityFolder:
    """The agent's part of a state folder. All methods are quick and synchronous."""

    def __init__(self, folder: StateFolder) -> None:
        self.path: Final = folder.agent_dir

    def __repr__(self) -> str:
        return f"<IdentityFolder {self.path}>"

    def load(self) -> Identity | None:
        """Who this host is, or None when it has not joined.

        Raises:
            IdentityError: the folder is damaged or open to others.
        """
        path = self.path / "identity.json"
        try:
            return msgspec.json.decode(read_private(path), type=Identity)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            raise IdentityError(f"{path} is damaged: {error}; restore it, or join again") from error
        except OSError as error:
            raise IdentityError(f"{path}: {error.strerror or error}") from error

    def save(self, identity: Identity) -> None:
        """Stores who this host is, atomically."""
        self._write("identity.json", msgspec.json.encode(identity))

    def ca_pem(self) -> bytes:
        """The cluster's CA certificate. Raises IdentityError when it is missing."""
        try:
            return read_private(self.path / "ca.pem")
        except OSError as error:
            raise IdentityError(f"{self.path / 'ca.pem'}: {error.strerror or error}") from error

    def save_ca(self, certificate_pem: bytes) -> None:
        self._write("ca.pem", certificate_pem)

    def slot(self, name: str) -> Path:
        """The PEM file with key and certificate of a slot."""
        return self.path / f"slot-{name}.pem"

    def context(self, slot: str) -> ssl.SSLContext:
        """What a link with this slot's key is made with.

        Raises:
            IdentityError: the slot or the CA's certificate is missing, damaged or open to others.
        """
        path = self.slot(slot)
        try:
            check_private(path)
        except OSError as error:
            raise IdentityError(f"{path}: {error.strerror or error}") from error
        return client_context(self.ca_pem(), path)

    def pending_key(self, slot: str) -> bytes | None:
        """A key made earlier for a slot, whose certificate has not come yet."""
        try:
            return read_private(self._key(slot))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise IdentityError(f"{self._key(slot)}: {error.strerror or error}") from error

    def save_pending_key(self, slot: str, key_pem: bytes) -> None:
        self._write(self._key(slot).name, key_pem)

    def fill(self, slot: str, certificate_pem: bytes) -> None:
        """The certificate for a slot's pending key has come.

        Raises:
            IdentityError: there is no pending key, the certificate is not one for it, or it cannot
                be written.
        """
        key_pem = self.pending_key(slot)
        if key_pem is None:
            raise IdentityError(f"{self._key(slot)} is missing")
        check_pair(key_pem, certificate_pem)
        self._write(self.slot(slot).name, key_pem + certificate_pem)
        self._remove(self._key(slot))

    def settle(self, identity: Identity, slot: str) -> Identity:
        """This slot's key is the one from now on: the master has welcomed it, or not the other.

        A disk that cannot be written to is no reason to give up a link that works: the next start
        tries both keys again, and finds the same out.
        """
        settled = replace(identity, slot=slot, trying=None)
        if settled != identity:
            try:
                self.save(settled)
            except IdentityError as error:
                _log.error("the key in use cannot be noted", extra={"reason": str(error)})
            else:
                self._remove(self.slot(other(slot)))
        return settled

    def set_aside(self, cluster: str) -> Path:
        """Moves the folder out of the way of another cluster's identity, keeping it."""
        kept = self.path.with_name(f"{self.path.name}.{cluster}")
        number = 1
        while kept.exists():
            number += 1
            kept = self.path.with_name(f"{self.path.name}.{cluster}-{number}")
        return self.path.rename(kept)

    def _remove(self, path: Path) -> None:
        # What has no more use: staying there is harmless.
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            _log.warning("cannot remove", extra={"path": str(path), "reason": error.strerror})

    def _key(self, slot: str) -> Path:
        return self.path / f"slot-{slot}.key"

    def _write(self, name: str, content: bytes) -> None:
        try:
            write_private(private_folder(self.path) / name, content)
        except OSError as error:
            raise IdentityError(
                f"cannot write {self.path / name}: {error.strerror or error}"
            ) from error


def other(slot: str) -> str:
    """The slot that this one is not."""
    return SLOTS[1 - SLOTS.index(slot)]
