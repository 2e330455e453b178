"""A screen of nothing but ASCII, for terminals that know nothing else.

Pure. Every character is replaced by others of the same width, so that nothing moves.
"""

from typing import Final

from rich.cells import get_character_cell_size

_LOOKALIKES: Final = str.maketrans(
    {
        "●": "*",
        "✗": "x",
        "◇": "?",
        "■": "#",
        "▲": "^",
        "▼": "v",
        "◔": "w",
        "◌": "j",
        "·": ".",
        "○": "o",
        "⊘": "%",
        "◆": "+",
        "◉": "@",
        "▌": ">",
        "♥": "*",
        "▸": ">",
        "▾": "v",
        "‖": "!",
        "≈": "~",
        "╵": "'",
        "–": "-",
        "…": "~",
        "⏎": "=",
        "×": "x",
        "°": "'",
        "→": ">",
        "←": "<",
        "↑": "^",
        "↓": "v",
        "“": '"',
        "”": '"',
        "━": "=",
        "╸": "-",
        "╺": ".",
        "╍": "-",
        "◀": "<",
        "─": "-",
        "│": "|",
        "├": "|",
        "└": "`",
        "╭": "+",
        "╮": "+",
        "╰": "+",
        "╯": "+",
        "▁": ".",
        "▂": ".",
        "▃": ":",
        "▄": ":",
        "▅": "|",
        "▆": "|",
        "▇": "#",
        "█": "#",
    }
)
"""What each sign of the dashboard looks like at best."""


def to_ascii(text: str) -> str:
    """`text` in ASCII, as wide as it was; escape sequences, which are ASCII, stay as they are."""
    if text.isascii():
        return text
    return "".join(
        each if each.isascii() else "?" * get_character_cell_size(each)
        for each in text.translate(_LOOKALIKES)
    )
