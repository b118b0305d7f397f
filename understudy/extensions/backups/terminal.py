"""The commands `understudy backup` and `understudy restore`."""

from pathlib import Path

import click

from understudy.cli.options import DATA_DIR, load_settings


@click.command()
@click.argument("target", type=click.Path(path_type=Path))
@DATA_DIR
def backup(target: Path, data_dir: Path | None) -> None:
    """Copy the database and the uploaded files to the new folder TARGET; the server may be running.

    The server's secret is not included: keep a copy elsewhere, or every user has to sign in again.
    """
    from understudy.cli.database import run_operation
    from understudy.extensions.backups.backup import back_up_data

    run_operation(back_up_data, load_settings(data_dir=data_dir), target)


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--data-dir", type=click.Path(path_type=Path), help="Data folder to restore into [data].")
def restore(source: Path, data_dir: Path | None) -> None:
    """Restore the backup SOURCE into a data folder without a database."""
    from understudy.cli.database import run_operation
    from understudy.extensions.backups.backup import restore_backup

    run_operation(restore_backup, load_settings(data_dir=data_dir), source)
