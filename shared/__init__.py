"""What agent, master and dashboard agree on: the wire, liveness, identity, configuration.

Nothing here imports `agent`, `master`, `tui` or `heartline`. The protocol core (`frames`,
`messages`, `connection`, `liveness`, `metrics`, `outbox`, `backoff`, `text`, `tokens`) does no I/O
and knows no event loop; `stream` and `certificates` are the only places where sockets and keys are
touched.
"""

from typing import Final

VERSION: Final = "0.1.0"
"""The version of every part of Heartline; a test compares it with the distribution's metadata."""
