"""Results of a benchmark: a table for people, then the same as one line of JSON for programs."""

import json
from collections.abc import Sequence


def print_results(rows: Sequence[dict[str, object]], *, as_json: bool) -> None:
    """Prints rows that have the same keys; JSON alone where that is asked for."""
    if not as_json:
        print_table(rows)
    print(json.dumps(rows))


def print_table(rows: Sequence[dict[str, object]]) -> None:
    """Prints rows that have the same keys, and an empty line."""
    titles = list(rows[0])
    cells = [titles, *[[str(row[title]) for title in titles] for row in rows]]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        first, *others = line
        numbers = [text.rjust(width) for text, width in zip(others, widths[1:], strict=True)]
        print("  ".join([first.ljust(widths[0]), *numbers]))
    print()
