"""The host's own words, made fit to be sent.

Names of files, users and processes are bytes to the kernel. Python passes on those that are no
UTF-8 as lone surrogates, which no encoder takes: one oddly named mount would silence its family.
"""

from typing import Final

NAME_CHARACTERS: Final = 256
"""What `shared.families.Name` takes."""


def fit(text: str, limit_characters: int = NAME_CHARACTERS) -> str:
    """`text` as whole UTF-8, with `?` for what is none, cut to the limit."""
    if text.isascii():
        return text[:limit_characters]
    return text[:limit_characters].encode("utf-8", "replace").decode("utf-8")
