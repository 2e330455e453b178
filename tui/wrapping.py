"""Pieces over several lines, broken between words. Pure."""

import re
from collections.abc import Iterable, Iterator
from itertools import chain

from rich.cells import cell_len, chop_cells

from tui.tones import Piece, Pieces


def wrapped(pieces: Pieces, width: int, most: int) -> list[Pieces]:
    """`pieces` in lines of `width` cells, `most` of them at most: the last one holds what is left
    over, however long that is. A word that is longer than a line, such as a path, is broken."""
    lines: list[list[Piece]] = [[]]
    used = 0
    for word, tone in _words(pieces, max(1, width)):
        fits = used + cell_len(word.rstrip()) <= width
        if used and not fits and len(lines) < most:
            lines.append([])
            used = 0
        text = word if used else word.lstrip()
        lines[-1].append(Piece(text, tone))
        used += cell_len(text)
    return [tuple(_joined(line)) for line in lines]


def _words(pieces: Iterable[Piece], width: int) -> Iterator[Piece]:
    for piece in pieces:
        words = re.findall(r"\s*\S+\s*|\s+", piece.text)
        for part in chain.from_iterable(chop_cells(word, width) for word in words):
            yield Piece(part, piece.tone)


def _joined(words: Iterable[Piece]) -> Iterator[Piece]:
    # As few pieces as before: neighbours of one tone are one again.
    text, tone = "", None
    for word in words:
        if tone is not None and word.tone is not tone:
            yield Piece(text, tone)
            text = ""
        text, tone = text + word.text, word.tone
    if tone is not None:
        yield Piece(text, tone)
