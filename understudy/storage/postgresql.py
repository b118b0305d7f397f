"""PostgreSQL, named by an address (`postgresql://user@host/name`): migrated at start when it is older than the code.

1. Several servers may write (`understudy.storage.nodes`). A server that is held in the middle of a transaction is
   thrown out by the database (`IDLE_S`), and what waits for its rows meanwhile fails alone (`LOCK_S`).
2. What waits on the network has a deadline: connecting (`CONNECT_S`), a statement (`STATEMENT_S`, kept by the server),
   and the writer's whole transaction (`Database.interrupt`, for a server that keeps nothing any more).
3. Transactions begin and are bounded by statements of their own, and nothing is prepared on the server, nor kept in
   its sessions: between transactions a pooler such as PgBouncer may give the connection to others.
4. The address may hold a password: it is in no log, and in no error.
5. It may name several hosts, of which one takes writes at a time: each new connection finds that one, and a connection
   to a server that takes no more writes is given up at the first that it refuses.
"""

import contextlib
import logging
import os
import re
import socket
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from attrs import field, frozen
from sqlalchemy import Connection, Engine, create_engine, event, func, select
from sqlalchemy.engine import URL, ExceptionContext, make_url
from sqlalchemy.exc import ArgumentError, DisconnectionError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from . import schema
from .clock import Now
from .errors import CannotConnect, ForeignTables, SchemaInUse, SchemaTooNew, driver_words
from .extras import ExtraNotInstalled

try:
    import psycopg
    from psycopg.types.array import ListBinaryDumper
except ModuleNotFoundError as missing:
    raise ExtraNotInstalled("a database_url of PostgreSQL", "postgres") from missing

log = logging.getLogger(__name__)
CONNECT_S: Final = 5
STATEMENT_S: Final = 5
READERS: Final = 4
"""How many reads run at a time: more only queue for the interpreter's lock."""
FILE_TRANSFERS: Final = 2
"""How many files' pieces go to or from the database at a time, beside everything else."""
LOCK_S: Final = 0.5
"""How long a change waits for a row that another server is writing to."""
IDLE_S: Final = 2
"""How long a server may leave a transaction open and say nothing: one that is held would keep its rows from others."""
MIGRATION: Final = 0x756E6466
"""The number of the lock that whoever migrates holds, until it commits."""
MIGRATION_S: Final = 30
"""How long to wait for another server's migration, and for a table that a running server uses."""
SETTING: Final = "database_url"
OPTIONS: Final = frozenset(option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults())
"""What may stand behind the `?` of an address; the driver has more, which are not for an operator."""
MOVES: Final = "moves"
"""Under this a connection knows how often servers had ceased to take writes when it was made."""
WRITING: Final = (
    f"BEGIN; SET LOCAL statement_timeout = '{STATEMENT_S}s'; SET LOCAL lock_timeout = '{LOCK_S}s'; "
    f"SET LOCAL idle_in_transaction_session_timeout = '{IDLE_S}s'"
)
_ADDRESS: Final = re.compile(
    r"(?P<begin>postgresql://(?:[^:/@]*(?::[^@]*)?@)?)(?P<hosts>[^/?]*)(?P<name>[^?]*)(?P<rest>.*)", re.DOTALL
)
_HOST: Final = re.compile(r"(?:\[([^\]]*)\]|([^:\[\]]*))(?::([0-9]*))?")
VERSIONS: Final = "alembic_version"
_COLUMNS: Final = "SELECT attname FROM pg_attribute WHERE attrelid = 'alembic_version'::regclass"
READING: Final = f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = '{STATEMENT_S}s'"


@frozen
class PostgresDatabase:
    """The two ways to the database, see `understudy.storage.database`, and one for the bytes of files."""

    where: str
    writing: Engine = field(repr=False)
    reading: Engine = field(repr=False)
    files: Engine = field(repr=False)

    def check(self) -> None:
        """Nothing: what a server has committed is stored, whichever server it is."""

    def interrupt(self, connection: Any) -> None:
        """Shut down the socket under a connection of psycopg."""
        with contextlib.suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)

    def forget(self) -> None:
        """Nothing: PostgreSQL gives up what was removed by itself (`VACUUM`)."""

    def close(self) -> None:
        """Close the pooled connections, and those of reads that still are under way as soon as they are given back."""
        for engine in (self.files, self.reading, self.writing):
            event.listen(engine, "checkin", _close)
            engine.dispose()


def _close(connection: Any, _record: object) -> None:
    """Close a connection that comes back to a pool which is no more."""
    if connection is not None:
        connection.close()


def connect_database(address: str) -> PostgresDatabase:
    """Connect to a database, and migrate it when it is older than the code; blocks, for as long as that takes.

    Raises CannotConnect (no server, no such database, refused), ForeignTables, SchemaTooNew or InUse; then the database
    was not changed.
    """
    url = _url(address)
    where = _where(url)
    writing, reading, files = (
        _engine(url, WRITING, places=1),
        _engine(url, READING, places=READERS + 2),
        _engine(url, WRITING, places=FILE_TRANSFERS),
    )
    if "target_session_attrs" in url.query:
        _move_together(writing, reading, files)
    try:
        with writing.begin() as connection:
            _migrate(connection, where)
    except BaseException as error:
        writing.dispose()
        if isinstance(error, SQLAlchemyError | psycopg.Error):
            raise CannotConnect(where, " ".join(driver_words(error).split())) from None  # the chain may name a password
        raise
    return PostgresDatabase(where, writing, reading, files)


def _move_together(*engines: Engine) -> None:
    """When a server takes no more writes, have no connection to it used any more: another one has what is new."""
    moves = 0

    def refused(context: ExceptionContext) -> None:
        nonlocal moves
        moves += isinstance(context.original_exception, psycopg.errors.ReadOnlySqlTransaction)

    def connected(_connection: Any, record: ConnectionPoolEntry) -> None:
        record.info[MOVES] = moves

    def taken(_connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:
        if record.info[MOVES] != moves:
            raise DisconnectionError  # the pool makes another

    event.listen(engines[0], "handle_error", refused)
    for engine in engines:
        event.listen(engine, "connect", connected)
        event.listen(engine, "checkout", taken)


def _url(address: str) -> URL:
    """libpq's address as SQLAlchemy has it. Raises CannotConnect for what is none; nothing of it is told."""
    found = _ADDRESS.fullmatch(address)
    if address.count("@") > 1 or (found is not None and "@" in found["hosts"] + found["name"]):
        # Behind the first would be a part of the password.
        raise CannotConnect(SETTING, "its address has an @ too many: one in a name or password is written %40")
    try:
        if found is not None and "," in found["hosts"]:
            url = make_url(found["begin"] + found["name"] + found["rest"]).update_query_dict(_hosts(found["hosts"]))
        else:
            url = make_url(address)
        url = url.set(drivername="postgresql+psycopg")
        url.get_dialect()().create_connect_args(url)
    except (ArgumentError, ValueError):  # the latter for a port that is no number
        raise CannotConnect(SETTING, "its address is not of the form postgresql://user@host/name") from None
    if unknown := url.query.keys() - OPTIONS:
        raise CannotConnect(_where(url), f"libpq has no option called {min(unknown)!r}")
    return url


def _hosts(several: str) -> dict[str, str]:
    """`h1:5432,h2` as what SQLAlchemy knows them by. Raises ValueError."""
    hosts, ports = [], []
    for each in several.split(","):
        if (found := _HOST.fullmatch(each)) is None:
            raise ValueError("not a host with a port")
        hosts.append(found[1] or found[2])
        ports.append(found[3] or "")
    return {"host": ",".join(hosts)} | ({"port": ",".join(ports)} if any(ports) else {})


def _where(url: URL) -> str:
    hosts = url.host or url.query.get("host") or "the local socket"
    return f"{hosts if isinstance(hosts, str) else ','.join(hosts)}/{url.database or url.username or ''}"


def _engine(url: URL, begin: str, *, places: int) -> Engine:
    given: dict[str, Any] = {
        "connect_timeout": CONNECT_S,
        "application_name": "understudy",
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 10_000,
        "prepare_threshold": None,
        "autocommit": True,  # `begin` opens the transactions
    }
    engine = create_engine(
        url,
        connect_args={name: value for name, value in given.items() if name not in url.query},
        json_serializer=lambda value: msgspec.json.encode(value).decode(),
        json_deserializer=msgspec.json.decode,
        hide_parameters=True,
        pool_size=places,
        max_overflow=0,
        pool_pre_ping=True,
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: psycopg.Connection[Any], _record: object) -> None:
        # Lists of bytes as text would be made, sent and read at twice their size.
        connection.adapters.register_dumper(list, ListBinaryDumper)

    @event.listens_for(engine, "begin")
    def open_transaction(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _migrate(connection: Connection, where: str) -> None:
    connection.exec_driver_sql("SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0")
    found = _known_revision(connection, where)
    if schema.is_behind(found):
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{MIGRATION_S}s'")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION})")
        found = _known_revision(connection, where)  # another server may have been faster
    if schema.is_behind(found):
        if found is not None and found < schema.OLDEST and (running := _running(connection)):
            raise SchemaInUse(where, running, found, schema.HEAD)
        from .migrations import upgrade  # only now: Alembic is slow to import, and most starts do not need it

        upgrade(connection)
    elif found != schema.HEAD:
        log.warning("storage.newer_schema", extra={"found": found, "known": schema.HEAD})
    if connection.exec_driver_sql("SHOW synchronous_commit").scalar_one() == "off":
        log.warning("storage.not_durable", extra={"database": where, "reason": "synchronous_commit is off"})


def _known_revision(connection: Connection, where: str) -> str | None:
    """The revision of the schema, None for none yet."""
    names = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
    tables = set(connection.exec_driver_sql(names).scalars())
    rows: list[str] = []
    if VERSIONS in tables:
        if "version_num" not in connection.exec_driver_sql(_COLUMNS).scalars().all():
            raise ForeignTables(where, VERSIONS)
        rows = list(connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars())
    ours = tables & set(schema.metadata.tables)
    if not rows and ours:
        raise ForeignTables(where, min(ours))
    found = rows[0] if rows else None
    if found is not None and not schema.is_revision(found):
        raise ForeignTables(where, VERSIONS)
    if found is not None and not schema.is_usable(found, _oldest(connection, tables)):
        raise SchemaTooNew(where, found, schema.HEAD)
    return found


def _oldest(connection: Connection, tables: set[str]) -> str | None:
    """Return the oldest revision whose code can use the schema, None if the schema does not say."""
    if schema.compatibility.name not in tables:
        return None
    return connection.exec_driver_sql("SELECT oldest_revision FROM compatibility").scalar()


def _running(connection: Connection) -> int:
    """Return how many servers have a lease; none of a release that had no nodes yet."""
    if connection.exec_driver_sql("SELECT to_regclass('nodes')").scalar_one() is None:
        return 0
    return int(connection.execute(select(func.count()).where(schema.nodes.c.expires_at > Now())).scalar_one())


def reader_of(address: str) -> Engine:
    """A pool of connections that cannot write. Raises CannotConnect for what is no address."""
    return _engine(_url(address), READING, places=1)


def where_is(address: str) -> str:
    """An address as an operator may be shown it. Raises CannotConnect for what is none."""
    return _where(_url(address))


def inspect_server(address: str) -> tuple[str, str | None]:
    """The server's version and the schema's revision, None for none yet; blocks. Changes nothing.

    Raises CannotConnect, ForeignTables or SchemaTooNew.
    """
    with looking_at(address) as (connection, where):
        version = str(connection.exec_driver_sql("SHOW server_version").scalar_one())
        return version, _known_revision(connection, where)


@contextlib.contextmanager
def looking_at(address: str) -> Iterator[tuple[Connection, str]]:
    """A transaction that cannot write, and what the database is called in texts; blocks. Raises CannotConnect."""
    url = _url(address)
    engine = _engine(url, READING, places=1)
    where = _where(url)
    try:
        with engine.begin() as connection:
            yield connection, where
    except (SQLAlchemyError, psycopg.Error) as error:
        raise CannotConnect(where, " ".join(driver_words(error).split())) from None
    finally:
        engine.dispose()
