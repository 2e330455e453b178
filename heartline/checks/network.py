"""The network: the master's ports on this host, and the masters that its agent links to."""

import errno
import socket
import ssl
from collections.abc import Iterator
from typing import cast

from agent.identity import IdentityFolder
from heartline.checks import Finding, Subject, fine, problem, warning
from heartline.checks.dialled import CONNECT_S, dialled
from heartline.control import Control
from heartline.exits import UnreachableError
from heartline.local_socket import connect
from heartline.running import running_master
from shared import VERSION
from shared.addresses import Address, parse_address
from shared.errors import HeartlineError, IdentityError, UserError
from shared.paths import StateFolder
from shared.text import clean


def local_master(subject: Subject) -> Iterator[Finding]:
    """A master that has run on this folder runs now, in this version."""
    name = "master"
    if not subject.has_master:
        return
    try:
        with Control.open(subject.folder, CONNECT_S) as control:
            software = clean(control.welcome.software)
    except UnreachableError as error:
        yield _not_answering(subject, clean(str(error)))
    except HeartlineError as error:
        yield problem(name, clean(str(error)), "restart the master")
    else:
        running = running_master(subject.folder)
        detail = f"runs, version {software}" + (f", process {running.pid}" if running else "")
        if software == VERSION:
            yield fine(name, detail)
        else:
            yield warning(name, f"{detail}; this is {VERSION}", "restart the master")


def ports(subject: Subject) -> Iterator[Finding]:
    """The addresses that the master is to listen on are free, or it listens there itself."""
    if (subject.has_agent or subject.has_viewer) and not subject.has_master:
        return
    if subject.has_master and _is_master_there(subject.folder):
        running = running_master(subject.folder)
        where = ", ".join(running.listen) if running else "an unknown address"
        yield fine("ports", f"the master listens on {where}")
        return
    for text in subject.settings.master.listen:
        yield from _port(parse_address(text))


def reachability(subject: Subject) -> Iterator[Finding]:
    """Each master that the agent would dial answers, as a master of its cluster."""
    try:
        identity = IdentityFolder(subject.folder).load()
    except IdentityError:
        identity = None  # another check says so
    masters = subject.settings.agent.master or (identity.masters if identity else ())
    for text in masters:
        yield _dial(subject, parse_address(text))


def _is_master_there(folder: StateFolder) -> bool:
    """Whether a master listens on the folder's socket, be it one that answers or one that does not.

    Its lock would tell as well, and a master that starts at this moment would be refused.
    """
    try:
        connect(folder, CONNECT_S).close()
    except UnreachableError as error:
        return isinstance(error.__cause__, TimeoutError | BlockingIOError)
    except UserError:
        return False
    return True


def _not_answering(subject: Subject, reason: str) -> Finding:
    folder = subject.folder
    if not _is_master_there(folder):
        return warning("master", reason, f"heartline master --data {folder.root}")
    running = running_master(folder)
    process = f", process {running.pid}," if running else ""
    return problem(
        "master",
        f"one runs{process} and does not answer: {reason}",
        "see whether it is stopped or its disk hangs (state T or D in ps); if it stays so, restart"
        " it: another one cannot be started beside it",
    )


def _port(address: Address) -> Iterator[Finding]:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((address.host, address.port))
        except OSError as error:
            yield _unusable(address, error)
            return
    yield fine("ports", f"{address} is free")


def _unusable(address: Address, error: OSError) -> Finding:
    match error.errno:
        case errno.EADDRINUSE:
            user = _who_listens(address.port)
            return problem(
                "ports",
                f"{address} is taken{f' by {user}' if user else ''}",
                "stop that, or choose another with --listen or [master] listen",
            )
        case errno.EACCES:
            return problem(
                "ports",
                f"{address} needs privileges",
                "choose a port above 1023, or grant CAP_NET_BIND_SERVICE",
            )
        case _:
            return problem(
                "ports",
                f"{address}: {error.strerror or error}",
                "name an address of this host with --listen or [master] listen",
            )


def _who_listens(port: int) -> str:
    import psutil  # noqa: PLC0415 - only a taken port needs it

    try:
        for connection in psutil.net_connections("tcp"):
            address = cast("tuple[str, int]", connection.laddr)
            listens = connection.status == psutil.CONN_LISTEN and address[1] == port
            if listens and connection.pid is not None:
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    except psutil.Error:
        pass  # other users' processes are not ours to see
    return ""


def _dial(subject: Subject, address: Address) -> Finding:
    name = "reachability"
    try:
        identity = IdentityFolder(subject.folder).load()
        with dialled(subject.folder, identity, address):
            said = "answers" if identity is None else "answers, a master of this cluster"
            return fine(name, f"{address} {said}")
    except IdentityError as error:
        return problem(name, f"{address} was not dialled: {error}", "see above")
    except ssl.SSLCertVerificationError:
        return problem(
            name,
            f"{address} answers, and is not a master of this host's cluster",
            "check the address; if the cluster was made anew, join again",
        )
    except ssl.SSLError as error:
        return problem(name, f"{address} speaks no TLS 1.3: {error.reason}", "check the address")
    except socket.gaierror as error:
        return problem(name, f"{address.host}: {error.strerror}", "check the name and DNS")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        return problem(
            name, f"{address}: {reason}", "check that the master runs, and firewalls on the way"
        )
