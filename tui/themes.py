"""The colours of the dashboard; what it tells apart has names of its own that every theme fills."""

from collections.abc import Mapping
from typing import Final

from textual.theme import Theme

COLOURS: Final[Mapping[str, str]] = {
    "tone-muted": "#8592a3",
    "tone-faint": "#333d4a",
    "tone-away": "#6b7685",
    "tone-series": "#58a6ff",
    "tone-other": "#d2a8ff",
    "row-cursor": "#1c3350",
    "banner": "#5c1f2a",
    "state-up": "#3fb97f",
    "state-joining": "#39c5cf",
    "state-awaited": "#58a6ff",
    "state-late": "#e3b341",
    "state-hung": "#f0883e",
    "state-lost": "#db7fd8",
    "state-down": "#f2555a",
}
"""What a theme uses unless it says otherwise; whole colours, since cells are not blended."""

DARK: Final = Theme(
    name="heartline-dark",
    dark=True,
    background="#0e1116",
    surface="#151a21",
    panel="#1b222c",
    foreground="#c9d4e0",
    primary="#58a6ff",
    secondary="#39c5cf",
    success="#3fb97f",
    warning="#e3b341",
    error="#f2555a",
    accent="#d2a8ff",
    variables={
        "footer-key-foreground": "#58a6ff",
        "footer-background": "#151a21",
        "footer-item-background": "#151a21",
        "footer-description-background": "#151a21",
        "footer-key-background": "#151a21",
    },
)

THEMES: Final = (DARK,)
"""All of them; the first is used."""
