"""Descriptors: every link is one, and so is every file that the master opens.

The kernel gives out the lowest free number, so the number of a new connection says how many are in
use. Above the ceiling connections are refused, and what is left serves the operator's socket, the
database and the audit log: a flood of links cannot lock the operator out.
"""

import logging
from typing import Final

KEPT_BACK: Final = 64
"""For everything that is not an agent's or a remote viewer's link."""

_log: Final = logging.getLogger(__name__)


def raise_ceiling() -> int | None:
    """Lets this process open as many descriptors as the system allows it; returns the number above
    which links are to be refused, None where there is no limit or the platform does not tell."""
    try:
        import resource  # noqa: PLC0415 - absent on Windows
    except ImportError:
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (OSError, ValueError) as error:
            _log.warning("the limit of open files stays as it is", extra={"error": str(error)})
    if soft == resource.RLIM_INFINITY:
        return None
    return max(KEPT_BACK, soft - KEPT_BACK)
