"""Where a join token comes from: a flag, a file, standard input, the environment."""

import os
import sys
from pathlib import Path
from typing import Final

import click

from shared.errors import reason_of

LIMIT_CHARACTERS: Final = 4096
"""Forty times a token: enough for blanks and accidents."""

VARIABLE: Final = "HEARTLINE_AGENT_JOIN"


def join_token(
    flag: str | None,
    file: Path | None,
    *,
    file_flag: str = "--join-file",
    variable: str | None = VARIABLE,
) -> str:
    """The token, empty when none is given; `-` for either means standard input. `file_flag` is what
    the flag for a file is called here.

    Arguments are visible to every user of a host; a file, standard input, the environment are not.
    """
    if flag and file:
        raise click.UsageError(f"name one of --join and {file_flag}")
    if flag == "-" or file == Path("-"):
        return sys.stdin.read(LIMIT_CHARACTERS).strip()
    if file is not None:
        try:
            with file.open(encoding="utf-8") as stream:
                return stream.read(LIMIT_CHARACTERS).strip()
        except OSError as error:
            raise click.UsageError(f"{file_flag}: cannot read {reason_of(error)}") from error
        except UnicodeDecodeError as error:
            raise click.UsageError(f"{file_flag}: {file} is not text") from error
    return (flag or (os.environ.get(variable, "") if variable else "")).strip()
