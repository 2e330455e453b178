"""The agent as it is, on a host that has just booted.

`python -m … BOOT_ID agent ARGUMENTS`. The boot is the one that is given, and the host's clocks
count from when this process was started.
"""

import sys
import time
from unittest.mock import patch

from heartline.main import main

if __name__ == "__main__":
    booted_s = time.monotonic()

    def since_boot_ms() -> int:
        return int((time.monotonic() - booted_s) * 1000)

    boot_id = sys.argv.pop(1)
    with (
        patch("agent.daemon.boot_id", lambda: boot_id),
        patch("agent.clocks._boot_ms", since_boot_ms),
        patch("agent.clocks._awake_ms", since_boot_ms),
    ):
        sys.exit(main())
