"""Smaller generated parts: the token, the waits, the states of a node, the exit codes."""

from typing import Final

from docs.message_examples import TOKEN
from docs.struct_tables import constant_rows, table
from heartline.exits import MEANINGS
from heartline.reliability import CAUSES
from shared import backoff, link, liveness
from shared.causes import Cause
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


def causes() -> str:
    """Why a node may have been away."""
    return table(("cause", "meaning"), ((f"`{cause}`", CAUSES[cause]) for cause in Cause))


def timeouts() -> str:
    """How long each end waits for what, in seconds."""
    settings = Settings()
    rows = [
        *_settings_rows("link", settings.link, "read_timeout_s", "write_timeout_s", "ping_after_s"),
        *_settings_rows("master", settings.master, "handshake_timeout_s", "period_s"),
        *constant_rows(link, "FAREWELL_S"),
        *constant_rows(backoff, "FIRST_RETRY_JITTER_S", "BACKOFF_FLOOR_S", "BACKOFF_CAP_S"),
        *constant_rows(liveness, "LATE_FLOOR_S", "LOOK_AGAIN_S", "SILENT_AFTER_S", "LOST_GRACE_S"),
        *constant_rows(liveness, "AWAITED_S"),
    ]
    periods = [
        *constant_rows(liveness, "DOWN_LEAST_PERIODS", "DOWN_MOST_PERIODS", "HUNG_PERIODS"),
        *constant_rows(liveness, "LONGEST_PROMISE", "JOINING_PERIODS"),
    ]
    return "\n\n".join(
        (
            table(("", "seconds", "what"), rows),
            "And by the period that the agent has promised:",
            table(("", "periods", "what"), periods),
        )
    )


def liveness_table() -> str:
    """What each event makes of a node in each state, by asking `step`."""
    events: dict[str, liveness.LivenessEvent] = {
        "silence": liveness.DeadlinePassed(liveness.Evidence.SILENT),
        "silence, its host answers": liveness.DeadlinePassed(liveness.Evidence.ANSWERS),
        "link broke": liveness.LinkBroke("reset"),
        "its worker ended": liveness.Orphaned("a worker ended"),
        "goodbye": liveness.SaidGoodbye("stopped"),
        "welcomed": liveness.Joined(5.0),
        "beat": liveness.BeatArrived(5.0, 5.0, 5.0),
        "revoked": liveness.Revoked(),
    }
    rows = [
        (state.value, *(_after(state, event) for event in events.values()))
        for state in liveness.State
    ]
    return table(("state", *events), rows)


def exit_codes() -> str:
    """How commands end."""
    return table(("code", "meaning"), ((str(int(code)), text) for code, text in MEANINGS.items()))


def _after(state: liveness.State, event: liveness.LivenessEvent) -> str:
    before = liveness.Liveness(state, since_s=0.0)
    after = liveness.step(before, event, liveness.deadline_s(before) or 1.0)
    # Silence goes on until it changes something: a node that is late is looked into more than once.
    while isinstance(event, liveness.DeadlinePassed) and after.state is state:
        at_s = liveness.deadline_s(after)
        if at_s is None:
            break
        after = liveness.step(after, event, at_s)
    return "" if after.state is state else after.state.value


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
