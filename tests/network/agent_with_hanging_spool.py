"""The agent as it is, on a host whose disk takes none of its samples and never says so:
`python -m … agent ARGUMENTS`."""

import sys
import threading
from collections.abc import Iterable
from unittest.mock import patch

from agent.spool_records import Record
from agent.spool_ring import Ring
from heartline.main import main


def hang(ring: Ring, records: Iterable[Record]) -> None:
    """A write that hangs in the kernel: no signal ends it, and no exception."""
    threading.Event().wait()


if __name__ == "__main__":
    with patch.object(Ring, "append", hang):
        sys.exit(main())
