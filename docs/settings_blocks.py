"""The reference of `docs/configuration.md`, made from the settings' own annotations."""

from itertools import groupby
from typing import Final

import msgspec
import msgspec.inspect as mi

from docs.struct_tables import meanings_of, table, type_in_words
from shared.config import OTHER_VARIABLES, Setting, profile_reference, reference
from shared.families_explained import EXPLAINED
from shared.families_settings import FamiliesSettings, FamilySettings, ProcessSettings
from shared.metrics import FAMILIES

_FAMILIES: Final = "agent.families."


def reference_tables() -> str:
    """A table per section of the settings file: key, default, what is accepted, what it is."""
    settings = [setting for setting in reference() if not setting.key.startswith(_FAMILIES)]
    settings += profile_reference()
    sections = groupby(settings, key=lambda setting: setting.key.rpartition(".")[0])
    return "\n\n".join(
        f"### `[{section}]`\n\n{_section_table(list(members))}" for section, members in sections
    )


def family_tables() -> str:
    """What every family can be told, and each one's defaults."""
    shared_keys = FamilySettings.__struct_fields__
    defaults = FamiliesSettings()
    rows = [
        (f"`{family}`", *(_as_toml(getattr(getattr(defaults, family), key)) for key in shared_keys))
        for family in FAMILIES
    ]
    own = [key for key in ProcessSettings.__struct_fields__ if key not in shared_keys]
    return "\n\n".join(
        (
            _keys_table(FamilySettings, list(shared_keys)),
            "The defaults:",
            table(("family", *(f"`{key}`" for key in shared_keys)), rows),
            "`processes` has these too:",
            _keys_table(ProcessSettings, own),
        )
    )


def reading_table() -> str:
    """What each family reads, and which of its fields are off unless switched on."""
    rows = [
        (f"`{family}`", explained.reads, ", ".join(f"`{name}`" for name in explained.on_request))
        for family, explained in EXPLAINED.items()
    ]
    return table(("family", "reads", "only when switched on"), rows)


def variable_table() -> str:
    """The environment variables beside the settings."""
    return table(("variable", "is"), ((f"`{name}`", is_) for name, is_ in OTHER_VARIABLES.items()))


def _section_table(settings: list[Setting]) -> str:
    rows = [
        (
            f"`{setting.key.rpartition('.')[2]}`",
            "" if setting.default is None else _as_toml(setting.default),
            setting.expected,
            setting.description + (" (SIGHUP)" if setting.reloadable else ""),
        )
        for setting in settings
    ]
    return table(("key", "default", "accepted", "meaning"), rows)


def _keys_table(settings: type[FamilySettings], keys: list[str]) -> str:
    meanings = meanings_of(settings)
    types = {field.name: field.type for field in msgspec.structs.fields(settings)}
    defaults = settings()
    rows = [
        (
            f"`{key}`",
            _as_toml(getattr(defaults, key)),
            type_in_words(mi.type_info(types[key])),
            meanings.get(key, ""),
        )
        for key in keys
    ]
    return table(("key", "default", "accepted", "meaning"), rows)


def _as_toml(value: object) -> str:
    # For what settings can be, JSON and TOML are the same but for whole numbers given as floats.
    whole = int(value) if isinstance(value, float) and value.is_integer() else value
    return f"`{msgspec.json.encode(whole).decode()}`"
