"""A viewer of a master elsewhere: joins once with a viewer's token, and reads from then on.

viewer/viewer.json   which cluster, which viewer, and the masters to dial
viewer/ca.pem        the cluster's CA, whose pin came with the token
viewer/viewer.pem    key and certificate, good for days and renewed by use (`heartline.viewer_keys`)
"""

import socket
from collections.abc import Sequence
from functools import partial
from typing import Final

import msgspec
from msgspec import Struct

from shared import VERSION
from shared.addresses import Address, parse_address
from shared.errors import IdentityError, LinkBrokenError, UserError
from shared.paths import StateFolder
from shared.private_files import private_folder, read_private, write_private
from shared.tokens import parse_token

ROLE: Final = "viewer"


class ViewerIdentity(Struct, frozen=True):
    """Who this viewer is, and to whom."""

    cluster: str
    server_name: str
    """The name in the master's certificate, whatever address it is dialled at."""
    identity: str
    masters: tuple[str, ...]
    token_id: str = ""
    """The token that it joined with, in hexadecimal: what it can do again is nothing new."""

    @property
    def addresses(self) -> list[Address]:
        """The masters, in the order in which to dial them."""
        return [parse_address(text) for text in self.masters]


def load_viewer(folder: StateFolder) -> ViewerIdentity | None:
    """Who this viewer is, or None when it has not joined.

    Raises:
        IdentityError: the folder is damaged or open to others.
    """
    path = folder.viewer_dir / "viewer.json"
    try:
        return msgspec.json.decode(read_private(path), type=ViewerIdentity)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise IdentityError(f"{path} is damaged: {error}; join again") from error


def has_joined_with(folder: StateFolder, token_text: str) -> bool:
    """Whether this viewer is what the token would make it: the same command line may be repeated.

    Raises:
        UserError: the token is no good, or the folder is damaged or open to others.
    """
    token, viewer = parse_token(token_text), load_viewer(folder)
    return viewer is not None and viewer.token_id == token.token_id.hex()


def join_as_viewer(folder: StateFolder, token_text: str, masters: Sequence[str]) -> ViewerIdentity:
    """Joins through the first of `masters` that answers, and stores the identity.

    Raises:
        DeniedError: the master refused.
        LinkBrokenError: no master could be reached.
        UserError: the token or an address is no good.
    """
    import trio  # noqa: PLC0415 - for this one exchange

    from shared.certificates import new_key_and_request  # noqa: PLC0415 - ten megabytes
    from shared.joining import join  # noqa: PLC0415 - see above

    token = parse_token(token_text)
    addresses = [_address(text) for text in masters]
    key_pem, csr_der = new_key_and_request()
    failures: list[str] = []
    for address in addresses:
        try:
            joined = trio.run(
                partial(join, address, token, csr_der, socket.gethostname(), VERSION, role=ROLE)
            )
        except LinkBrokenError as error:
            failures.append(f"{address}: {error}")
            continue
        folder.ensure()
        place = private_folder(folder.viewer_dir)
        viewer = ViewerIdentity(
            joined.cluster,
            joined.server_name,
            joined.identity,
            tuple(map(str, addresses)),
            token.token_id.hex(),
        )
        write_private(place / "ca.pem", joined.ca_pem)
        write_private(place / "viewer.pem", key_pem + joined.certificate_pem)
        (place / "renewed.pem").unlink(missing_ok=True)  # of the identity before
        write_private(place / "viewer.json", msgspec.json.encode(viewer))
        return viewer
    raise LinkBrokenError("; ".join(failures))


def _address(text: str) -> Address:
    try:
        return parse_address(text)
    except ValueError as error:
        raise UserError(f"--master: {error}") from error
