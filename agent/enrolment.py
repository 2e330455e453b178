"""Joining a cluster once, in a process of its own (for the reason that `agent.keys` gives).

`python -m agent.enrolment` takes a `Request` as JSON on its standard input, so that the token is on
no command line, and prints an `Outcome`. The key is on disk before it is used, and kept until its
certificate is there: joining can be cut off anywhere and repeated.
"""

import subprocess
import sys
from pathlib import Path
from typing import Final

import msgspec
import trio
from msgspec import Struct

from agent.identity import Identity, IdentityFolder
from shared import VERSION
from shared.addresses import Address, parse_address
from shared.errors import (
    ConfigError,
    DeniedError,
    IdentityError,
    LinkBrokenError,
    UserError,
    WrongMasterError,
)
from shared.paths import StateFolder
from shared.tokens import parse_token

AGENT: Final = "agent"
FIRST_SLOT: Final = "a"


class Request(Struct, frozen=True):
    """What the process is asked to do."""

    root: str
    token: str
    masters: tuple[str, ...]
    name: str


class Outcome(Struct, frozen=True):
    """How it went: nothing set means well."""

    denied_code: str = ""
    denied_text: str = ""
    unreachable: str = ""
    wrong_master: str = ""
    problem: str = ""


def enrol(folder: StateFolder, token: str, masters: tuple[str, ...], name: str) -> Identity:
    """Joins, and returns who this host is from now on.

    Raises:
        DeniedError: the master refused.
        LinkBrokenError: no master could be reached; joining may be repeated.
        WrongMasterError: the token is for another master than the one that answers.
        UserError: the token, the addresses or the folder are no good.
    """
    parse_token(token)
    if not masters:
        raise ConfigError("where is the master? name it with --master HOST:PORT")
    request = Request(str(folder.root), token, masters, name)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "agent.enrolment"],
        input=msgspec.json.encode(request),
        stdout=subprocess.PIPE,
        check=False,
    )
    try:
        outcome = msgspec.json.decode(done.stdout, type=Outcome)
    except msgspec.DecodeError as error:
        raise UserError(f"joining ended with exit code {done.returncode}") from error
    if outcome.denied_code:
        raise DeniedError(outcome.denied_code, outcome.denied_text)
    if outcome.unreachable:
        raise LinkBrokenError(outcome.unreachable)
    if outcome.wrong_master:
        raise WrongMasterError(outcome.wrong_master)
    identity = None if outcome.problem else IdentityFolder(folder).load()
    if identity is None:
        raise IdentityError(outcome.problem or "joining left no identity behind")
    return identity


async def join_and_keep(request: Request) -> None:
    """Joins through the first master that answers, and stores the identity.

    Raises:
        DeniedError, LinkBrokenError, UserError: as `enrol`.
    """
    from shared.certificates import new_key_and_request, request_for_key_pem  # noqa: PLC0415
    from shared.joining import join  # noqa: PLC0415

    folder = IdentityFolder(StateFolder(Path(request.root)))
    token = parse_token(request.token)
    key_pem = folder.pending_key(FIRST_SLOT)
    if key_pem is None:
        key_pem, csr_der = new_key_and_request()
        folder.save_pending_key(FIRST_SLOT, key_pem)
    else:
        csr_der = request_for_key_pem(key_pem)
    failures: list[str] = []
    for address in map(parse_address, request.masters):
        try:
            joined = await join(address, token, csr_der, request.name, VERSION, role=AGENT)
        except LinkBrokenError as error:
            failures.append(f"{address}: {error}")
            continue
        folder.save_ca(joined.ca_pem)
        folder.fill(FIRST_SLOT, joined.certificate_pem)
        folder.save(
            Identity(
                cluster=joined.cluster,
                server_name=joined.server_name,
                node_id=joined.identity,
                name=joined.name,
                masters=tuple(map(str, _first(address, request.masters))),
                token_id=token.token_id.hex(),
            )
        )
        return
    raise LinkBrokenError("; ".join(failures))


def main() -> None:
    """Does what standard input asks for."""
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=Request)
    outcome = Outcome()
    try:
        trio.run(join_and_keep, request)
    except DeniedError as error:
        outcome = Outcome(denied_code=error.code, denied_text=error.text)
    except LinkBrokenError as error:
        outcome = Outcome(unreachable=str(error))
    except WrongMasterError as error:
        outcome = Outcome(wrong_master=str(error))
    except UserError as error:
        outcome = Outcome(problem=str(error))
    sys.stdout.buffer.write(msgspec.json.encode(outcome))


def _first(address: Address, masters: tuple[str, ...]) -> list[Address]:
    rest = [other for other in map(parse_address, masters) if other != address]
    return [address, *rest]


if __name__ == "__main__":
    main()
