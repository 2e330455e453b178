"""`heartline doctor`."""

from collections.abc import Iterator
from typing import Final

import click

from heartline.checks import (
    Check,
    Finding,
    Subject,
    Verdict,
    fine,
    folder,
    history,
    host,
    identity,
    network,
    problem,
    registry,
    spool,
)
from heartline.exits import Exit
from heartline.invocation import Invocation, daemon_options, pass_invocation
from heartline.plain import print_json
from shared.errors import ConfigError
from shared.settings import Settings
from shared.text import clean

CHECKS: Final[tuple[Check, ...]] = (
    host.configured,
    folder.folder_rights,
    folder.free_space,
    registry.registry,
    history.history,
    spool.spool,
    identity.agent_identity,
    identity.viewer_identity,
    identity.authority,
    network.local_master,
    network.ports,
    network.reachability,
    host.clock,
    host.descriptors,
    host.listen_queue,
    host.kernel,
    identity.tls,
    host.dashboard,
)
"""In the order in which their findings are printed."""

_COLORS: Final = {Verdict.FINE: "green", Verdict.WARNING: "yellow", Verdict.PROBLEM: "red"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead.")
@daemon_options
@pass_invocation
def doctor(invocation: Invocation, as_json: bool) -> int:
    """Check this installation, and say what to do about each finding.

    Looks at the settings, the state folder, the registry, the history, this host's identity, the
    master's ports, the way to the masters, the clock, limits and kernel. Changes nothing. Exit code
    1: there is a problem.
    """
    findings = list(_examine(invocation))
    if as_json:
        print_json(findings)
    else:
        for finding in findings:
            _print(finding)
    is_ill = any(finding.verdict is Verdict.PROBLEM for finding in findings)
    return Exit.FAILED if is_ill else Exit.OK


def _examine(invocation: Invocation) -> Iterator[Finding]:
    try:
        settings = invocation.settings()
        yield fine("settings", f"{invocation.config_file[0]}, then the defaults")
    except ConfigError as error:
        settings = Settings()
        yield problem("settings", str(error), "correct it; what follows is by the defaults")
    subject = Subject(invocation.folder, settings)
    for check in CHECKS:
        yield from check(subject)


def _print(finding: Finding) -> None:
    verdict = click.style(f"{finding.verdict:<8}", fg=_COLORS[finding.verdict])
    click.echo(f"{verdict} {finding.check:<13} {clean(finding.detail)}")
    if finding.remedy:
        click.echo(f"{'':<22} → {clean(finding.remedy)}")
