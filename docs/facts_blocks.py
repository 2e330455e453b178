"""Smaller generated parts: the token's layout, and how long each end waits for what."""

from typing import Final

from docs.message_examples import TOKEN
from docs.struct_tables import constant_rows, table
from shared import backoff, link, liveness
from shared.config import reference
from shared.settings import LinkSettings, MasterSettings, Settings
from shared.tokens import (
    PIN_BYTES,
    PREFIX,
    SECRET_BYTES,
    TOKEN_ID_BYTES,
    cluster_of,
    secret_digest,
    server_name,
)

_CHECKSUM_BYTES: Final = 4


def token_layout() -> str:
    """The bytes of a token, and one taken apart."""
    parts = (
        ("pin: SHA-256 of the CA's SubjectPublicKeyInfo", PIN_BYTES, TOKEN.ca_pin),
        ("token id", TOKEN_ID_BYTES, TOKEN.token_id),
        ("secret", SECRET_BYTES, TOKEN.secret),
        ("CRC-32", _CHECKSUM_BYTES, None),
    )
    rows = [
        (what, str(size), f"`{value.hex()}`" if value is not None else "of all before it")
        for what, size, value in parts
    ]
    derived = (
        ("cluster", cluster_of(TOKEN.ca_pin)),
        ("master's name", server_name(TOKEN.ca_pin)),
        ("kept by the master", secret_digest(TOKEN.secret).hex()),
    )
    return "\n\n".join(
        (
            f"`{PREFIX}` and then base32 of:",
            table(("part", "bytes", "in the example"), rows),
            f"```token\n{TOKEN.encode()}\n```",
            table(("from it follows", ""), ((what, f"`{value}`") for what, value in derived)),
        )
    )


def timeouts() -> str:
    """How long each end waits for what, in seconds."""
    settings = Settings()
    rows = [
        *_settings_rows("link", settings.link, "read_timeout_s", "write_timeout_s", "ping_after_s"),
        *_settings_rows("master", settings.master, "handshake_timeout_s", "period_s"),
        *constant_rows(link, "FAREWELL_S"),
        *constant_rows(backoff, "FIRST_RETRY_JITTER_S", "BACKOFF_FLOOR_S", "BACKOFF_CAP_S"),
        *constant_rows(liveness, "LATE_MARGIN_S", "LOST_GRACE_S", "AWAITED_S"),
    ]
    periods = constant_rows(liveness, "DOWN_PERIODS", "JOINING_PERIODS")
    return "\n\n".join(
        (
            table(("", "seconds", "what"), rows),
            "And by the period that the agent has promised:",
            table(("", "periods", "what"), periods),
        )
    )


def _settings_rows(
    section: str, settings: LinkSettings | MasterSettings, *names: str
) -> list[tuple[str, str, str]]:
    described = {setting.key: setting for setting in reference()}
    return [
        (
            f"`[{section}] {name}`",
            f"{getattr(settings, name):g}",
            described[f"{section}.{name}"].description,
        )
        for name in names
    ]
