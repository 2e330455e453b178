"""Instants on the command line."""

import click
import pytest

from heartline.instants import Instant

NOW_MS = 1_795_177_815_000


def test_option_is_in_milliseconds_and_refuses_by_a_usage_error() -> None:
    option = Instant(lambda: NOW_MS)
    assert option.convert("-2h", None, None) == NOW_MS - 7_200_000
    assert option.convert(5, None, None) == 5
    with pytest.raises(click.UsageError, match="names no instant"):
        option.convert("soon", None, None)
