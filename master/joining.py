"""The one line that brings another host in."""

import shlex
from collections.abc import Sequence

from shared.addresses import parse_address
from shared.reachable import dialable


def join_command(token: str, listen: Sequence[str], *, program: str = "agent") -> str:
    """What to run on the new host; `program` is `agent` or, for a viewer's token, `top`.

    `listen` are the addresses that the master is bound to; the likeliest to be reached is named.
    """
    addresses = dialable(map(parse_address, listen))
    master = ["--master", str(addresses[0])] if addresses else []
    return shlex.join(["heartline", program, "--join", token, *master])
