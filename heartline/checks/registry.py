"""The master's registry: whether its file is sound. Without it no master starts."""

import sqlite3
from collections.abc import Iterator
from typing import Final

from heartline.checks import Finding, Subject, fine, problem

CHECK_S: Final = 5.0
"""How long the file is looked through: far more than there is in the registry of a large fleet."""

_NAME: Final = "registry"


def registry(subject: Subject) -> Iterator[Finding]:
    """The registry is there, and sound."""
    path = subject.folder.database
    if not subject.has_master or not path.exists():
        return
    # What masters have and agents may lack.
    from master.history.checking import is_damage, structure  # noqa: PLC0415
    from master.history.database import connect_reader  # noqa: PLC0415

    try:
        connection = connect_reader(path)
        try:
            found = structure(connection, CHECK_S)
        finally:
            connection.close()
    except sqlite3.Error as error:
        if not is_damage(error):
            yield problem(
                _NAME, f"{path} cannot be read: {error}", "run this as the user that owns it"
            )
            return
        found = str(error)
    if found:
        yield problem(
            _NAME,
            f"{path} is damaged: {found}",
            "stop the master, and restore a backup (heartline backup makes them); without one, move"
            " the file away and join the hosts again",
        )
    else:
        so_far = "" if found == "" else f", as far as {CHECK_S:g} s of looking through it can tell"
        yield fine(_NAME, f"{path} is sound{so_far}")
