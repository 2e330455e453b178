"""The picture in the documentation: made by a command, and whole wherever it is looked at."""

import re

from docs.make_picture import PICTURE, self_contained

DRAWN = (
    "<style>@font-face {\n src: url(https://fonts.example/x.woff2);\n}\n"
    ".m { font-family: Fira Code, monospace; }</style>"
    '<text class="terminal-1-r4" x="100" y="20" textLength="61" clip-path="url(#a)">'
    "&#160;&#160;a&amp;b&#160;</text>"
)


def test_picture_needs_nothing_from_elsewhere() -> None:
    drawn = PICTURE.read_text()
    assert set(re.findall(r"https?://[^\"'<> ]+", drawn)) <= {
        "http://www.w3.org/2000/svg",
        "https://www.textualize.io",
    }
    assert "@font-face" not in drawn
    assert "heartline" in drawn


def test_fonts_and_leading_blanks_are_taken_out() -> None:
    text = (
        '<text class="terminal-1-r4" x="124.4" y="20" textLength="36.6" clip-path="url(#a)">'
        "a&amp;b</text>"
    )
    style = "<style>\n.m { font-family: ui-monospace, Menlo, Consolas, monospace; }</style>"
    assert self_contained(DRAWN) == style + text
