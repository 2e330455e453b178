"""The lines around the table: how the fleet is, how the link is, what one node is about.

Pure: values in, `Piece`s out. What does not fit is given up from the end by whoever paints it, so
the most important comes first.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

from rich.cells import cell_len

from tui import formats
from tui.fleet import Fleet
from tui.link import Link, LinkState
from tui.mass import Mass, age, words
from tui.moment import Moment
from tui.node import Node
from tui.pause import Pause
from tui.since import since
from tui.tones import DEGRADED, FLAPPING, Piece, Pieces, Tone, mark
from tui.view import Arrangement, Group, View

_LINK_MARKS = {
    LinkState.CONNECTING: ("◌ connecting", Tone.JOINING),
    LinkState.LIVE: ("● live", Tone.UP),
    LinkState.LOST: ("✗ lost", Tone.DOWN),
    LinkState.REFUSED: ("⊘ refused", Tone.DOWN),
}


def brand(link: Link) -> Pieces:
    """Whose fleet this is."""
    name = (Piece("♥ ", Tone.DOWN), Piece("heartline", Tone.BRAND))
    return (*name, Piece(f"  {link.cluster}", Tone.MUTED)) if link.cluster else name


def breadcrumbs(link: Link, *steps: str) -> Pieces:
    """Where in the dashboard this is: breadcrumbs, the last one in sight."""
    pieces = [Piece("♥ ", Tone.DOWN), Piece(link.cluster or "heartline", Tone.BRAND)]
    for place, step in enumerate(steps, 1):
        pieces += (
            Piece(" ▸ ", Tone.FAINT),
            Piece(step, Tone.STRONG if place == len(steps) else Tone.PLAIN),
        )
    return tuple(pieces)


def link_status(link: Link, fleet: Fleet, now_s: float) -> Pieces:
    """Whether this is the present, and by how much not."""
    if link.playing:
        return (Piece(f"▶ {link.playing}", Tone.WARM),)
    words, tone = _LINK_MARKS[link.state]
    status = Piece(words, tone)
    if link.state is not LinkState.LIVE:
        return status, Piece(f" {formats.age(now_s - link.since_s)}", Tone.MUTED)
    if fleet.behind_s:
        return status, Piece(f" {formats.delay(fleet.behind_s)} behind", Tone.WARM)
    if link.delay_s is None:
        return (status,)
    return status, Piece(f" {formats.delay(link.delay_s)}", Tone.MUTED)


def banner(link: Link) -> Pieces:
    """What to know before believing the rest; empty while all is well."""
    match link.state:
        case LinkState.LIVE:
            what = ""
        case LinkState.CONNECTING:
            what = f"No link yet: {link.reason}" if link.reason else ""
        case LinkState.LOST:
            what = f"This is the last picture: {link.reason}"
        case LinkState.REFUSED:
            what = f"The master refuses this viewer: {link.reason}"
    return (Piece(what, Tone.STRONG),) if what else ()


def warning(link: Link, pause: Pause | None, now_wall_ms: int) -> Pieces:
    """The banner of any screen: a picture that is held goes before the link."""
    if pause is None:
        return banner(link)
    held = formats.clock_time(pause.moment.wall_ms, now_wall_ms)
    news = f"{formats.count(pause.missed)} changes" if pause.missed else "nothing"
    return (Piece(f"‖ Paused at {held}: {news} since then", Tone.STRONG),)


def notice(
    link: Link, pause: Pause | None, mass: Mass | None, now_s: float, now_wall_ms: int
) -> tuple[Pieces, Pieces]:
    """The banner's left and right end: what is wrong with the picture goes before what it shows."""
    if what := warning(link, pause, now_wall_ms):
        return what, next_attempt(link, now_s)
    return words(mass), age(mass)


def forgotten() -> Pieces:
    """The banner over a node that is no longer of this fleet."""
    return (Piece("The master has forgotten this node: this is what it was", Tone.STRONG),)


def age_of(node: Node, moment: Moment) -> Pieces:
    """When the last sign of life came."""
    age_s = node.age_s(moment)
    if age_s is None:
        return (Piece("never heard of", Tone.MUTED),)
    tone = mark(node.state).tone if node.is_stale(moment) else Tone.MUTED
    return (Piece(f"beat {formats.age(age_s)} ago", tone),)


def next_attempt(link: Link, now_s: float) -> Pieces:
    """When the client dials again, if it does so by itself."""
    if link.state in (LinkState.LIVE, LinkState.REFUSED):
        return ()
    if link.retry_at_s is None:
        return (Piece("dialling"),)
    return (Piece(f"again in {max(1, round(link.retry_at_s - now_s))} s"),)


def counts(fleet: Fleet, width: int) -> Pieces:
    """How many nodes there are, and how many in each state, the worst first.

    Where `width` cells do not hold it, the gaps narrow first, then the words go.
    """
    for gap, has_words in (("   ", True), ("  ", True), ("  ", False)):
        pieces = tuple(_counted(fleet, gap, has_words=has_words))
        if sum(len(piece.text) for piece in pieces) <= width:
            break
    return pieces


def _counted(fleet: Fleet, gap: str, *, has_words: bool) -> Iterable[Piece]:
    yield Piece(formats.count(len(fleet)), Tone.STRONG)
    yield Piece(" node" if len(fleet) == 1 else " nodes")
    for state, number in fleet.counts:
        shape, tone = mark(state)
        yield Piece(f"{gap}{shape} {formats.count(number)}", tone)
        if has_words:
            yield Piece(f" {state}", Tone.MUTED)


def bar(tallies: Sequence[tuple[str, int]], width: int) -> Pieces:
    """The fleet as one line of `width` cells, shared among the states; each gets at least one."""
    total = sum(number for _, number in tallies)
    if not total or width < len(tallies):
        return (Piece("━" * width, Tone.FAINT),)
    spare = width - len(tallies)
    ends = [0]
    for _, number in tallies:
        ends.append(ends[-1] + number)
    cells = (1 + spare * end // total - spare * start // total for start, end in pairwise(ends))
    return tuple(
        Piece("━" * length, mark(state).tone)
        for (state, _), length in zip(tallies, cells, strict=True)
    )


def width_of(pieces: Pieces) -> int:
    """How many cells the pieces take."""
    return sum(cell_len(piece.text) for piece in pieces)


def arrangement(view: View, nodes: int) -> Pieces:
    """How the fleet is filtered, grouped and sorted; empty where it is shown as it stands."""
    wanted = view.arrangement
    pieces: list[Piece] = []
    if wanted.filter or wanted.is_faults_only:
        what = " ".join(filter(None, (wanted.filter.text, "faults only" * wanted.is_faults_only)))
        pieces.append(Piece(f"{formats.count(view.shown)} of {formats.count(nodes)}", Tone.STRONG))
        pieces.append(Piece(f"  {what}", Tone.WARM))
    if wanted.group:
        pieces.append(Piece(f"  by {wanted.group}", Tone.BRAND))
    return tuple(pieces)


def of_group(group: Group) -> tuple[Pieces, Pieces]:
    """One group in two lines: what it is, and what is the matter in it."""
    tally = Counter(node.state for node in group.nodes)
    states: list[Piece] = []
    for state, number in tally.most_common():
        shape, tone = mark(state)
        states += (Piece(f"{shape} {number}", tone), Piece(f" {state}   ", Tone.MUTED))
    count = f"  {formats.count(len(group.nodes))} nodes"
    return (Piece(group.title, Tone.STRONG), Piece(count, Tone.MUTED)), tuple(states)


def inspection(node: Node, moment: Moment) -> tuple[Pieces, Pieces]:
    """One node in two lines: what it is called, how it is and why; what it is and where."""
    name = Piece(f"{node.profile.name}  ", Tone.STRONG)
    return (name, *condition(node, moment)), facts(node)


def condition(node: Node, moment: Moment) -> Pieces:
    """How a node is, since when, and why."""
    shape, tone = mark(node.state)
    how = [
        Piece(f"{shape} {node.state}", tone),
        Piece(f" {DEGRADED}" * node.is_degraded, Tone.WARM),
        Piece(f" {FLAPPING} flapping" * node.vitals.flapping, Tone.WARM),
        Piece(f" {since(node, moment)}", Tone.MUTED),
    ]
    if node.reason:
        how += (Piece("  "), Piece(node.reason, Tone.WARM if node.state == "up" else tone))
    return tuple(how)


def facts(node: Node) -> Pieces:
    """What a node is and where."""
    return tuple(_joined(_facts(node)))


def _facts(node: Node) -> Iterable[Piece]:
    profile, core = node.profile, node.core
    yield Piece(profile.address or "has not linked yet")
    if profile.os:
        yield Piece(profile.os)
    if core.cpu_count is not None:
        yield Piece(f"{core.cpu_count} cpu{'s' * (core.cpu_count != 1)}")
    if core.memory_total_kib is not None:
        yield Piece(formats.size_kib(core.memory_total_kib))
    if core.processes is not None:
        yield Piece(f"{formats.count(core.processes)} processes")
    if core.temperature_max_dc is not None:
        yield Piece(formats.temperature(core.temperature_max_dc))
    if profile.agent_version:
        yield Piece(f"agent {profile.agent_version}")
    for key, value in profile.labels.items():
        yield Piece(f"{key}={value}", Tone.BRAND)
    if profile.note:
        yield Piece(profile.note)


def _joined(facts: Iterable[Piece]) -> Iterable[Piece]:
    for position, fact in enumerate(facts):
        if position:
            yield Piece(" · ", Tone.FAINT)
        yield Piece(fact.text, Tone.MUTED if fact.tone is Tone.PLAIN else fact.tone)


def nothing_to_show(
    link: Link, fleet: Fleet, wanted: Arrangement, *, is_past: bool = False
) -> tuple[str, ...]:
    """What stands where the table would be, while there are no rows; a few short lines."""
    if len(fleet):
        return _none_fits(len(fleet), wanted)
    if is_past and fleet.is_current:
        return ("No node was known at that time.", "Home goes back to now")
    if fleet.is_current:
        return (
            "No nodes yet.",
            "On this host:  heartline token create",
            "On the next one:  heartline agent --join TOKEN --master HOST:PORT",
        )
    match link.state:
        case LinkState.CONNECTING:
            return (f"Connecting to {link.address} …",)
        case LinkState.LIVE:
            return ("Receiving the fleet …",)
        case LinkState.LOST | LinkState.REFUSED:
            return ("There is nothing to show.",)


def _none_fits(nodes: int, wanted: Arrangement) -> tuple[str, ...]:
    among = "nodes that need an eye" if wanted.is_faults_only else "nodes"
    if wanted.filter:
        said = f"No {among} fit this filter:  {wanted.filter.text}"
    else:
        said = f"There are no {among}."
    return said, f"Esc shows all again: {formats.count(nodes)}"
