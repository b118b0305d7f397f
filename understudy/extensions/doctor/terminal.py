"""The command `understudy doctor`."""

import sys
from typing import Any

import click

from understudy.cli.options import serve_options


@click.command()
@click.argument("agents", nargs=-1, metavar="[MODULE:ATTR]...")
@serve_options
@click.option("--offline", is_flag=True, help="Ask no provider of models or identities, and no MCP server.")
def doctor(agents: tuple[str, ...], *, offline: bool, **options: Any) -> None:
    """Check configuration and services, and say how to fix problems; exit code 1 if anything must be fixed.

    Each MODULE:ATTR is an Agent of yours, or a list of them, whose models and MCP servers are asked too. The other
    options are those of serve.
    """
    from understudy.cli.load_agents import load_agents
    from understudy.extensions.doctor.checks import run_doctor

    sys.exit(run_doctor(load_agents(agents), offline=offline, **options))
