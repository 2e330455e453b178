"""The one thing of a certificate that is cheaper to read by hand: its key, as it stands there.

`cryptography` makes a key object of it, with a point on a curve, and encodes that again: as much
work as all the rest of reading a certificate, at every handshake (docs/decisions/0007).
"""

from typing import Final

_P256_HEAD: Final = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")
"""How a P-256 key begins as SubjectPublicKeyInfo (RFC 5480): lengths, OIDs, "not compressed"."""

_P256_BYTES: Final = len(_P256_HEAD) + 64

_BEFORE_THE_KEY: Final = 6
"""Version, serial number, signature, issuer, validity, subject (RFC 5280, TBSCertificate)."""


def p256_spki(certificate_der: bytes) -> bytes:
    """The SubjectPublicKeyInfo of a certificate that somebody else has parsed and found well made.

    Whether the point is on the curve is not looked at: the key has verified a signature by now.

    Raises:
        ValueError: the key is not a P-256 key, uncompressed.
    """
    at = _content_at(certificate_der, _content_at(certificate_der, 0))
    for _ in range(_BEFORE_THE_KEY):
        at = _content_at(certificate_der, at) + _length_at(certificate_der, at)
    spki = certificate_der[at : at + _P256_BYTES]
    if not spki.startswith(_P256_HEAD):
        raise ValueError("the key is not P-256")
    return spki


def _content_at(der: bytes, at: int) -> int:
    # Where the content of the element at `at` begins: behind its tag and its length.
    first = der[at + 1]
    return at + 2 + (first & 0x7F if first & 0x80 else 0)


def _length_at(der: bytes, at: int) -> int:
    first = der[at + 1]
    if not first & 0x80:
        return first
    return int.from_bytes(der[at + 2 : at + 2 + (first & 0x7F)], "big")
