"""The command `understudy new`."""

from pathlib import Path

import click


@click.command()
@click.argument("path", metavar="NAME", type=click.Path(path_type=Path))
def new(path: Path) -> None:
    """Make a project called NAME in a new folder: an agent, tools, tests, settings, a Dockerfile and a systemd unit."""
    from understudy.extensions.projects.new_project import make_project

    for line in make_project(path):
        click.echo(line)
    click.echo(f"Next: cd {path}, then see README.md, or at once: understudy serve {path.name}.agents:AGENTS")
