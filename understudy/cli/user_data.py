"""Operations behind the commands users and threads: list users, export and erase their data, sign them out.

Listing and exporting read the database, also while a server runs. An export, an erasure, a sign-out and the reading
of the audit log have an entry in it, which is stored first. Erasing requires that no server runs, because a
server would go on with the state of its conversations; while one runs, erase over HTTP.
"""

import os
import pwd
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

import trio

from actors import ActorSystem, ChildSpec
from understudy.app.settings import Settings
from understudy.auth.revocation import USER_REVOCATION_S, RevocationFile, user_key
from understudy.auth.sessions import REVOCATIONS_FILE
from understudy.content.vault import Vault
from understudy.privacy.erasure import Erased, Eraser
from understudy.privacy.export import Exporter, ExportOptions, Pieces
from understudy.storage import archive_queries, audit, nodes, queries
from understudy.storage.accounts import DisableAccount
from understudy.storage.archive_queries import Archive, User
from understudy.storage.audit import COMMAND_LINE, AuditEntry, AuditFilter, StoredEntry
from understudy.storage.cache import drop_changed_answers
from understudy.storage.database import Database, DriverErrors, ReadDatabase
from understudy.storage.errors import NotStored, StorageError, StorageUnavailable, driver_words
from understudy.storage.files import FileStore, FolderFiles
from understudy.storage.owners import name_of, owner_of
from understudy.storage.revocations import RevokeSession
from understudy.storage.sqlite import FILES, open_database, read_folder
from understudy.storage.store import Store
from understudy.storage.write import Write
from understudy.storage.writer import StoreWriter, commit_group

PART_SUFFIX: Final = ".part"
AUDIT_PAGE: Final = 500
"""Entries of the audit log that are read at a time."""
REDIS_AWAY: Final = (
    "Redis does not answer: what servers kept there of what was read lately stays until its hour is over, for when the "
    "database is away"
)


class DataCommandFailed(StorageError):
    """A command on stored data cannot be carried out; the text says why, and is for the operator."""


def export_data(
    settings: Settings,
    what: ExportOptions,
    output: Path | None,
    owner: str | None,
    tenant: str | None,
    thread: str | None,
) -> None:
    """Export a thread, a user or a whole tenant to a file, or to standard output.

    Raises StorageError; NotStored if the thread, user or tenant does not exist.
    """

    async def run() -> None:
        with _open_output(output) as file, open_read_only(settings) as database:
            archive = Archive(database)
            exporter = Exporter(archive, Vault(), time.time)
            async with aclosing(await _export_pieces(archive, exporter, what, owner, tenant, thread)) as pieces:
                asked = {"events": what.events, "thread": thread is not None}
                target = None if owner is None else owner_of(owner, tenant)
                _record(settings, audit_entry("user.exported", target, tenant, format=what.form, **asked))
                async for piece in pieces:
                    await trio.to_thread.run_sync(file.write, piece)

    trio.run(run)


async def _export_pieces(
    archive: Archive, exporter: Exporter, what: ExportOptions, owner: str | None, tenant: str | None, thread: str | None
) -> Pieces:
    if owner is None:
        if not await archive.read(archive_queries.users, "", tenant or ""):
            raise NotStored("user of the tenant", tenant or "")
        return exporter.tenant(tenant or "", what)
    name = owner_of(owner, tenant)
    if thread is not None:
        row = await archive.read(queries.thread, name, thread)
        if row is None:
            raise NotStored("thread", thread)
        return exporter.thread(row, what)
    user = await archive.read(archive_queries.user, name)
    if user is None:
        raise NotStored("user", owner)
    return exporter.user(user, what)


def users_with_data(settings: Settings, tenant: str | None) -> Iterator[Sequence[User]]:
    """Yield the users with stored data, in pages. Raises StorageError."""
    with open_read_only(settings) as database:
        after = ""

        async def page() -> list[User]:
            return await Archive(database).read(archive_queries.users, after, tenant)

        while users := trio.run(page):
            yield users
            after = users[-1].id


def erase_users(
    settings: Settings,
    owner: str | None,
    tenant: str | None,
    tell: Callable[[str], object] = lambda _: None,
    *,
    keep: tuple[str, ...] = (),
) -> list[Erased]:
    """Erase a user, or all users of a tenant. Raises StorageError; data erased before that is gone.

    `tell` is called with notes for the operator. SoleAccount refuses it, before anything is erased, if the account of
    `owner` is the only usable one that has one of the roles `keep`.
    """

    async def run() -> list[Erased]:
        async with _open_eraser(settings, tell) as eraser:
            if owner is not None:
                name = owner_of(owner, tenant)
                if await eraser.archive.read(archive_queries.user, name) is None:
                    raise NotStored("user", owner)
                await audit.record(eraser.store, audit_entry("user.erased", name))
                if keep:
                    await eraser.store.commit(DisableAccount(name, time.time(), keep))
                return [await eraser.user(name)]
            done: list[Erased] = []
            while all(each.whole for each in done) and (
                users := await eraser.archive.read(archive_queries.users, "", tenant)
            ):
                for user in users:
                    await audit.record(eraser.store, audit_entry("user.erased", user.id))
                    done.append(await eraser.user(user.id))
            if not done:
                raise NotStored("user of the tenant", tenant or "")
            return done

    return trio.run(run)


def sign_out(settings: Settings, user: str, tenant: str | None) -> None:
    """End all sessions of a user. Running servers apply it within a second. Raises StorageError."""

    async def run() -> None:
        owner = owner_of(user, tenant)
        with open_read_only(settings):
            pass  # nothing is made here, nor migrated
        _record(settings, audit_entry("sessions.ended", owner, all=True))
        if not settings.on_postgresql:
            await _revoke_user(settings, None, owner)
            return
        database = open_for_writing(settings)
        try:
            async with ActorSystem("signing-out") as system:
                writer = await system.spawn(ChildSpec("writer", lambda: StoreWriter(database)))
                await _revoke_user(settings, Store(database, lambda: writer), owner)
        finally:
            database.close()

    trio.run(run)


def audit_entries(settings: Settings, wanted: AuditFilter) -> Iterator[Sequence[StoredEntry]]:
    """Yield the entries of the audit log, newest first, in pages, after storing that they are read.

    Raises StorageError.
    """
    begun = audit_entry("audit.read", tenant=wanted.tenant)
    _record(settings, begun)
    with open_read_only(settings) as database, database.reading.connect() as connection:
        before = audit.number_of(connection, begun.id, begun.who) or 0
        while page := audit.entries(connection, wanted, before, AUDIT_PAGE):
            yield page
            before = page[-1].number - 1


def audit_entry(action: str, target: str | None = None, tenant: str | None = None, **detail: str | bool) -> AuditEntry:
    """Return an entry about what the user of the operating system does at the command line."""
    number = os.getuid()
    try:
        who = pwd.getpwuid(number).pw_name
    except KeyError:
        who = f"uid {number}"
    return AuditEntry(action, who, COMMAND_LINE, target, tenant=tenant, detail=detail)


def _record(settings: Settings, entry: AuditEntry) -> None:
    """Store an entry of the audit log beside a server, if one runs. Raises StorageError."""
    commit_beside(settings, entry)


def commit_beside(settings: Settings, entry: AuditEntry, *writes: Write) -> list[int]:
    """Store an entry of the audit log, and then other writes, in one transaction beside a server, if one runs.

    Return the answers of all. Raises StorageError.
    """
    with open_read_only(settings):
        pass  # nothing is made here, nor migrated
    database = open_for_writing(settings, beside=True)
    try:
        with database.writing.connect() as connection:
            outcomes = commit_group(connection, [entry, *writes])
    except DriverErrors.of(database.writing).all as error:
        raise StorageUnavailable(driver_words(error)) from error
    finally:
        database.close()
    if isinstance(outcomes[0], Exception):
        raise StorageUnavailable(f"the audit log cannot be written: {outcomes[0]}") from outcomes[0]
    answers: list[int] = []
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome
        answers.append(outcome)
    return answers


async def _revoke_user(settings: Settings, store: Store | None, owner: str) -> None:
    """Record where servers poll for it that no token of the user issued until now is accepted."""
    if store is not None and settings.on_postgresql:
        now = time.time()
        await store.commit(RevokeSession(user_key(owner), now + USER_REVOCATION_S, now))
        return
    ended = RevocationFile(settings.data_dir / REVOCATIONS_FILE, time.time)
    try:
        await trio.to_thread.run_sync(ended.load_read_only)
        await ended.revoke_user(owner)
    except (OSError, ValueError) as error:
        raise DataCommandFailed(f"the sessions of {name_of(owner)} were not ended: {error}") from error


@contextmanager
def open_read_only(settings: Settings) -> Iterator[ReadDatabase]:
    """Open the database for reading, beside any servers; nothing is made or migrated. Raises DatabaseUnusable."""
    if settings.on_postgresql:
        from understudy.storage.postgresql import read_server  # needs an optional dependency

        database = read_server(settings.database_url)
    else:
        database = read_folder(settings.database_folder)
    try:
        yield database
    finally:
        database.close()


@asynccontextmanager
async def _open_eraser(settings: Settings, tell: Callable[[str], object]) -> AsyncIterator[Eraser]:
    """Open an eraser with a writer of its own, after checking that no server uses the database."""
    with open_read_only(settings):
        pass  # nothing is made here, nor migrated
    database = open_for_writing(settings)
    try:
        async with ActorSystem("erasing") as system:
            writer = await system.spawn(ChildSpec("writer", lambda: StoreWriter(database)))
            store = Store(database, lambda: writer)
            alive = await store.read(nodes.living) if settings.on_postgresql else []
            if alive:
                raise DataCommandFailed(
                    "a server uses the database: have it erase them, by DELETE /api/users/NAME with an operator's token"
                )
            if settings.redis_url:
                from understudy.storage.redis_cache import open_redis_cache  # most have none

                try:
                    shelf = await open_redis_cache(system, settings.redis_url)
                except ValueError as error:
                    raise DataCommandFailed(str(error)) from error
                if not shelf.link.up:
                    tell(REDIS_AWAY)
                store.on_write = partial(drop_changed_answers, shelf)
            files = _open_files(settings, database, store)
            yield Eraser(store, Archive(database), files, store.delete_thread, partial(_revoke_user, settings, store))
    finally:
        database.close()


def open_for_writing(settings: Settings, *, beside: bool = False) -> Database:
    """Open the database for writing; on SQLite `beside` a server that has the folder, else in its place."""
    if not settings.on_postgresql:
        return open_database(settings.database_folder, locked=beside)
    from understudy.storage.postgresql import connect_database

    return connect_database(settings.database_url)


def _open_files(settings: Settings, database: Database, store: Store) -> FileStore:
    if not settings.on_postgresql:
        return FolderFiles(settings.data_dir / FILES, store.commit)
    from understudy.storage.file_cache import COPIES, COPIES_BYTES, FileCache
    from understudy.storage.files_in_database import DatabaseFiles
    from understudy.storage.postgresql import PostgresDatabase

    if not isinstance(database, PostgresDatabase):
        raise TypeError("files of PostgreSQL are in PostgreSQL")
    return DatabaseFiles(database, FileCache(settings.data_dir / COPIES, limit_bytes=COPIES_BYTES))


@contextmanager
def _open_output(output: Path | None) -> Iterator[BinaryIO]:
    """Open the output under another name, readable by its owner only, and rename it when it is complete."""
    if output is None:
        if sys.stdout is None:
            raise DataCommandFailed("the standard output is closed: name a file with --output")
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if output.is_dir():
        raise DataCommandFailed(f"{output} is a folder: name a file")
    part = output.with_name(output.name + PART_SUFFIX)
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            yield file
        part.replace(output)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError) and not isinstance(error, StorageError):
            raise DataCommandFailed(f"{output} cannot be written: {error.strerror}") from error
        raise
