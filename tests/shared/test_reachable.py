"""Which address of this host others are told."""

import socket

import pytest

from shared.addresses import Address
from shared.reachable import dialable


def test_a_named_address_is_told_as_it_is() -> None:
    assert dialable([Address("10.0.0.5", 7700)]) == [Address("10.0.0.5", 7700)]


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::"])
def test_instead_of_every_address_one_that_can_be_dialled_is_told(host: str) -> None:
    found = dialable([Address(host, 7700)])
    assert found
    assert not any(address.is_everywhere for address in found)
    assert {address.port for address in found} == {7700}


def test_addresses_of_this_host_alone_come_last() -> None:
    bound = [Address("127.0.0.1", 1), Address("::1", 1), Address("10.0.0.5", 1)]
    assert dialable(bound)[0] == Address("10.0.0.5", 1)


def test_the_same_address_is_told_once() -> None:
    assert len(dialable([Address("10.0.0.5", 1), Address("10.0.0.5", 1)])) == 1


def test_without_a_way_to_the_outside_the_loopback_remains(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unreachable(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(socket.socket, "connect", unreachable)
    assert dialable([Address("", 5)]) == [Address("127.0.0.1", 5)]
    assert dialable([Address("::", 5)]) == [Address("::1", 5)]
