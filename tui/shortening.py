"""Text in fewer cells than it needs: what is given up is marked. Pure."""

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size

from tui.tones import Piece, Pieces


def shorten(text: str, width: int) -> str:
    """`text` in at most `width` cells, its end given up for an ellipsis."""
    if len(text) <= width and text.isascii():
        return text
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1).rstrip() + "…" if width > 1 else "…"[:width]


def shorten_path(path: str, width: int) -> str:
    """`path` in at most `width` cells: of a path the end tells more, and whole names more still."""
    if cell_len(path) <= width:
        return path
    parts = path.split("/")
    for start in range(1, len(parts)):
        tail = "…/" + "/".join(parts[start:])
        if cell_len(tail) <= width:
            return tail
    return shorten(parts[-1], width)


def shorten_pieces(pieces: Sequence[Piece], width: int) -> Pieces:
    """`pieces` in at most `width` cells, their end given up for an ellipsis."""
    if sum(cell_len(text) for text, _ in pieces) <= width:
        return tuple(pieces)
    kept: list[Piece] = []
    room = max(0, width - 1)
    for text, tone in pieces:
        if cell_len(text) > room:
            kept.append(Piece(set_cell_size(text, room).rstrip() + "…"[:width], tone))
            break
        kept.append(Piece(text, tone))
        room -= cell_len(text)
    return tuple(kept)
