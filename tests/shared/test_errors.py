"""What is said of an error of the operating system: words, and no number."""

import errno
import os

import pytest

from shared.errors import reason_of


@pytest.mark.parametrize(
    ("error", "words"),
    [
        pytest.param(
            FileNotFoundError(errno.ENOENT, "No such file or directory", "a file"),
            "a file: No such file or directory",
            id="of a file",
        ),
        pytest.param(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "No space left on device"),
        pytest.param(OSError("in its own words"), "in its own words", id="without a number"),
        pytest.param(TimeoutError(), "TimeoutError", id="without a word"),
    ],
)
def test_error_of_the_system_is_told_in_words(error: OSError, words: str) -> None:
    assert reason_of(error) == words
