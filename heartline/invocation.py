"""What every command shares: the state folder, the settings, how much to log.

The options may stand before or after the command's name (`heartline --data DIR nodes`, `heartline
nodes --data DIR`); the later one wins.
"""

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from heartline.logs import LogFormat, configure
from shared.paths import StateFolder, default_root

if TYPE_CHECKING:
    from heartline.access import Choice
    from heartline.control import Control
    from shared.config import Given
    from shared.settings import Settings

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])


@dataclass
class Invocation:
    """The shared options as they were given: flags first, then the environment."""

    data: Path | None = None
    config: Path | None = None
    profile: str = ""
    masters: tuple[str, ...] = ()
    verbose: int = 0
    log_format: str = LogFormat.TEXT

    @property
    def folder(self) -> StateFolder:
        """The state folder, absolute; it need not exist."""
        named = self.data or os.environ.get("HEARTLINE_DATA") or default_root()
        return StateFolder(Path(named).absolute())

    @property
    def config_file(self) -> tuple[Path, bool]:
        """The settings file, and whether somebody asked for it, so that it has to exist."""
        named = self.config or os.environ.get("HEARTLINE_CONFIG")
        return (Path(named).absolute(), True) if named else (self.folder.config, False)

    def settings(self, flags: "Mapping[str, Given] | None" = None) -> "Settings":
        """The settings, read now; `flags` are those of the command, by key.

        Raises:
            ConfigError: see `shared.config.load`.
        """
        from shared.config import load  # noqa: PLC0415 - only daemons have settings

        file, required = self.config_file
        return load(file, environment=os.environ, flags=flags, required=required)

    def control(self) -> "Control":
        """A link to the master that this command is about. See `heartline.access.open_control`."""
        from heartline.access import open_control  # noqa: PLC0415 - only clients need it

        self.log()
        return open_control(self.choice)

    @property
    def choice(self) -> "Choice":
        """Whose fleet this command is about."""
        from heartline.access import choose  # noqa: PLC0415 - see above

        return choose(self.folder, self.profile, self.masters, self.settings)

    def log(self, level: int = logging.WARNING) -> None:
        """Starts logging to standard error, at `level` or, by `-v`, below it."""
        configure(max(logging.DEBUG, level - 10 * self.verbose), LogFormat(self.log_format))


pass_invocation = click.make_pass_decorator(Invocation, ensure=True)


def common_options(command: _Decorated) -> _Decorated:
    """Adds `--data` and `-v`."""
    return data_option("State folder. [env: HEARTLINE_DATA]")(verbose_option(command))


def data_option(text: str) -> Callable[[_Decorated], _Decorated]:
    """Adds `--data`, with this help."""
    return click.option(
        "--data",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help=text,
        expose_value=False,
        callback=_remember,
    )


def verbose_option(command: _Decorated) -> _Decorated:
    """Adds `-v`."""
    verbose = click.option(
        "-v",
        "--verbose",
        count=True,
        help="Log more; twice: everything.",
        expose_value=False,
        callback=_remember,
    )
    return verbose(command)


def viewing_options(command: _Decorated) -> _Decorated:
    """Adds what commands need that may look at a cluster elsewhere: `--profile`."""
    profile = click.option(
        "--profile",
        metavar="NAME",
        help="The cluster elsewhere that [profiles.NAME] in the settings is about.",
        expose_value=False,
        callback=_remember,
    )
    return profile(common_options(command))


def daemon_options(command: _Decorated) -> _Decorated:
    """Adds what programs that run for long need as well: `--config` and `--log-format`."""
    config = click.option(
        "--config",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Settings; DIR/heartline.toml by default. [env: HEARTLINE_CONFIG]",
        expose_value=False,
        callback=_remember,
    )
    log_format = click.option(
        "--log-format",
        type=click.Choice([form.value for form in LogFormat]),
        help="How to log to standard error; text by default.",
        expose_value=False,
        callback=_remember,
    )
    return config(log_format(common_options(command)))


def _remember(context: click.Context, parameter: click.Parameter, value: object) -> None:
    if value and parameter.name:
        setattr(context.ensure_object(Invocation), parameter.name, value)
