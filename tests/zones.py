"""Time zones: what a clock on the wall shows depends on where a test runs, unless it says."""

import time
from collections.abc import Generator
from contextlib import contextmanager
from unittest import mock


@contextmanager
def in_zone(name: str) -> Generator[None]:
    """Local time is that of this zone (as in the variable `TZ`) inside the block."""
    with mock.patch.dict("os.environ", TZ=name):
        time.tzset()
        yield
    time.tzset()
