"""The agent as it is, on a host that is suspended whenever this process is stopped.

`python -m … agent ARGUMENTS`. While a host is suspended nothing on it runs, its monotonic clock
stands still and the other two go on. Here the monotonic clock leaves out the time in which the
process was stopped; whoever stops it has to cut its line too.
"""

import sys
from functools import partial
from unittest.mock import patch

import trio

from heartline.main import main
from shared.attentive import AttentiveClock

if __name__ == "__main__":
    monotonic = AttentiveClock()
    monotonic.start_clock()
    with (
        patch("agent.clocks._awake_ms", lambda: int(monotonic.current_time() * 1000)),
        patch("trio.run", partial(trio.run, clock=monotonic)),
    ):
        sys.exit(main())
