"""`understudy scrub`. Exit codes: 0 success, 1 failure or findings of `--check`, 2 wrong usage."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from understudy.cli.options import FixableError

if TYPE_CHECKING:
    from sanitization import Policy


def _policy(_context: click.Context, _option: click.Parameter, name: str) -> "Policy":
    from sanitization import PRESETS, PolicyError, policy_from_toml

    if name in PRESETS:
        return PRESETS[name]
    try:
        return policy_from_toml(Path(name).read_text(encoding="utf-8-sig"))
    except PolicyError as error:
        raise FixableError(f"{click.format_filename(name)}: {error}") from error
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise FixableError(
            f"--policy takes {', '.join(PRESETS)}, or a file of TOML; {click.format_filename(name)!r}: {why}"
        ) from error


@click.command()
@click.argument("files", nargs=-1, metavar="[FILE …]", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option(
    "--policy",
    metavar="NAME|FILE",
    default="standard",
    show_default=True,
    callback=_policy,
    help="strict, standard, off, or a TOML file.",
)
@click.option(
    "--direction",
    type=click.Choice(["inbound", "tool", "outbound"]),
    default="tool",
    show_default=True,
    help="Rules of the policy to apply: for users' text, for files and tools, or for answers.",
)
@click.option(
    "--check", is_flag=True, help="Write the positions of findings, not the text; exit code 1 if there are any."
)
@click.option("--json", "as_json", is_flag=True, help="Report findings as JSON, one object a line.")
@click.option("--html", is_flag=True, help="Make markup safe to put into a page, and leave text alone.")
def scrub(files: tuple[str, ...], policy: "Policy", direction: str, **options: bool) -> None:
    """Remove secrets, hidden characters and active markup from files or a pipe.

    The text is written to standard output as it comes in, findings to standard error. Without a FILE, or if it is -,
    standard input is read.
    """
    from sanitization import Direction
    from understudy.extensions.scrubbing.scrub import STDIN, ScrubCommand

    sys.exit(ScrubCommand(policy, Direction(direction), **options).run(files or (STDIN,)))
