"""What the agents of one process count."""

from typing import Final

from bench.density.histogram import Histogram


class Counts:
    """What happened to the links of one process since it was told to begin."""

    def __init__(self) -> None:
        self.beats = 0
        self.lost_links = 0
        self.failed_dials = 0
        self.acknowledged: Final = Histogram()
        """From a beat's being written to its acknowledgement."""
        self.confirmed: Final = Histogram()
        """From a beat's being written to the master's word that its sample is on disk."""
        self.late: Final = Histogram()
        """How long after it was due a beat was written: what the generator itself is short of."""
        self.errors: dict[str, int] = {}

    def failed(self, error: str) -> None:
        """A dial or a link has ended so."""
        self.errors[error] = self.errors.get(error, 0) + 1
