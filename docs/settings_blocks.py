"""The reference of `docs/configuration.md`, made from the settings' own annotations."""

from itertools import groupby

import msgspec

from docs.struct_tables import table
from shared.config import OTHER_VARIABLES, Setting, reference


def reference_tables() -> str:
    """A table per section of the settings file: key, default, what is accepted, what it is."""
    sections = groupby(reference(), key=lambda setting: setting.key.rpartition(".")[0])
    return "\n\n".join(
        f"### `[{section}]`\n\n{_section_table(list(settings))}" for section, settings in sections
    )


def variable_table() -> str:
    """The environment variables beside the settings."""
    return table(("variable", "is"), ((f"`{name}`", is_) for name, is_ in OTHER_VARIABLES.items()))


def _section_table(settings: list[Setting]) -> str:
    rows = [
        (
            f"`{setting.key.rpartition('.')[2]}`",
            f"`{msgspec.json.encode(setting.default).decode()}`",
            setting.expected,
            setting.description + (" (SIGHUP)" if setting.reloadable else ""),
        )
        for setting in settings
    ]
    return table(("key", "default", "accepted", "meaning"), rows)
