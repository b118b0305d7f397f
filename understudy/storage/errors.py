"""The errors of storage, and of a missing optional dependency (ExtraNotInstalled).

StorageError
├── StorageUnavailable    temporary: the writer is restarting, the disk is full; the same call may succeed later
├── WakeupsUnavailable    messages between servers that may be lost are lost for the moment
├── RedisUnavailable      Redis does not answer, not in time, or with an error
├── DatabaseUnusable      the database cannot be used at all; raised at start
│   ├── AlreadyOpen       another understudy uses the data folder
│   ├── CannotConnect     there is no server at the address, or it refuses us
│   ├── ForeignTables     the database has tables of another program under our names
│   ├── NotADatabase      the file is not SQLite, or the database of another program
│   ├── Damaged           some pages of the database are broken
│   ├── SchemaTooNew      a newer understudy wrote it
│   └── SchemaInUse       servers that could not use the new schema still run
├── ChangeRefused         this change can never be stored as it is; nothing was stored
│   ├── Fenced            another node has the thread
│   ├── SequenceConflict  its first event is not the next one of the thread
│   ├── AlreadyStored     its message or run has an id that belongs to a different one
│   ├── RunEnded          its run has already ended in another way
│   └── NotStored         it refers to a row that does not exist
├── InvalidCursor         a paging cursor that was not made by a page
└── FileTooLarge          an upload passed the limit; nothing of it was stored
"""

from pathlib import Path

from attrs import define


def driver_words(error: BaseException) -> str:
    """Return the driver's message if there is one: SQLAlchemy's message repeats the statement with users' texts."""
    return str(getattr(error, "orig", None) or error)


class StorageError(Exception):
    """The base of the errors of storage."""


@define
class BadName(StorageError):
    """A name of a user or a tenant that cannot be one: the key made of it would be another's."""

    def __str__(self) -> str:
        return "names of users and tenants are printable texts"


@define
class StorageUnavailable(StorageError, ConnectionError):
    """Storage cannot be used right now. The change may or may not have been stored; repeating it is safe."""

    reason: str

    def __str__(self) -> str:
        return f"storage is not available: {self.reason}"


@define
class WakeupsUnavailable(StorageError, ConnectionError):
    """Messages between servers may be lost for the moment."""

    reason: str

    def __str__(self) -> str:
        return f"The other servers cannot be woken: {self.reason}"


@define
class RedisUnavailable(StorageError, ConnectionError):
    """Redis does not answer right now. The command may or may not have been executed."""

    reason: str

    def __str__(self) -> str:
        return f"Redis is not available: {self.reason}"


class DatabaseUnusable(StorageError):
    """The data folder or its database cannot be used, and waiting will not help. The text is for the operator."""


@define
class CannotOpen(DatabaseUnusable, OSError):
    """The data folder or its database cannot be opened for writing."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"cannot use {self.path} for storage: {self.reason}"


@define
class CannotConnect(DatabaseUnusable, OSError):
    """The database's server cannot be reached, or refuses. `where` is its host and name, never a password."""

    where: str
    reason: str

    def __str__(self) -> str:
        return f"cannot use the database at {self.where}: {self.reason}"


@define
class ForeignTables(DatabaseUnusable):
    """Another program's table has the name of one of ours. The database was left as it is."""

    where: str
    table: str

    def __str__(self) -> str:
        return f"the database at {self.where} has another program's table {self.table!r}: name one of its own"


@define
class AlreadyOpen(DatabaseUnusable):
    """Another process (or another server in this one) uses the data folder. `pid` is None if unknown."""

    folder: Path
    pid: int | None

    def __str__(self) -> str:
        holder = "another understudy" if self.pid is None else f"another understudy (process {self.pid})"
        return f"{holder} uses the folder {self.folder}: stop it, or choose another folder with --data-dir"


@define
class NotADatabase(DatabaseUnusable):
    """The file is not a SQLite database, or the database of another program. It was left as it is."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path} is not a database of understudy: {self.reason}"


@define
class Damaged(DatabaseUnusable):
    """The database is one of understudy, but SQLite finds broken pages in it. It was left as it is."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return (
            f"{self.path} is damaged ({self.reason}): put a backup in its place; without one, `sqlite3 {self.path} "
            "'.recover' | sqlite3 rescued.db` saves what can be read, and rescued.db goes in its place. "
            f"{self.path.name}-wal belongs to the damaged one: move that away too"
        )


@define
class SchemaTooNew(DatabaseUnusable):
    """The database was migrated by a newer release, and this one cannot use its schema. It was left as it is.

    `oldest` is the first schema whose release can, `release` the one that migrated it; each None if it is not written.
    """

    path: Path | str
    found: str
    newest_known: str
    oldest: str | None = None
    release: str | None = None

    def __str__(self) -> str:
        needed = "" if self.oldest is None else f" and can be used by releases that know {self.oldest}"
        release = "the newer understudy that wrote it" if self.release is None else f"understudy {self.release}"
        return (
            f"{self.path} has schema {self.found}{needed}, this understudy knows schemas up to {self.newest_known}: "
            f"start {release}, or restore the backup from before the upgrade, or name another folder or database"
        )


@define
class SchemaInUse(DatabaseUnusable):
    """Servers of an older release use the database and could not use its new schema. It was left as it is."""

    path: str
    servers: int
    found: str
    wanted: str

    def __str__(self) -> str:
        return (
            f"{self.path} has schema {self.found} and is used by {self.servers} running servers, which cannot work "
            f"with schema {self.wanted}: stop them all first, or go through the releases one by one"
        )


class ChangeRefused(StorageError, ValueError):
    """The change can never be stored as it is, and nothing of it was. Other changes are not affected."""


@define
class Unstorable(ChangeRefused):
    """A value of a change or query cannot be stored at all (a lone surrogate, a huge integer, not JSON)."""

    reason: str

    def __str__(self) -> str:
        return f"a value cannot be stored: {self.reason}"


@define
class Fenced(ChangeRefused):
    """The thread is no longer under the fence of the change. `node` is its present owner, None for none."""

    thread_id: str
    node: str | None

    def __str__(self) -> str:
        holder = "nobody" if self.node is None else f"node {self.node}"
        return f"the thread {self.thread_id!r} was taken away: {holder} has it now"


@define
class SequenceConflict(ChangeRefused):
    """The change's first event is not the thread's next one, and other events stand in its place."""

    thread_id: str
    expected: int
    got: int

    def __str__(self) -> str:
        return f"the next event of thread {self.thread_id!r} is {self.expected}, not {self.got}"


@define
class AlreadyStored(ChangeRefused):
    """Another message, run or file is stored under the same id. `kind` is `message`, `run` or `file`."""

    kind: str
    id: str

    def __str__(self) -> str:
        return f"a different {self.kind} is already stored as {self.id!r}"


@define
class RunEnded(ChangeRefused):
    """The run has already ended with another status: a run ends once."""

    run_id: str
    status: str

    def __str__(self) -> str:
        return f"run {self.run_id!r} has already ended: {self.status}"


@define
class NotStored(ChangeRefused, LookupError):
    """The change refers to a row that does not exist (any more). `kind` is `thread`, `run`, `user` or `file`."""

    kind: str
    id: str

    def __str__(self) -> str:
        return f"there is no {self.kind} {self.id!r}"


@define
class InvalidCursor(StorageError, ValueError):
    """The cursor was not made by a page of this list."""

    cursor: str

    def __str__(self) -> str:
        return "that cursor does not come from a page of this list"


@define
class FileTooLarge(StorageError, ValueError):
    """The upload is larger than the limit, in bytes. Nothing of it was stored."""

    limit_bytes: int

    def __str__(self) -> str:
        return f"the file is larger than {self.limit_bytes} bytes"


class ExtraNotInstalled(ImportError):
    """A setting needs an optional dependency that is not installed. The text names the setting and the extra.

    `setting` is as a user gave it, such as `nodes.redis_url`; `extra` is one of pyproject.toml's.
    """

    def __init__(self, setting: str, extra: str) -> None:
        super().__init__(setting, extra)
        self.setting = setting
        self.extra = extra

    def __str__(self) -> str:
        return f"{self.setting} needs the extra {self.extra}: pip install 'understudy-server[{self.extra}]'"
