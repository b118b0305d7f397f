"""Opening the database of a data folder: new, at head, older, newer, and everything that is not ours to use."""

import os
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from tests.rigs.database import differences
from understudy.storage import migrations, schema
from understudy.storage.data_folder import LOCK_NAME
from understudy.storage.errors import CannotOpen, NotADatabase, SchemaTooNew
from understudy.storage.sqlite import FILE_NAME, inspect_database, open_database, read_folder

pytestmark = pytest.mark.usefixtures("on_sqlite")


def test_a_new_folder_gets_the_newest_schema(tmp_path) -> None:
    database = open_database(tmp_path / "made" / "for 100% of us")
    with database.writing.begin() as connection:
        assert MigrationContext.configure(connection).get_current_revision() == schema.HEAD
        assert differences(connection) == []
    database.close()


def test_the_code_knows_every_migration() -> None:
    scripts = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert tuple(script.revision for script in reversed(list(scripts.walk_revisions()))) == schema.REVISIONS


def test_a_failed_migration_leaves_nothing_behind(tmp_path) -> None:
    path = tmp_path / FILE_NAME
    other = sqlite3.connect(path)
    other.execute("CREATE VIEW files AS SELECT 1")
    other.close()
    with pytest.raises(CannotOpen, match="files"):
        open_database(tmp_path)
    other = sqlite3.connect(path)
    assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("files",)]
    other.close()


def test_a_start_at_head_does_not_import_alembic(folder) -> None:
    """Most starts find the newest schema; they must not pay for the migrations' machinery."""
    code = (
        "import sys; from pathlib import Path; from understudy.storage.sqlite import open_database; "
        "open_database(Path(sys.argv[1])).close(); print('alembic' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


def newer(folder: Path, oldest: str) -> Path:
    """Give the database the schema of a later release, which code from `oldest` on can use."""
    path = folder / FILE_NAME
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.execute("UPDATE compatibility SET oldest_revision = ?", (oldest,))
        connection.execute("CREATE TABLE later (id text)")
    connection.close()
    return path


def test_one_can_go_back_to_the_release_before(folder, caplog) -> None:
    newer(folder, schema.HEAD)
    with caplog.at_level("WARNING"):
        open_database(folder).close()
    assert [record.message for record in caplog.records] == ["storage.newer_schema"]
    assert inspect_database(folder) == "9999"
    read_folder(folder).close()


def test_a_newer_schema_is_refused_and_left_alone(folder) -> None:
    path = newer(folder, "9998")
    content = path.read_bytes()
    with pytest.raises(
        SchemaTooNew, match=f"has schema 9999 and .* know 9998, this understudy knows schemas up to {schema.HEAD}"
    ):
        open_database(folder)
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", [b"Dear diary, " * 200, b"\x00" * 5000, b"short"])
def test_a_file_that_is_not_a_database(tmp_path, content) -> None:
    path = tmp_path / FILE_NAME
    path.write_bytes(content)
    with pytest.raises(NotADatabase, match="is not a database of understudy"):
        open_database(tmp_path)
    assert path.read_bytes() == content
    assert {child.name for child in tmp_path.iterdir()} == {FILE_NAME, LOCK_NAME}


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE TABLE recipes (name TEXT)"],
        ["CREATE TABLE alembic_version (version_num TEXT)", "INSERT INTO alembic_version VALUES ('ae1027a6acf')"],
        ["CREATE TABLE alembic_version (release TEXT)"],
    ],
)
def test_the_database_of_another_program(tmp_path, statements) -> None:
    path = tmp_path / FILE_NAME
    with sqlite3.connect(path) as connection:
        for statement in statements:
            connection.execute(statement)
        tables = connection.execute("SELECT name FROM sqlite_master").fetchall()
    connection.close()
    with pytest.raises(NotADatabase, match="another program"):
        open_database(tmp_path)
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == tables
    connection.close()


def test_an_empty_file_is_a_new_database(tmp_path) -> None:
    """As SQLite has it: a start that was killed before its first write leaves one."""
    (tmp_path / FILE_NAME).touch()
    open_database(tmp_path).close()
    assert (tmp_path / FILE_NAME).stat().st_size > 0


def test_a_file_for_a_folder_and_a_folder_for_a_file_are_refused(tmp_path) -> None:
    (tmp_path / "data").write_text("not a folder")
    (tmp_path / "other" / FILE_NAME).mkdir(parents=True)
    for folder in (tmp_path / "data", tmp_path / "data" / "below", tmp_path / "other"):
        with pytest.raises(CannotOpen, match="cannot use"):
            open_database(folder)


@pytest.fixture
def as_nobody():
    """Without the rights of root, for whom nothing is read-only."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    yield
    os.seteuid(0)


@pytest.fixture
def read_only(migrated):
    """A data folder everyone may read and nobody may write to: outside tmp_path, which only its owner may enter."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "data"
        folder.mkdir()
        (folder / FILE_NAME).write_bytes((migrated / FILE_NAME).read_bytes())
        (folder / FILE_NAME).chmod(0o444)
        Path(name).chmod(0o555)
        folder.chmod(0o555)
        yield folder
        folder.chmod(0o755)
        Path(name).chmod(0o755)


def test_a_read_only_folder(read_only, as_nobody) -> None:
    with pytest.raises(CannotOpen, match=r"cannot use .* for storage"):
        open_database(read_only)
    with pytest.raises(CannotOpen, match="Permission denied"):
        open_database(read_only / "below")


def test_a_database_that_another_process_is_writing_to(folder) -> None:
    other = sqlite3.connect(folder / FILE_NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for opens in (open_database, inspect_database):
        with pytest.raises(CannotOpen, match="locked"):
            opens(folder, busy_timeout_ms=10)
    other.close()
    open_database(folder).close()


def test_committed_changes_are_on_the_disk(database) -> None:
    with database.writing.connect() as connection:
        settings = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 2000}


def test_two_starts_at_once_migrate_once(tmp_path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def start(folder: Path) -> list[str]:
        database = open_database(folder, wait_s=60)
        with database.reading.connect() as connection:
            revisions = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars().all()
        database.close()
        return list(revisions)

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(start, [tmp_path, tmp_path])) == [[schema.HEAD]] * 2


def test_a_connection_that_a_thread_gives_back_after_the_end_is_closed(folder) -> None:
    database = open_database(folder)
    held = database.reading.connect()
    for _ in range(2):
        database.close()
    late = database.reading.connect()
    drivers = [pooled.connection.dbapi_connection for pooled in (held, late)]
    for connection in (held, late):
        connection.close()
    for driver in drivers:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            driver.execute("SELECT 1")
