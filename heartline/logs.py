"""Logging: one line a record, for people or for machines.

    2026-11-20T14:03:22.117Z INFO    master.listener enrolled node=web-1 address=10.0.0.5:51234

Programs log an unchanging message and put what varies into `extra`. No value can begin a new line
or move a terminal's cursor. What cannot be written is dropped: a full disk must not stop a heart.
"""

import logging
import sys
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, TextIO

import msgspec

_STANDARD: Final = frozenset(
    logging.LogRecord("", 0, "", 0, "", (), None).__dict__.keys()
    | {"message", "asctime", "taskName"}
)
"""Attributes every record has; the others came in as `extra`."""


class LogFormat(StrEnum):
    """How a record is written."""

    TEXT = "text"
    JSON = "json"


class TextFormatter(logging.Formatter):
    """`time level logger message key=value`; a traceback follows on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of one record."""
        fields = "".join(f" {key}={_quoted(value)}" for key, value in _extra(record).items())
        head = f"{_time(record)} {record.levelname:<7} {record.name}"
        line = f"{head} {_printable(record.getMessage())}{fields}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class JsonFormatter(logging.Formatter):
    """An object a line: time, level, logger, message, the record's own keys, exception."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of one record."""
        content: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        content |= {key: _plain(value) for key, value in _extra(record).items()}
        if record.exc_info:
            content["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(content).decode()


class _Handler(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        if not isinstance(sys.exception(), OSError):
            super().handleError(record)


def configure(level: int, form: LogFormat = LogFormat.TEXT, stream: TextIO | None = None) -> None:
    """Sends every record of `level` and above to `stream` (default: standard error), once."""
    handler = _Handler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if form is LogFormat.JSON else TextFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)


def _extra(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _printable(text: str) -> str:
    return text if text.isprintable() else text.encode("unicode_escape").decode()


def _quoted(value: object) -> str:
    text = str(value)
    if text and text.isprintable() and not any(c in ' "=' for c in text):
        return text
    return '"' + _printable(text.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | float | bool | None) else str(value)
