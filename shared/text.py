"""Text from elsewhere, made safe to show.

An agent is not trusted with the operator's terminal: escape sequences, control characters and
bidirectional overrides in any string it sends could move the cursor, forge lines or reverse text.
They are removed where a string enters the master, once, so that no screen, log or page has to
remember to.
"""

import unicodedata
from typing import Final

NAME_LIMIT_CHARACTERS: Final = 64
"""Longest name of a node, family or label: fits on a line and in a certificate's common name."""

TEXT_LIMIT_CHARACTERS: Final = 512
"""Longest free text (reasons, notes, descriptions)."""

# Cc control, Cf format (bidirectional overrides, zero-width, byte-order mark), Cs lone surrogates,
# Co private use, Cn unassigned, Zl/Zp line and paragraph separators.
_UNSAFE_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def clean(text: str, limit_characters: int = TEXT_LIMIT_CHARACTERS) -> str:
    """`text` without characters that could drive a terminal or reverse a line, cut to the limit.

    Line breaks and tabs become blanks, so that the words at their sides stay apart.
    """
    if text.isascii() and text.isprintable():
        return text[:limit_characters]
    kept = (
        " " if c.isspace() else c
        for c in text
        if c.isspace() or unicodedata.category(c) not in _UNSAFE_CATEGORIES
    )
    return "".join(kept)[:limit_characters]


def clean_name(text: str, fallback: str = "unnamed") -> str:
    """A name safe to show and to type: cleaned, without blanks, never empty or like an option."""
    return "-".join(clean(text, NAME_LIMIT_CHARACTERS).split()).lstrip("-") or fallback
