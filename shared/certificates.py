"""The cluster's certificate authority, and what agents and viewers need to get a certificate from
it.

P-256 throughout. Of a certificate request only the public key is used (and its signature checked,
as proof of possession); every name in a certificate is the master's own choice. The only module
that loads `cryptography`, which keeps ten megabytes resident: an agent's daemon never imports it.

The CA's key has two names: masters' certificates are issued under the one that agents and viewers
trust, theirs under one that only masters do. OpenSSL sends with a certificate whatever it finds
above it in what it trusts itself; so it finds nothing, each side sends one certificate and reads
one, and that is a quarter of a handshake, and 4.6 kB of each link (docs/decisions/0007).
"""

import datetime as dt
import hashlib
from typing import Final, cast

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import Struct

from shared.der import p256_spki
from shared.errors import IdentityError, RemoteProtocolError
from shared.messages import Refusal
from shared.tokens import cluster_of, server_name

CA_LIFE: Final = dt.timedelta(days=20 * 365)
BACKDATE: Final = dt.timedelta(hours=1)
"""Certificates begin this much in the past, for other readers' clocks; ours ignore the time."""

CSR_LIMIT_BYTES: Final = 1024
"""A P-256 request is 200 bytes; no honest one comes near this."""

SCHEME: Final = "heartline"


class Subject(Struct, frozen=True):
    """Who a certificate speaks for: the URI `heartline://cluster/role/identity/generation`."""

    cluster: str
    role: str
    identity: str
    generation: int

    def uri(self) -> str:
        return f"{SCHEME}://{self.cluster}/{self.role}/{self.identity}/{self.generation}"


class PeerCertificate(Struct, frozen=True):
    """What the master reads out of a client's certificate, once TLS has verified its chain."""

    subject: Subject
    key_fingerprint: bytes
    """SHA-256 of the SubjectPublicKeyInfo: what the registry allows or denies."""
    issued: dt.datetime
    expires: dt.datetime


class CertificateAuthority:
    """Issues every certificate of one cluster. Made by `create` or `load`; holds the private
    key."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self._key = key
        self._certificate = certificate
        self.pin: Final = fingerprint(key.public_key())
        self.cluster: Final = cluster_of(self.pin)
        self.server_name: Final = server_name(self.pin)

    def __repr__(self) -> str:
        return f"<CertificateAuthority {self.cluster}>"

    @classmethod
    def create(cls, now: dt.datetime) -> "CertificateAuthority":
        """A new authority, valid for twenty years, that may issue leaves and nothing below them."""
        return cls._certified(ec.generate_private_key(ec.SECP256R1()), now)

    @classmethod
    def from_key(cls, key_pem: bytes, now: dt.datetime) -> "CertificateAuthority":
        """The authority of a key whose certificate was lost, with a new one. Its pin is the same,
        and so is what it vouches for.

        Raises:
            IdentityError: not a P-256 private key.
        """
        return cls._certified(_private_key(key_pem, "the CA's key"), now)

    @classmethod
    def load(cls, key_pem: bytes, certificate_pem: bytes) -> "CertificateAuthority":
        """The authority kept in two PEM files.

        Raises:
            IdentityError: they are not a P-256 key and its own certificate.
        """
        key = _private_key(key_pem, "the CA's key")
        try:
            certificate = x509.load_pem_x509_certificate(certificate_pem)
            certified = hashlib.sha256(_spki(certificate.public_key())).digest()
        except (ValueError, UnsupportedAlgorithm) as error:
            raise IdentityError(f"the CA's certificate cannot be read: {error}") from error
        if fingerprint(key.public_key()) != certified:
            raise IdentityError("the CA's certificate does not belong to its key")
        return cls(key, certificate)

    @classmethod
    def _certified(
        cls, key: ec.EllipticCurvePrivateKey, now: dt.datetime
    ) -> "CertificateAuthority":
        name = _name(f"heartline ca {cluster_of(fingerprint(key.public_key()))}")
        return cls(key, _self_signed(key, name, now - BACKDATE, now + CA_LIFE))

    def key_pem(self) -> bytes:
        """The private key, unencrypted: for a file that only the master can read."""
        return private_key_pem(self._key)

    def certificate_pem(self) -> bytes:
        """What masters' certificates chain to: for agents and viewers."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def certificate_der(self) -> bytes:
        return self._certificate.public_bytes(serialization.Encoding.DER)

    def clients_certificate_pem(self) -> bytes:
        """What clients' certificates chain to: for masters. Made anew each time; it is the key that
        counts."""
        name, ours = self._clients_name(), self._certificate
        validity = ours.not_valid_before_utc, ours.not_valid_after_utc
        certificate = _self_signed(self._key, name, *validity)
        return certificate.public_bytes(serialization.Encoding.PEM)

    def issue_master(self, now: dt.datetime, life: dt.timedelta) -> tuple[bytes, bytes]:
        """A new key and certificate for a master, both PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._issue(
            key.public_key(),
            f"heartline master {self.cluster}",
            x509.DNSName(self.server_name),
            ExtendedKeyUsageOID.SERVER_AUTH,
            (now - BACKDATE, now + life),
            issuer=self._certificate.subject,
        )
        return private_key_pem(key), certificate.public_bytes(serialization.Encoding.PEM)

    def issue_client(
        self, key: ec.EllipticCurvePublicKey, subject: Subject, now: dt.datetime, life: dt.timedelta
    ) -> bytes:
        """A certificate (DER) for an agent's or a viewer's key."""
        certificate = self._issue(
            key,
            f"{subject.role} {subject.identity}",
            x509.UniformResourceIdentifier(subject.uri()),
            ExtendedKeyUsageOID.CLIENT_AUTH,
            (now - min(BACKDATE, life), now + life),
            issuer=self._clients_name(),
        )
        return certificate.public_bytes(serialization.Encoding.DER)

    def _clients_name(self) -> x509.Name:
        return _name(f"heartline clients {self.cluster}")

    def _issue(
        self,
        key: ec.EllipticCurvePublicKey,
        common_name: str,
        alternative_name: x509.GeneralName,
        usage: x509.ObjectIdentifier,
        validity: tuple[dt.datetime, dt.datetime],
        *,
        issuer: x509.Name,
    ) -> x509.Certificate:
        return (
            _builder(_name(common_name), issuer, key, *validity)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.SubjectAlternativeName([alternative_name]), critical=False)
            .add_extension(_key_identifier(key), critical=False)
            .add_extension(_authority_identifier(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )


def new_key_and_request() -> tuple[bytes, bytes]:
    """A new private key (PEM) and a certificate request for it (DER)."""
    key = ec.generate_private_key(ec.SECP256R1())
    return private_key_pem(key), request_for(key)


def request_for_key_pem(key_pem: bytes) -> bytes:
    """A certificate request (DER) for a key made earlier, so that an enrolment can be repeated.

    Raises:
        IdentityError: not a P-256 private key.
    """
    return request_for(_private_key(key_pem, "the key"))


def request_for(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The certificate request (DER): a public key and the proof that its private key is held."""
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def key_from_request(csr_der: bytes) -> ec.EllipticCurvePublicKey:
    """The public key of a certificate request, its possession proved.

    Raises:
        RemoteProtocolError: too large, not a request, another kind of key, or no valid signature.
    """
    if len(csr_der) > CSR_LIMIT_BYTES:
        raise RemoteProtocolError(
            Refusal.BAD_REQUEST, f"a certificate request of {len(csr_der)} bytes"
        )
    try:
        request = x509.load_der_x509_csr(csr_der)
        key = request.public_key()
        proved = request.is_signature_valid
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise _bad_request(f"the certificate request does not parse: {error}") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise _bad_request("the certificate request's key is not P-256")
    if not proved:
        raise RemoteProtocolError(
            Refusal.BAD_REQUEST, "the certificate request is not signed by its key"
        )
    return key


def read_peer(certificate_der: bytes) -> PeerCertificate:
    """Whom a client's certificate speaks for. TLS has verified its chain; nothing else is known
    yet.

    Raises:
        RemoteProtocolError: it is not one of ours: no `heartline:` name in it, not for clients, or
            not of a P-256 key.
    """
    try:
        certificate = x509.load_der_x509_certificate(certificate_der)
        extensions = certificate.extensions
        usages = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        key_fingerprint = hashlib.sha256(p256_spki(certificate_der)).digest()
    except x509.ExtensionNotFound as error:
        raise RemoteProtocolError(
            Refusal.UNKNOWN, "the certificate has no name or no usage"
        ) from error
    except (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension) as error:
        raise RemoteProtocolError(
            Refusal.UNKNOWN, f"the certificate does not parse: {error}"
        ) from error
    if ExtendedKeyUsageOID.CLIENT_AUTH not in usages:
        raise _not_ours("the certificate is not for clients")
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    return PeerCertificate(
        _parse_subject(uris[0] if len(uris) == 1 else ""),
        key_fingerprint,
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
    )


def ca_pin_of(certificate_der: bytes) -> bytes:
    """The pin of a CA certificate that a master has shown.

    Raises:
        IdentityError: it is not a certificate.
    """
    try:
        return hashlib.sha256(
            _spki(x509.load_der_x509_certificate(certificate_der).public_key())
        ).digest()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise IdentityError(f"what the master showed is not a certificate: {error}") from error


def fingerprint(key: ec.EllipticCurvePublicKey) -> bytes:
    """SHA-256 of the key's SubjectPublicKeyInfo."""
    return hashlib.sha256(_spki(key)).digest()


def private_key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _bad_request(text: str) -> RemoteProtocolError:
    return RemoteProtocolError(Refusal.BAD_REQUEST, text)


def _not_ours(text: str) -> RemoteProtocolError:
    return RemoteProtocolError(Refusal.UNKNOWN, text)


def _private_key(key_pem: bytes, what: str) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(key_pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise IdentityError(f"{what} cannot be read: {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise IdentityError(f"{what} is not a P-256 key")
    return key


def _parse_subject(uri: str) -> Subject:
    scheme, _, rest = uri.partition("://")
    parts = rest.split("/")
    if scheme != SCHEME or len(parts) != 4 or not parts[3].isascii() or not parts[3].isdigit():
        raise _not_ours("the certificate names no node of this cluster")
    return Subject(parts[0], parts[1], parts[2], int(parts[3]))


def _spki(key: object) -> bytes:
    public = cast("ec.EllipticCurvePublicKey", key)
    return public.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    begins: dt.datetime,
    ends: dt.datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
    )


def _self_signed(
    key: ec.EllipticCurvePrivateKey, name: x509.Name, begins: dt.datetime, ends: dt.datetime
) -> x509.Certificate:
    public = key.public_key()
    return (
        _builder(name, name, public, begins, ends)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(_key_identifier(public), critical=False)
        .add_extension(_authority_identifier(public), critical=False)
        .sign(key, hashes.SHA256())
    )


def _key_usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _key_identifier(key: ec.EllipticCurvePublicKey) -> x509.SubjectKeyIdentifier:
    return x509.SubjectKeyIdentifier.from_public_key(key)


def _authority_identifier(key: ec.EllipticCurvePublicKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key)
