"""Every message on the wire, and who may send it.

A message is a frame (`shared.frames`): its kind byte is the tag, its body the Struct's fields as a
MessagePack array in the order written here.

Evolution, so that any two versions can talk:
- a field is only ever added, at the end, with a default; readers ignore elements they do not know
  and fill in those that are missing;
- a kind's number is never reused, and a message of unknown kind is skipped;
- codes (`Refusal`, `Parting`, …) are plain strings on the wire: an unknown one is shown, no error;
- what cannot be done so needs a new protocol version. The first message of every link carries the
  range of versions its sender speaks; the master answers with the highest both do, or refuses
  (`version`).

Times are integers. `_ms` and `_s` are milliseconds and seconds; `mono` is the sender's monotonic
clock, whose zero means nothing to anybody else; `wall` is the Unix time by the sender's own clock,
a record for people that no decision may rest on.
"""

from typing import Annotated, ClassVar, Final, TypeAlias

import msgspec
from msgspec import Meta, Struct

from shared.frames import encode_frame
from shared.metrics import LARGEST

PROTOCOL_MIN: Final = 1
PROTOCOL_MAX: Final = 1

Count: TypeAlias = Annotated[int, Meta(ge=0, le=LARGEST)]
Wall: TypeAlias = Annotated[int, Meta(ge=-LARGEST, le=LARGEST)]
Name: TypeAlias = Annotated[str, Meta(max_length=256)]
Text: TypeAlias = Annotated[str, Meta(max_length=2048)]
Labels: TypeAlias = Annotated[dict[Name, Name], Meta(max_length=64)]


class Refusal:
    """Why a master refuses, in `Deny.code`."""

    REVOKED: Final = "revoked"
    """The operator withdrew this identity."""
    SUPERSEDED: Final = "superseded"
    """The identity has a newer key than the one presented: a copy, or a restored backup."""
    UNKNOWN: Final = "unknown"
    """The registry has no such identity, or the certificate is not of this cluster."""
    UNAUTHENTICATED: Final = "unauthenticated"
    """What was asked for needs a certificate, or one of another role."""
    BAD_TOKEN: Final = "bad-token"
    """No such token, a wrong secret, or a revoked token."""
    TOKEN_EXPIRED: Final = "token-expired"
    TOKEN_USED: Final = "token-used"
    """As many have joined with it as may."""
    TOKEN_ROLE: Final = "token-role"
    """The token is for another role than the newcomer has come for. No use of it is spent."""
    BAD_REQUEST: Final = "bad-request"
    """The certificate request is not one, or its key is not P-256."""
    EXPIRED: Final = "expired"
    """The certificate ended too long ago to be renewed: join again."""
    VERSION: Final = "version"
    """The two sides' ranges of protocol versions do not overlap."""
    BUSY: Final = "busy"
    """Not now."""

    FINAL: Final = frozenset({REVOKED, SUPERSEDED, UNKNOWN, EXPIRED, UNAUTHENTICATED})
    """An agent refused with one of these stops and says so: dialling again cannot help."""


class Parting:
    """Why an established link ends, in `Goodbye.code`."""

    STOPPED: Final = "stopped"
    """The service is being stopped by its operator or service manager."""
    RESTARTING: Final = "restarting"
    """Dial again at once: somebody will be there."""
    REVOKED: Final = Refusal.REVOKED
    """The operator withdrew this identity: do not dial again."""
    REPLACED: Final = "replaced"
    """Another link with the same identity took this one's place."""
    RENEWED: Final = "renewed"
    """Dial again with the new certificate."""
    EXPIRED: Final = Refusal.EXPIRED
    """The certificate has ended while the link lasted: dial again to renew it."""
    SILENT: Final = "silent"
    """Nothing was heard from the other side for longer than the read timeout."""
    SLOW: Final = "slow"
    """This side could not be written to for longer than the write timeout."""


class Message(Struct, frozen=True, array_like=True, gc=False):
    """The base of every message. `kind` is the frame's kind byte."""

    kind: ClassVar[int]


# --- opening: before the peer is authenticated ---------------------------------------------------


class CaRequest(Message, frozen=True, array_like=True, gc=False):
    """Client → master, on an unverified link: asks for the CA certificate, sends nothing secret."""

    kind: ClassVar[int] = 1
    protocol_min: Count
    protocol_max: Count


class Ca(Message, frozen=True, array_like=True, gc=False):
    """Master → client: the CA's certificate, whose key must match the pin in the client's token."""

    kind: ClassVar[int] = 2
    protocol: Count
    certificate_der: bytes


class Enrol(Message, frozen=True, array_like=True, gc=False):
    """Client → master, on a verified link: a token and a public key, for an identity."""

    kind: ClassVar[int] = 3
    protocol_min: Count
    protocol_max: Count
    token_id: bytes
    """The 6 bytes in the token that name it."""
    token_secret: bytes
    """The 16 bytes in the token that prove it."""
    csr_der: bytes
    """PKCS#10; the master trusts its public key and its proof of possession, nothing else in it."""
    name: Name
    """What the newcomer would like to be called; the answer says what it is."""
    software: Name
    """The sender's version, for people."""
    role: Name = ""
    """What the newcomer has come for, `agent` or `viewer`; empty: whatever the token is for."""

    def __repr__(self) -> str:
        return f"<Enrol {self.name!r} with the token {self.token_id.hex()}>"


class Enrolled(Message, frozen=True, array_like=True, gc=False):
    """Master → client: who it is from now on. The link ends here; the next uses the certificate."""

    kind: ClassVar[int] = 4
    protocol: Count
    identity: Name
    """The node's or viewer's id: 16 hexadecimal digits."""
    name: Name
    role: Name
    """`agent` or `viewer`, as the token says."""
    certificate_der: bytes


class Deny(Message, frozen=True, array_like=True, gc=False):
    """Master → client: no, and why (`Refusal`). The link ends here."""

    kind: ClassVar[int] = 5
    code: Name
    text: Text


class AgentHello(Message, frozen=True, array_like=True, gc=False):
    """Agent → master, first message on a link with a certificate."""

    kind: ClassVar[int] = 6
    protocol_min: Count
    protocol_max: Count
    software: Name
    boot_id: Name
    """Changes with every boot of the host; beats are numbered anew by each agent process."""
    started_mono_ms: Count


class Welcome(Message, frozen=True, array_like=True, gc=False):
    """Master → agent: the link is established; beat every `period_ms`."""

    kind: ClassVar[int] = 7
    protocol: Count
    node_id: Name
    name: Name
    period_ms: Count
    certificate_life_s: Count
    certificate_remaining_s: Count
    """On the master's clock, the only one that decides; the agent renews at 50–80 % of the life."""
    software: Name


class RenewFirst(Message, frozen=True, array_like=True, gc=False):
    """Master → agent or viewer: the certificate has expired, lately enough to be renewed, and no
    more."""

    kind: ClassVar[int] = 8
    protocol: Count
    expired_s: Count


class ViewerHello(Message, frozen=True, array_like=True, gc=False):
    """Viewer → master, first message, with a viewer's certificate or over the unix socket."""

    kind: ClassVar[int] = 9
    protocol_min: Count
    protocol_max: Count
    software: Name


class ViewerWelcome(Message, frozen=True, array_like=True, gc=False):
    """Master → viewer: what this viewer may do and whom it talks to."""

    kind: ClassVar[int] = 10
    protocol: Count
    software: Name
    cluster: Name
    """What it is called on screens, which is not what certificates call it."""
    may_operate: bool
    """True for the operator on the master's own host; a remote viewer only reads."""
    certificate_life_s: Count = 0
    """0 on the unix socket, where there is no certificate to renew."""
    certificate_remaining_s: Count = 0
    """On the master's clock, the only one that decides; the viewer renews at 50–80 % of the
    life."""


# --- an agent's link -----------------------------------------------------------------------------


class Trouble(Struct, frozen=True, array_like=True, gc=False):
    """A family that is not being measured as it should: `state` is `failed` or `stuck`."""

    family: Name
    state: Name
    age_s: Count
    """Since the family was last measured."""
    text: Text


class Beat(Message, frozen=True, array_like=True, gc=False):
    """Agent → master: alive, at `mono_ms`, and the next beat is due in `next_in_ms`."""

    kind: ClassVar[int] = 16
    sequence: Count
    """One more with each sample of this agent process, linked or not. The first is one more than
    its `AgentHello.started_mono_ms`: samples are at least a second apart, so with the boot id
    it names the sample for ever."""
    mono_ms: Count
    wall_ms: Wall
    next_in_ms: Annotated[int, Meta(ge=100, le=600_000)]
    core: msgspec.Raw
    """A `shared.metrics.Core`, decoded only where somebody looks."""
    troubles: Annotated[tuple[Trouble, ...], Meta(max_length=32)] = ()


class Ack(Message, frozen=True, array_like=True, gc=False):
    """Master → agent: the beat with this sequence number has arrived. Sent when its sample is in
    durable history, which takes half a second, or without, when that takes longer than a second."""

    kind: ClassVar[int] = 17
    sequence: Count
    stored: Count = 0
    """The samples of all beats on this link up to this number are in durable history; 0: of none
    yet."""


class Ping(Message, frozen=True, array_like=True, gc=False):
    """Either way, to a silent peer: answer with `Pong` and the same token."""

    kind: ClassVar[int] = 18
    token: Count


class Pong(Message, frozen=True, array_like=True, gc=False):
    """The answer to `Ping`."""

    kind: ClassVar[int] = 19
    token: Count


class InventoryReport(Message, frozen=True, array_like=True, gc=False):
    """Agent → master, on joining and whenever it changed: a `shared.inventory.Inventory`."""

    kind: ClassVar[int] = 20
    inventory: msgspec.Raw


class FamilySample(Message, frozen=True, array_like=True, gc=False):
    """Agent → master: one family in detail, on its own period."""

    kind: ClassVar[int] = 21
    family: Name
    mono_ms: Count
    wall_ms: Wall
    period_ms: Count
    data: msgspec.Raw
    """The family's Struct in `shared.families`, decoded only where somebody looks."""


class Part(Message, frozen=True, array_like=True, gc=False):
    """Either way: a piece of a long message, so that a beat never waits behind one.

    The pieces of one message follow each other in order; other messages may come between them.
    Together they are the body of a message of `whole_kind`.
    """

    kind: ClassVar[int] = 22
    whole_kind: Annotated[int, Meta(ge=0, le=255)]
    last: bool
    data: bytes


class Goodbye(Message, frozen=True, array_like=True, gc=False):
    """Either way: this side ends the link on purpose, for a reason (`Parting`)."""

    kind: ClassVar[int] = 23
    code: Name
    text: Text = ""


class Cadence(Message, frozen=True, array_like=True, gc=False):
    """Master → agent: beat every `period_ms` from now on."""

    kind: ClassVar[int] = 24
    period_ms: Annotated[int, Meta(ge=1_000, le=60_000)]


class Renew(Message, frozen=True, array_like=True, gc=False):
    """Agent or viewer → master: a certificate for a new key, please."""

    kind: ClassVar[int] = 25
    csr_der: bytes


class Renewed(Message, frozen=True, array_like=True, gc=False):
    """Master → agent or viewer: the certificate; its first use retires the key before it."""

    kind: ClassVar[int] = 26
    certificate_der: bytes


class Attend(Message, frozen=True, array_like=True, gc=False):
    """Master → agent: somebody is looking at this node. For `lease_ms` from now on, beat every
    `period_ms` and send the process table every `detail_ms`; 0 ends it at once.

    The master repeats it while somebody looks, so that a viewer or a master that vanishes costs
    nothing. The agent's own settings may refuse it or bound it.
    """

    kind: ClassVar[int] = 27
    period_ms: Annotated[int, Meta(ge=1_000, le=60_000)]
    detail_ms: Annotated[int, Meta(ge=1_000, le=600_000)]
    lease_ms: Annotated[int, Meta(ge=0, le=60_000)]


class EndedRun(Struct, frozen=True, array_like=True, gc=False):
    """A run of the agent on this host that is over, by the last words it left on disk."""

    boot_id: Name
    started_mono_ms: Count
    """As in its `AgentHello`: with the boot id, which run it was."""
    pid: Count
    ended: Name
    """How it said that it would end: a signal, `watchdog`, an error. Empty: it did not say."""
    alive_wall_ms: Wall
    """Its last word, by the host's clock."""
    lived_ms: Count
    away_ms: Count
    """How long it had then been without the master; 0 while its link was good."""
    stalled_ms: Count
    """How long of that its event loop did not turn."""
    suspended_ms: Count
    """How long the host was suspended meanwhile."""
    samples: Count
    """Beats' worth of samples it took in that time."""
    gone_ms: Count | None
    """From its last word until the next run first dialled; nil: another boot."""
    link_error: Text = ""
    oom: Name = ""
    """The kernel's word on its end: `named` (it killed this process for want of memory), `group`
    (one of its control group), `host` (some process meanwhile); empty: none was."""


class Returned(Message, frozen=True, array_like=True, gc=False):
    """Agent → master: what the agent knows of its absence. After the inventory on every new link,
    and on an old one after a silence that may have looked like an absence.

    It covers the time since a master last acknowledged a beat of this agent, whoever ran it.
    """

    kind: ClassVar[int] = 28
    boot_id: Name
    uptime_ms: Count
    """Of the host, suspended or not."""
    pid: Count
    started_mono_ms: Count
    """As in `AgentHello`."""
    away_ms: Count
    """Since the link was lost, or had fallen silent, or since a new process first dialled; by a
    clock that stands still while the host is suspended."""
    silent_ms: Count | None
    """Since the last acknowledgement, suspended or not; nil: there was none in this process."""
    suspended_ms: Count
    """How long the host was suspended meanwhile."""
    stalled_ms: Count
    """How long the agent's event loop did not turn, in all."""
    longest_stall_ms: Count
    samples: Count
    """Beats' worth of samples taken meanwhile."""
    link_code: Name = ""
    """How the master ended the link before (`Parting`); empty: it broke, or there was none."""
    link_error: Text = ""
    link_silence_ms: Count = 0
    """How long nothing had been heard on it when it ended."""
    attempts: Count = 0
    """To link anew, this one included."""
    denied: Count = 0
    """Those of them that a master answered with a refusal."""
    refused_ms: Count = 0
    """How long it waited to try again after the master's host had said that nobody listens."""
    attempt_error: Text = ""
    """Why the last of them failed."""
    runs: Annotated[tuple[EndedRun, ...], Meta(max_length=8)] = ()
    """The runs of the agent that have ended since, oldest first."""
    runs_left_out: Count = 0
    """Those between the first and the others for which there was no room."""


class Spooled(Struct, frozen=True, array_like=True, gc=False):
    """A sample that no master has confirmed, with its original time."""

    sequence: Count
    mono_ms: Wall
    """On the clock of this link's beats; negative where it is older than the agent's process."""
    period_ms: Count
    """When the next one was due after it."""
    core: msgspec.Raw


class Replay(Message, frozen=True, array_like=True, gc=False):
    """Agent → master: samples of one run of the agent, in order, from its spool.

    They fill the history and nothing else: no state moves, nothing is raised. The master may have
    some of them already.
    """

    kind: ClassVar[int] = 29
    boot_id: Name
    started_mono_ms: Count
    """Which run took them, as in its `AgentHello`."""
    samples: Annotated[tuple[Spooled, ...], Meta(max_length=128)]


class Lost(Message, frozen=True, array_like=True, gc=False):
    """Agent → master: samples that were taken and are no more, because the spool was full."""

    kind: ClassVar[int] = 30
    boot_id: Name
    started_mono_ms: Count
    first: Count
    last: Count
    first_mono_ms: Wall
    """When the first of them was taken, as `Spooled.mono_ms`."""
    last_mono_ms: Wall


class Stored(Message, frozen=True, array_like=True, gc=False):
    """Master → agent: every sample and every loss that you have sent on this link by `Replay` or
    `Lost`, with a number from `first` to `last` of this boot, is in durable history."""

    kind: ClassVar[int] = 31
    boot_id: Name
    first: Count
    last: Count


# --- a viewer's link -----------------------------------------------------------------------------


class NodeInfo(Struct, frozen=True, array_like=True, gc=False):
    """What changes rarely about a node."""

    node_id: Name
    name: Name
    labels: Labels
    note: Text
    address: Name
    """Where its last link came from, `host:port`; empty while it has never linked."""
    agent_version: Name
    first_seen_wall_ms: Wall
    os: Name = ""
    filesystems: tuple[Name, ...] = ()
    """Mount points; `Core.filesystem_fullest` is an index into them."""
    certificate_expires_wall_ms: Wall = 0


class NodeVitals(Struct, frozen=True, array_like=True, gc=False):
    """What changes with every beat. `_mono_ms` is on the master's clock, as `Delta.now_mono_ms`."""

    node_id: Name
    state: Name
    """A `shared.liveness.State`."""
    reason: Text
    since_wall_ms: Wall
    seen_mono_ms: int | None
    """When the last sign of life arrived, or None: not since this master started."""
    seen_wall_ms: Wall | None
    """The same as a record; None: never."""
    period_ms: Count
    core: msgspec.Raw
    """A `shared.metrics.Core`, or nil before the first beat."""
    troubles: tuple[Trouble, ...] = ()
    conflict: bool = False
    flapping: bool = False
    """Comes and goes: it has been back too often lately."""


class Watch(Message, frozen=True, array_like=True, gc=False):
    """Viewer → master: send the fleet, and every change from now on."""

    kind: ClassVar[int] = 32


class Snapshot(Message, frozen=True, array_like=True, gc=False):
    """Master → viewer: the whole fleet, in as many of these as it takes; `last` ends it."""

    kind: ClassVar[int] = 33
    now_mono_ms: int
    infos: tuple[NodeInfo, ...]
    vitals: tuple[NodeVitals, ...]
    last: bool


class Delta(Message, frozen=True, array_like=True, gc=False):
    """Master → viewer, at most four times a second: what changed, the latest value of each only."""

    kind: ClassVar[int] = 34
    now_mono_ms: int
    infos: tuple[NodeInfo, ...] = ()
    vitals: tuple[NodeVitals, ...] = ()
    gone: tuple[Name, ...] = ()
    """Ids of nodes forgotten."""
    behind_ms: Count = 0
    """How long this viewer was not sent to, because it had not read what was sent before."""


class FocusNode(Message, frozen=True, array_like=True, gc=False):
    """Viewer → master: send everything about this node (its id) as it comes, and have its agent
    measure it more finely; empty: about none.

    One node at a time per viewer. Of an id that is not known nothing comes.
    """

    kind: ClassVar[int] = 35
    node_id: Name


class FocusUpdate(Message, frozen=True, array_like=True, gc=False):
    """Master → viewer: a family of the node in focus, as it arrived; first all that are known.

    A viewer that does not read gets the latest of each family when it does.
    """

    kind: ClassVar[int] = 36
    node_id: Name
    now_mono_ms: int
    seen_mono_ms: int
    """When it arrived, on the master's clock: with `now_mono_ms`, how old it is."""
    sample: FamilySample


class FocusInventory(Message, frozen=True, array_like=True, gc=False):
    """Master → viewer: the inventory of the node in focus, at first and when it changes."""

    kind: ClassVar[int] = 37
    node_id: Name
    inventory: msgspec.Raw
    """A `shared.inventory.Inventory`, or nil while none is known."""


class Outage(Struct, frozen=True, array_like=True, gc=False):
    """A node's absence: from its last sign of life to its return, and why. Times are records, by
    the master's clock."""

    number: Count
    node_id: Name
    name: Name
    from_wall_ms: Wall
    """The last sign of life."""
    noticed_wall_ms: Wall
    """When the master knew that the node was gone."""
    to_wall_ms: Wall | None
    """The first beat after the return; nil while the node is away."""
    cause: Name
    """A `shared.causes.Cause`; empty until the node has returned and the cause has been judged."""
    evidence: Annotated[tuple[Text, ...], Meta(max_length=32)]
    """What is known of it, a line each."""
    planned: bool = False
    """The agent had said goodbye: nobody expected it."""
    clean: bool | None = None
    """Of a reboot: whether the agent had been stopped in order before. nil: not known."""
    out_of_memory: bool | None = None
    """Of a killed agent: whether the kernel did it, for want of memory."""
    exit_reason: Name = ""
    """Of a restarted agent: why the run before ended."""


class Availability(Struct, frozen=True, array_like=True, gc=False):
    """How much of a stretch of time up to now a node was there, in seconds."""

    window_s: Count
    """How long the stretch is: a day, a week, a month of 30 days."""
    known_s: Count
    """How much of it the node has been known: the rest is not counted at all."""
    down_s: Count
    """Away, and expected."""
    planned_s: Count = 0
    """Away after a goodbye. Counts neither for nor against it."""
    unobserved_s: Count = 0
    """Not seen because the master was away. Counts neither for nor against it."""


class GetNode(Message, frozen=True, array_like=True, gc=False):
    """Viewer → master: all about one node, by name, id, or the unambiguous beginning of one."""

    kind: ClassVar[int] = 40
    request: Count
    node: Name


class TimeToDetect(Struct, frozen=True, array_like=True, gc=False):
    """How soon it is noticed when this node falls silent, as its link is now: milliseconds from its
    last beat."""

    late_ms: Count
    down_ms: Count
    """When its host is gone, or the way to it."""
    hung_down_ms: Count
    """When its host answers and its agent does not."""
    lost_down_ms: Count
    """When its link breaks without a goodbye: from then."""
    margin_ms: Count
    """What the lateness that its beats have shown calls for."""


class NodeDetail(Message, frozen=True, array_like=True, gc=False):
    """Master → viewer: the answer to `GetNode`."""

    kind: ClassVar[int] = 41
    request: Count
    now_mono_ms: int
    info: NodeInfo
    vitals: NodeVitals
    inventory: msgspec.Raw
    """A `shared.inventory.Inventory`, or nil."""
    families: tuple[FamilySample, ...]
    left_out: tuple[Name, ...] = ()
    """Families that did not fit into one answer."""
    availability: tuple[Availability, ...] = ()
    """Over the last day, week and month; empty for a node that has never been up."""
    last_outage: Outage | None = None
    time_to_detect: TimeToDetect | None = None
    """None for a node that does not beat."""


class SetLabels(Message, frozen=True, array_like=True, gc=False):
    """Operator → master: label or unlabel a node, and its note when not None."""

    kind: ClassVar[int] = 42
    request: Count
    node: Name
    put: Labels
    remove: tuple[Name, ...] = ()
    note: Text | None = None


class RevokeNode(Message, frozen=True, array_like=True, gc=False):
    """Operator → master: this node's identity is no longer good; cut its link."""

    kind: ClassVar[int] = 43
    request: Count
    node: Name


class ForgetNode(Message, frozen=True, array_like=True, gc=False):
    """Operator → master: drop a node and its identity from the registry."""

    kind: ClassVar[int] = 44
    request: Count
    node: Name


EVENT_NODES_LIMIT: Final = 256
"""Nodes that an event names: the text says how many there were."""


class Event(Struct, frozen=True, array_like=True, gc=False):
    """One thing that happened, as stored."""

    number: Count
    wall_ms: Wall
    event: Name
    """`state`, `outage`, `enrolled`, `revoked`, `forgotten`, `conflict`, `token-created`, …"""
    node_id: Name = ""
    name: Name = ""
    before: Name = ""
    after: Name = ""
    text: Text = ""
    nodes: Annotated[tuple[Name, ...], Meta(max_length=EVENT_NODES_LIMIT)] = ()
    """Ids of the nodes that it befell together, as in a `mass` event: the first so many."""


class ListEvents(Message, frozen=True, array_like=True, gc=False):
    """Viewer → master: stored events, oldest first; with `follow`, new ones as they happen too."""

    kind: ClassVar[int] = 45
    request: Count
    limit: Count = 100
    """The newest so many."""
    node: Name = ""
    follow: bool = False


class Events(Message, frozen=True, array_like=True, gc=False):
    """Master → viewer: events; the first answer to `ListEvents`, and more while it follows."""

    kind: ClassVar[int] = 46
    request: Count
    events: tuple[Event, ...]


class CreateToken(Message, frozen=True, array_like=True, gc=False):
    """Operator → master: a new join token (`role` is `agent` or `viewer`)."""

    kind: ClassVar[int] = 47
    request: Count
    role: Name
    life_s: Count
    uses: Count


class TokenCreated(Message, frozen=True, array_like=True, gc=False):
    """Master → operator: the only time the token is shown."""

    kind: ClassVar[int] = 48
    request: Count
    token: Name
    token_id: Name
    expires_wall_ms: Wall

    def __repr__(self) -> str:
        return f"<TokenCreated {self.token_id}>"


class TokenInfo(Struct, frozen=True, array_like=True, gc=False):
    """A token without its secret, which the master does not have."""

    token_id: Name
    role: Name
    created_wall_ms: Wall
    expires_wall_ms: Wall
    uses_left: Count
    state: Name
    """`valid`, `expired`, `used` or `revoked`."""


class ListTokens(Message, frozen=True, array_like=True, gc=False):
    """Operator → master: the tokens."""

    kind: ClassVar[int] = 49
    request: Count


class Tokens(Message, frozen=True, array_like=True, gc=False):
    """Master → operator: the answer to `ListTokens`."""

    kind: ClassVar[int] = 50
    request: Count
    tokens: tuple[TokenInfo, ...]


class RevokeToken(Message, frozen=True, array_like=True, gc=False):
    """Operator → master: this token admits nobody any more."""

    kind: ClassVar[int] = 51
    request: Count
    token_id: Name


class Done(Message, frozen=True, array_like=True, gc=False):
    """Master → viewer: the request was carried out and is durable."""

    kind: ClassVar[int] = 52
    request: Count
    text: Text = ""


class Failed(Message, frozen=True, array_like=True, gc=False):
    """Master → viewer: not carried out, and why (`not-found`, `ambiguous`, `not-allowed`, …)."""

    kind: ClassVar[int] = 53
    request: Count
    code: Name
    text: Text


class ListOutages(Message, frozen=True, array_like=True, gc=False):
    """Viewer → master: outages, oldest first."""

    kind: ClassVar[int] = 55
    request: Count
    limit: Count = 100
    """The newest so many."""
    node: Name = ""
    since_s: Count = 0
    """Only those that lasted into the last so many seconds; 0: all."""


class Outages(Message, frozen=True, array_like=True, gc=False):
    """Master → viewer: the answer to `ListOutages`."""

    kind: ClassVar[int] = 56
    request: Count
    outages: tuple[Outage, ...]


# --- the past -------------------------------------------------------------------------------------


class GetFleetAt(Message, frozen=True, array_like=True, gc=False):
    """Viewer → master: the whole fleet as it was at an instant."""

    kind: ClassVar[int] = 60
    request: Count
    at_wall_ms: Wall


class FleetAt(Message, frozen=True, array_like=True, gc=False):
    """Master → viewer: the answer to `GetFleetAt`, in as many of these as it takes."""

    kind: ClassVar[int] = 61
    request: Count
    at_wall_ms: Wall
    infos: tuple[NodeInfo, ...]
    """As they are now: names, labels, filesystems."""
    vitals: tuple[NodeVitals, ...]
    """As they were: `seen_wall_ms` is when the sample was taken, `seen_mono_ms` is nil. A node that
    was not known yet is left out; of one without a sample near that instant `core` is nil."""
    last: bool


class GetNodeAt(Message, frozen=True, array_like=True, gc=False):
    """Viewer → master: all about one node (name or id, as `GetNode`) as it was at an instant."""

    kind: ClassVar[int] = 62
    request: Count
    node: Name
    at_wall_ms: Wall


class NodeAt(Message, frozen=True, array_like=True, gc=False):
    """Master → viewer: the answer to `GetNodeAt`."""

    kind: ClassVar[int] = 63
    request: Count
    at_wall_ms: Wall
    info: NodeInfo
    vitals: NodeVitals
    """As in `FleetAt`."""
    inventory: msgspec.Raw
    """As it is now, or nil."""
    families: tuple[FamilySample, ...]
    """The last of each family before that instant; `wall_ms` is when, by the master's clock."""


class GetSeries(Message, frozen=True, array_like=True, gc=False):
    """Viewer → master: how values of one node went over a span of time, in about `points`
    steps."""

    kind: ClassVar[int] = 64
    request: Count
    node: Name
    metrics: Annotated[tuple[Name, ...], Meta(max_length=64)]
    """Names of fields of `shared.metrics.Core`."""
    from_wall_ms: Wall
    to_wall_ms: Wall
    points: Annotated[int, Meta(ge=1, le=10_000)]


class SeriesOf(Struct, frozen=True, array_like=True, gc=False):
    """One metric of a series, a value per step of `Series.at_wall_ms`; nil: not measured."""

    metric: Name
    least: tuple[int | None, ...]
    mean: tuple[float | None, ...]
    most: tuple[int | None, ...]


class Series(Message, frozen=True, array_like=True, gc=False):
    """Master → viewer: the answer to `GetSeries`. Steps without a sample are left out."""

    kind: ClassVar[int] = 65
    request: Count
    node_id: Name
    step_ms: Count
    """How long each step is: a whole number of the tier's."""
    tier_ms: Count
    """From which tier it was taken; 0: from the samples themselves."""
    at_wall_ms: tuple[int, ...]
    """When each step begins, ascending."""
    counts: tuple[int, ...]
    """Samples in each step."""
    series: tuple[SeriesOf, ...]


class GetSamples(Message, frozen=True, array_like=True, gc=False):
    """Viewer → master: the samples of one node themselves, from a time on, oldest first."""

    kind: ClassVar[int] = 66
    request: Count
    node: Name
    from_wall_ms: Wall
    to_wall_ms: Wall
    """Not included."""
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 1000


class StoredSample(Struct, frozen=True, array_like=True, gc=False):
    """A sample in the history."""

    at_wall_ms: int
    """By the master's clock."""
    boot_id: Name
    sequence: Count
    core: msgspec.Raw


class Samples(Message, frozen=True, array_like=True, gc=False):
    """Master → viewer: the answer to `GetSamples`."""

    kind: ClassVar[int] = 67
    request: Count
    node_id: Name
    samples: tuple[StoredSample, ...]
    more: bool
    """Ask again from one millisecond after the last."""


class GetCoverage(Message, frozen=True, array_like=True, gc=False):
    """Viewer → master: how complete the history is, of one node or (empty) of all."""

    kind: ClassVar[int] = 68
    request: Count
    node: Name
    from_wall_ms: Wall
    to_wall_ms: Wall


class Gap(Struct, frozen=True, array_like=True, gc=False):
    """A stretch of time whose samples are not in the history, or came late."""

    from_wall_ms: int
    to_wall_ms: int
    kind: Name
    """`late` (stored after an absence), `lost` (taken, and dropped), `never-collected`,
    `awaited` (may still come)."""
    samples: Count


class Coverage(Struct, frozen=True, array_like=True, gc=False):
    """How complete one node's history is over a span of time, in samples."""

    node_id: Name
    name: Name
    from_wall_ms: int
    to_wall_ms: int
    expected: Count
    """`stored` + `lost` + `never_collected` + `awaited`."""
    stored: Count
    late: Count
    """Of those stored."""
    lost: Count
    never_collected: Count
    awaited: Count
    gaps: tuple[Gap, ...] = ()
    """The newest of them."""


class CoverageOf(Message, frozen=True, array_like=True, gc=False):
    """Master → viewer: the answer to `GetCoverage`, in as many of these as it takes."""

    kind: ClassVar[int] = 69
    request: Count
    rows: tuple[Coverage, ...]
    last: bool


class BackUp(Message, frozen=True, array_like=True, gc=False):
    """Operator → master: write a copy of all that is stored to a file on the master's host."""

    kind: ClassVar[int] = 70
    request: Count
    path: Text


FromOpeningClient: TypeAlias = CaRequest | Enrol | AgentHello | ViewerHello
FromAgent: TypeAlias = (
    Beat
    | Ping
    | Pong
    | InventoryReport
    | Returned
    | FamilySample
    | Part
    | Goodbye
    | Renew
    | Replay
    | Lost
)
FromViewer: TypeAlias = (
    Watch
    | FocusNode
    | Ping
    | Pong
    | Part
    | Goodbye
    | Renew
    | GetNode
    | SetLabels
    | RevokeNode
    | ForgetNode
    | ListEvents
    | ListOutages
    | CreateToken
    | ListTokens
    | RevokeToken
    | GetFleetAt
    | GetNodeAt
    | GetSeries
    | GetSamples
    | GetCoverage
    | BackUp
)
FromClient: TypeAlias = FromOpeningClient | FromAgent | FromViewer
"""Everything a client (agent or viewer) may send to a master."""

ToOpeningClient: TypeAlias = Ca | Enrolled | Deny | Welcome | RenewFirst | ViewerWelcome
ToAgent: TypeAlias = Ack | Ping | Pong | Cadence | Attend | Renewed | Goodbye | Part | Stored
ToViewer: TypeAlias = (
    Snapshot
    | Delta
    | FocusUpdate
    | FocusInventory
    | Ping
    | Pong
    | Goodbye
    | Part
    | Renewed
    | NodeDetail
    | Events
    | Outages
    | TokenCreated
    | Tokens
    | FleetAt
    | NodeAt
    | Series
    | Samples
    | CoverageOf
    | Done
    | Failed
)
FromMaster: TypeAlias = ToOpeningClient | ToAgent | ToViewer
"""Everything a master may send."""

_ENCODER: Final = msgspec.msgpack.Encoder()


def encode_body(value: object) -> bytes:
    """MessagePack of a Struct or plain value: a message's body, or the content of a Raw field."""
    return _ENCODER.encode(value)


def encode(message: Message) -> bytes:
    """The frame of one message, ready for the stream."""
    return encode_frame(message.kind, _ENCODER.encode(message))


def raw(value: object) -> msgspec.Raw:
    """`value` as the content of a Raw field (`Beat.core`, `InventoryReport.inventory`, …)."""
    return msgspec.Raw(_ENCODER.encode(value))
