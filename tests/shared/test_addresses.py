"""`HOST:PORT`, read and written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.addresses import Address, parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("example.org:7701", Address("example.org", 7701)),
        ("example.org", Address("example.org", 7700)),
        ("10.0.0.5:0", Address("10.0.0.5", 0)),
        ("[2001:db8::1]:80", Address("2001:db8::1", 80)),
        ("[::1]", Address("::1", 7700)),
        ("::1", Address("::1", 7700)),
        ("fe80::1%eth0", Address("fe80::1%eth0", 7700)),
        (":7700", Address("", 7700)),
        ("*:7700", Address("", 7700)),
        (" localhost:1 ", Address("localhost", 1)),
    ],
)
def test_every_common_way_to_write_an_address_is_understood(text: str, address: Address) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "host:70000",
        "host:-1",
        "host:",
        "host:\u0661",
        "[::1",
        "[::1]x",
        "[host]:1",
        "1:2:3",
        "https://h:1",
        "a b:1",
        "a\x1b[2J:1",
    ],
)
def test_what_is_no_address_is_refused_naming_the_text(text: str) -> None:
    with pytest.raises(ValueError, match=r"holds no|is no|is ambiguous") as caught:
        parse_address(text)
    assert repr(text) in str(caught.value)


@given(st.ip_addresses(), st.integers(0, 65_535))
def test_a_written_address_reads_back(ip: object, port: int) -> None:
    address = Address(str(ip), port)
    assert parse_address(str(address)) == address


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::"])
def test_a_listener_on_every_address_says_so(host: str) -> None:
    assert Address(host, 1).is_everywhere


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "example.org"])
def test_an_address_that_can_be_dialled_is_not_everywhere(host: str) -> None:
    assert not Address(host, 1).is_everywhere
