"""Where the programs that this one starts find these packages."""

import os
import sysconfig
from pathlib import Path

import heartline


def import_path() -> dict[str, str]:
    """What is added to a child's environment, so that it finds these packages where they are not
    installed: run from a checkout.

    The children, and theirs, do not import from the working folder: an `agent` or `master` that
    lies there is somebody else's.
    """
    root = str(Path(heartline.__file__).resolve().parents[1])
    if root in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        return {"PYTHONSAFEPATH": "1"}
    existing = [path for path in (os.environ.get("PYTHONPATH"),) if path]
    return {"PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join([*existing, root])}
