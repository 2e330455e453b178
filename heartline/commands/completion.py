"""`heartline completion`."""

import click
from click.shell_completion import get_completion_class

from heartline.invocation import common_options
from shared.errors import UserError

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@common_options
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    \b
    bash: heartline completion bash > /etc/bash_completion.d/heartline
    zsh:  heartline completion zsh > "${fpath[1]}/_heartline"
    fish: heartline completion fish > ~/.config/fish/completions/heartline.fish
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise UserError(f"there is no completion for {shell}")
    click.echo(kind(context.find_root().command, {}, "heartline", "_HEARTLINE_COMPLETE").source())
