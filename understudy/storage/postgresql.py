"""The PostgreSQL database at an address (`postgresql://user@host/name`), migrated at start if older than the code.

1. Several servers may write. If a server stalls within a transaction, the database ends its session (`IDLE_S`); writes
   that wait for its rows meanwhile fail alone (`LOCK_S`).
2. Every wait on the network has a deadline: connecting (`CONNECT_S`), a statement (`STATEMENT_S`, enforced by the
   server), and the writer's whole transaction (`Database.interrupt`, in case the server enforces nothing any more).
3. Transactions begin and are bounded by statements of their own, but one that only appends events: it is a single
   statement, takes one trip, and cannot be stalled within. Nothing is prepared on the server or kept in its sessions:
   between transactions a pooler such as PgBouncer may give the connection to others.
4. The address may hold a password: it is in no log, and in no error.
5. The address may name several hosts, of which one accepts writes at a time: each new connection finds that host, and a
   connection to a server that no longer accepts writes is dropped at the first refusal.
"""

import contextlib
import logging
import os
import re
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from attrs import field, frozen
from sqlalchemy import Connection, Engine, Float, Text, column, create_engine, event, func, select, table
from sqlalchemy.exc import DisconnectionError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from . import schema
from .changes import LOCK_S
from .database import BEFORE_RELEASES, NO_DATABASE, OLDER_SCHEMA, ReadDatabase, close_engine
from .errors import CannotConnect, ExtraNotInstalled, ForeignTables, SchemaInUse, SchemaTooNew, driver_words
from .schema import Now

try:
    import psycopg
    from psycopg.conninfo import conninfo_to_dict
    from psycopg.types.array import ListBinaryDumper
except ModuleNotFoundError as missing:
    raise ExtraNotInstalled("a database_url of PostgreSQL", "postgres") from missing

log = logging.getLogger(__name__)
CONNECT_S: Final = 5
STATEMENT_S: Final = 5
READERS: Final = 4
"""Limit of concurrent reads: more would only queue for the interpreter's lock."""
FILE_TRANSFERS: Final = 2
"""Limit of concurrent transfers of parts of files, beside reads and writes."""
IDLE_S: Final = 2
"""How long a server may be idle in a transaction: a stalled one would keep its rows locked."""
MIGRATION: Final = 0x756E6466
"""Key of the advisory lock that serialises migrations until they commit."""
MIGRATION_S: Final = 30
"""How long to wait for another server's migration, and for a table that a running server has locked."""
SETTING: Final = "database_url"
MOVES: Final = "moves"
"""Key in a connection's record: how many failovers had been seen when it was made."""
WRITING: Final = (
    f"BEGIN; SET LOCAL statement_timeout = '{STATEMENT_S}s'; SET LOCAL lock_timeout = '{LOCK_S}s'; "
    f"SET LOCAL idle_in_transaction_session_timeout = '{IDLE_S}s'"
)
_PASSWORD: Final = re.compile(r"(postgres(?:ql)?://[^:/@?]*:)([^@?]*)(?=@)")
"""The password of an address, which libpq takes for a port if it has a `/` in it."""
_UNKNOWN: Final = re.compile(r'invalid (?:URI query parameter|connection option) "(\w+)"')
NOT_AN_ADDRESS: Final = "its address is not of the form postgresql://user@host/name"
TOO_MANY: Final = "its address has an @ too many: one in a name or password is written %40"
NOT_UTF8: Final = (
    "its encoding is {encoding}, which cannot hold the texts of all languages; make one with "
    "CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
)
VERSIONS: Final = "alembic_version"
_COLUMNS: Final = "SELECT attname FROM pg_attribute WHERE attrelid = 'alembic_version'::regclass"
NODE_CONNECTIONS: Final = 1 + (READERS + 2) + FILE_TRANSFERS + 2
"""Limit of connections per node: to write, to read, for files, and to wake others and be woken."""

for _index in (index for each in schema.whole().tables.values() for index in each.indexes):
    _index.dialect_options["postgresql"]["where"] = _index.dialect_options["sqlite"]["where"]
_FREE: Final = """
    SELECT least(
        current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int - count(*),
        (SELECT nullif(rolconnlimit, -1) FROM pg_roles WHERE rolname = current_user)
            - count(*) FILTER (WHERE usename = current_user),
        (SELECT nullif(datconnlimit, -1) FROM pg_database WHERE datname = current_database())
            - count(*) FILTER (WHERE datname = current_database())
    ) FROM pg_stat_activity WHERE datid IS NOT NULL AND coalesce(backend_type, 'client backend') = 'client backend'
"""
"""Connections left by the server, the user and the database. Of others' sessions most users do not see the type."""
_WRITABLE: Final = "SELECT NOT pg_is_in_recovery() AND current_setting('default_transaction_read_only') = 'off'"
_CREATES: Final = "SELECT coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)"
_LACKING: Final = """
    SELECT lower(kind) || ' on ' || relname FROM pg_class CROSS JOIN unnest(%s) kind
    WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND relname = ANY(%s) AND NOT CASE kind
        WHEN 'OWN' THEN pg_has_role(relowner, 'USAGE') ELSE has_table_privilege(oid, kind) END
    ORDER BY 1
"""
_KINDS: Final = ["SELECT", "INSERT", "UPDATE", "DELETE"]
READING: Final = f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = '{STATEMENT_S}s'"


@frozen
class PostgresDatabase:
    """The engines of a database: see `understudy.storage.database`; `files` is for the bytes of files."""

    where: str
    writing: Engine = field(repr=False)
    reading: Engine = field(repr=False)
    files: Engine = field(repr=False)
    address: str = field(repr=False)

    def check(self) -> None:
        """Do nothing: a committed transaction is stored."""

    def stamp(self) -> None:
        """Return None: only PostgreSQL knows of commits."""

    def interrupt(self, connection: Any) -> None:
        """Shut down the socket of a connection of psycopg."""
        with contextlib.suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)

    def forget(self) -> None:
        """Do nothing: PostgreSQL purges deleted rows by itself (`VACUUM`)."""

    def close(self) -> None:
        """Close the pooled connections; those in use are closed when they are returned."""
        for engine in (self.files, self.reading, self.writing):
            close_engine(engine)


def connect_database(address: str) -> PostgresDatabase:
    """Connect to a database, and migrate it if it is older than the code; blocks for as long as that takes.

    Raises CannotConnect (no server, no such database, refused), ForeignTables, SchemaTooNew or SchemaInUse; then the
    database was not changed.
    """
    parsed = _parse(address)
    where = _where(parsed)
    writing, reading, files = (
        _engine(parsed, WRITING, places=1),
        _engine(parsed, READING, places=READERS + 2),
        _engine(parsed, WRITING, places=FILE_TRANSFERS),
    )
    if "target_session_attrs" in parsed:
        _move_together(writing, reading, files)
    try:
        with writing.begin() as connection:
            _migrate(connection, where)
    except BaseException as error:
        writing.dispose()
        if isinstance(error, SQLAlchemyError | psycopg.Error):
            raise CannotConnect(where, " ".join(driver_words(error).split())) from None  # the chain may name a password
        raise
    return PostgresDatabase(where, writing, reading, files, address)


def alone(address: str) -> "Callable[[str], psycopg.Connection[Any]]":
    """Return what opens a connection of no pool to an address, by that name among the server's sessions.

    It blocks, and raises the errors of psycopg. Each of its statements commits. Raises CannotConnect: no address.
    """
    parameters = {**_GIVEN, **_parse(address), **_ALWAYS}
    return lambda name: psycopg.connect(**{**parameters, "application_name": name})


def _move_together(*engines: Engine) -> None:
    """After a server has refused a write as read-only, drop all pooled connections: another server is primary now.

    The driver's cursors see the refusal, since many statements do not pass SQLAlchemy (`understudy.storage.prepared`).
    """
    moves = 0

    class WatchedCursor(psycopg.Cursor[Any]):
        def execute(self, *args: Any, **options: Any) -> Any:
            nonlocal moves
            try:
                return super().execute(*args, **options)
            except psycopg.errors.ReadOnlySqlTransaction:
                moves += 1
                raise

        def executemany(self, *args: Any, **options: Any) -> None:
            nonlocal moves
            try:
                super().executemany(*args, **options)
            except psycopg.errors.ReadOnlySqlTransaction:
                moves += 1
                raise

    def connected(connection: psycopg.Connection[Any], record: ConnectionPoolEntry) -> None:
        connection.cursor_factory = WatchedCursor
        record.info[MOVES] = moves

    def taken(_connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:
        if record.info[MOVES] != moves:
            raise DisconnectionError  # the pool makes another

    for engine in engines:
        event.listen(engine, "connect", connected)
        event.listen(engine, "checkout", taken)


def _parse(address: str) -> dict[str, str]:
    """Parse an address as libpq does: a URI, or keywords with values. Raises CannotConnect, without repeating it."""
    is_uri = "://" in address.partition("=")[0]
    if is_uri and address.count("@") > 1:
        raise CannotConnect(SETTING, TOO_MANY)
    quoted = _PASSWORD.sub(lambda found: found[1] + found[2].replace("/", "%2F"), address)
    try:
        parsed = {name: str(value) for name, value in conninfo_to_dict(quoted).items()}
    except psycopg.ProgrammingError as error:
        unknown = _UNKNOWN.match(str(error))
        if unknown is not None and (is_uri or "password" not in address):  # else it may be a part of the password
            raise CannotConnect(SETTING, f"libpq has no option called {unknown[1]!r}") from None
        raise CannotConnect(SETTING, NOT_AN_ADDRESS) from None
    ports = parsed.get("port", "").split(",")
    if is_uri and any("@" in parsed.get(name, "") for name in ("host", "port", "dbname")):
        raise CannotConnect(SETTING, TOO_MANY)  # the text before it may be a part of the password
    if not all(port.isdecimal() for port in ports if port):
        raise CannotConnect(SETTING, NOT_AN_ADDRESS)
    query = quoted.rpartition("@")[2].partition("?")[2] if is_uri else ""
    for name, number in Counter(part.partition("=")[0] for part in query.split("&") if part).items():
        if number > 1:
            raise CannotConnect(SETTING, f"its address has the option {name!r} {number} times")
    return parsed


def _where(parsed: Mapping[str, str]) -> str:
    hosts = (parsed.get(name) for name in ("host", "hostaddr", "service"))
    place = next(filter(None, hosts), "the local socket")
    return f"{place}/{parsed.get('dbname') or parsed.get('user', '')}"


_GIVEN: Final[Mapping[str, Any]] = {
    "connect_timeout": CONNECT_S,
    "application_name": "understudy",
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "prepare_threshold": None,
}
_ALWAYS: Final[Mapping[str, Any]] = {
    "autocommit": True,  # `begin` opens the transactions
    "client_encoding": "utf8",  # whatever the role or the environment asks for: texts are of all languages
}


def _engine(parsed: Mapping[str, str], begin: str, *, places: int) -> Engine:
    engine = create_engine(
        "postgresql+psycopg://",
        connect_args={**_GIVEN, **parsed, **_ALWAYS},
        json_serializer=lambda value: msgspec.json.encode(value).decode(),
        json_deserializer=msgspec.json.decode,
        hide_parameters=True,
        pool_size=places,
        max_overflow=0,
        pool_pre_ping=begin != READING,  # there the beginning of the transaction shows what has died
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: psycopg.Connection[Any], _record: object) -> None:
        # In the text format lists of bytes would be built, sent and parsed at twice their size.
        connection.adapters.register_dumper(list, ListBinaryDumper)

    @event.listens_for(engine, "begin")
    def open_transaction(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _migrate(connection: Connection, where: str) -> None:
    connection.exec_driver_sql("SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0")
    revision = _known_revision(connection, where)
    if schema.is_behind(revision):
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{MIGRATION_S}s'")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION})")
        revision = _known_revision(connection, where)  # another server may have been faster
    if schema.is_behind(revision):
        from .migrations import oldest_reader, upgrade  # Alembic is slow to import, and most starts do not need it

        if revision is not None and (running := _nodes_before(connection, oldest_reader(connection))):
            raise SchemaInUse(where, running, revision, schema.HEAD)
        upgrade(connection)
    elif revision != schema.HEAD:
        log.warning("storage.newer_schema", extra={"found": revision, "known": schema.HEAD})
    if tables := schema.of_others():
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION})")  # another server may start, too
        for table in tables:
            table.create(connection, checkfirst=True)
    if connection.exec_driver_sql("SHOW synchronous_commit").scalar_one() == "off":
        log.warning("storage.not_durable", extra={"database": where, "reason": "synchronous_commit is off"})


def _nodes_before(connection: Connection, oldest: str) -> int:
    """Count the living nodes that do not know a schema of the revision `oldest`."""
    expires_at, knows = column("expires_at", Float), column("knows_revision", Text)
    lagging = select(func.count()).select_from(table("nodes")).where(expires_at > Now(), knows < oldest)
    return int(connection.execute(lagging).scalar_one())


def _known_revision(connection: Connection, where: str) -> str | None:
    """Return the revision of the schema, None for an empty database."""
    encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
    if encoding != "UTF8":
        raise CannotConnect(where, NOT_UTF8.format(encoding=encoding))
    names = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
    tables = set(connection.exec_driver_sql(names).scalars())
    rows: list[str] = []
    if VERSIONS in tables:
        if "version_num" not in connection.exec_driver_sql(_COLUMNS).scalars().all():
            raise ForeignTables(where, VERSIONS)
        rows = list(connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars())
    known = tables & set(schema.whole().tables)
    if not rows and known:
        raise ForeignTables(where, min(known))
    revision = rows[0] if rows else None
    if revision is not None and not schema.is_revision(revision):
        raise ForeignTables(where, VERSIONS)
    if revision is not None and revision < schema.REVISIONS[0]:
        raise CannotConnect(where, BEFORE_RELEASES.format(found=revision))
    written: dict[str, Any] = {}
    if schema.compatibility.name in tables:
        row = connection.exec_driver_sql("SELECT * FROM compatibility").mappings().first()
        written = {} if row is None else dict(row)
    oldest = written.get("oldest_revision")
    if revision is not None and not schema.is_usable(revision, oldest):
        raise SchemaTooNew(where, revision, schema.HEAD, oldest, written.get("release"))
    return revision


def read_server(address: str) -> ReadDatabase:
    """Connect to a database for reading; blocks. Servers may be running.

    Raises CannotConnect (also if there is no schema, or an older one), ForeignTables or SchemaTooNew.
    """
    with open_snapshot(address) as (connection, where):
        revision = _known_revision(connection, where)
    if schema.is_behind(revision):
        raise CannotConnect(where, NO_DATABASE if revision is None else OLDER_SCHEMA)
    return ReadDatabase(_engine(_parse(address), READING, places=1))


def inspect_server(address: str) -> tuple[str, str | None]:
    """Return the server's version and the schema's revision, None for an empty database; blocks. Changes nothing.

    Raises CannotConnect, ForeignTables or SchemaTooNew.
    """
    with open_snapshot(address) as (connection, where):
        return str(connection.exec_driver_sql("SHOW server_version").scalar_one()), _known_revision(connection, where)


@frozen
class ClusterCheck:
    """The state of a server before several nodes share it.

    `revision` is None for an empty database; `ahead_s` is how far this machine's clock is ahead of the server's; `free`
    is how many more connections the server accepts; `nodes` the number of living nodes; `writable` is False for a
    standby. `lacking` are rights of `user` that a start needs: `create on the schema`, `insert on threads`, or
    `own on threads` to migrate it.
    """

    version: str
    revision: str | None
    ahead_s: float
    free: int
    nodes: int
    writable: bool
    user: str
    lacking: Sequence[str]


def check_cluster(address: str) -> ClusterCheck:
    """Query the server for a `ClusterCheck`; blocks. Changes nothing. Raises as `inspect_server`."""
    version, revision = inspect_server(address)
    with open_snapshot(address) as (connection, _):
        free = int(connection.exec_driver_sql(_FREE).scalar_one()) + 1  # this connection will be closed
        nodes = 0
        if revision is not None:
            leases = "SELECT count(*) FROM nodes WHERE expires_at > extract(epoch FROM clock_timestamp())"
            nodes = int(connection.exec_driver_sql(leases).scalar_one())
        writable = bool(connection.exec_driver_sql(_WRITABLE).scalar_one())
        user = str(connection.exec_driver_sql("SELECT current_user").scalar_one())
        outdated = schema.is_behind(revision)
        may_create = connection.exec_driver_sql(_CREATES).scalar_one() or not outdated
        lacking = [] if may_create else ["create on the schema"]
        parameters = ([*_KINDS, "OWN"] if outdated else _KINDS, [*schema.whole().tables, VERSIONS])
        lacking += connection.exec_driver_sql(_LACKING, parameters).scalars()
        return ClusterCheck(version, revision, _ahead_s(connection), free, nodes, writable, user, lacking)


def _ahead_s(connection: Connection) -> float:
    """Return the difference of the clocks by the quickest of three queries, assuming equal times there and back."""
    differences = []
    for _ in range(3):
        began = time.time()
        server_time = float(connection.exec_driver_sql("SELECT extract(epoch FROM clock_timestamp())").scalar_one())
        ended = time.time()
        differences.append((ended - began, (began + ended) / 2 - server_time))
    return min(differences)[1]


@contextlib.contextmanager
def open_snapshot(address: str) -> Iterator[tuple[Connection, str]]:
    """Open a transaction that cannot write. Yield it and the database's name for operators; blocks.

    Raises CannotConnect.
    """
    parsed = _parse(address)
    engine, where = _engine(parsed, READING, places=1), _where(parsed)
    try:
        with engine.begin() as connection:
            yield connection, where
    except (SQLAlchemyError, psycopg.Error) as error:
        raise CannotConnect(where, " ".join(driver_words(error).split())) from None
    finally:
        engine.dispose()
