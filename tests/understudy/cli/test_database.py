"""`understudy migrate`, on real databases."""

from pathlib import Path

from tests.rigs.command import refusal, said, understudy
from tests.servers.postgresql import Postgres
from understudy import __version__
from understudy.storage import schema
from understudy.storage.sqlite import open_database


def test_migrate_says_from_where_to_where(tmp_path: Path) -> None:
    assert f"schema {schema.HEAD} now; it had none" in said("migrate", "--data-dir", tmp_path / "data")
    assert "already" in said("migrate", "--data-dir", tmp_path / "data")
    running = open_database(tmp_path / "data")
    done = understudy("migrate", "--data-dir", tmp_path / "data")
    running.close()
    assert (done.exit_code, "another understudy" in done.stderr) == (1, True)


def test_a_way_back_is_told_and_not_gone(postgres: Postgres, tmp_path: Path) -> None:
    """`migrate --down` changes nothing, in either database, and names the schema from which on releases can start."""
    data = tmp_path / "data"
    for address in ({}, {"UNDERSTUDY_DATABASE_URL": postgres.create()}):
        assert "no database" in refusal("migrate", "--down", "--data-dir", data, **address)
        assert "it had none" in said("migrate", "--data-dir", data, **address)
        done = understudy("migrate", "--down", "--data-dir", data, **address)
        assert done.exit_code == 1
        assert f"schema {schema.HEAD}, migrated by understudy {__version__}" in done.output
        assert f"A release that knows schema {schema.HEAD} starts on it" in done.output
        assert "already" in said("migrate", "--data-dir", data, **address)
