"""What a running master says of itself in its state folder: where it listens, as which process."""

import msgspec
from msgspec import Struct

from shared.addresses import Address, parse_address
from shared.paths import StateFolder


class RunningMaster(Struct, frozen=True):
    """The content of `DIR/master.json`."""

    listen: tuple[str, ...]
    pid: int

    @property
    def addresses(self) -> list[Address]:
        """Where it listens."""
        return [parse_address(text) for text in self.listen]


def running_master(folder: StateFolder) -> RunningMaster | None:
    """What the master wrote when it began to listen; None where none has, or it cannot be read.

    The file may outlive its master: whether one runs, only its socket tells.
    """
    try:
        return msgspec.json.decode(folder.master_json.read_bytes(), type=RunningMaster)
    except (OSError, msgspec.DecodeError):
        return None
