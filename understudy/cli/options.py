"""What several commands share: their options, loading the settings, and reporting errors."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from understudy.app.settings import BadSettings, Settings, load

_Command = TypeVar("_Command", bound=Callable[..., object])

DATA_DIR = click.option("--data-dir", type=click.Path(path_type=Path), help="Data folder of the server [data].")
DATABASE_URL = click.option("--database-url", help="Where the database is, if not in the data folder.")
TENANT = click.option("--tenant", help="Of which tenant they are.")
_EXPORT = (
    click.option(
        "--format",
        "form",
        type=click.Choice(["json", "markdown"]),
        default="json",
        show_default=True,
        help="In which form.",
    ),
    click.option("--events", is_flag=True, help="With the log of events (JSON only)."),
    click.option("--raw", is_flag=True, help="With messages as they were sent, where that is kept; needs the key."),
    click.option("--output", type=click.Path(path_type=Path), help="File to write to [the standard output]."),
    DATA_DIR,
    DATABASE_URL,
)


def export_options(command: _Command) -> _Command:
    """Add the options of the commands that export."""
    for option in reversed(_EXPORT):
        command = option(command)
    return command


class FixableError(click.ClickException):
    """An error whose text says how to mend it; exit code 2, as for wrong usage."""

    exit_code = 2


def load_settings(**given: Any) -> Settings:
    """The settings, or an error that says how to mend them."""
    try:
        return load(**given)
    except BadSettings as error:
        raise FixableError(str(error)) from error


@contextmanager
def storage_errors_shown() -> Iterator[None]:
    """What storage raises is the command's error; exit code 1."""
    from understudy.storage.errors import StorageError
    from understudy.storage.extras import ExtraNotInstalled

    try:
        yield
    except* (StorageError, ExtraNotInstalled) as group:
        error: Exception = group
        while isinstance(error, ExceptionGroup):
            error = error.exceptions[0]
        raise click.ClickException(str(error)) from error
