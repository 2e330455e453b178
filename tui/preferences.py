"""What the user has chosen and the dashboard remembers, in one small file of the state folder.

The file is a convenience: one that cannot be read is said and then replaced, and one that cannot be
written is said once; neither ever ends the dashboard.
"""

from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from shared.private_files import write_private
from tui.columns import DEFAULT

FILE_NAME: Final = "dashboard.json"


class Preferences(Struct, frozen=True, kw_only=True):
    """The choices, as they are stored."""

    columns: tuple[str, ...] = DEFAULT
    order: str = ""
    is_reversed: bool = False
    group: str = ""
    theme: str = ""
    """Empty: the first of `tui.themes.THEMES`."""
    is_comb: bool = False


def load(folder: Path | None) -> tuple[Preferences, str]:
    """What is remembered in `folder` (None: nothing), and what was wrong with it, if anything."""
    if folder is None:
        return Preferences(), ""
    path = folder / FILE_NAME
    try:
        return msgspec.json.decode(path.read_bytes(), type=Preferences), ""
    except FileNotFoundError:
        return Preferences(), ""
    except OSError as error:
        return Preferences(), f"{path} cannot be read: {error.strerror or error}"
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return Preferences(), f"{path} is damaged, so the defaults are used: {error}"


def save(folder: Path | None, preferences: Preferences) -> str:
    """Remembers the choices; what went wrong, if anything. A crash leaves the old file or the new.

    Makes the folder where it is missing.
    """
    if folder is None:
        return ""
    path = folder / FILE_NAME
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(path, msgspec.json.format(msgspec.json.encode(preferences), indent=2))
    except OSError as error:
        return f"{path} cannot be written: {error.strerror or error}"
    return ""
