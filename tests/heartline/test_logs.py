"""Log lines: for people and for machines, one a record, harmless to a terminal."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from heartline.logs import LogFormat, configure


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    """Gives pytest its own handlers back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)


def logged(form: LogFormat, message: str, **extra: object) -> str:
    stream = io.StringIO()
    configure(logging.INFO, form, stream)
    logging.getLogger("master.listener").info(message, extra=extra)
    return stream.getvalue()


def test_a_line_holds_time_level_logger_message_and_keys() -> None:
    line = logged(LogFormat.TEXT, "enrolled", node="web-1", address="10.0.0.5:4000")
    time, rest = line.split(" ", 1)
    assert time.endswith("Z")
    assert rest == "INFO    master.listener enrolled node=web-1 address=10.0.0.5:4000\n"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("two words", '"two words"'),
        ("", '""'),
        ('a"b', '"a\\"b"'),
        ("a=b", '"a=b"'),
        ("a\nb", '"a\\nb"'),
        ("\x1b[31m", '"\\x1b[31m"'),
        (5, "5"),
    ],
)
def test_values_are_quoted_where_they_could_be_misread(value: object, written: str) -> None:
    assert logged(LogFormat.TEXT, "x", key=value).rstrip("\n").endswith(f" x key={written}")


def test_a_message_cannot_forge_a_second_line() -> None:
    assert logged(LogFormat.TEXT, "one\ntwo").count("\n") == 1


def test_json_lines_hold_the_same_by_name() -> None:
    record = json.loads(logged(LogFormat.JSON, "enrolled", node="web-1", tries=2, at=None))
    assert record.pop("time").endswith("Z")
    assert record == {
        "level": "info",
        "logger": "master.listener",
        "message": "enrolled",
        "node": "web-1",
        "tries": 2,
        "at": None,
    }


@pytest.mark.parametrize("form", list(LogFormat))
def test_an_exception_comes_with_its_traceback(form: LogFormat) -> None:
    stream = io.StringIO()
    configure(logging.INFO, form, stream)
    try:
        int("the cause")
    except ValueError:
        logging.getLogger("x").exception("it failed")
    assert "ValueError: invalid literal" in stream.getvalue()


def test_records_below_the_level_are_not_written() -> None:
    stream = io.StringIO()
    configure(logging.INFO, LogFormat.TEXT, stream)
    logging.getLogger("x").debug("detail")
    assert not stream.getvalue()


def test_a_disk_that_is_full_stops_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    class Full(io.StringIO):
        def write(self, text: str, /) -> int:
            raise OSError(28, "No space left on device")

    configure(logging.INFO, LogFormat.TEXT, Full())
    logging.getLogger("x").info("lost")
    assert not capsys.readouterr().err
