"""From a TLS stream to an authenticated link: hello, and the master's answer."""

from collections.abc import Callable
from typing import TypeAlias

from shared import messages as m
from shared.connection import ClientConnection
from shared.errors import DeniedError, LinkBrokenError, RemoteProtocolError
from shared.link import Link
from shared.stream import LinkStream

AgentLink: TypeAlias = Link[m.FromClient, m.FromMaster]


async def greet(
    stream: LinkStream, hello: m.AgentHello, on_blocked: Callable[[], None]
) -> tuple[AgentLink, m.Welcome | m.RenewFirst]:
    """Says hello and waits for the welcome; nothing else is sent before it.

    Raises:
        DeniedError: the master refused.
        LinkBrokenError: the stream ended, or what came was no answer. The stream is closed.
    """
    link: AgentLink = Link(stream, ClientConnection(), on_blocked)
    try:
        link.post(hello)
        return link, await _answer(link)
    except RemoteProtocolError as error:
        link.break_off(error.text)
        raise LinkBrokenError(f"not a master of ours: {error.text}") from error
    except BaseException:
        link.break_off("closed on this side")
        raise


async def _answer(link: AgentLink) -> m.Welcome | m.RenewFirst:
    while True:
        for message in await link.receive():
            match message:
                case m.Welcome() | m.RenewFirst():
                    return message
                case m.Deny(code, text):
                    raise DeniedError(code, text)
                case _:
                    raise LinkBrokenError(f"a {type(message).__name__} in answer to hello")
