"""The network: interfaces and what goes through them; sockets; routes."""

from collections.abc import Mapping
from typing import Final

from shared.families import Connections, Interface, Listener, Network, Route, Routes
from shared.inventory import InterfaceInfo
from tui import formats
from tui.graphs import area, ceiling
from tui.pages.overview import RATE_LEAST, series
from tui.pages.page import Scene, Sheet, waiting
from tui.pages.parts import Field, cell, heading, known, muted, number, rate, table
from tui.tones import Piece, Pieces, Tone

_GRAPH_LINES: Final = 3

_INTERFACE: Final = (
    Field("interface", most=20),
    Field("link"),
    Field("received", is_number=True),
    Field("sent", is_number=True),
    Field("packets in/s", is_number=True, leaves=3),
    Field("out/s", is_number=True, leaves=3),
    Field("errors/s", is_number=True, leaves=1),
    Field("drops/s", is_number=True, leaves=1),
    Field("speed", is_number=True, leaves=2),
    Field("addresses", most=80, is_flexible=True),
)
_LISTENER: Final = (
    Field("protocol"),
    Field("address", most=46, is_flexible=True),
    Field("port", is_number=True),
    Field("process", most=40),
    Field("pid", is_number=True, leaves=1),
)
_ROUTE: Final = (
    Field("destination", most=46, is_flexible=True),
    Field("gateway", most=46),
    Field("interface", most=20),
    Field("metric", is_number=True, leaves=1),
)

_EVERYWHERE: Final = frozenset({"0.0.0.0", "::", "*", ""})  # noqa: S104 - shown, not listened on


def interfaces(scene: Scene) -> Sheet:
    """What comes and goes, in all and per interface."""
    network = scene.focus.data(Network)
    if network is None:
        return Sheet(waiting("interfaces"))
    inventory = scene.focus.inventory
    known_of = {info.name: info for info in inventory.interfaces} if inventory else {}
    ordered = sorted(network.interfaces, key=lambda each: (each.loopback, not each.up, each.name))
    rows = [_interface(each, known_of) for each in ordered]
    titles, lines = table(_INTERFACE, rows, scene.width)
    return Sheet([*_flows(scene), (), heading("Interfaces", f"{len(rows)}"), titles, *lines])


def sockets(scene: Scene) -> Sheet:
    """Connections by their state, and every port listened on."""
    connections = scene.focus.data(Connections)
    if connections is None:
        return Sheet(waiting("connections"))
    tally: list[Piece] = [Piece(" tcp", Tone.BRAND)]
    for state, count in sorted(connections.tcp_by_state.items(), key=lambda item: -item[1]):
        tally += (Piece(f"   {state.lower()} ", Tone.MUTED), *number(count))
    udp: Pieces = (
        Piece(" udp", Tone.BRAND),
        Piece("   sockets ", Tone.MUTED),
        *number(connections.udp_sockets),
    )
    ordered = sorted(connections.listening, key=lambda each: (each.port, each.protocol))
    titles, lines = table(_LISTENER, [_listener(each) for each in ordered], scene.width)
    note = f"{len(ordered)} ports"
    return Sheet([tuple(tally), udp, (), heading("Listening", note), titles, *lines])


def routes(scene: Scene) -> Sheet:
    """The main routing table."""
    known_routes = scene.focus.data(Routes)
    if known_routes is None:
        return Sheet(waiting("routes"))
    titles, lines = table(_ROUTE, [_route(each) for each in known_routes.routes], scene.width)
    return Sheet(lines, [titles])


def _flows(scene: Scene) -> list[Pieces]:
    width = scene.width - 2
    core = scene.node.core
    flows = (
        ("received", core.network_receive_bytes_per_s, Tone.SERIES),
        ("sent", core.network_transmit_bytes_per_s, Tone.OTHER),
    )
    lines: list[Pieces] = []
    for field, now, tone in flows:
        values = series(scene, field, width)
        top = ceiling(values.all, RATE_LEAST)
        scale = Piece(f"  of {formats.size(round(top))}/s", Tone.MUTED)
        lines.append((Piece(f" {field} ", tone), *rate(now), scale))
        rows = area(values, top, _GRAPH_LINES, scene.sight.look, tone)
        lines += ((Piece(" "), *row) for row in rows)
    return lines


def _interface(each: Interface, known_of: Mapping[str, InterfaceInfo]) -> tuple[Pieces, ...]:
    info = known_of.get(each.name)
    speed = info.speed_mbps if info else None
    return (
        cell(each.name, Tone.MUTED if each.loopback else Tone.PLAIN),
        _link(each.up),
        rate(each.receive_bytes_per_s),
        rate(each.transmit_bytes_per_s),
        number(each.receive_packets_per_s),
        number(each.transmit_packets_per_s),
        _bad(each.receive_errors_per_s, each.transmit_errors_per_s),
        _bad(each.receive_drops_per_s, each.transmit_drops_per_s),
        known(formats.ABSENT if speed is None else f"{speed:,} Mb/s"),
        muted(" ".join(info.addresses) if info else ""),
    )


def _link(up: bool | None) -> Pieces:
    if up is None:
        return muted(formats.ABSENT)
    return cell("● up", Tone.UP) if up else cell("○ down", Tone.AWAY)


def _bad(*rates: float | None) -> Pieces:
    """What should be zero, in and out together."""
    measured = [each for each in rates if each is not None]
    if not measured:
        return muted(formats.ABSENT)
    total = sum(measured)
    return cell(f"{total:.1f}" if total else "0", Tone.HOT if total else Tone.FAINT)


def _listener(each: Listener) -> tuple[Pieces, ...]:
    is_open = each.address in _EVERYWHERE
    return (
        muted(each.protocol),
        cell(f"{each.address} everywhere" if is_open else each.address),
        cell(str(each.port), Tone.STRONG),
        known(each.process or formats.ABSENT),
        muted(formats.ABSENT if each.pid is None else str(each.pid)),
    )


def _route(each: Route) -> tuple[Pieces, ...]:
    is_default = each.destination.endswith("/0") or each.destination == "default"
    return (
        cell(each.destination, Tone.STRONG if is_default else Tone.PLAIN),
        muted("direct") if each.gateway is None else cell(each.gateway),
        cell(each.interface),
        muted(str(each.metric)),
    )
