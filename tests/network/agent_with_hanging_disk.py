"""The agent as it is, on a host whose disks never answer: `python -m … agent ARGUMENTS`."""

import sys
import threading
from unittest.mock import patch

from agent.collectors import collectors
from agent.collectors.disks import DisksCollector
from agent.collectors.reading import Collector, Reading
from heartline.main import main
from shared.families_settings import FamiliesSettings


class HangingDisks(DisksCollector):
    """A read that hangs in the kernel: no signal ends it, and no exception."""

    def collect(self, now_s: float) -> Reading:
        threading.Event().wait()
        raise AssertionError("nobody sets that event")


def with_hanging_disks(settings: FamiliesSettings) -> tuple[Collector, ...]:
    return tuple(
        HangingDisks() if isinstance(each, DisksCollector) else each
        for each in collectors(settings)
    )


if __name__ == "__main__":
    with patch("agent.daemon.collectors", with_hanging_disks):
        sys.exit(main())
