"""Where the program begins: an interrupt while it is still being loaded is one as any other."""

INTERRUPTED = 130
"""`heartline.exits.Exit.INTERRUPTED`, which may be what has not been loaded yet."""


def main() -> int:
    """Runs the command line of this process; the exit code."""
    try:
        from heartline.main import main as run  # noqa: PLC0415 - this is what takes long

        return run()
    except KeyboardInterrupt:
        return INTERRUPTED
