"""The part of `docs/recording.md` that is made from the code."""

from docs.struct_tables import constant_rows, field_table, summary, table
from tui import recording
from tui.recording import RECORDED, Ended, Header, Heard, LinkWas


def records() -> str:
    """Every kind of record, its fields, and the limits of a file."""
    sections = [
        f"### {record.kind} {record.__name__}\n\n{summary(record)}\n\n{field_table(record)}"
        for record in (Header, LinkWas, Heard, Ended)
    ]
    limits = constant_rows(recording, "RECORD_LIMIT_BYTES", "EXPANDED_LIMIT_BYTES")
    return "\n\n".join((*sections, "### Limits", table(("limit", "bytes", "why"), limits)))


def recorded_messages() -> str:
    """What of the feed is kept."""
    return ", ".join(f"`{message.__name__}`" for message in RECORDED)
