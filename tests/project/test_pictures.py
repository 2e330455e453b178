"""The pictures in the documentation: what is drawn is what was on the screen, and needs no other
file."""

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docs.make_recording import COLUMNS, MOVING, ROWS, STILL, STORY_S
from docs.pictures import CELL_HEIGHT, CELL_WIDTH, moving, still
from docs.screens import Cell, Screen

MOST_BYTES = 1_000_000
SVG = "{http://www.w3.org/2000/svg}"
SHAPE = re.compile(r"M(\d+) (\d+)h(\d+)v(\d+)h-(\d+)z")

STYLES = ["", "1", "38;2;1;2;3", "7;38;2;1;2;3;48;2;9;9;9", "3;48;2;200;0;0"]
CELLS = st.sampled_from([Cell(text, style) for text in "ab &<█" for style in STYLES])
SCREENS = st.lists(st.lists(CELLS, min_size=9, max_size=9).map(tuple), min_size=3, max_size=3).map(
    tuple
)


def drawn(svg: str) -> Iterator[list[str]]:
    """What can be read on it, row by row: at first, and after each group has appeared."""
    root = ElementTree.fromstring(svg)
    columns, rows = (round(float(part)) for part in root.attrib["viewBox"].split()[2:])
    columns, rows = columns // CELL_WIDTH, rows // CELL_HEIGHT
    page = [[" "] * columns for _ in range(rows)]
    paint(root, page)
    yield read(page)
    for group in root.findall(f"{SVG}g"):
        paint(group, page)
        yield read(page)


def paint(parent: ElementTree.Element, page: list[list[str]]) -> None:
    for element in parent:
        if element.tag == f"{SVG}path":
            for shape in SHAPE.finditer(element.attrib["d"]):
                x, y, width, height, _ = (int(part) for part in shape.groups())
                assert height == CELL_HEIGHT
                column = x // CELL_WIDTH
                blank = [" "] * (width // CELL_WIDTH)
                page[y // CELL_HEIGHT][column : column + len(blank)] = blank
        elif element.tag == f"{SVG}text":
            text = (element.text or "").replace("\N{NO-BREAK SPACE}", " ")
            column, row = int(element.attrib["x"]) // CELL_WIDTH, int(element.attrib["y"])
            assert int(element.attrib["textLength"]) == len(text) * CELL_WIDTH
            page[row // CELL_HEIGHT][column : column + len(text)] = list(text)


def read(page: list[list[str]]) -> list[str]:
    return ["".join(row).rstrip() for row in page]


def texts(screen: Screen) -> list[str]:
    return ["".join(cell.text for cell in row).rstrip() for row in screen]


def same(lines: list[str], screen: Screen) -> bool:
    """Whether these lines are the screen's; the picture's margin makes it a little larger."""
    wanted = texts(screen)
    return lines[: len(wanted)] == wanted and not any(lines[len(wanted) :])


@given(SCREENS)
def test_still_picture_shows_the_screen(screen: Screen) -> None:
    (lines,) = drawn(still(screen, "a & b"))
    assert same(lines, screen)


@given(st.lists(SCREENS, min_size=1, max_size=4))
def test_moving_picture_shows_every_screen_in_its_time(screens: list[Screen]) -> None:
    svg = moving([(float(second), screen) for second, screen in enumerate(screens)], "x", 10.0)
    changed = [screens[0]]
    times: list[str] = []
    for second, screen in enumerate(screens):
        if screen != changed[-1]:
            changed.append(screen)
            times.append(f"0;{second / 10:.5f}")
    for lines, screen in zip(drawn(svg), changed, strict=True):
        assert same(lines, screen)
    animated = ElementTree.fromstring(svg).iter(f"{SVG}animate")
    assert [each.attrib["keyTimes"] for each in animated] == times


def test_wide_character_has_two_cells_and_is_replaced_whole() -> None:
    before = (tuple(Cell(text, "") for text in ("a", "漢", "", "b")),)
    after = (tuple(Cell(text, "") for text in ("a", "x", "y", "b")),)
    svg = moving([(0.0, before), (1.0, after)], "x", 2.0)
    assert f'textLength="{4 * CELL_WIDTH}">a漢b<' in svg
    assert f'textLength="{2 * CELL_WIDTH}">xy<' in svg
    back = moving([(0.0, after), (1.0, before)], "x", 2.0)
    assert f'textLength="{2 * CELL_WIDTH}">漢<' in back


def test_colours_and_attributes_are_kept() -> None:
    svg = still(((Cell("x", "1;38;2;255;0;16"), Cell("y", "7;38;2;1;2;3")),), "x")
    assert "{fill:#ff0010;font-weight:bold}" in svg
    assert '<path fill="#010203" d="M8 0h8v18h-8z"/>' in svg


def test_who_shows_no_movement_shows_the_first_screen() -> None:
    screens = [((Cell(text, ""),),) for text in "ab"]
    svg = moving([(0.0, screens[0]), (1.0, screens[1])], "x", 2.0)
    (group,) = ElementTree.fromstring(svg).findall(f"{SVG}g")
    assert group.attrib["visibility"] == "hidden"


@pytest.mark.parametrize("path", [STILL, MOVING], ids=lambda path: path.name)
def test_pictures_need_nothing_from_elsewhere_and_are_small_enough_to_keep(path: Path) -> None:
    content = path.read_text(encoding="utf-8")
    assert len(content.encode()) < MOST_BYTES
    assert set(re.findall(r"\w+://[^\"'<> ]+", content)) == {"http://www.w3.org/2000/svg"}
    assert "@import" not in content
    assert "url(" not in content
    assert "heartline-demo-" not in content  # the temporary folder
    first = next(drawn(content))
    assert "heartline  demo" in first[0]
    assert len(first) >= ROWS
    assert max(map(len, first)) <= COLUMNS


def test_picture_shows_a_fleet_most_of_which_is_well() -> None:
    (lines,) = drawn(STILL.read_text(encoding="utf-8"))
    counted = re.search(r"(\d+) nodes .*✗ (\d+) down .*● (\d+) up", lines[1])
    assert counted is not None
    nodes, down, up = map(int, counted.groups())
    assert 0 < down < nodes / 4
    assert up > nodes / 2


def test_moving_picture_tells_the_whole_story() -> None:
    moments = [
        float(found) for found in re.findall(r'keyTimes="0;([\d.]+)"', MOVING.read_text("utf-8"))
    ]
    assert moments == sorted(moments)
    assert moments[-1] < 1
    assert f'dur="{STORY_S + 2:g}s"' in MOVING.read_text("utf-8")
