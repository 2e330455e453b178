"""Letting newcomers in, and giving those inside new keys. Everything here is on disk before it is
said."""

import datetime as dt
import secrets
from typing import Final

import trio
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec.structs import replace

from master.context import Context
from master.identities import AGENT, Identities, Identity, Refused, TokenRecord
from master.registry import Registry
from master.store import Statement, Store, StoreError
from shared.certificates import CertificateAuthority, Subject, fingerprint, key_from_request
from shared.errors import RemoteProtocolError
from shared.messages import (
    PROTOCOL_MAX,
    PROTOCOL_MIN,
    Deny,
    Enrol,
    Enrolled,
    FromOpeningClient,
    Refusal,
)
from shared.text import clean_name
from shared.tokens import Token, new_token, secret_digest

_TOKEN_USED: Final = Refused(Refusal.TOKEN_USED, "the token has been used up")
_FOR_VIEWER: Final = Refused(
    Refusal.TOKEN_ROLE,
    "the token is for a viewer, not for an agent: make one with heartline token create",
)
_FOR_AGENT: Final = Refused(
    Refusal.TOKEN_ROLE,
    "the token is for an agent, not for a viewer: make one with heartline token create"
    " --role viewer",
)
_BUSY: Final = Refused(Refusal.BUSY, "the master cannot store anything now")
_ENROLLED_BEFORE: Final = Refused(
    Refusal.SUPERSEDED, "this key has joined before and is no longer good: join with a new one"
)


class Enrolment:
    """Tokens, enrolments and renewals. `now_s` arguments are the master's monotonic clock."""

    def __init__(
        self,
        context: Context,
        authority: CertificateAuthority,
        identities: Identities,
        registry: Registry,
    ) -> None:
        self.authority: Final = authority
        self.identities: Final = identities
        self._context = context
        self._registry = registry
        self._turn = trio.Lock()

    async def create_token(self, role: str, life_s: int, uses: int) -> tuple[Token, TokenRecord]:
        """A new token, stored.

        Raises:
            StoreError: it could not be stored and admits nobody.
        """
        token = new_token(self.authority.pin)
        now = self._context.wall_ms()
        record = TokenRecord(
            token.token_id, secret_digest(token.secret), role, now, now + life_s * 1000, uses
        )
        await self._context.store.write(_insert_token(record))
        self.identities.put_token(record)
        self._context.audit.record(
            "token-created", token=token.token_id.hex(), role=role, life_s=life_s, uses=uses
        )
        return token, record

    async def revoke_token(self, record: TokenRecord) -> None:
        """The token admits nobody any more; who has joined with it stays.

        Raises:
            StoreError: it could not be stored; the token is revoked until the next start only.
        """
        revoked = replace(record, revoked=True)
        self.identities.put_token(revoked)
        self._context.audit.record("token-revoked", token=record.token_id.hex())
        await self._context.store.write(_update_token(revoked))

    async def enrol(self, request: Enrol, address: str, now_s: float) -> Enrolled | Deny:
        """Exchanges a token and a public key for an identity.

        The same token with the same key gives the same identity again, so that a lost answer does
        not burn the token.

        Raises:
            RemoteProtocolError: the certificate request is no good.
        """
        # One after the other: who repeats an enrolment that is still being stored waits for it.
        async with self._turn:
            checked = self.identities.check_token(
                request.token_id, request.token_secret, self._context.wall_ms()
            )
            if isinstance(checked, Refused):
                return self._deny(request, address, checked)
            if request.role not in ("", checked.role):
                return self._deny(
                    request, address, _FOR_AGENT if checked.role == AGENT else _FOR_VIEWER
                )
            key = key_from_request(request.csr_der)
            key_digest = fingerprint(key)
            identity = self.identities.enrolled_with(request.token_id, key_digest)
            if identity is None:
                if checked.uses_left <= 0:
                    return self._deny(request, address, _TOKEN_USED, key_digest)
                try:
                    identity = await self._admit_newcomer(request, checked, key, address, now_s)
                except StoreError:
                    return self._deny(request, address, _BUSY, key_digest)
            elif identity.revoked or identity.key != key_digest:
                return self._deny(request, address, _ENROLLED_BEFORE, key_digest)
        certificate = self._issue(identity, key, identity.generation)
        return Enrolled(PROTOCOL_MAX, identity.identity, identity.name, identity.role, certificate)

    async def renew(self, identity: Identity, csr_der: bytes, address: str) -> bytes:
        """A certificate (DER) for a new key of this identity, whose first use retires the present
        one.

        Raises:
            RemoteProtocolError: the certificate request is no good, or the identity was revoked.
            StoreError: the new key could not be stored; the old one stays good.
        """
        key = key_from_request(csr_der)
        key_digest = fingerprint(key)
        current = self._still_valid(identity)
        if key_digest == current.key:
            return self._issue(current, key, current.generation)
        # In memory first, and at once, so that no other change of the identity is undone by this
        # one, however long the disk takes.
        renewed = replace(current, next_key=key_digest)
        self.identities.put(renewed)
        await self._context.store.write(update_identity(renewed))
        current = self._still_valid(identity)
        self._context.audit.incident(
            "renewed", address, identity=current.identity, key=key_digest.hex()
        )
        return self._issue(current, key, current.generation + 1)

    def _still_valid(self, identity: Identity) -> Identity:
        current = self.identities.get(identity.identity)
        if current is None or current.revoked:
            raise RemoteProtocolError(Refusal.REVOKED, "revoked a moment ago")
        return current

    async def _admit_newcomer(
        self,
        request: Enrol,
        token: TokenRecord,
        key: ec.EllipticCurvePublicKey,
        address: str,
        now_s: float,
    ) -> Identity:
        identity_id, key_digest = secrets.token_hex(8), fingerprint(key)
        is_agent = token.role == AGENT
        name = self._registry.free_name(request.name) if is_agent else clean_name(request.name)
        identity = Identity(
            identity_id,
            token.role,
            name,
            key_digest,
            1,
            self._context.wall_ms() + self._life_s(token.role) * 1000,
            token.token_id,
            key_digest,
        )
        spent = replace(token, uses_left=token.uses_left - 1)
        self.identities.put_token(spent)
        statements = [insert_identity(identity), _update_token(spent)]
        node = None
        if is_agent:
            node, statement = self._registry.new_node(identity_id, name, now_s)
            statements.append(statement)
            self._registry.reserve(name, identity_id)
        try:
            # What the disk has taken must be known here too, also when the newcomer gives up.
            with trio.CancelScope(shield=True):
                await self._context.store.write(*statements)
        except StoreError:
            current = self.identities.find_token(token.token_id) or token
            self.identities.put_token(replace(current, uses_left=current.uses_left + 1))
            self._registry.release(name, identity_id)
            raise
        self.identities.put(identity)
        if node is not None:
            node.certificate_expires_wall_ms = identity.expires_wall_ms
            self._registry.add(node)
        self._context.audit.record(
            "enrolled",
            identity=identity_id,
            role=identity.role,
            name=name,
            address=address,
            token=token.token_id.hex(),
            key=key_digest.hex(),
        )
        self._context.events.record(
            "enrolled", node_id=identity_id, name=name, text=f"from {address}"
        )
        return identity

    def _issue(self, identity: Identity, key: ec.EllipticCurvePublicKey, generation: int) -> bytes:
        subject = Subject(self.authority.cluster, identity.role, identity.identity, generation)
        now = dt.datetime.fromtimestamp(self._context.wall_ms() / 1000, dt.UTC)
        life = dt.timedelta(seconds=self._life_s(identity.role))
        return self.authority.issue_client(key, subject, now, life)

    def _life_s(self, role: str) -> int:
        settings = self._context.settings
        return settings.certificate_life_s if role == AGENT else settings.viewer_certificate_life_s

    def _deny(
        self, request: Enrol, address: str, refused: Refused, key_digest: bytes = b""
    ) -> Deny:
        self._context.audit.incident(
            "enrolment-denied",
            address,
            code=refused.code,
            token=request.token_id.hex(),
            name=request.name,
            key=key_digest.hex(),
        )
        return Deny(refused.code, refused.text)


def protocol_of(opening: FromOpeningClient) -> int | None:
    """The highest protocol version that both sides speak, or None."""
    version = min(opening.protocol_max, PROTOCOL_MAX)
    return version if version >= max(opening.protocol_min, PROTOCOL_MIN) else None


def update_identity(identity: Identity) -> Statement:
    """What stores a changed identity."""
    return (
        "UPDATE identities SET key = ?, generation = ?, next_key = ?, revoked = ?,"
        " expires_wall_ms = ? WHERE identity = ?",
        (
            identity.key,
            identity.generation,
            identity.next_key,
            int(identity.revoked),
            identity.expires_wall_ms,
            identity.identity,
        ),
    )


def load_identities(store: Store) -> Identities:
    """Every identity and token of earlier starts."""
    identities = [
        Identity(
            row["identity"],
            row["role"],
            row["name"],
            row["key"],
            row["generation"],
            row["expires_wall_ms"],
            row["token_id"],
            row["enrolled_key"],
            row["next_key"],
            bool(row["revoked"]),
        )
        for row in store.load("SELECT * FROM identities")
    ]
    tokens = [
        TokenRecord(
            row["token_id"],
            row["secret_digest"],
            row["role"],
            row["created_wall_ms"],
            row["expires_wall_ms"],
            row["uses_left"],
            bool(row["revoked"]),
        )
        for row in store.load("SELECT * FROM tokens")
    ]
    return Identities(identities, tokens)


def insert_identity(identity: Identity) -> Statement:
    return (
        "INSERT INTO identities (identity, role, name, key, generation, expires_wall_ms, token_id,"
        " enrolled_key) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            identity.identity,
            identity.role,
            identity.name,
            identity.key,
            identity.generation,
            identity.expires_wall_ms,
            identity.token_id,
            identity.enrolled_key,
        ),
    )


def _insert_token(token: TokenRecord) -> Statement:
    return (
        "INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            token.token_id,
            token.secret_digest,
            token.role,
            token.created_wall_ms,
            token.expires_wall_ms,
            token.uses_left,
            int(token.revoked),
        ),
    )


def _update_token(token: TokenRecord) -> Statement:
    return (
        "UPDATE tokens SET uses_left = ?, revoked = ? WHERE token_id = ?",
        (token.uses_left, int(token.revoked), token.token_id),
    )
