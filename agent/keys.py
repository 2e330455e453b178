"""Making keys, in a process of its own.

The library for it keeps ten megabytes resident, and an agent needs it for a few milliseconds a
month: `python -m agent.keys` prints a new key and its certificate request as JSON, and is gone.
"""

import base64
import subprocess
import sys
from typing import Final

import msgspec
import trio
from msgspec import Struct

from shared.errors import HeartlineError, reason_of

DEADLINE_S: Final = 60.0


class NewKey(Struct, frozen=True):
    """A private key (PEM) and the certificate request for it (DER)."""

    key_pem: bytes
    csr_der: bytes

    def __repr__(self) -> str:
        return "<NewKey>"


class KeyMakingError(HeartlineError):
    """The process that makes keys failed; its words."""


async def make_key() -> NewKey:
    """A new key and request. Cancellation: the process is killed.

    Raises:
        KeyMakingError: it could not be made.
    """
    try:
        with trio.fail_after(DEADLINE_S):
            done = await trio.run_process(
                [sys.executable, "-P", "-m", "agent.keys"], capture_stdout=True, capture_stderr=True
            )
        return msgspec.json.decode(done.stdout, type=NewKey)
    except subprocess.CalledProcessError as error:
        words = bytes(error.stderr or b"").decode(errors="replace").strip().splitlines()
        raise KeyMakingError(words[-1] if words else "no reason given") from error
    except OSError as error:
        raise KeyMakingError(reason_of(error)) from error
    except (trio.TooSlowError, msgspec.DecodeError) as error:
        raise KeyMakingError(str(error) or type(error).__name__) from error


def main() -> None:
    """Prints a new key."""
    from shared.certificates import new_key_and_request  # noqa: PLC0415 - the point of this module

    key_pem, csr_der = new_key_and_request()
    fields = {"key_pem": key_pem, "csr_der": csr_der}
    encoded = {name: base64.b64encode(value).decode() for name, value in fields.items()}
    sys.stdout.buffer.write(msgspec.json.encode(encoded))


if __name__ == "__main__":
    main()
