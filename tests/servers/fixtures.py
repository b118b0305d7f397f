"""The servers that tests ask for by name. Without the program of a server its tests are skipped; see `needed.py`."""

import fcntl
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.servers import needed
from tests.servers.pgbouncer import PgBouncer
from tests.servers.postgresql import Pair, Postgres
from tests.servers.redis import Redis

PROGRAMS: Mapping[str, tuple[str, ...]] = {
    "own_postgres": ("postgresql",),
    "own_redis": ("redis",),
    "pgbouncer": ("postgresql", "pgbouncer"),
    "postgres": ("postgresql",),
    "postgres_pair": ("postgresql",),
    "redis": ("redis",),
    "template": ("postgresql",),
}
"""The fixtures that start servers, and the programs that each needs."""


def pytest_configure(config: pytest.Config) -> None:
    """End the run if `TEST_WITHOUT` names an unknown program. Declare the marker `needs`."""
    needed.without()
    config.addinivalue_line("markers", "needs(*names): skip the test without these programs of tests/servers/needed.py")


def programs_of(request: pytest.FixtureRequest) -> list[str]:
    """Return the programs that a test needs by its markers, and those of its servers.

    Servers that it got by `getfixturevalue` are among them as soon as it has them.
    """
    marked = {name for marker in request.node.iter_markers("needs") for name in marker.args}
    return sorted(marked.union(*(PROGRAMS.get(fixture, ()) for fixture in request.fixturenames)))


@pytest.fixture(autouse=True)
def _ask_for_programs(request: pytest.FixtureRequest) -> Iterator[None]:
    """Ask for the programs of a test before its other fixtures do work.

    Afterwards, record those of `getfixturevalue`: the fixture of a server that already runs does not ask.
    """
    for name in programs_of(request):
        needed.program(name)
    yield
    for name in programs_of(request):
        needed.found(name)


def _postgres(*initdb: str) -> Iterator[Postgres]:
    with tempfile.TemporaryDirectory(prefix="understudy-postgres-") as folder:  # where the user it runs as may go
        server = Postgres(Path(folder), initdb=initdb)
        server.start()
        try:
            yield server
        finally:
            server.stop_if_running()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server that all tests share: each makes databases of its own there."""
    yield from _postgres()


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """One that only this test has, to be stopped, held, damaged and filled up."""
    yield from _postgres("--wal-segsize=1", "--data-checksums")


@pytest.fixture
def postgres_pair() -> Iterator[Pair]:
    """A server and a standby of it, which only this test has."""
    with tempfile.TemporaryDirectory(prefix="understudy-postgres-") as folder:
        Path(folder).chmod(0o755)
        pair = Pair.start(Path(folder))
        try:
            yield pair
        finally:
            for server in (pair.primary, pair.standby):
                server.stop_if_running()


@pytest.fixture(scope="session")
def pgbouncer(postgres: Postgres) -> Iterator[PgBouncer]:
    """A PgBouncer in transaction mode before the server that all tests share."""
    with tempfile.TemporaryDirectory(prefix="understudy-pgbouncer-") as name:
        Path(name).chmod(0o755)
        bouncer = PgBouncer(Path(name) / "pgbouncer", postgres)
        try:
            yield bouncer
        finally:
            bouncer.stop()


def _redis(folder: Path) -> Iterator[Redis]:
    server = Redis(folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """A Redis server that all tests share: each has names, or a numbered database, of its own there."""
    yield from _redis(tmp_path_factory.mktemp("redis"))


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Redis]:
    """One that only this test has, to be stopped, held and emptied."""
    yield from _redis(tmp_path / "redis")


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder at the newest schema, to be copied: running the migrations takes half of a server's start."""
    from understudy.storage.sqlite import open_database  # most tests need no database

    folder = tmp_path_factory.mktemp("migrated")
    open_database(folder).close()
    return folder


@pytest.fixture(scope="session")
def template(postgres: Postgres) -> str:
    """The name of a database at the newest schema, to be copied."""
    from understudy.storage.postgresql import connect_database

    address = postgres.create()
    connect_database(address).close()
    return address.rpartition("/")[2]


@pytest.fixture(scope="session")
def filled_once(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Callable[[Callable[[Path], None]], Path]:
    """Return what gives the folder that a function has filled, once for all processes of a run."""
    own = tmp_path_factory.getbasetemp()
    run = own if worker_id == "master" else own.parent

    def folder(fill: Callable[[Path], None]) -> Path:
        path, part = run / fill.__name__, run / f"{fill.__name__}.part"
        with open(run / f"{fill.__name__}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                shutil.rmtree(part, ignore_errors=True)  # of a process that could not fill it
                part.mkdir()
                fill(part)
                part.rename(path)
        return path

    return folder
