"""A port of loopback at which nobody listens, and nobody can begin to while a test uses it."""

import socket
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def closed_port() -> Generator[int]:
    """Who dials it is refused. A port that was merely free a moment ago may be another test's."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]
