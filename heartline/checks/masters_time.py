"""What time it is by the masters: nearly, and without asking them for anything.

A master gives itself a fresh certificate at each start and every few weeks. By its own clock, which
is the one that counts, now is within that certificate's life.
"""

from datetime import datetime

from msgspec import Struct

from agent.identity import Identity, IdentityFolder
from heartline.checks import Subject
from heartline.checks.dialled import dialled
from shared.addresses import Address, parse_address
from shared.errors import IdentityError


class MastersTime(Struct, frozen=True):
    """It is neither before `earliest` nor after `latest`, by the clock of the master there."""

    address: Address
    earliest: datetime
    latest: datetime


def disagreement(subject: Subject, now: datetime) -> str:
    """How `now` differs from what a master of this host's agent takes it for; empty: in no way that
    can be told, as where none of them answers."""
    said = masters_time(subject)
    if said is None or said.earliest <= now <= said.latest:
        return ""
    return (
        f"by this host it is {now:%Y-%m-%d}, by the master at {said.address} between"
        f" {said.earliest:%Y-%m-%d} and {said.latest:%Y-%m-%d}"
    )


def masters_time(subject: Subject) -> MastersTime | None:
    """What the first of the agent's masters says that answers; None: none does, or this host has
    not joined."""
    try:
        identity = IdentityFolder(subject.folder).load()
    except IdentityError:
        return None  # another check says so
    if identity is None:
        return None
    for text in subject.settings.agent.master or identity.masters:
        try:
            return _asked(subject, identity, parse_address(text))
        except (IdentityError, OSError):
            continue  # another check says so
    return None


def _asked(subject: Subject, identity: Identity, address: Address) -> MastersTime | None:
    from cryptography import x509  # noqa: PLC0415 - ten megabytes, for this alone

    with dialled(subject.folder, identity, address) as stream:
        certificate_der = stream.getpeercert(binary_form=True)
    if certificate_der is None:
        return None
    certificate = x509.load_der_x509_certificate(certificate_der)
    return MastersTime(address, certificate.not_valid_before_utc, certificate.not_valid_after_utc)
