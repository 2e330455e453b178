"""The host: its sensors, who is logged in, what it is, and what has happened to it."""

from collections.abc import Sequence
from typing import Final

from shared.families import Sensors, Temperature, Users
from shared.inventory import Inventory
from shared.messages import Event
from tui import formats
from tui.look import Look
from tui.moment import Moment
from tui.pages.page import Scene, Sheet, waiting
from tui.pages.parts import Field, bar, cell, facts, heading, known, muted, number, remark, table
from tui.tones import Piece, Pieces, Tone, mark, meter

_BAR: Final = 16

_TEMPERATURE: Final = (
    Field("chip", most=24),
    Field("sensor", most=30, is_flexible=True),
    Field("temperature"),
    Field("high", is_number=True, leaves=1),
    Field("critical", is_number=True, leaves=1),
)
_FAN: Final = (Field("chip", most=24), Field("fan", most=30), Field("rpm", is_number=True))
_SESSION: Final = (
    Field("user", most=32),
    Field("terminal", most=20),
    Field("from", most=60, is_flexible=True),
    Field("since"),
)
_EVENT: Final = (
    Field("when"),
    Field("node", most=24),
    Field("what", most=40),
    Field("why", most=400, is_flexible=True),
)


def sensors(scene: Scene) -> Sheet:
    """Temperatures by their own limits, fans, the battery."""
    measured = scene.focus.data(Sensors)
    if measured is None:
        return Sheet(waiting("sensors"))
    look = scene.sight.look
    body: list[Pieces] = []
    if measured.temperatures:
        ordered = sorted(measured.temperatures, key=lambda each: -each.celsius)
        titles, lines = table(_TEMPERATURE, [_temperature(t, look) for t in ordered], scene.width)
        body += [heading("Temperatures", f"{len(ordered)}"), titles, *lines, ()]
    if measured.fans:
        rows = [(muted(f.chip), cell(f.label), number(f.speed_rpm)) for f in measured.fans]
        titles, lines = table(_FAN, rows, scene.width)
        body += [heading("Fans", f"{len(rows)}"), titles, *lines, ()]
    if battery := measured.battery:
        left = f"  {formats.duration(battery.left_s)} left" if battery.left_s else ""
        power = {True: "on mains", False: "on battery", None: ""}[battery.plugged]
        charge = meter(battery.charge_ratio, _BAR, Tone.SERIES)
        percent = Piece(f"{battery.charge_ratio:>5.0%}  {power}{left}")
        body += [heading("Battery"), (Piece(" "), *charge, percent)]
    return Sheet(body or [(), remark("This host has no sensors that the agent can read.")])


def users(scene: Scene) -> Sheet:
    """Who is logged in, from where, since when."""
    measured = scene.focus.data(Users)
    if measured is None:
        return Sheet(waiting("users"))
    if not measured.sessions:
        return Sheet([(), remark("Nobody is logged in.")])
    now_ms = scene.sight.moment.wall_ms
    rows = [
        (
            cell(session.user),
            muted(session.terminal or formats.ABSENT),
            cell(session.host) if session.host else muted("this host"),
            muted(formats.clock_time(session.started_wall_s * 1000, now_ms)),
        )
        for session in measured.sessions
    ]
    titles, lines = table(_SESSION, rows, scene.width)
    return Sheet(lines, [titles])


def inventory(scene: Scene) -> Sheet:
    """What changes rarely."""
    known_of = scene.focus.inventory
    if known_of is None:
        return Sheet(waiting("inventory"))
    profile, moment = scene.node.profile, scene.sight.moment
    rows = {
        "host name": known(known_of.hostname),
        "system": known(known_of.os),
        "kernel": known(f"{known_of.kernel} {known_of.architecture}"),
        "booted": known(formats.clock_time(known_of.boot_wall_s * 1000, moment.wall_ms)),
        "boot id": muted(known_of.boot_id or formats.ABSENT),
        "processor": known(known_of.cpu_model or formats.ABSENT),
        "processors": known(_processors(known_of)),
        "memory": known(formats.size_kib(known_of.memory_total_kib)),
        "swap": known(formats.size_kib(known_of.swap_total_kib)),
        "disks": known(", ".join(known_of.disks) or formats.ABSENT),
        "agent": known(f"{known_of.agent_version} on Python {known_of.python}"),
        "node id": muted(profile.node_id),
        "address": known(profile.address or formats.ABSENT),
        "note": known(profile.note or formats.ABSENT),
        "labels": known(" ".join(f"{k}={v}" for k, v in profile.labels.items()) or formats.ABSENT),
    }
    return Sheet([*facts(rows), (), *_families(known_of, scene.width), *_missing(known_of)])


def node_events(scene: Scene) -> Sheet:
    """What has happened to this node, the latest first."""
    if not scene.events:
        return Sheet([(), remark("Nothing has happened yet.")])
    return events_sheet(scene.events, scene.sight.moment, scene.width, has_nodes=False)


def events_sheet(
    events: Sequence[Event], moment: Moment, width: int, *, has_nodes: bool = True
) -> Sheet:
    """Events as a table, the latest first."""
    fields = [field for field in _EVENT if has_nodes or field.title != "node"]
    rows = [
        [each for field, each in zip(_EVENT, _event(event, moment), strict=True) if field in fields]
        for event in reversed(events)
    ]
    titles, lines = table(fields, rows, width)
    return Sheet(lines, [titles])


def _event(event: Event, moment: Moment) -> tuple[Pieces, ...]:
    return (
        muted(formats.clock_time(event.wall_ms, moment.wall_ms)),
        cell(event.name or formats.ABSENT),
        _what(event),
        cell(event.text, Tone.MUTED),
    )


def _what(event: Event) -> Pieces:
    if event.event != "state":
        return cell(event.event)
    shape, tone = mark(event.after)
    before = f"{event.before} → " if event.before else ""
    return Piece(before, Tone.MUTED), Piece(f"{shape} {event.after}", tone)


def _temperature(each: Temperature, look: Look) -> tuple[Pieces, ...]:
    limit = each.critical_celsius or each.high_celsius or 100.0
    ratio = min(1.0, max(0.0, each.celsius / limit)) if limit > 0 else 0.0
    *drawn, _, _ = bar(ratio, _BAR, look)
    text = formats.temperature(round(each.celsius * 10))
    return (
        muted(each.chip),
        cell(each.label or formats.ABSENT),
        (*drawn, Piece(f"{text:>6}", look.heat(ratio))),
        muted(_degrees(each.high_celsius)),
        muted(_degrees(each.critical_celsius)),
    )


def _degrees(celsius: float | None) -> str:
    return formats.temperature(None if celsius is None else round(celsius * 10))


def _processors(known_of: Inventory) -> str:
    logical, physical = known_of.cpu_logical, known_of.cpu_physical
    if logical is None:
        return formats.ABSENT
    return f"{logical}" if physical is None else f"{logical} in {physical} cores"


def _families(known_of: Inventory, width: int) -> list[Pieces]:
    fields = (Field("family"), Field("measured every", is_number=True), Field("in full every"))
    rows = [
        (
            cell(info.family),
            known(formats.age(info.period_s)) if info.enabled else muted("switched off"),
            muted(formats.age(info.detail_s) if info.enabled else ""),
        )
        for info in known_of.families
    ]
    titles, lines = table(fields, rows, width)
    return [heading("Measured"), titles, *lines]


def _missing(known_of: Inventory) -> list[Pieces]:
    if not known_of.absent:
        return []
    rows = {what: muted(why) for what, why in sorted(known_of.absent.items())}
    return [(), heading("Not known here"), *facts(rows)]
