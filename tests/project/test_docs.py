"""The documentation says what the code does: generated parts, examples, links."""

import re
from pathlib import Path

import pytest

from docs.generate import FOLDER, pages, rendered
from docs.message_examples import EXAMPLES, TOKEN
from shared import messages as m
from shared.connection import TRANSITIONS
from shared.frames import LINK_FRAME_LIMIT_BYTES, FrameDecoder
from shared.tokens import parse_token
from tests.shared.links import ends_by_speaker

ROOT = FOLDER.parent
PROTOCOL = (FOLDER / "protocol.md").read_text(encoding="utf-8")
EXAMPLE = re.compile(r"^#### (\d+) (\w+)$.*?^```hex$(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
WRITTEN_EXAMPLES = [
    pytest.param(int(kind), bytes.fromhex(frame), id=name)
    for kind, name, frame in EXAMPLE.findall(PROTOCOL)
]
PAGES = [pytest.param(path, id=str(path.relative_to(ROOT))) for path in pages()]


@pytest.mark.parametrize("path", PAGES)
def test_generated_parts_are_what_the_code_makes_now(path: Path) -> None:
    page = path.read_text(encoding="utf-8")
    assert rendered(page) == page, "run: python -m docs.generate"


def test_every_message_is_on_the_page() -> None:
    written = {param.values[0] for param in WRITTEN_EXAMPLES}
    assert written == {message.kind for message in EXAMPLES}


@pytest.mark.parametrize(("kind", "frame"), WRITTEN_EXAMPLES)
def test_example_frame_on_the_page_is_the_message_it_says(kind: int, frame: bytes) -> None:
    decoder = FrameDecoder(LINK_FRAME_LIMIT_BYTES)
    decoder.receive_data(frame)
    decoded = decoder.next_frame()
    assert decoded is not None
    assert decoded.kind == kind
    assert decoder.buffered_bytes == 0
    (example,) = [example for message, example in EXAMPLES.items() if message.kind == kind]
    assert frame == m.encode(example)


@pytest.mark.parametrize(("kind", "frame"), WRITTEN_EXAMPLES)
def test_example_frame_is_understood_by_the_end_it_is_for(kind: int, frame: bytes) -> None:
    (message,) = [message for message in EXAMPLES if message.kind == kind]
    for (phase, side), allowed in TRANSITIONS.items():
        if message in allowed:
            _, receiver = ends_by_speaker(phase, side)
            received = list(receiver.receive(frame))
            assert received == ([] if message is m.Part else [EXAMPLES[message]])


def test_example_token_on_the_page_can_be_read() -> None:
    (written,) = re.findall(r"^```token\n(.*)\n```$", PROTOCOL, re.MULTILINE)
    assert parse_token(written) == TOKEN


@pytest.mark.parametrize("path", [*PAGES, pytest.param(ROOT / "README.md", id="README.md")])
def test_links_lead_somewhere(path: Path) -> None:
    for target in LINK.findall(path.read_text(encoding="utf-8")):
        if target.startswith(("https://", "http://")):
            continue
        file, _, anchor = target.partition("#")
        linked = path.parent / file if file else path
        assert linked.exists(), target
        if anchor:
            assert anchor in anchors(linked), target


def anchors(page: Path) -> set[str]:
    """As they are made from headings where the pages are read."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
