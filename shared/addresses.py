"""`HOST:PORT` as people write it: in settings, on the command line, and back on the screen.

    example.org:7700    10.0.0.5    [2001:db8::1]:7700    2001:db8::1    :7700

A host that is left out means every address of this machine, which only a listener can use.
"""

import ipaddress
from typing import Final, NamedTuple

DEFAULT_PORT: Final = 7700

HOST_LIMIT_CHARACTERS: Final = 253
"""Longest name that DNS can hold."""

_EVERYWHERE: Final = frozenset({"", "*"})


class Address(NamedTuple):
    """One end to listen on or to dial; `str` gives it back, in brackets where IPv6 needs them."""

    host: str
    """A name or a literal address without brackets; empty: every address, IPv4 and IPv6."""
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_everywhere(self) -> bool:
        """Whether this is bound to every address of a kind, and so cannot be dialled as it is."""
        try:
            return not self.host or ipaddress.ip_address(self.host).is_unspecified
        except ValueError:
            return False


def parse_address(text: str, *, default_port: int = DEFAULT_PORT) -> Address:
    """The address that `text` names.

    Raises:
        ValueError: it is none; the text says what is wrong with it.
    """
    text = text.strip()
    host, port_text = _split(text)
    if host in _EVERYWHERE:
        host = ""
    elif len(host) > HOST_LIMIT_CHARACTERS or any(
        c.isspace() or not c.isprintable() or c in "/@?#" for c in host
    ):
        raise ValueError(f"{text!r} holds no host name")
    if port_text is None:
        return Address(host, default_port)
    if not (port_text.isascii() and port_text.isdigit() and int(port_text) <= 65_535):
        raise ValueError(f"{text!r} holds no port between 0 and 65535")
    return Address(host, int(port_text))


def subnet(host: str) -> str:
    """The network that a literal address is probably in: its /24, or its /64; a name as it is."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    prefix = 24 if address.version == 4 else 64
    return str(ipaddress.ip_network((address, prefix), strict=False))


def _split(text: str) -> tuple[str, str | None]:
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")) or not _is_ipv6(host):
            raise ValueError(f"{text!r} is no IPv6 address in brackets")
        return host, rest[1:] if rest else None
    if _is_ipv6(text):
        return text, None
    host, colon, port = text.rpartition(":")
    if not colon:
        return text, None
    if ":" in host:
        raise ValueError(f"{text!r} is ambiguous; write an IPv6 address in brackets")
    return host, port


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True
