"""Exit codes: the one table, and which error ends with which.

Scripts and service managers rely on them: 2 and 3 will not mend by trying again, 1 and 4 may.
"""

from enum import IntEnum
from typing import Final

from shared.errors import (
    ConfigError,
    DeniedError,
    HeartlineError,
    IdentityError,
    LinkBrokenError,
    TokenError,
    UserError,
    WrongMasterError,
)


class Exit(IntEnum):
    """How a command ended."""

    OK = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    UNREACHABLE = 4
    NOT_FOUND = 5
    UNSETTLED = 10
    LOST = 11
    DOWN = 12
    INTERRUPTED = 130


MEANINGS: Final[dict[Exit, str]] = {
    Exit.OK: "done",
    Exit.FAILED: "failed at run time",
    Exit.USAGE: "wrong usage or configuration",
    Exit.REFUSED: "refused for good by the master: revoked, superseded, unknown, bad token",
    Exit.UNREACHABLE: "cannot reach the master",
    Exit.NOT_FOUND: "no such node or token, or an ambiguous name",
    Exit.UNSETTLED: "top --once: a node is late, joining or awaited, and none is worse",
    Exit.LOST: "top --once: a node is lost or hung, and none is down",
    Exit.DOWN: "top --once: a node is down",
    Exit.INTERRUPTED: "interrupted",
}


class UnreachableError(UserError):
    """There is no master to talk to, or it has stopped answering."""


class NotFoundError(UserError):
    """Nothing, or more than one thing, goes by that name."""


def exit_of(error: HeartlineError) -> Exit:
    """The exit code of a command that ended with `error`."""
    match error:
        case WrongMasterError():
            return Exit.REFUSED
        case ConfigError() | TokenError() | IdentityError():
            return Exit.USAGE
        case UnreachableError() | LinkBrokenError():
            return Exit.UNREACHABLE
        case NotFoundError():
            return Exit.NOT_FOUND
        case DeniedError(code=code):
            return Exit.REFUSED if _is_final(code) else Exit.FAILED
        case _:
            return Exit.FAILED


def _is_final(code: str) -> bool:
    from shared.messages import Refusal  # noqa: PLC0415 - loaded already by whoever was refused

    tokens = {Refusal.BAD_TOKEN, Refusal.TOKEN_EXPIRED, Refusal.TOKEN_USED}
    return code in Refusal.FINAL | tokens
