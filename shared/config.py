"""Where the settings come from: flags, then environment, then one TOML file, then the defaults.

Every key has one name in each place: `[master] period_s` in the file is `HEARTLINE_MASTER_PERIOD_S`
in the environment, `[agent.families.cpu] period_s` is `HEARTLINE_AGENT_FAMILIES__CPU__PERIOD_S`.
There, lists are separated by commas and tables written `key=value,key=value`. All is decoded once,
into the frozen Structs of `shared.settings`; an error names the source, the key, what was given and
what was expected. Unknown names are errors too, since a misspelt setting silently does nothing.
"""

import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar, cast

import msgspec
from msgspec import Struct, inspect

from shared.errors import ConfigError
from shared.settings import (
    PROFILE_NAME,
    RELOADABLE,
    InvalidSettingError,
    ProfileSettings,
    Settings,
)

PREFIX: Final = "HEARTLINE_"

PROFILES: Final = "profiles"
"""The table of tables whose names are the user's own: it stands in the file only."""

OTHER_VARIABLES: Final[Mapping[str, str]] = {
    "HEARTLINE_DATA": "the state folder, as --data",
    "HEARTLINE_CONFIG": "the settings file, as --config",
    "HEARTLINE_AGENT_JOIN": "the join token, as --join",
}
"""What the environment may hold beside the settings."""

# What Kubernetes puts into every container for a Service named heartline…: nobody's setting.
_SERVICE_VARIABLE: Final = re.compile(
    r".*_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)

_Group = TypeVar("_Group", bound=Struct)
_Table: TypeAlias = Mapping[str, object]


class Given(Struct, frozen=True):
    """A value and where it was given: a flag, a variable, or a file."""

    source: str
    value: object
    is_text: bool = False
    """The value still has to be read as what the setting is: variables hold nothing but text."""


class Setting(Struct, frozen=True, kw_only=True):
    """One key, as the reference documents it."""

    key: str
    variable: str
    expected: str
    default: object
    description: str
    reloadable: bool


def load(
    file: Path,
    *,
    environment: Mapping[str, str],
    flags: Mapping[str, Given] | None = None,
    required: bool = False,
) -> Settings:
    """The settings, each key from the first place that gives it.

    `flags` is by key (`master.listen`). A `file` that does not exist holds no settings, unless it
    is `required`.

    Raises:
        ConfigError: the file cannot be read, or a value or key is not acceptable.
    """
    given: dict[str, Given] = {}
    known = [key for key, _, _ in _leaves(Settings(), "")]
    content = _read(file, required=required)
    profiles = _profiles(file, content.pop(PROFILES, {}))
    _flatten(content, "", file, known, given)
    given.update(_from_environment(environment, known))
    given.update(flags or {})
    return msgspec.structs.replace(_build(Settings(), "", given), profiles=profiles)


def variable(key: str) -> str:
    """The environment variable of a key."""
    section, _, rest = key.partition(".")
    return PREFIX + f"{section}_{rest.replace('.', '__')}".upper()


def reference() -> Iterator[Setting]:
    """Every setting there is, in the order of the file."""
    for key, kind, default in _leaves(Settings(), ""):
        info = inspect.type_info(kind)
        yield Setting(
            key=key,
            variable=variable(key),
            expected=_expected(info),
            default=default,
            description=_description(info),
            reloadable=key in RELOADABLE,
        )


def profile_reference() -> Iterator[Setting]:
    """The settings of a profile, which stand in the file only."""
    for field in msgspec.structs.fields(ProfileSettings):
        info = inspect.type_info(field.type)
        yield Setting(
            key=f"{PROFILES}.NAME.{field.name}",
            variable="",
            expected=_expected(info),
            default=None,
            description=_description(info),
            reloadable=False,
        )


def _leaves(group: Struct, prefix: str) -> Iterator[tuple[str, Any, object]]:
    for field in msgspec.structs.fields(group):
        if field.name == PROFILES:
            continue
        value = getattr(group, field.name)
        if isinstance(value, Struct):
            yield from _leaves(value, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, field.type, value


# --- where values are given ----------------------------------------------------------------------


def _read(file: Path, *, required: bool) -> dict[str, object]:
    try:
        with file.open("rb") as stream:
            return tomllib.load(stream)
    except FileNotFoundError as error:
        if required:
            raise ConfigError(f"{file}: there is no such settings file") from error
        return {}
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: is not TOML: {error}") from error


def _profiles(file: Path, tables: object) -> dict[str, ProfileSettings]:
    if not isinstance(tables, dict):
        raise ConfigError(f"{file}: {PROFILES} is {tables!r}; expected tables [{PROFILES}.NAME]")
    named = cast("dict[str, object]", tables)
    return {name: _profile(file, name, table) for name, table in named.items()}


def _profile(file: Path, name: str, table: object) -> ProfileSettings:
    key = f"{PROFILES}.{name}"
    if PROFILE_NAME.fullmatch(name) is None:
        raise ConfigError(f"{file}: {key!r}: expected a name of letters, digits, - and _")
    if not isinstance(table, dict):
        raise ConfigError(f"{file}: {key} is {table!r}; expected a table [{key}]")
    given = cast("dict[str, object]", table)
    fields = {field.name: field for field in msgspec.structs.fields(ProfileSettings)}
    for unknown in given.keys() - fields.keys():
        suggestion = _suggestion(f"{key}.{unknown}", [f"{key}.{name}" for name in fields])
        raise ConfigError(f"{file}: there is no setting {key}.{unknown}" + suggestion)
    values: dict[str, Any] = {}
    for each in fields.values():
        if each.name not in given:
            expected = _expected(inspect.type_info(each.type))
            raise ConfigError(f"{file}: {key} lacks {each.name}; expected {expected}")
        value = Given(str(file), given[each.name])
        values[each.name] = _convert(f"{key}.{each.name}", each.type, value)
    try:
        return ProfileSettings(**values)
    except InvalidSettingError as error:
        value = Given(str(file), given[error.field])
        raise _error(f"{key}.{error.field}", value, error.expected) from error


def _flatten(
    table: _Table, prefix: str, file: Path, known: Collection[str], into: dict[str, Given]
) -> None:
    for name, value in table.items():
        key = prefix + name
        if key in known:
            into[key] = Given(str(file), value)
        elif key not in (tables := _tables(known)):
            suggestion = _suggestion(key, [*known, *tables])
            raise ConfigError(f"{file}: there is no setting {key}" + suggestion)
        elif isinstance(value, dict):
            _flatten(cast("_Table", value), key + ".", file, known, into)
        else:
            raise ConfigError(f"{file}: {key} is {value!r}; expected a table [{key}]")


def _tables(known: Collection[str]) -> set[str]:
    return {key[:dot] for key in known for dot in range(len(key)) if key[dot] == "."}


def _from_environment(
    environment: Mapping[str, str], known: Collection[str]
) -> Iterator[tuple[str, Given]]:
    keys = {variable(key): key for key in known}
    for name, text in sorted(environment.items()):
        if not name.startswith(PREFIX) or name in OTHER_VARIABLES:
            continue
        if name in keys:
            yield keys[name], Given(name, text, is_text=True)
        elif not _SERVICE_VARIABLE.fullmatch(name):
            suggestion = _suggestion(name, [*keys, *OTHER_VARIABLES])
            raise ConfigError(f"environment: there is no variable {name}" + suggestion)


def _suggestion(wrong: str, known: Collection[str]) -> str:
    import difflib  # noqa: PLC0415 - only an error needs it

    close = difflib.get_close_matches(wrong, known, n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


# --- values --------------------------------------------------------------------------------------


def _build(default: _Group, prefix: str, given: Mapping[str, Given]) -> _Group:
    """`default` with every value that is given below `prefix`."""
    values: dict[str, object] = {}
    for field in msgspec.structs.fields(default):
        key = prefix + field.name
        value = getattr(default, field.name)
        if isinstance(value, Struct):
            values[field.name] = _build(value, key + ".", given)
        elif key in given:
            values[field.name] = _convert(key, field.type, given[key])
        else:
            values[field.name] = value
    try:
        return type(default)(**values)
    except InvalidSettingError as error:
        key = prefix + error.field
        value = values[error.field]
        raise _error(key, given.get(key, Given("default", value)), error.expected) from error


def _convert(key: str, kind: Any, given: Given) -> object:
    info = inspect.type_info(kind)
    value = given.value
    try:
        if given.is_text and isinstance(value, str):
            value = _from_text(value, _bare(info))
        converted: object = msgspec.convert(value, kind, strict=not given.is_text)
    except (msgspec.ValidationError, ValueError) as error:
        raise _error(key, given, _expected(info)) from error
    return converted


def _from_text(text: str, info: inspect.Type) -> object:
    match info:
        case inspect.VarTupleType():
            return [part.strip() for part in text.split(",") if part.strip()]
        case inspect.DictType():
            pairs = [part.partition("=") for part in text.split(",") if part.strip()]
            if not all(equals for _, equals, _ in pairs):
                raise ValueError(f"{text!r} is not key=value,key=value")
            return {name.strip(): value.strip() for name, _, value in pairs}
        case _:
            return text.strip()


def _error(key: str, given: Given, expected: str) -> ConfigError:
    return ConfigError(f"{given.source}: {key} is {_shown(given.value)}; expected {expected}")


def _shown(value: object) -> str:
    # A flag that may be repeated gives several values at once.
    if isinstance(value, tuple):
        return ", ".join(map(repr, cast("tuple[object, ...]", value)))
    return repr(value)


# --- what is expected, in words ------------------------------------------------------------------


def _bare(info: inspect.Type) -> inspect.Type:
    while isinstance(info, inspect.Metadata):
        info = info.type
    return info


def _description(info: inspect.Type) -> str:
    if not isinstance(info, inspect.Metadata):
        return ""
    schema = cast("Mapping[str, object]", info.extra_json_schema or {})  # pyright: ignore[reportUnknownMemberType]
    return str(schema.get("description", ""))


def _expected(info: inspect.Type) -> str:
    match _bare(info):
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType(ge=least, gt=above, le=most):
            return "a whole number" + _bounds(least, above, most)
        case inspect.FloatType(ge=least, gt=above, le=most):
            return "a number" + _bounds(least, above, most)
        case inspect.StrType(min_length=shortest, max_length=longest):
            return "text" + _length(shortest, longest, "characters")
        case inspect.LiteralType(values=values):
            return f"one of {', '.join(map(str, values))}"
        case inspect.VarTupleType(item_type=item, min_length=fewest, max_length=most):
            return "a list" + _length(fewest, most, "entries") + f", each {_expected(item)}"
        case inspect.DictType(value_type=value, min_length=fewest, max_length=most):
            return "a table" + _length(fewest, most, "names") + f", each with {_expected(value)}"
        case other:
            raise TypeError(f"settings cannot be of type {other!r}")


def _bounds(least: float | None, above: float | None, most: float | None) -> str:
    low = f"above {_plain(above)}" if above is not None else ""
    if least is not None:
        low = f"from {_plain(least)}" if most is not None else f"of at least {_plain(least)}"
    join = "and at most" if above is not None else "to" if least is not None else "of at most"
    high = f"{join} {_plain(most)}" if most is not None else ""
    return "".join(f" {part}" for part in (low, high) if part)


def _length(fewest: int | None, most: int | None, noun: str) -> str:
    if most is None:
        return f" of at least {fewest} {noun}" if fewest else ""
    return f" of {fewest} to {most} {noun}" if fewest else f" of at most {most} {noun}"


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else str(number)
