"""The pages of the node view, as lines of text: what each shows, how old, and what is missing."""

from dataclasses import replace
from typing import Any

import pytest
from msgspec import Raw
from rich.cells import cell_len

from shared import families as f
from shared.messages import FamilySample, FocusInventory, FocusUpdate, Trouble, raw
from tests.tui import details
from tests.tui.fleets import MONO_MS, WALL_MS, core, info, vitals
from tui.focus import Focus
from tui.look import Look, Sight, Symbols
from tui.moment import Moment
from tui.node import Node, Profile
from tui.pages import PAGES
from tui.pages.page import Choices, Page, Scene, Zoom, paint
from tui.pages.processes import order_at
from tui.tones import Pieces, Tone
from tui.trail import Trail

NODE_ID = "id-db-1"
BY_KEY = {page.key: page for page in PAGES}
SIZES = [(80, 17), (120, 28), (200, 43)]


def node(**changes: Any) -> Node:
    return Node(Profile(info("db-1", labels={"role": "db"})), vitals("db-1", **changes))


def focus(*, known: bool = True) -> Focus:
    made = Focus(NODE_ID, Trail())
    for message in details.details(NODE_ID) if known else ():
        made.apply(message)
    for second in range(120):
        at_ms = MONO_MS - 1_000 * (120 - second)
        made.trail.add(at_ms, 1_000, core(cpu_busy_bp=80 * second, disk_read_bytes_per_s=2**20))
    return made


def scene(of: Focus | None = None, *, width: int = 120, **changes: Any) -> Scene:
    sight = Sight(Moment(MONO_MS, WALL_MS))
    made = Scene(node(), of or focus(), sight, width, 28, Choices())
    return replace(made, **changes)


def lines(key: str, of: Scene | None = None) -> list[str]:
    sheet = paint(BY_KEY[key], of or scene())
    return ["".join(text for text, _ in line).rstrip() for line in (*sheet.head, *sheet.body)]


def text(key: str, of: Scene | None = None) -> str:
    return "\n".join(lines(key, of))


def tones(key: str, wanted: str, of: Scene | None = None) -> set[Tone]:
    sheet = paint(BY_KEY[key], of or scene())
    return {tone for line in (*sheet.head, *sheet.body) for t, tone in line if wanted in t}


def words(line: str) -> list[str]:
    return line.split()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.key)
@pytest.mark.parametrize("size", SIZES, ids=lambda size: str(size[0]))
@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
def test_no_line_of_any_page_is_wider_than_the_screen(
    page: Page, size: tuple[int, int], known: bool
) -> None:
    of = scene(focus(known=known), width=size[0], height=size[1])
    sheet = page.draw(of)
    wide = [line for line in sheet.body if width(line) > size[0]]
    assert wide == []


def width(line: Pieces) -> int:
    return sum(cell_len(text) for text, _ in line)


@pytest.mark.parametrize("page", [p for p in PAGES if p.families], ids=lambda page: page.key)
def test_page_says_how_old_each_of_its_families_is(page: Page) -> None:
    first = lines(page.key)[0]
    for family in page.families:
        assert f"{family} 1s ago, every " in first


def test_family_that_should_have_come_long_ago_is_marked() -> None:
    of = focus()
    of.apply(details.update(NODE_ID, "routes", details.routes(), age_ms=60_000, period_ms=5_000))
    assert "routes 60s ago, every 5s" in text("routes", scene(of))
    assert tones("routes", "60s ago", scene(of)) == {Tone.WARM}
    assert tones("cpu", "1s ago") == {Tone.MUTED}


def test_family_that_has_not_come_says_why() -> None:
    of = focus(known=False)
    assert "cpu has not come yet" in text("cpu", scene(of))
    of.apply(FocusInventory(NODE_ID, raw(details.INVENTORY)))
    assert "users switched off by the host's own settings" in text("users", scene(of))
    stuck = node(troubles=(Trouble("disks", "stuck", 90, "statvfs hangs"),))
    shown = text("disks", scene(of, node=stuck))
    assert "disks not measured: see below" in shown
    assert "disks   stuck for 90s  statvfs hangs" in shown.replace("disks  stuck", "disks   stuck")


def test_values_that_the_host_does_not_offer_are_named_with_the_reason() -> None:
    assert "cpu     frequency per core  the kernel does not say" in text("cpu")
    assert words(lines("disks")[-1]) == ["filesystems", "/mnt/backup", "does", "not", "answer"]


def test_rows_that_the_agent_left_out_are_counted() -> None:
    of = focus()
    of.apply(details.update(NODE_ID, "routes", f.Routes(details.routes().routes, 1_234)))
    assert "1,234 more rows that the agent does not send" in text("routes", scene(of))


def test_sample_of_another_version_is_said_not_to_be_understood() -> None:
    of = focus(known=False)
    for content in (raw(["nonsense"]), Raw(b"\xc1")):
        sample = FamilySample("cpu", 0, 0, 5_000, content)
        of.apply(FocusUpdate(NODE_ID, MONO_MS, MONO_MS, sample))
        assert "not understood: sent by another version" in text("cpu", scene(of))


def test_hostile_strings_never_reach_a_page() -> None:
    of = focus()
    evil = "\x1b[2J\u202eevil\x07"
    table = f.Processes(1, 1, {evil: 1}, (f.Process(1, 0, evil, evil, 1, 1, evil),), {evil: evil})
    of.apply(details.update(NODE_ID, "processes", table))
    of.apply(FocusInventory(NODE_ID, raw(replace_hostname(evil))))
    shown = text("processes", scene(of)) + text("inventory", scene(of))
    assert "evil" in shown
    assert not set("\x1b\x07\u202e") & set(shown)


def replace_hostname(name: str) -> list[object]:
    fields = [getattr(details.INVENTORY, field) for field in details.INVENTORY.__struct_fields__]
    return [name, *fields[1:]]


def test_news_of_another_node_are_not_taken_in() -> None:
    of = focus(known=False)
    assert not of.apply(details.update("id-web-1", "cpu", details.cpu()))
    assert of.samples == {}


# --- single pages ---------------------------------------------------------------------------------


def test_overview_draws_what_the_trail_holds() -> None:
    shown = text("overview")
    assert "cpu  12%" in shown
    assert "⣿" in shown
    assert "8 × AMD EPYC 7443P" in shown
    assert "kim, root" in shown
    assert "⣿" not in text("overview", scene(Focus(NODE_ID, Trail())))


def test_graphs_are_drawn_with_what_the_terminal_has() -> None:
    blocks = Sight(Moment(MONO_MS, WALL_MS), Look(symbols=Symbols.BLOCKS))
    shown = text("overview", scene(sight=blocks))
    assert "█" in shown
    assert not any("\u2800" <= character <= "\u28ff" for character in shown)


def test_longer_steps_show_more_time() -> None:
    short, long = (
        text("cpu", scene(choices=Choices(zoom=Zoom(step_s)))).count("⣿") for step_s in (1, 10)
    )
    assert short > long


def test_each_core_has_a_bar() -> None:
    shown = lines("cpu", scene(width=60))
    cores = [line for line in shown if "━" in line]
    assert len(cores) == 4
    assert words(cores[0])[0] == "0"


def test_memory_and_swap_are_told_in_bytes_and_parts() -> None:
    shown = lines("memory")
    (used, _) = (line for line in shown if line.startswith(" used"))
    assert words(used)[-1] == "25G"
    assert "12K/s" in text("memory")


def test_host_without_swap_says_so() -> None:
    of = focus()
    of.apply(details.update(NODE_ID, "swap", f.Swap(0, 0)))
    assert "Swap  this host has none" in text("memory", scene(of))


def test_fullest_filesystem_is_first_and_read_only_is_marked() -> None:
    shown = lines("disks")
    assert shown[3].startswith(" /mnt/iso read-only")
    assert tones("disks", "93%") == {Tone.HOT}


def test_columns_leave_where_the_screen_is_narrow() -> None:
    assert "device" in lines("disks")[2]
    narrow = lines("disks", scene(width=60))
    assert "device" not in narrow[2]
    assert "available" in narrow[2]


def test_interface_shows_its_addresses_and_what_went_wrong() -> None:
    (line,) = (line for line in lines("network") if line.startswith(" enp5s0"))
    assert "192.0.2.17/24" in line
    assert "10,000 Mb/s" in line
    assert tones("network", "1.5") == {Tone.HOT}


def test_sensors_users_ports_and_routes_are_listed() -> None:
    assert "k10temp  Tctl" in text("sensors")
    assert "198.51.100.7" in text("users")
    assert "0.0.0.0 everywhere    22  sshd" in text("ports")
    assert "established 84" in text("ports")
    assert "192.0.2.0/24  direct" in text("routes")


def test_inventory_tells_what_the_host_is_and_what_it_measures() -> None:
    shown = text("inventory")
    assert "Debian GNU/Linux 12 (bookworm)" in shown
    assert "8 in 4 cores" in shown
    assert "switched off" in shown


def test_events_of_the_node_are_told_latest_first() -> None:
    shown = lines("events", scene(events=details.events_of(NODE_ID, "db-1")))
    assert "away for 4m 12s: rebooted" in shown[2]
    assert "up → ✗ down" in shown[4]
    assert text("events").endswith("Nothing has happened yet.")


# --- processes ------------------------------------------------------------------------------------


def names(choices: Choices) -> list[str]:
    shown = lines("processes", scene(choices=choices))[3:]
    return [words(line)[7] for line in shown]


def test_processes_are_sorted_as_asked() -> None:
    assert names(Choices("memory"))[0] == "cron"
    assert names(Choices("memory", is_reversed=True))[0] == "systemd"
    assert names(Choices("pid"))[:2] == ["systemd", "sshd"]
    assert names(Choices("name"))[:2] == ["bash", "cron"]
    assert names(Choices("threads"))[0] == "node-exporter"
    assert names(Choices("cpu"))[-1] == "bash"
    assert "cpu▼" in text("processes")


def test_processes_are_filtered_by_any_of_their_texts() -> None:
    assert names(Choices(text="CHECKPOINTER")) == ["postgres"]
    assert set(names(Choices(text="kim"))) == {"bash", "top"}
    assert '2 shown with "kim"' in text("processes", scene(choices=Choices(text="kim")))


def test_tree_shows_children_beneath_their_parents() -> None:
    shown = lines("processes", scene(choices=Choices("pid", is_tree=True)))[3:]
    drawn = [line[line.index("d  ") + 3 :] for line in shown if "─" in line]
    assert drawn[:3] == ["├─ sshd", "│  └─ bash", "│     └─ top"]


def test_loop_of_parents_loses_nobody() -> None:
    of = focus()
    loop = (f.Process(5, 6, "a", "running", 1, 1), f.Process(6, 5, "b", "running", 1, 1))
    of.apply(details.update(NODE_ID, "processes", f.Processes(2, 2, {}, loop)))
    shown = text("processes", scene(of, choices=Choices(is_tree=True)))
    assert "a" in shown
    assert "b" in shown
    assert "2 shown" not in shown


def test_title_under_the_mouse_is_an_order() -> None:
    titles = lines("processes")[2]
    for name in ("pid", "user", "cpu", "memory", "threads", "age", "name"):
        assert order_at(scene(), titles.index(name)) == name
    assert order_at(scene(), titles.index("state")) is None
    assert order_at(scene(), 119) is None
    assert order_at(scene(focus(known=False)), 3) is None


@pytest.mark.parametrize(
    ("cpu_count", "load_1m_centi", "scale"),
    [
        (2, 784, "2 cpus, up to 8"),
        (2, 150, "of 2 cpus"),
        (1, 150, "1 cpu, up to 2"),
        (None, 150, "up to 2"),
    ],
)
def test_height_of_the_load_graph_is_not_taken_for_the_processors(
    cpu_count: int | None, load_1m_centi: int, scale: str
) -> None:
    of = Focus(NODE_ID, Trail())
    measured = core(cpu_count=cpu_count, load_1m_centi=load_1m_centi)
    of.trail.add(MONO_MS - 1_000, 1_000, measured)
    shown = text("overview", scene(of, node=node(core=raw(measured)), width=80))
    (line,) = (line for line in shown.splitlines() if "load  " in line)
    assert f"─ {scale} " in f"{line} "
