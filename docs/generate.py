"""Writes the parts of the documentation that are made from the code: `python -m docs.generate`.

A page holds such a part between two comments, `<!-- generated: NAME -->` and `<!-- end -->`. A test
compares every page with what this would write, so that neither code nor page can drift.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from docs import dashboard_blocks, facts_blocks, protocol_blocks, recording_blocks, settings_blocks

FOLDER: Final = Path(__file__).parent

BLOCKS: Final[Mapping[str, Callable[[], str]]] = {
    "token": facts_blocks.token_layout,
    "liveness": facts_blocks.liveness_table,
    "exit codes": facts_blocks.exit_codes,
    "causes": facts_blocks.causes,
    "timeouts": facts_blocks.timeouts,
    "limits": protocol_blocks.limits,
    "state diagram": protocol_blocks.state_diagram,
    "transitions": protocol_blocks.transition_table,
    "message table": protocol_blocks.message_table,
    "messages": protocol_blocks.message_sections,
    "nested": protocol_blocks.nested_sections,
    "core": protocol_blocks.core_table,
    "inventory": protocol_blocks.inventory_sections,
    "families": protocol_blocks.family_sections,
    "violations": protocol_blocks.violations,
    "refusals": protocol_blocks.refusals,
    "partings": protocol_blocks.partings,
    "settings": settings_blocks.reference_tables,
    "readings": settings_blocks.reading_table,
    "family settings": settings_blocks.family_tables,
    "variables": settings_blocks.variable_table,
    "keys": dashboard_blocks.keys,
    "measures": dashboard_blocks.measures,
    "columns": dashboard_blocks.columns,
    "pages": dashboard_blocks.pages,
    "recorded messages": recording_blocks.recorded_messages,
    "records": recording_blocks.records,
}

_BLOCK: Final = re.compile(
    r"(?P<begin><!-- generated: (?P<name>[^>]+) -->\n).*?(?P<end><!-- end -->)", re.DOTALL
)


def pages() -> Iterator[Path]:
    """Every page of the documentation."""
    yield from sorted(FOLDER.rglob("*.md"))


def rendered(page: str) -> str:
    """The text of a page with every generated part as the code is now.

    Raises:
        KeyError: a part that nobody makes.
    """
    return _BLOCK.sub(_render, page)


def _render(block: re.Match[str]) -> str:
    return f"{block['begin']}\n{BLOCKS[block['name']]()}\n\n{block['end']}"


def main() -> None:
    """Rewrites the pages whose generated parts have changed."""
    for path in pages():
        text = path.read_text(encoding="utf-8")
        if (new := rendered(text)) != text:
            path.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
