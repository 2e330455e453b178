"""How a dashboard is started: what the settings and the command say, and what the terminal can do.

Pure but for `from_environment`, which is told the environment.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal, TypeAlias

from tui.filters import EVERYTHING, Filter
from tui.look import Look, Symbols

SymbolsWanted: TypeAlias = Literal["auto", "braille", "blocks", "ascii"]

_CONSOLES: Final = frozenset({"linux", "vt100", "vt220", "ansi"})
"""Terminals whose fonts have no braille."""

_FEW_COLOURS: Final = frozenset({"linux", "ansi", "xterm", "screen", "rxvt", "cygwin"})
"""Terminals that may have no more than 16 colours, unless `COLORTERM` says otherwise."""


_PLAIN_LOCALES: Final = frozenset({"C", "POSIX"})
_COERCED: Final = frozenset({"C.UTF-8", "C.utf8", "UTF-8"})


@dataclass(frozen=True, slots=True)
class Options:
    """What holds for one run of the dashboard."""

    look: Look = field(default_factory=Look)
    folder: Path | None = None
    """Where preferences and pictures are kept; None: nowhere."""
    filter: Filter = EVERYTHING
    """The nodes to show at first."""
    is_plain: bool = False
    """Whether the terminal has 16 colours, or fewer."""


def for_terminal(
    options: Options, environment: Mapping[str, str], wanted: SymbolsWanted = "auto"
) -> Options:
    """`options` with the symbols and colours that the terminal can show, unless named."""
    symbols = symbols_of(environment) if wanted == "auto" else Symbols(wanted)
    return replace(
        options,
        look=replace(options.look, symbols=symbols),
        is_plain=has_few_colours(environment),
    )


def symbols_of(environment: Mapping[str, str]) -> Symbols:
    """What a terminal can draw with, by its locale and kind.

    Python turns `LANG=C` into `LC_CTYPE=C.UTF-8` for itself and its children, so that this pair
    means that somebody asked for plain C.
    """
    names = ["LC_ALL", "LC_CTYPE", "LANG"]
    if environment.get("LC_CTYPE") in _COERCED and environment.get("LANG") in _PLAIN_LOCALES:
        names.remove("LC_CTYPE")
    locale = next((environment[name] for name in names if environment.get(name)), "")
    encoding = locale.partition(".")[2].casefold().replace("-", "")
    if locale and not encoding.startswith("utf8"):
        return Symbols.ASCII
    if environment.get("TERM", "") in _CONSOLES:
        return Symbols.BLOCKS
    return Symbols.BRAILLE


def has_few_colours(environment: Mapping[str, str]) -> bool:
    """Whether whole colours would be lost on this terminal."""
    if environment.get("COLORTERM", "") in {"truecolor", "24bit"}:
        return False
    term = environment.get("TERM", "")
    return term in _FEW_COLOURS or term.endswith("-16color")
