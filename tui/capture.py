"""What `s` and `y` take along: the screen as text and as a picture."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from textual.strip import Strip

from shared.private_files import write_private

FOLDER: Final = "screenshots"


def text_of(strips: Iterable[Strip]) -> str:
    """A painted screen as lines of text, without blanks at their ends."""
    return "".join(f"{strip.text.rstrip()}\n" for strip in strips)


def store(folder: Path, stem: str, svg: str, text: str) -> tuple[Path, Path]:
    """Writes both files beside each other under `folder`, for this user alone; where they are.

    Raises:
        OSError: they cannot be written.
    """
    place = folder / FOLDER
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    picture, words = place / f"{stem}.svg", place / f"{stem}.txt"
    write_private(picture, svg.encode())
    write_private(words, text.encode())
    return picture, words
