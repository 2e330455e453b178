"""The cluster's authority: what it issues, and how little of a stranger's request it believes."""

import datetime as dt
import random
import ssl
from collections.abc import Callable, Sequence

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from shared.certificates import (
    CSR_LIMIT_BYTES,
    CertificateAuthority,
    PeerCertificate,
    Subject,
    ca_pin_of,
    fingerprint,
    key_from_request,
    new_key_and_request,
    read_peer,
    request_for,
    request_for_key_pem,
)
from shared.errors import IdentityError, RemoteProtocolError
from shared.messages import Refusal
from shared.tls import check_pair, client_context, load_leaf, master_context
from tests.shared.handshakes import shake_hands

NOW = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)
LIFE = dt.timedelta(days=30)
YEARS = dt.timedelta(days=365)

AUTHORITY = CertificateAuthority.create(NOW)
OTHER_AUTHORITY = CertificateAuthority.create(NOW)
SUBJECT = Subject(AUTHORITY.cluster, "agent", "0123456789abcdef", 3)


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def master_of(
    authority: CertificateAuthority, now: dt.datetime = NOW, life: dt.timedelta = LIFE
) -> ssl.SSLContext:
    return master_context(authority.clients_certificate_pem(), *authority.issue_master(now, life))


def pem(certificate_der: bytes) -> bytes:
    return ssl.DER_cert_to_PEM_cert(certificate_der).encode()


def client_of(
    authority: CertificateAuthority,
    trusted: CertificateAuthority | None = None,
    now: dt.datetime = NOW,
    life: dt.timedelta = LIFE,
) -> ssl.SSLContext:
    """A client with a certificate by `authority` that trusts masters of `trusted`."""
    context = client_context((trusted or authority).certificate_pem())
    key_pem, csr_der = new_key_and_request()
    issued = authority.issue_client(key_from_request(csr_der), SUBJECT, now, life)
    load_leaf(context, key_pem, pem(issued))
    return context


# --- what OpenSSL says of the chain ---------------------------------------------------------------


def test_strict_verification_accepts_both_ends() -> None:
    server, caller = shake_hands(master_of(AUTHORITY), client_of(AUTHORITY), AUTHORITY.server_name)
    assert caller.version() == server.version() == "TLSv1.3"
    presented = server.getpeercert(binary_form=True)
    assert presented is not None
    assert read_peer(presented).subject == SUBJECT


def test_client_without_a_certificate_is_let_in_without_one() -> None:
    context = client_context(AUTHORITY.certificate_pem())
    server, _ = shake_hands(master_of(AUTHORITY), context, AUTHORITY.server_name)
    assert server.getpeercert(binary_form=True) is None


@pytest.mark.parametrize("off", [-10 * YEARS, -YEARS, YEARS, 25 * YEARS])
def test_no_clock_decides_a_handshake(off: dt.timedelta) -> None:
    master, client = master_of(AUTHORITY, NOW + off), client_of(AUTHORITY, now=NOW - off)
    shake_hands(master, client, AUTHORITY.server_name)


def test_client_of_another_cluster_is_refused_by_the_master() -> None:
    client = client_of(OTHER_AUTHORITY, trusted=AUTHORITY)
    with pytest.raises(ssl.SSLError):
        shake_hands(master_of(AUTHORITY), client, AUTHORITY.server_name)


def test_master_of_another_cluster_is_refused_by_the_client() -> None:
    client = client_of(AUTHORITY)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(master_of(OTHER_AUTHORITY), client, AUTHORITY.server_name)


def test_node_key_cannot_stand_for_a_master() -> None:
    key_pem, csr_der = new_key_and_request()
    issued = AUTHORITY.issue_client(key_from_request(csr_der), SUBJECT, NOW, LIFE)
    impostor = master_context(AUTHORITY.clients_certificate_pem(), key_pem, pem(issued))
    client = client_context(AUTHORITY.certificate_pem())
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(impostor, client, AUTHORITY.server_name)


def test_node_key_cannot_stand_for_a_master_even_where_no_name_is_checked() -> None:
    key_pem, csr_der = new_key_and_request()
    issued = AUTHORITY.issue_client(key_from_request(csr_der), SUBJECT, NOW, LIFE)
    impostor = master_context(AUTHORITY.clients_certificate_pem(), key_pem, pem(issued))
    client = client_context(AUTHORITY.certificate_pem())
    client.check_hostname = False
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(impostor, client, AUTHORITY.server_name)


def test_node_key_cannot_stand_for_a_master_even_to_who_trusts_its_issuer() -> None:
    key_pem, csr_der = new_key_and_request()
    issued = AUTHORITY.issue_client(key_from_request(csr_der), SUBJECT, NOW, LIFE)
    impostor = master_context(AUTHORITY.certificate_pem(), key_pem, pem(issued))
    client = client_context(AUTHORITY.clients_certificate_pem())
    client.check_hostname = False
    with pytest.raises(ssl.SSLCertVerificationError, match="purpose"):
        shake_hands(impostor, client, AUTHORITY.server_name)


def test_master_key_cannot_stand_for_a_client() -> None:
    client = client_context(AUTHORITY.certificate_pem())
    load_leaf(client, *AUTHORITY.issue_master(NOW, LIFE))
    with pytest.raises(ssl.SSLError, match="verify failed"):
        shake_hands(master_of(AUTHORITY), client, AUTHORITY.server_name)


def test_master_key_cannot_stand_for_a_client_even_to_who_trusts_its_issuer() -> None:
    client = client_context(AUTHORITY.certificate_pem())
    load_leaf(client, *AUTHORITY.issue_master(NOW, LIFE))
    trusting = master_context(AUTHORITY.certificate_pem(), *AUTHORITY.issue_master(NOW, LIFE))
    with pytest.raises(ssl.SSLError, match="purpose"):
        shake_hands(trusting, client, AUTHORITY.server_name)


def test_each_side_sends_one_certificate() -> None:
    ends = shake_hands(master_of(AUTHORITY), client_of(AUTHORITY), AUTHORITY.server_name)
    for end in ends:
        # Python tells of the chain from 3.13 on; the object underneath has done so for longer.
        assert len(end._sslobj.get_unverified_chain()) == 1  # type: ignore[attr-defined]


def test_master_is_checked_by_its_fixed_name() -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        shake_hands(master_of(AUTHORITY), client_of(AUTHORITY), "master.example.org")


def test_leaf_cannot_issue_certificates() -> None:
    leaf_key = new_key()
    leaf = AUTHORITY.issue_client(leaf_key.public_key(), SUBJECT, NOW, LIFE)
    sub_key = new_key()
    forged = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "forged")]))
        .issuer_name(x509.load_der_x509_certificate(leaf).subject)
        .public_key(sub_key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + LIFE)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(AUTHORITY.server_name)]), critical=False
        )
        .sign(leaf_key, hashes.SHA256())
    )
    chain = forged.public_bytes(serialization.Encoding.PEM) + pem(leaf)
    key_pem = sub_key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    impostor = master_context(AUTHORITY.clients_certificate_pem(), key_pem, chain)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(impostor, client_context(AUTHORITY.certificate_pem()), AUTHORITY.server_name)


def test_no_session_can_be_resumed() -> None:
    _, caller = shake_hands(master_of(AUTHORITY), client_of(AUTHORITY), AUTHORITY.server_name)
    session = caller.session
    assert session is None or not session.has_ticket


def test_older_tls_is_refused() -> None:
    client = client_context(AUTHORITY.certificate_pem())
    client.minimum_version = ssl.TLSVersion.TLSv1_2
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        shake_hands(master_of(AUTHORITY), client, AUTHORITY.server_name)


# --- what is in a certificate ---------------------------------------------------------------------


def test_everything_in_a_clients_certificate_is_the_masters_choice() -> None:
    key = new_key()
    wish = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "master")]))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("x.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public = key_from_request(wish.public_bytes(serialization.Encoding.DER))
    issued = x509.load_der_x509_certificate(AUTHORITY.issue_client(public, SUBJECT, NOW, LIFE))
    names = issued.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    constraints = issued.extensions.get_extension_for_class(x509.BasicConstraints).value
    usages = issued.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(names) == [x509.UniformResourceIdentifier(SUBJECT.uri())]
    assert not constraints.ca
    assert list(usages) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert "master" not in issued.subject.rfc4514_string()


def test_peer_is_read_as_it_was_issued() -> None:
    key = new_key().public_key()
    peer = read_peer(AUTHORITY.issue_client(key, SUBJECT, NOW, LIFE))
    assert peer == PeerCertificate(
        SUBJECT, fingerprint(key), NOW - dt.timedelta(hours=1), NOW + LIFE
    )


@pytest.mark.parametrize("name", ["certificate_pem", "clients_certificate_pem"])
def test_authority_may_sign_leaves_and_nothing_below_them(name: str) -> None:
    certificate = x509.load_pem_x509_certificate(getattr(AUTHORITY, name)())
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert constraints.value == x509.BasicConstraints(ca=True, path_length=0)
    assert certificate.not_valid_after_utc - NOW > 19 * YEARS


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "https://cluster/agent/id/1",
        "heartline://cluster/agent/id",
        "heartline://cluster/agent/id/1/2",
        "heartline://cluster/agent/id/-1",
        "heartline://cluster/agent/id/x",
    ],
)
def test_certificate_that_names_nobody_is_refused(uri: str) -> None:
    with pytest.raises(RemoteProtocolError) as refused:
        read_peer(signed_by_hand([x509.UniformResourceIdentifier(uri)] if uri else []))
    assert refused.value.code == Refusal.UNKNOWN


def test_certificate_with_two_names_is_refused() -> None:
    names = [x509.UniformResourceIdentifier(SUBJECT.uri()) for _ in range(2)]
    with pytest.raises(RemoteProtocolError):
        read_peer(signed_by_hand(names))


def signed_by_hand(names: Sequence[x509.GeneralName]) -> bytes:
    key = new_key()
    name = x509.Name([])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + LIFE)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


# --- what is believed of a request ----------------------------------------------------------------


def test_request_gives_its_key() -> None:
    key = new_key()
    assert fingerprint(key_from_request(request_for(key))) == fingerprint(key.public_key())


def test_enrolment_can_be_repeated_with_the_same_key() -> None:
    key_pem, csr_der = new_key_and_request()
    again = request_for_key_pem(key_pem)
    assert fingerprint(key_from_request(again)) == fingerprint(key_from_request(csr_der))


def rsa_request() -> bytes:
    return signed_request(rsa.generate_private_key(public_exponent=65537, key_size=2048))


def p384_request() -> bytes:
    return request_for(ec.generate_private_key(ec.SECP384R1()))


def ed25519_request() -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    request = builder.sign(ed25519.Ed25519PrivateKey.generate(), None)
    return request.public_bytes(serialization.Encoding.DER)


def signed_request(key: rsa.RSAPrivateKey) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def oversized_request() -> bytes:
    long = x509.SubjectAlternativeName([x509.DNSName("x" * CSR_LIMIT_BYTES)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    signed = builder.add_extension(long, critical=False).sign(new_key(), hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.DER)


def request_for_a_key_not_held() -> bytes:
    mine, theirs = request_for(new_key()), request_for(new_key())
    point = serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    old = key_from_request(mine).public_bytes(*point)
    return mine.replace(old, key_from_request(theirs).public_bytes(*point))


@pytest.mark.parametrize(
    "make",
    [
        rsa_request,
        p384_request,
        ed25519_request,
        oversized_request,
        request_for_a_key_not_held,
        lambda: b"",
        lambda: b"\x30\x80",
        AUTHORITY.certificate_der,
    ],
)
def test_request_that_is_no_good_is_refused(make: Callable[[], bytes]) -> None:
    with pytest.raises(RemoteProtocolError) as refused:
        key_from_request(make())
    assert refused.value.code == Refusal.BAD_REQUEST


def test_mutated_requests_are_refused_in_words_and_nothing_else() -> None:
    rng, request = random.Random(7), request_for(new_key())
    for _ in range(5_000):
        mutated = bytearray(request)
        for _ in range(rng.randrange(1, 4)):
            mutated[rng.randrange(len(mutated))] = rng.randrange(256)
        try:
            key_from_request(bytes(mutated))
        except RemoteProtocolError as refused:
            assert refused.code == Refusal.BAD_REQUEST  # noqa: PT017 - some come through


# --- keeping the authority ------------------------------------------------------------------------


def test_authority_is_the_same_after_being_kept() -> None:
    kept = CertificateAuthority.load(AUTHORITY.key_pem(), AUTHORITY.certificate_pem())
    assert kept.pin == AUTHORITY.pin == ca_pin_of(AUTHORITY.certificate_der())
    shake_hands(master_of(kept), client_of(AUTHORITY), AUTHORITY.server_name)


def test_lost_certificate_is_made_anew_from_the_key() -> None:
    again = CertificateAuthority.from_key(AUTHORITY.key_pem(), NOW + YEARS)
    assert again.pin == AUTHORITY.pin
    # Agents that joined under the old certificate go on, and the other way round.
    shake_hands(master_of(again), client_of(AUTHORITY), AUTHORITY.server_name)
    shake_hands(master_of(AUTHORITY), client_of(again), AUTHORITY.server_name)


@pytest.mark.parametrize(
    ("key_pem", "certificate_pem"),
    [
        (AUTHORITY.key_pem(), OTHER_AUTHORITY.certificate_pem()),
        (b"", AUTHORITY.certificate_pem()),
        (AUTHORITY.key_pem(), b"no certificate"),
        (AUTHORITY.certificate_pem(), AUTHORITY.certificate_pem()),
    ],
    ids=["another's key", "no key", "no certificate", "two certificates"],
)
def test_key_and_certificate_that_do_not_belong_together_are_refused(
    key_pem: bytes, certificate_pem: bytes
) -> None:
    with pytest.raises(IdentityError, match="the CA's"):
        CertificateAuthority.load(key_pem, certificate_pem)


def test_authority_with_another_kind_of_key_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP384R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    with pytest.raises(IdentityError, match="P-256"):
        CertificateAuthority.from_key(key, NOW)


def test_pin_of_garbage_is_refused() -> None:
    with pytest.raises(IdentityError):
        ca_pin_of(b"garbage")


def test_certificate_of_another_key_is_not_kept_beside_ours() -> None:
    key_pem, csr_der = new_key_and_request()
    ours = AUTHORITY.issue_client(key_from_request(csr_der), SUBJECT, NOW, LIFE)
    check_pair(key_pem, pem(ours))
    theirs = AUTHORITY.issue_client(new_key().public_key(), SUBJECT, NOW, LIFE)
    for wrong in (pem(theirs), pem(b"garbage"), b"", b"-----BEGIN CERTIFICATE-----"):
        with pytest.raises(IdentityError, match="not a certificate for this key"):
            check_pair(key_pem, wrong)


def test_nothing_shows_a_private_key() -> None:
    assert repr(AUTHORITY) == f"<CertificateAuthority {AUTHORITY.cluster}>"
