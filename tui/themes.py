"""The colours of the dashboard; what it tells apart has names of its own that every theme fills.

No colour is the only sign of anything: states have a shape and a word, values their number. The
palettes keep good, worth an eye and bad apart in lightness too, for eyes that do not tell red from
green.
"""

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
    "banner-past": "#4a3d12",
    "state-up": "#3fb97f",
    "state-joining": "#39c5cf",
    "state-awaited": "#58a6ff",
    "state-late": "#e3b341",
    "state-hung": "#f0883e",
    "state-lost": "#db7fd8",
    "state-down": "#f2555a",
}
"""What a theme uses unless it says otherwise; whole colours, since cells are not blended."""


def _footer(key: str, ground: str) -> dict[str, str]:
    return {
        "footer-key-foreground": key,
        "footer-background": ground,
        "footer-item-background": ground,
        "footer-description-background": ground,
        "footer-key-background": ground,
    }


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
    variables=_footer("#58a6ff", "#151a21"),
)

LIGHT: Final = Theme(
    name="heartline-light",
    dark=False,
    background="#fbfcfd",
    surface="#eef1f5",
    panel="#e3e8ee",
    foreground="#1f2933",
    primary="#0550ae",
    secondary="#0a7480",
    success="#116b3c",
    warning="#8a5a00",
    error="#b3121d",
    accent="#6f3fb5",
    variables={
        "tone-muted": "#57636f",
        "tone-faint": "#c3ccd6",
        "tone-away": "#6e7986",
        "tone-series": "#0969da",
        "tone-other": "#8250df",
        "row-cursor": "#cfe3ff",
        "banner": "#ffd7d9",
        "banner-past": "#fff0c2",
        "state-up": "#116b3c",
        "state-joining": "#0a7480",
        "state-awaited": "#0550ae",
        "state-late": "#8a5a00",
        "state-hung": "#a34500",
        "state-lost": "#9a2795",
        "state-down": "#b3121d",
        **_footer("#0550ae", "#eef1f5"),
    },
)

CONTRAST: Final = Theme(
    name="heartline-contrast",
    dark=True,
    background="#000000",
    surface="#000000",
    panel="#1a1a1a",
    foreground="#ffffff",
    primary="#6ab7ff",
    secondary="#00ffff",
    success="#00ff9c",
    warning="#ffd700",
    error="#ff6b6b",
    accent="#ff9cff",
    variables={
        "tone-muted": "#d0d0d0",
        "tone-faint": "#808080",
        "tone-away": "#b8b8b8",
        "tone-series": "#6ab7ff",
        "tone-other": "#ff9cff",
        "row-cursor": "#003c8f",
        "banner": "#8b0000",
        "banner-past": "#5c4a00",
        "state-up": "#00ff9c",
        "state-joining": "#00ffff",
        "state-awaited": "#6ab7ff",
        "state-late": "#ffd700",
        "state-hung": "#ff9f40",
        "state-lost": "#ff9cff",
        "state-down": "#ff6b6b",
        **_footer("#6ab7ff", "#000000"),
    },
)

PLAIN: Final = Theme(
    name="heartline-plain",
    dark=True,
    background="#000000",
    surface="#000000",
    panel="#000000",
    foreground="#aaaaaa",
    primary="#55ffff",
    secondary="#55ffff",
    success="#55ff55",
    warning="#ffff55",
    error="#ff5555",
    accent="#ff55ff",
    variables={
        "tone-muted": "#aaaaaa",
        "tone-faint": "#555555",
        "tone-away": "#555555",
        "tone-series": "#55ffff",
        "tone-other": "#ff55ff",
        "row-cursor": "#0000aa",
        "banner": "#aa0000",
        "banner-past": "#aa5500",
        "state-up": "#55ff55",
        "state-joining": "#55ffff",
        "state-awaited": "#55ffff",
        "state-late": "#ffff55",
        "state-hung": "#ffff55",
        "state-lost": "#ff55ff",
        "state-down": "#ff5555",
        **_footer("#55ffff", "#000000"),
    },
)
"""Nothing but the 16 colours that every terminal has."""

THEMES: Final = (DARK, LIGHT, CONTRAST, PLAIN)
"""All of them; the first is used where nothing else is said."""

TITLES: Final[Mapping[str, str]] = {
    DARK.name: "dark",
    LIGHT.name: "light",
    CONTRAST.name: "high contrast",
    PLAIN.name: "16 colours",
}
"""What people call them."""
