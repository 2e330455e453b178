"""A power cut at any step of what is written to disk."""

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock


class PowerCut(BaseException):
    """The machine is off: nothing catches this, and nothing cleans up after it."""


@contextmanager
def power_cut_before(step: int, *, of: Path | None = None) -> Generator[None]:
    """Cuts the power before the `step`-th change of a file inside the block, counted from 0.

    With `of` only the power of the host whose files are in that folder: another one in this process
    goes on.

    Raises:
        PowerCut: it came that far.
    """
    left = step

    def counted(change: Callable[..., Any]) -> Callable[..., Any]:
        def perform(*arguments: Any, **options: Any) -> Any:
            nonlocal left
            if of is not None and not _path_of(arguments[0]).is_relative_to(of):
                return change(*arguments, **options)
            if left <= 0:
                raise PowerCut
            left -= 1
            return change(*arguments, **options)

        return perform

    with (
        mock.patch.object(os, "open", counted(os.open)),
        mock.patch.object(os, "write", counted(os.write)),
        mock.patch.object(os, "truncate", counted(os.truncate)),
        mock.patch.object(os, "ftruncate", counted(os.ftruncate)),
        mock.patch.object(os, "fsync", counted(os.fsync)),
        mock.patch.object(Path, "replace", counted(Path.replace)),
        mock.patch.object(Path, "unlink", counted(Path.unlink)),
        mock.patch.object(Path, "rename", counted(Path.rename)),
    ):
        yield


def _path_of(file: int | str | Path) -> Path:
    # Of a descriptor, what the kernel calls it.
    return Path(f"/proc/self/fd/{file}").readlink() if isinstance(file, int) else Path(file)


def every_power_cut(work: Callable[[], object]) -> Iterator[int]:
    """Does `work` again and again, with the power cut one step later each time, until it comes
    through; yields after each cut how many steps were done, for the test to look at what is left.

    The test has to put everything back as it was before it asks for the next cut.
    """
    step = 0
    while True:
        try:
            with power_cut_before(step):
                work()
        except PowerCut:
            yield step
            step += 1
        else:
            return
