"""A key read by hand is the key that `cryptography` reads."""

import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from shared.der import p256_spki

NOW = dt.datetime(2026, 11, 20, tzinfo=dt.UTC)
ISSUER = ec.generate_private_key(ec.SECP256R1())


def certificate(key: CertificatePublicKeyTypes, names: int, serial: int) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "n" * 64)] * names)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key)
        .serial_number(serial)
        .not_valid_before(NOW)
        .not_valid_after(NOW + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(ISSUER, hashes.SHA256())
        .public_bytes(serialization.Encoding.DER)
    )


def der_of(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


@given(names=st.integers(0, 5), serial=st.integers(1, 2**159 - 1))
def test_key_is_found_behind_names_and_numbers_of_any_length(names: int, serial: int) -> None:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    assert p256_spki(certificate(key, names, serial)) == der_of(key)


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP384R1()).public_key(),
        ec.generate_private_key(ec.SECP256K1()).public_key(),
        ed25519.Ed25519PrivateKey.generate().public_key(),
        rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key(),
    ],
    ids=["P-384", "secp256k1", "Ed25519", "RSA"],
)
def test_key_of_another_kind_is_refused(key: CertificatePublicKeyTypes) -> None:
    with pytest.raises(ValueError, match="not P-256"):
        p256_spki(certificate(key, 1, 1))
