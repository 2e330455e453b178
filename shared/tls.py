"""The three TLS contexts: a master's, an authenticated client's, and a newcomer's.

TLS 1.3 only. Certificates are checked strictly but for the time: a host whose clock is 400 days off
must still be able to report that. Expiry is the master's decision, on its own clock
(`master.entry`).
"""

import os
import ssl
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from shared.errors import IdentityError

_NO_CHECK_TIME: Final = ssl.VerifyFlags(0x200000)
"""X509_V_FLAG_NO_CHECK_TIME (OpenSSL x509_vfy.h); Python has no name for it."""

_NO_FAREWELL: Final = getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
"""The end of the stream is the end, whether TLS was told of it or not: the protocol says goodbye by
itself, and its frames know their length. OpenSSL would write a complaint to the socket instead, and
with that wipe away how the connection ended (`shared.tcp.was_reset`)."""


def master_context(clients_ca_pem: bytes, key_pem: bytes, certificate_pem: bytes) -> ssl.SSLContext:
    """The context of a master's port, for clients with and without a certificate.

    `clients_ca_pem` is what their certificates chain to, and no more: whatever is above the
    master's own would be sent with every handshake.

    Whether a certificate is required is decided by what the client asks for (CERT_OPTIONAL):
    switching contexts in an SNI callback would not enforce it. No session tickets: they carry the
    client's certificate over, cost most of the handshake, and would have to be checked again
    anyway.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=clients_ca_pem.decode("ascii"))
    context.verify_mode = ssl.CERT_OPTIONAL
    context.verify_flags |= ssl.VERIFY_X509_STRICT | _NO_CHECK_TIME
    context.num_tickets = 0
    context.options |= _NO_FAREWELL
    load_leaf(context, key_pem, certificate_pem)
    return context


def client_context(ca_pem: bytes, identity: Path | None = None) -> ssl.SSLContext:
    """The context of a client that knows the CA; `identity` is a PEM file with key and certificate.

    Raises:
        IdentityError: the CA or the identity cannot be read.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.options |= _NO_FAREWELL
    context.hostname_checks_common_name = False
    context.verify_flags |= ssl.VERIFY_X509_STRICT | _NO_CHECK_TIME
    try:
        context.load_verify_locations(cadata=ca_pem.decode("ascii"))
        if identity is not None:
            context.load_cert_chain(identity)
    except (ssl.SSLError, OSError, ValueError) as error:
        raise IdentityError(
            f"the certificate or key in {identity or 'the CA file'}: {error}"
        ) from error
    return context


def newcomer_context() -> ssl.SSLContext:
    """For asking a master for its CA certificate, whose pin is then compared: nothing secret may be
    sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def check_pair(key_pem: bytes, certificate_pem: bytes) -> None:
    """Makes sure that a certificate belongs to a key.

    Raises:
        IdentityError: it does not, or one of them is none at all.
    """
    try:
        load_leaf(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), key_pem, certificate_pem)
    except ssl.SSLError as error:
        raise IdentityError(f"not a certificate for this key: {error}") from error


def load_leaf(context: ssl.SSLContext, key_pem: bytes, certificate_pem: bytes = b"") -> None:
    """Gives `context` a key and certificate, also while it is in use: new handshakes take the new
    ones. One PEM may hold both."""
    with _readable(key_pem + certificate_pem) as path:
        context.load_cert_chain(path)


@contextmanager
def _readable(content: bytes) -> Generator[str]:
    # ssl loads keys from paths only; on Linux a memory file keeps them off the disk.
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("heartline-leaf", os.MFD_CLOEXEC)
        with os.fdopen(descriptor, "wb") as memory:
            memory.write(content)
            memory.flush()
            yield f"/proc/self/fd/{memory.fileno()}"
    else:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "leaf.pem"
            path.touch(mode=0o600)
            path.write_bytes(content)
            yield str(path)
