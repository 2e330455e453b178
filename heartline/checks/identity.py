"""Who this host is to its cluster: joined or not, and how long its certificates are good."""

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from agent.identity import IdentityFolder
from heartline.checks import Finding, Subject, fine, problem, warning
from heartline.checks.masters_time import disagreement
from heartline.times import moment
from heartline.viewer import load_viewer
from shared.clock import wall_ms
from shared.errors import IdentityError

EXPIRED_LIMIT: Final = timedelta(days=30)
"""An expired certificate may be renewed for so long; later the host has to join again."""

_JOIN: Final = "on the master's host: heartline token create"
_JOIN_VIEWER: Final = _JOIN + " --role viewer"
_RENEW: Final = "start the agent: it renews the certificate before anything else"
_RENEW_VIEWER: Final = "run heartline nodes: it renews the certificate before anything else"


def agent_identity(subject: Subject) -> Iterator[Finding]:
    """This host's agent has joined, and its certificate is good by this host's clock."""
    name = "identity"
    folder = IdentityFolder(subject.folder)
    try:
        identity = folder.load()
    except IdentityError as error:
        detail, _, remedy = str(error).partition("; ")
        yield problem(name, detail, remedy or "restore it from a copy, or join again")
        return
    if identity is None:
        yield fine(name, f"this host has not joined; for the command that joins it, {_JOIN}")
        return
    yield fine(name, f"{identity.name} ({identity.node_id}) of the cluster {identity.cluster}")
    yield from _certificate(subject, "certificate", folder.slot(identity.slot))


def viewer_identity(subject: Subject) -> Iterator[Finding]:
    """This user has joined as a viewer of a master elsewhere, with a certificate that is good."""
    name = "viewer"
    try:
        viewer = load_viewer(subject.folder)
    except IdentityError as error:
        yield problem(name, str(error), _JOIN_VIEWER)
        return
    if viewer is None:
        return
    yield fine(name, f"{viewer.identity} of {', '.join(viewer.masters)}")
    path = subject.folder.viewer_dir / "viewer.pem"
    yield from _certificate(subject, name, path, _JOIN_VIEWER, renew=_RENEW_VIEWER)


def authority(subject: Subject) -> Iterator[Finding]:
    """The cluster's own certificate is good by this host's clock."""
    for path in sorted(subject.folder.ca_dir.glob("ca*.pem")):
        yield from _certificate(subject, "authority", path)


def _certificate(
    subject: Subject, name: str, path: Path, join: str = _JOIN, *, renew: str = _RENEW
) -> Iterator[Finding]:
    from cryptography import x509  # noqa: PLC0415 - ten megabytes, for this alone

    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a certificate"
        yield problem(name, f"{path}: {reason}", f"restore it from a copy, or, {join}")
        return
    now = moment(wall_ms()) or datetime.now(UTC)
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if begins <= now <= ends:
        yield fine(name, f"good until {ends:%Y-%m-%d %H:%M} UTC")
    elif doubt := disagreement(subject, now):
        yield warning(
            name,
            f"good until {ends:%Y-%m-%d}, which this host's clock cannot judge: {doubt}",
            "set the clocks right, and look again; the master's decides",
        )
    elif now < begins:
        yield warning(
            name,
            f"begins on {begins:%Y-%m-%d}, after what this host believes is now",
            "the clock is wrong, here or on the master; links do not depend on it, records do",
        )
    elif now > ends + EXPIRED_LIMIT:
        yield problem(name, f"expired on {ends:%Y-%m-%d}, too long ago to be renewed", join)
    else:
        yield warning(
            name,
            f"expired on {ends:%Y-%m-%d}, by this host's clock",
            renew,
        )


def tls(subject: Subject) -> Iterator[Finding]:  # noqa: ARG001 - every check has this shape
    """TLS 1.3 is there: nothing else is spoken."""
    if ssl.HAS_TLSv1_3:
        yield fine("tls", ssl.OPENSSL_VERSION)
    else:
        yield problem("tls", f"{ssl.OPENSSL_VERSION} has no TLS 1.3", "upgrade OpenSSL and Python")
