"""What viewers may ask, and what the operator may order."""

from collections.abc import Callable
from typing import Final, TypeAlias, TypeVar

import msgspec
import trio
from msgspec.structs import replace

from master import node_rows
from master.context import Context
from master.enrolment import Enrolment, update_identity
from master.events import Follower
from master.identities import ROLES, TokenRecord
from master.node import LABELS_LIMIT, NIL, Node
from master.registry import NoSuchNodeError, Registry
from master.store import Statement, StoreError
from shared import messages as m
from shared.connection import TRANSFER_LIMIT_BYTES
from shared.errors import RemoteProtocolError, Violation
from shared.liveness import Revoked
from shared.text import NAME_LIMIT_CHARACTERS, clean

EVENTS_LIMIT: Final = 500
"""Events in one answer, as far as they fit."""

OUTAGES_LIMIT: Final = 500
"""Outages in one answer, as far as they fit."""

FOLLOWED_LIMIT: Final = 16
"""Requests that one viewer may follow the events with."""

TOKEN_LIFE_LIMIT_S: Final = 365 * 86400
TOKEN_USES_LIMIT: Final = 1_000_000

Record = TypeVar("Record", m.Event, m.Outage)

_ANSWER_BYTES: Final = TRANSFER_LIMIT_BYTES - 16 * 1024
"""Room in an answer for what is long, beside names and numbers."""


class FailureError(Exception):
    """A request that cannot be carried out: what the viewer is told."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code: Final = code
        self.text: Final = text


class Viewer:
    """Who asks: what it may do, and what it follows."""

    def __init__(
        self,
        identity: str,
        address: str,
        *,
        may_operate: bool,
        send_event: Callable[[int, m.Event], None],
    ) -> None:
        self.identity: Final = identity
        self.address: Final = address
        self.may_operate: Final = may_operate
        self.send_event: Final = send_event
        self.following: list[Follower] = []


EndAgent: TypeAlias = Callable[[Node, str, str], None]
"""Cuts a node's live link, with a code and words for the agent; nothing when there is none."""


class Requests:
    """Answers requests. Orders are on disk before they are confirmed."""

    def __init__(
        self,
        context: Context,
        registry: Registry,
        enrolment: Enrolment,
        end_agent: EndAgent,
        forget_past: Callable[[str], None],
    ) -> None:
        """`forget_past` removes what was recorded of a node, by its id."""
        self._context = context
        self._registry = registry
        self._enrolment = enrolment
        self._end_agent = end_agent
        self._forget_past = forget_past

    async def answer(self, request: m.FromClient, viewer: Viewer) -> m.ToViewer:
        """The reply to one request; `Failed` when it cannot be carried out.

        Raises:
            RemoteProtocolError: it is not a request.
        """
        number = getattr(request, "request", None)
        if not isinstance(number, int):
            raise RemoteProtocolError(
                Violation.BAD_MESSAGE, f"{type(request).__name__} is not a request"
            )
        try:
            return await self._dispatch(request, viewer)
        except FailureError as failure:
            return m.Failed(number, failure.code, failure.text)
        except NoSuchNodeError as error:
            return no_such_node(number, error)
        except StoreError as error:
            return m.Failed(number, "not-stored", clean(str(error)))

    async def renew(self, csr_der: bytes, viewer: Viewer) -> m.Renewed | None:
        """A certificate for the viewer's new key; None when it cannot be stored: it asks again.

        Raises:
            RemoteProtocolError: the certificate request is no good, the viewer was revoked, or it
                is the operator, who has no certificate.
        """
        identity = self._enrolment.identities.get(viewer.identity)
        if identity is None:
            raise RemoteProtocolError(Violation.BAD_MESSAGE, "there is no certificate to renew")
        try:
            return m.Renewed(await self._enrolment.renew(identity, csr_der, viewer.address))
        except StoreError:
            return None

    def unfollow(self, viewer: Viewer) -> None:
        """The viewer is gone: nothing is sent to it any more."""
        for follower in viewer.following:
            self._context.events.unfollow(follower)
        viewer.following.clear()  # each knows its viewer

    async def _dispatch(self, request: m.FromClient, viewer: Viewer) -> m.ToViewer:
        match request:
            case m.GetNode(number, wanted):
                return await self._detail(number, self._registry.find(wanted))
            case m.ListEvents():
                return await self._list_events(request, viewer)
            case m.ListOutages():
                return await self._list_outages(request)
            case _ if viewer.may_operate:
                return await self._operate(request)
            case _:
                raise not_allowed(self._context, viewer, request)

    async def _operate(self, request: m.FromClient) -> m.ToViewer:
        match request:
            case m.SetLabels():
                return await self._set_labels(request)
            case m.RevokeNode(number, wanted):
                return await self._revoke(number, self._registry.find(wanted))
            case m.ForgetNode(number, wanted):
                return await self._forget(number, self._registry.find(wanted))
            case _:
                return await self._manage_tokens(request)

    async def _manage_tokens(self, request: m.FromClient) -> m.ToViewer:
        match request:
            case m.CreateToken():
                return await self._create_token(request)
            case m.ListTokens(number):
                return self._list_tokens(number)
            case m.RevokeToken(number, token_id):
                return await self._revoke_token(number, token_id)
            case _:
                raise RemoteProtocolError(
                    Violation.BAD_MESSAGE, f"{type(request).__name__} is not a request"
                )

    async def _detail(self, number: int, node: Node) -> m.NodeDetail:
        availability, last_outage = await self._registry.outages.of_node(node)
        info, vitals = node.info(), node.vitals()
        room = _ANSWER_BYTES - len(m.encode_body(info)) - len(m.encode_body(vitals))
        left_out: list[str] = []
        inventory = node.inventory
        if inventory is not None and len(inventory) > room:
            inventory = None
            left_out.append("inventory")
        room -= len(inventory or b"")
        families: list[m.FamilySample] = []
        samples = [seen.sample for seen in node.families.values()]
        sizes = {sample.family: len(m.encode_body(sample)) for sample in samples}
        for sample in sorted(samples, key=lambda sample: sizes[sample.family]):
            room -= sizes[sample.family]
            if room > 0:
                families.append(sample)
            else:
                left_out.append(sample.family)
        return m.NodeDetail(
            number,
            int(trio.current_time() * 1000),
            info,
            vitals,
            NIL if inventory is None else msgspec.Raw(inventory),
            tuple(families),
            tuple(left_out),
            availability,
            last_outage,
            node.time_to_detect(),
        )

    async def _list_outages(self, request: m.ListOutages) -> m.Outages:
        registry = self._registry
        node_id = registry.find(request.node).node_id if request.node else ""

        def name_of(node_id: str) -> str:
            node = registry.get(node_id)
            return "" if node is None else node.name

        limit = min(request.limit, OUTAGES_LIMIT)
        found = await registry.outages.log.latest(limit, name_of, node_id, request.since_s)
        return m.Outages(request.request, _fitting(found))

    async def _list_events(self, request: m.ListEvents, viewer: Viewer) -> m.Events:
        node = self._registry.find(request.node) if request.node else None
        node_id = node.node_id if node else None
        limit = min(request.limit, EVENTS_LIMIT)
        log = self._context.events
        if not request.follow:
            return m.Events(request.request, _fitting(await log.latest(limit, node_id)))
        if len(viewer.following) >= FOLLOWED_LIMIT:
            raise FailureError("too-many", f"at most {FOLLOWED_LIMIT} requests can follow events")
        follow = _Follow(request.request, node_id, viewer)
        viewer.following.append(follow)
        log.follow(follow)
        try:
            stored = await log.latest(limit, node_id)
        except StoreError:
            viewer.following.remove(follow)
            log.unfollow(follow)
            raise
        return m.Events(request.request, _fitting(follow.begin_after(stored)))

    async def _set_labels(self, request: m.SetLabels) -> m.Done:
        node = self._registry.find(request.node)
        labels = dict(node.labels)
        for key, value in request.put.items():
            safe = clean(key, NAME_LIMIT_CHARACTERS).strip()
            if not safe or "=" in safe:
                raise FailureError("bad-request", f"{safe!r} cannot be a label")
            labels[safe] = clean(value, NAME_LIMIT_CHARACTERS)
        for key in request.remove:
            labels.pop(key, None)
        if len(labels) > LABELS_LIMIT:
            raise FailureError("bad-request", f"a node has at most {LABELS_LIMIT} labels")
        node.labels = labels
        if request.note is not None:
            node.note = clean(request.note)
        self._registry.info_changed(node)
        await self._context.store.write(node_rows.keep([node]))
        return m.Done(request.request, node.name)

    async def _revoke(self, number: int, node: Node) -> m.Done:
        identity = self._enrolment.identities.get(node.node_id)
        if identity is None:
            raise FailureError("not-found", f"{node.name} has no identity")
        if not identity.revoked:
            identity = replace(identity, revoked=True)
            self._enrolment.identities.put(identity)
            self._end_agent(node, m.Parting.REVOKED, "revoked by the operator")
            self._registry.apply(node, Revoked(), trio.current_time())
            self._context.audit.record("revoked", identity=node.node_id, name=node.name)
        await self._confirm(
            update_identity(identity), node_rows.keep([node]), node_rows.keep_seen([node])
        )
        return m.Done(number, node.name)

    async def _forget(self, number: int, node: Node) -> m.Done:
        self._enrolment.identities.drop(node.node_id)
        self._end_agent(node, m.Parting.REVOKED, "forgotten by the operator")
        statements = self._registry.forget(node)
        self._forget_past(node.node_id)
        self._context.events.record("forgotten", node_id=node.node_id, name=node.name)
        self._context.audit.record("forgotten", identity=node.node_id, name=node.name)
        await self._confirm(
            *statements, ("DELETE FROM identities WHERE identity = ?", (node.node_id,))
        )
        return m.Done(number, node.name)

    async def _confirm(self, *statements: Statement) -> None:
        # The order is in force already. A disk that refuses it now gets it as soon as it takes it.
        try:
            await self._context.store.write(*statements)
        except StoreError:
            self._context.store.write_later(*statements)
            raise

    async def _create_token(self, request: m.CreateToken) -> m.TokenCreated:
        if request.role not in ROLES:
            raise FailureError("bad-request", f"a token is for one of: {', '.join(ROLES)}")
        if not 1 <= request.life_s <= TOKEN_LIFE_LIMIT_S:
            raise FailureError("bad-request", "a token lives from one second to a year")
        if not 1 <= request.uses <= TOKEN_USES_LIMIT:
            raise FailureError("bad-request", f"a token has 1 to {TOKEN_USES_LIMIT} uses")
        token, record = await self._enrolment.create_token(
            request.role, request.life_s, request.uses
        )
        self._context.events.record(
            "token-created", text=f"{token.token_id.hex()} for {record.role}s"
        )
        return m.TokenCreated(
            request.request, token.encode(), token.token_id.hex(), record.expires_wall_ms
        )

    def _list_tokens(self, number: int) -> m.Tokens:
        now_wall_ms = self._context.wall_ms()
        return m.Tokens(
            number,
            tuple(
                m.TokenInfo(
                    token.token_id.hex(),
                    token.role,
                    token.created_wall_ms,
                    token.expires_wall_ms,
                    token.uses_left,
                    token.state(now_wall_ms),
                )
                for token in self._enrolment.identities.tokens()[-EVENTS_LIMIT:]
            ),
        )

    async def _revoke_token(self, number: int, wanted: str) -> m.Done:
        found = [
            token
            for token in self._enrolment.identities.tokens()
            if wanted and token.token_id.hex().startswith(wanted.lower())
        ]
        await self._enrolment.revoke_token(_only(found, wanted))
        return m.Done(number, found[0].token_id.hex())


class _Follow:
    """Passes events on to a viewer, once it has been given those of before."""

    def __init__(self, number: int, node_id: str | None, viewer: Viewer) -> None:
        self._number = number
        self._node_id = node_id
        self._viewer = viewer
        self._waiting: list[m.Event] | None = []

    def __call__(self, event: m.Event) -> None:
        if self._node_id is not None and event.node_id != self._node_id:
            return
        if self._waiting is None:
            self._viewer.send_event(self._number, event)
        else:
            self._waiting.append(event)

    def begin_after(self, stored: tuple[m.Event, ...]) -> tuple[m.Event, ...]:
        """`stored` and what has happened while it was read. What happens next is passed on."""
        waiting, self._waiting = self._waiting or [], None
        by_number = {event.number: event for event in (*stored, *waiting)}
        return tuple(by_number[number] for number in sorted(by_number))


def _fitting(records: tuple[Record, ...]) -> tuple[Record, ...]:
    # The newest that fit into one answer: texts come from agents and may be long.
    room = _ANSWER_BYTES
    for count, record in enumerate(reversed(records)):
        room -= len(m.encode_body(record))
        if room < 0:
            return records[len(records) - count :]
    return records


def _only(found: list[TokenRecord], wanted: str) -> TokenRecord:
    if not found:
        raise FailureError("not-found", f"no token {clean(wanted)!r}; see: heartline token list")
    if len(found) > 1:
        raise FailureError("ambiguous", f"{len(found)} tokens begin with {clean(wanted)!r}")
    return found[0]


def not_allowed(context: Context, viewer: Viewer, request: m.FromClient) -> FailureError:
    """What a viewer is told that may not give this order; the audit log is told, too."""
    code = "not-allowed"
    context.audit.incident(
        "denied",
        viewer.address,
        code=code,
        identity=viewer.identity,
        order=type(request).__name__,
    )
    return FailureError(code, "a remote viewer only reads; do this on the master's host")


def no_such_node(number: int, error: NoSuchNodeError) -> m.Failed:
    """What a viewer is told whose name for a node means none, or several."""
    wanted = clean(error.wanted, NAME_LIMIT_CHARACTERS)
    if not error.candidates:
        return m.Failed(number, "not-found", f"no node {wanted!r}; see: heartline nodes")
    some = ", ".join(error.candidates[:8])
    return m.Failed(number, "ambiguous", f"{wanted!r} could be any of: {some}")
