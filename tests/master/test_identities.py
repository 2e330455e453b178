"""Who may connect: every certificate and token judged against the registry."""

import datetime as dt

import pytest
from msgspec.structs import replace

from master.identities import (
    AGENT,
    RENEWAL_GRACE_MS,
    VIEWER,
    Admitted,
    Identities,
    Identity,
    Refused,
    TokenRecord,
)
from shared.certificates import PeerCertificate, Subject
from shared.messages import Refusal
from shared.tokens import secret_digest

CLUSTER = "cluster"
NOW_MS = 1_795_000_000_000
DAY_MS = 86_400_000
KEY, NEXT_KEY, OLD_KEY, OTHER_KEY = (bytes([number]) * 32 for number in range(4))
TOKEN_ID, SECRET = b"\x01" * 6, b"\x02" * 16

NODE = Identity("node", AGENT, "web", KEY, 1, NOW_MS + DAY_MS, TOKEN_ID, KEY)
WATCHER = Identity("watcher", VIEWER, "ann", KEY, 1, NOW_MS + DAY_MS, TOKEN_ID, OTHER_KEY)
TOKEN = TokenRecord(TOKEN_ID, secret_digest(SECRET), AGENT, NOW_MS, NOW_MS + DAY_MS, 1)


def certificate(
    identity: str = "node",
    role: str = AGENT,
    *,
    cluster: str = CLUSTER,
    key: bytes = KEY,
    generation: int = 1,
    expires_ms: int = NOW_MS + DAY_MS,
) -> PeerCertificate:
    expires = dt.datetime.fromtimestamp(expires_ms / 1000, dt.UTC)
    issued = expires - dt.timedelta(days=30)
    return PeerCertificate(Subject(cluster, role, identity, generation), key, issued, expires)


def judged(
    node: Identity, peer: PeerCertificate, role: str = AGENT, now_ms: int = NOW_MS
) -> Admitted | Refused:
    return Identities([node], []).admit(peer, CLUSTER, role, now_ms)


@pytest.mark.parametrize(
    ("node", "peer", "role", "code"),
    [
        pytest.param(NODE, certificate("nobody"), AGENT, Refusal.UNKNOWN, id="nobody of ours"),
        pytest.param(
            NODE, certificate(cluster="other"), AGENT, Refusal.UNKNOWN, id="another cluster"
        ),
        pytest.param(
            NODE, certificate(role=VIEWER), VIEWER, Refusal.UNKNOWN, id="a role that is not its own"
        ),
        pytest.param(
            NODE, certificate(), VIEWER, Refusal.UNAUTHENTICATED, id="an agent that would view"
        ),
        pytest.param(
            WATCHER,
            certificate("watcher", VIEWER),
            AGENT,
            Refusal.UNAUTHENTICATED,
            id="a viewer that would report",
        ),
        pytest.param(
            replace(NODE, revoked=True), certificate(), AGENT, Refusal.REVOKED, id="revoked"
        ),
        pytest.param(
            replace(NODE, revoked=True, next_key=NEXT_KEY),
            certificate(key=NEXT_KEY),
            AGENT,
            Refusal.REVOKED,
            id="revoked while renewing",
        ),
        pytest.param(
            NODE, certificate(key=OLD_KEY), AGENT, Refusal.SUPERSEDED, id="a key from before"
        ),
        pytest.param(
            NODE,
            certificate(key=OLD_KEY, generation=99),
            AGENT,
            Refusal.SUPERSEDED,
            id="the key counts, not the generation",
        ),
        pytest.param(
            NODE,
            certificate(expires_ms=NOW_MS - RENEWAL_GRACE_MS - 1),
            AGENT,
            Refusal.EXPIRED,
            id="expired for more than thirty days",
        ),
    ],
)
def test_refused(node: Identity, peer: PeerCertificate, role: str, code: str) -> None:
    verdict = judged(node, peer, role)
    assert isinstance(verdict, Refused)
    assert verdict.code == code
    assert verdict.text


@pytest.mark.parametrize(
    ("node", "peer", "role", "expired_ms"),
    [
        pytest.param(NODE, certificate(), AGENT, -DAY_MS, id="the current key"),
        pytest.param(
            WATCHER, certificate("watcher", VIEWER), VIEWER, -DAY_MS, id="a viewer that views"
        ),
        pytest.param(
            NODE, certificate(expires_ms=NOW_MS - 1000), AGENT, 1000, id="expired a second ago"
        ),
        pytest.param(
            NODE,
            certificate(expires_ms=NOW_MS - RENEWAL_GRACE_MS),
            AGENT,
            RENEWAL_GRACE_MS,
            id="expired thirty days ago",
        ),
        pytest.param(
            replace(NODE, next_key=NEXT_KEY),
            certificate(),
            AGENT,
            -DAY_MS,
            id="the old key until the new one is used",
        ),
    ],
)
def test_admitted(node: Identity, peer: PeerCertificate, role: str, expired_ms: int) -> None:
    assert judged(node, peer, role) == Admitted(node, changed=False, expired_ms=expired_ms)


def test_first_use_of_a_renewed_key_retires_the_old_one() -> None:
    identities = Identities([replace(NODE, next_key=NEXT_KEY)], [])
    renewed = certificate(key=NEXT_KEY, generation=2, expires_ms=NOW_MS + 30 * DAY_MS)
    first = identities.admit(renewed, CLUSTER, AGENT, NOW_MS)
    assert isinstance(first, Admitted)
    assert first.changed
    assert first.identity == replace(
        NODE, key=NEXT_KEY, next_key=None, generation=2, expires_wall_ms=NOW_MS + 30 * DAY_MS
    )
    old = identities.admit(certificate(), CLUSTER, AGENT, NOW_MS)
    assert isinstance(old, Refused)
    assert old.code == Refusal.SUPERSEDED


def test_copied_key_that_was_refused_does_not_lock_its_owner_out() -> None:
    identities = Identities([replace(NODE, next_key=NEXT_KEY)], [])
    renewed = certificate(key=NEXT_KEY, generation=2)
    identities.admit(renewed, CLUSTER, AGENT, NOW_MS)
    for _ in range(10):
        assert isinstance(identities.admit(certificate(), CLUSTER, AGENT, NOW_MS), Refused)
        owner = identities.admit(renewed, CLUSTER, AGENT, NOW_MS)
        assert isinstance(owner, Admitted)
        assert not owner.changed


def test_forgotten_identity_is_unknown() -> None:
    identities = Identities([NODE], [])
    identities.drop("node")
    identities.drop("node")
    verdict = identities.admit(certificate(), CLUSTER, AGENT, NOW_MS)
    assert isinstance(verdict, Refused)
    assert verdict.code == Refusal.UNKNOWN
    assert identities.enrolled_with(TOKEN_ID, KEY) is None


@pytest.mark.parametrize(
    ("token", "secret", "now_ms", "code"),
    [
        pytest.param(TOKEN, b"\x03" * 16, NOW_MS, Refusal.BAD_TOKEN, id="a wrong secret"),
        pytest.param(TOKEN, b"", NOW_MS, Refusal.BAD_TOKEN, id="no secret"),
        pytest.param(
            TOKEN, secret_digest(SECRET), NOW_MS, Refusal.BAD_TOKEN, id="what the master keeps"
        ),
        pytest.param(
            replace(TOKEN, token_id=b"\x09" * 6), SECRET, NOW_MS, Refusal.BAD_TOKEN, id="no such id"
        ),
        pytest.param(replace(TOKEN, revoked=True), SECRET, NOW_MS, Refusal.BAD_TOKEN, id="revoked"),
        pytest.param(TOKEN, SECRET, NOW_MS + DAY_MS, Refusal.TOKEN_EXPIRED, id="expired"),
    ],
)
def test_token_refused(token: TokenRecord, secret: bytes, now_ms: int, code: str) -> None:
    verdict = Identities([], [token]).check_token(TOKEN_ID, secret, now_ms)
    assert isinstance(verdict, Refused)
    assert verdict.code == code


def test_wrong_secret_for_a_revoked_or_expired_token_tells_nothing_about_it() -> None:
    states = (
        TOKEN,
        replace(TOKEN, revoked=True),
        replace(TOKEN, uses_left=0),
        replace(TOKEN, expires_wall_ms=0),
    )
    told = {
        str(Identities([], [token]).check_token(TOKEN_ID, b"\x03" * 16, NOW_MS)) for token in states
    }
    told.add(str(Identities([], []).check_token(TOKEN_ID, SECRET, NOW_MS)))
    assert len(told) == 1


def test_used_up_token_is_known_so_that_a_lost_answer_can_be_asked_for_again() -> None:
    used = replace(TOKEN, uses_left=0)
    identities = Identities([NODE], [used])
    assert identities.check_token(TOKEN_ID, SECRET, NOW_MS) == used
    assert identities.enrolled_with(TOKEN_ID, KEY) == NODE
    assert identities.enrolled_with(TOKEN_ID, OTHER_KEY) is None


@pytest.mark.parametrize(
    ("token", "state"),
    [
        (TOKEN, "valid"),
        (replace(TOKEN, revoked=True), "revoked"),
        (replace(TOKEN, expires_wall_ms=NOW_MS), "expired"),
        (replace(TOKEN, uses_left=0), "used"),
    ],
)
def test_state_of_a_token_in_words(token: TokenRecord, state: str) -> None:
    assert token.state(NOW_MS) == state
