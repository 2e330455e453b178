"""Who may connect: tokens, and the allow-list of keys. Decides; `master.enrolment` does.

A certificate proves that the CA once issued it; whether it still counts is decided here, at every
connect, by the SHA-256 of its key. A node has one current key, and one more between a renewal and
its first use.
"""

import hmac
from collections.abc import Iterable
from typing import Final, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from shared.certificates import PeerCertificate
from shared.messages import Refusal
from shared.tokens import secret_digest

AGENT: Final = "agent"
VIEWER: Final = "viewer"
ROLES: Final = (AGENT, VIEWER)

RENEWAL_GRACE_MS: Final = 30 * 86400 * 1000
"""How long after its end a certificate may still be renewed, and used for nothing else."""


class Identity(Struct, frozen=True):
    """An enrolled agent or viewer, as the registry keeps it."""

    identity: str
    role: str
    name: str
    key: bytes
    generation: int
    expires_wall_ms: int
    token_id: bytes
    enrolled_key: bytes
    next_key: bytes | None = None
    revoked: bool = False


class TokenRecord(Struct, frozen=True):
    """A token as the master keeps it: without its secret."""

    token_id: bytes
    secret_digest: bytes
    role: str
    created_wall_ms: int
    expires_wall_ms: int
    uses_left: int
    revoked: bool = False

    def state(self, now_wall_ms: int) -> str:
        """`valid`, `revoked`, `expired` or `used`."""
        if self.revoked:
            return "revoked"
        if now_wall_ms >= self.expires_wall_ms:
            return "expired"
        return "valid" if self.uses_left > 0 else "used"


class Refused(Struct, frozen=True):
    """No, with a code of `shared.messages.Refusal` and the words that the peer is told."""

    code: str
    text: str


class Admitted(Struct, frozen=True):
    """Yes. `changed` when the first use of a renewed key has just retired the old one."""

    identity: Identity
    changed: bool
    expired_ms: int
    """How long ago the certificate ended; not positive while it is valid. Positive: it may renew
    only."""


Verdict: TypeAlias = Admitted | Refused


class Identities:
    """Every identity and token, in memory; the caller stores what it is told has changed."""

    def __init__(self, identities: Iterable[Identity], tokens: Iterable[TokenRecord]) -> None:
        self._identities: dict[str, Identity] = {}
        self._enrolled: dict[tuple[bytes, bytes], str] = {}
        for identity in identities:
            self.put(identity)
        self._tokens = {token.token_id: token for token in tokens}

    def __repr__(self) -> str:
        return f"<Identities {len(self._identities)}, {len(self._tokens)} tokens>"

    def get(self, identity: str) -> Identity | None:
        return self._identities.get(identity)

    def put(self, identity: Identity) -> None:
        """Adds or replaces one."""
        self._identities[identity.identity] = identity
        self._enrolled[identity.token_id, identity.enrolled_key] = identity.identity

    def drop(self, identity: str) -> None:
        """Forgets one: its certificate is unknown from now on."""
        dropped = self._identities.pop(identity, None)
        if dropped is not None:
            self._enrolled.pop((dropped.token_id, dropped.enrolled_key), None)

    def tokens(self) -> list[TokenRecord]:
        """Every token, the newest last."""
        return sorted(self._tokens.values(), key=lambda token: token.created_wall_ms)

    def put_token(self, token: TokenRecord) -> None:
        """Adds or replaces one."""
        self._tokens[token.token_id] = token

    def find_token(self, token_id: bytes) -> TokenRecord | None:
        return self._tokens.get(token_id)

    def check_token(
        self, token_id: bytes, secret: bytes, now_wall_ms: int
    ) -> TokenRecord | Refused:
        """The token, when id and secret are right and it still admits somebody or did admit this
        caller.

        A used-up token is returned too: whether this is the retry of an enrolment whose answer was
        lost depends on the key (`enrolled_with`).
        """
        token = self._tokens.get(token_id)
        expected = token.secret_digest if token else bytes(32)
        # Compared in constant time and also when there is no such token, so that neither can be
        # probed.
        matches = hmac.compare_digest(secret_digest(secret), expected)
        if token is None or not matches:
            return Refused(Refusal.BAD_TOKEN, "this master has not issued that token")
        match token.state(now_wall_ms):
            case "revoked":
                return Refused(Refusal.BAD_TOKEN, "the token was revoked")
            case "expired":
                return Refused(Refusal.TOKEN_EXPIRED, "the token has expired")
            case _:
                return token

    def enrolled_with(self, token_id: bytes, key: bytes) -> Identity | None:
        """The identity that this token and this key were exchanged for earlier."""
        return self._identities.get(self._enrolled.get((token_id, key), ""))

    def admit(self, peer: PeerCertificate, cluster: str, role: str, now_wall_ms: int) -> Verdict:
        """Whether the holder of this certificate may connect as `role`."""
        subject = peer.subject
        identity = self._identities.get(subject.identity)
        if subject.cluster != cluster or identity is None or identity.role != subject.role:
            return Refused(Refusal.UNKNOWN, "this master does not know that certificate")
        if identity.revoked:
            return Refused(Refusal.REVOKED, f"{identity.name} was revoked by the operator")
        if identity.role != role:
            return Refused(
                Refusal.UNAUTHENTICATED,
                f"a certificate for a {identity.role} is not one for a {role}",
            )
        changed = False
        if identity.next_key is not None and peer.key_fingerprint == identity.next_key:
            identity = replace(
                identity,
                key=identity.next_key,
                next_key=None,
                generation=subject.generation,
                expires_wall_ms=int(peer.expires.timestamp() * 1000),
            )
            self.put(identity)
            changed = True
        elif peer.key_fingerprint != identity.key:
            return Refused(Refusal.SUPERSEDED, f"{identity.name} has a newer key than this one")
        expired_ms = now_wall_ms - int(peer.expires.timestamp() * 1000)
        if expired_ms > RENEWAL_GRACE_MS:
            return Refused(
                Refusal.EXPIRED, "the certificate has expired too long ago to be renewed"
            )
        return Admitted(identity, changed, expired_ms)
