"""The errors that Heartline raises on purpose, by whose fault they are.

Rules: `LocalProtocolError` is a bug on this side; `RemoteProtocolError` is the peer's doing and
ends the link, never the process. Errors of the operating system are translated where they arise.
Every `UserError` is printed as one line, without a traceback, by the command line.
"""

from typing import Final


class HeartlineError(Exception):
    """The root of every error that Heartline raises on purpose."""


class LocalProtocolError(HeartlineError):
    """This side tried to send what the state of the connection does not allow: a bug."""


class Violation:
    """How a peer broke the protocol: `RemoteProtocolError.code`, and what the peer is told."""

    BAD_FRAME: Final = "bad-frame"
    """A frame without a kind, or a body that is not what its kind says."""
    FRAME_TOO_LONG: Final = "frame-too-long"
    """A length, or `Part`s together, over the limit of the phase."""
    BAD_MESSAGE: Final = "bad-message"
    """A message that its sender may not send in this phase."""
    FLOOD: Final = "flood"
    """Too much sent: before being authenticated, or too many messages in a while."""


class RemoteProtocolError(HeartlineError):
    """The peer broke the protocol; `code` is what it is told in `Goodbye` or `Deny`."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code: Final = code
        self.text: Final = text


class LinkBrokenError(HeartlineError):
    """The link ended without a goodbye: reset, timed out, or refused by the TLS layer."""


class NobodyThereError(LinkBrokenError):
    """The host is there, and nobody listens at that port: its kernel refused the connection."""


class DeniedError(HeartlineError):
    """The master refused this side, with a code from `shared.messages.Refusal`."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{text} ({code})")
        self.code: Final = code
        self.text: Final = text


class UserError(HeartlineError):
    """Something a person can cause and mend; its text names what and where."""


class ConfigError(UserError):
    """A setting that cannot be used: names the source (file, variable, flag), key, expectation."""


class TokenError(UserError):
    """A join or viewer token that cannot be one: wrong prefix, damaged, truncated."""


class IdentityError(UserError):
    """A key, certificate or state folder that cannot be trusted or read."""


class WrongMasterError(IdentityError):
    """What answers is not the master that a token is for: another cluster's, or somebody's in
    between."""


def reason_of(error: OSError) -> str:
    """What the operating system says, in its words and without its number; and of which file."""
    reason = error.strerror or str(error) or type(error).__name__
    return f"{error.filename}: {reason}" if error.filename else reason
