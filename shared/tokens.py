"""Join tokens: what a person carries from the master to a new host.

    hl1-<base32 of: SHA-256 of the CA's public key 32 B | token id 6 B | secret 16 B | CRC-32 4 B>

The pin lets the newcomer verify the master before it sends anything; the secret lets the master
admit the newcomer; the checksum tells a typing error from a wrong token. 97 characters, lower case,
no punctuation but the first dash. The master keeps the SHA-256 of the secret only.
"""

import base64
import hashlib
import secrets
import zlib
from typing import Final

from msgspec import Struct

from shared.errors import TokenError

PREFIX: Final = "hl1-"
PIN_BYTES: Final = 32
TOKEN_ID_BYTES: Final = 6
SECRET_BYTES: Final = 16
_CHECKSUM_BYTES: Final = 4
_CHARACTERS: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")
_TOTAL_BYTES: Final = PIN_BYTES + TOKEN_ID_BYTES + SECRET_BYTES + _CHECKSUM_BYTES


class Token(Struct, frozen=True):
    """A token taken apart. `__repr__` never shows the secret."""

    ca_pin: bytes
    """SHA-256 of the CA's SubjectPublicKeyInfo."""
    token_id: bytes
    secret: bytes

    def __repr__(self) -> str:
        return f"<Token {self.token_id.hex()} for the CA {cluster_of(self.ca_pin)}>"

    def encode(self) -> str:
        """The token as a person copies it."""
        body = self.ca_pin + self.token_id + self.secret
        return PREFIX + base64.b32encode(body + _checksum(body)).decode().lower().rstrip("=")


def new_token(ca_pin: bytes) -> Token:
    """A fresh token for the cluster of this CA."""
    return Token(ca_pin, secrets.token_bytes(TOKEN_ID_BYTES), secrets.token_bytes(SECRET_BYTES))


def parse_token(text: str) -> Token:
    """Takes a token apart.

    Raises:
        TokenError: not a token at all, or one that was damaged or cut in copying.
    """
    text = text.strip().lower()
    if not text.startswith(PREFIX):
        raise TokenError(f"not a join token: it has to begin with {PREFIX!r}")
    encoded = text.removeprefix(PREFIX).upper()
    if not _CHARACTERS.issuperset(encoded):
        raise TokenError("the join token is damaged: it has characters that no token has")
    try:
        packed = base64.b32decode(encoded + "=" * (-len(encoded) % 8))
    except ValueError as error:  # no bytes have an encoding of this length
        raise TokenError(
            f"the join token is incomplete, or has too much: {len(text)} characters"
        ) from error
    body, checksum = packed[:-_CHECKSUM_BYTES], packed[-_CHECKSUM_BYTES:]
    if len(packed) != _TOTAL_BYTES:
        raise TokenError(f"the join token is incomplete: {len(packed)} of {_TOTAL_BYTES} bytes")
    pin_end, id_end = PIN_BYTES, PIN_BYTES + TOKEN_ID_BYTES
    token = Token(body[:pin_end], body[pin_end:id_end], body[id_end:])
    # The last character has a bit to spare, which the checksum does not see.
    if checksum != _checksum(body) or token.encode() != text:
        raise TokenError("the join token is damaged: its checksum does not match")
    return token


def secret_digest(secret: bytes) -> bytes:
    """What the master stores of a secret. It is 128 random bits: nothing slower than SHA-256 is
    needed."""
    return hashlib.sha256(secret).digest()


def cluster_of(ca_pin: bytes) -> str:
    """The cluster's name: 16 characters of the pin, enough that nobody can make a second one."""
    return base64.b32encode(ca_pin[:10]).decode().lower()


def server_name(ca_pin: bytes) -> str:
    """The name in every master's certificate, whatever address it was dialled at."""
    return f"master.{cluster_of(ca_pin)}.heartline.internal"


def _checksum(body: bytes) -> bytes:
    return zlib.crc32(PREFIX.encode() + body).to_bytes(_CHECKSUM_BYTES)
