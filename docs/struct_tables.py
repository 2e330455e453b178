"""Tables of Structs and constants for the documentation, read from the code itself.

Types, limits and defaults come from the annotations; what a field means from the string below it in
the source, which no run-time inspection can see.
"""

import ast
import inspect
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from types import MappingProxyType, ModuleType
from typing import Final, cast

import msgspec
import msgspec.inspect as mi
from msgspec import Struct

from shared.messages import Message

_REQUIRED: Final = ""


def field_table(struct: type[Struct]) -> str:
    """Markdown rows of a Struct's fields in wire order: number, name, type, default, meaning."""
    meanings = meanings_of(struct)
    info = cast("mi.StructType", mi.type_info(struct))
    rows = [
        (
            str(index),
            f"`{field.name}`",
            type_in_words(field.type),
            _default(field),
            meanings.get(field.name, ""),
        )
        for index, field in enumerate(info.fields)
    ]
    return table(("#", "field", "type", "default", "meaning"), rows)


def meanings_of(struct: type[Struct]) -> dict[str, str]:
    """What stands below each of a Struct's own fields in the source."""
    strings = _strings_below(sys.modules[struct.__module__], struct.__name__)
    return {name: _as_prose(text) for name, text in strings.items()}


def code_table(namespace: type, marks: Mapping[str, str] = MappingProxyType({})) -> str:
    """Markdown rows of a class that only names string codes; `marks`: a word on some."""
    meanings = _strings_below(sys.modules[namespace.__module__], namespace.__name__)
    rows = [
        (f"`{value}`", marks.get(value, ""), _as_prose(meanings.get(name, "")))
        for name, value in vars(namespace).items()
        if isinstance(value, str) and not name.startswith("_")
    ]
    return table(("code", "", "meaning"), rows)


def constant_rows(module: ModuleType, *names: str) -> list[tuple[str, str, str]]:
    """(name, value, reason) of module constants, the reason from the string below each."""
    reasons = _strings_below(module, None)
    return [
        (
            f"`{name}`",
            f"{getattr(module, name):,}".replace(",", " "),
            _as_prose(reasons.get(name, "")),
        )
        for name in names
    ]


def summary(documented: type) -> str:
    """A class's docstring as Markdown paragraphs."""
    return inspect.cleandoc(documented.__doc__ or "")


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table; columns in which every cell is empty are left out."""
    columns = [column for column in zip(head, *rows, strict=True) if any(column[1:])]
    if not columns:
        return ""
    lines = ["| " + " | ".join(row) + " |" for row in zip(*columns, strict=True)]
    lines.insert(1, "|" + "---|" * len(columns))
    return "\n".join(line.rstrip() for line in lines)


def type_in_words(info: mi.Type) -> str:
    """What may stand in a field, with its limits."""
    match info:
        case mi.Metadata(type=inner):
            return type_in_words(inner)
        case mi.NoneType():
            return "nil"
        case mi.BoolType():
            return "boolean"
        case mi.IntType(ge=low, le=high):
            return "integer" + _range(low, high)
        case mi.FloatType(ge=low, le=high):
            return "number" + _range(low, high)
        case mi.StrType(max_length=longest):
            return "text" + (f" ≤ {longest}" if longest else "")
        case mi.BytesType():
            return "bytes"
        case mi.RawType():
            return "any"
        case mi.UnionType(types=types):
            return " or ".join(map(type_in_words, types))
        case mi.VarTupleType(item_type=item, max_length=most):
            return f"array{f' ≤ {most}' if most else ''} of {type_in_words(item)}"
        case mi.DictType(key_type=key, value_type=value, max_length=most):
            most_in_words = f" ≤ {most}" if most else ""
            return f"map{most_in_words} of {type_in_words(key)} to {type_in_words(value)}"
        case mi.StructType(cls=cls):
            return f"[{cls.__name__}](#{anchor_of(cls)})"
        case _:
            raise TypeError(f"no words for {info}")


def anchor_of(struct: type[Struct]) -> str:
    """Where a Struct's section is: messages have their kind in the heading."""
    kind = f"{struct.kind}-" if issubclass(struct, Message) else ""
    return f"{kind}{struct.__name__.lower()}"


def _range(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return ""
    return f" {_number(low)}…{_number(high)}"


def _number(number: float | None) -> str:
    if number is None:
        return ""
    if abs(number) == 2**53:
        return "-2⁵³" if number < 0 else "2⁵³"
    return f"{number:g}" if isinstance(number, float) else str(number)


def _default(field: mi.Field) -> str:
    if field.required:
        return _REQUIRED
    value = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    return "nil" if value is None else f"`{msgspec.json.encode(value).decode()}`"


def _as_prose(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


@cache
def _tree(module: ModuleType) -> ast.Module:
    return ast.parse(inspect.getsource(module))


def _strings_below(module: ModuleType, class_name: str | None) -> dict[str, str]:
    body: list[ast.stmt] = _tree(module).body
    if class_name is not None:
        (body,) = [n.body for n in body if isinstance(n, ast.ClassDef) and n.name == class_name]
    strings: dict[str, str] = {}
    name = ""
    for node in body:
        match node:
            case ast.AnnAssign(target=ast.Name(id=name)):
                pass
            case ast.Expr(value=ast.Constant(value=str(text))) if name:
                strings[name] = text
                name = ""
            case _:
                name = ""
    return strings
