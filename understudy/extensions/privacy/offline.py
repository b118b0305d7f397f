"""The work of the commands `users` and `threads`: list users, export and erase their data.

Lists and exports read the database, also while a server runs. Exports and erasures are written to the audit log before
they begin. Erasure requires that no server runs, because a server would keep using the state of its conversations;
while one runs, erase over HTTP.
"""

import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from pathlib import Path
from typing import BinaryIO, Final

import trio

from actors import ActorSystem, ChildSpec
from understudy.app.settings import Settings, extension_tables
from understudy.cli.stored_data import (
    DataCommandFailed,
    commit_beside,
    deed_of,
    open_for_writing,
    open_read_only,
    revocation_of,
    what_stores,
)
from understudy.content.vault import Vault
from understudy.extensions.privacy import queries as archive_queries
from understudy.extensions.privacy.erasure import ERASED, Erased, Eraser
from understudy.extensions.privacy.export import EXPORTED, Exporter, ExportOptions, Pieces
from understudy.extensions.privacy.queries import User
from understudy.installed import kept_of_users
from understudy.storage import queries
from understudy.storage.acts import say
from understudy.storage.errors import NotStored, StorageError
from understudy.storage.owners import owner_of
from understudy.storage.read_pool import Archive
from understudy.storage.store import Store
from understudy.storage.writer import StoreWriter

PART_SUFFIX: Final = ".part"


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
                detail = {"events": what.events, "thread": thread is not None}
                target = None if owner is None else owner_of(owner, tenant)
                commit_beside(settings, deed_of(EXPORTED, target, tenant, format=what.form, **detail))
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
    force: bool = False,
) -> list[Erased]:
    """Erase a user, or all users of a tenant. Raises StorageError; data erased before that is gone.

    `tell` is called with notes for the operator. Unless `force`, an extension may refuse the erasure of `owner` before
    anything is erased.
    """

    async def run() -> list[Erased]:
        async with _open_eraser(settings, tell) as eraser:
            if owner is not None:
                name = owner_of(owner, tenant)
                if await eraser.store.archive.read(archive_queries.user, name) is None:
                    raise NotStored("user", owner)
                for kept in kept_of_users():
                    if kept.before is not None and not force:
                        await eraser.store.commit(kept.before(name))
                await say(eraser.store, deed_of(ERASED, name))
                return [await eraser.user(name)]
            done: list[Erased] = []
            while all(erased.whole for erased in done) and (
                users := await eraser.store.archive.read(archive_queries.users, "", tenant)
            ):
                for user in users:
                    await say(eraser.store, deed_of(ERASED, user.id))
                    done.append(await eraser.user(user.id))
            if not done:
                raise NotStored("user of the tenant", tenant or "")
            return done

    return trio.run(run)


@asynccontextmanager
async def _open_eraser(settings: Settings, tell: Callable[[str], object]) -> AsyncIterator[Eraser]:
    """Open an eraser with a writer of its own, after checking that no server uses the database."""
    with open_read_only(settings):
        pass  # refuse a missing or older database: erasing creates none, and migrates none
    database = open_for_writing(settings)
    try:
        async with ActorSystem("erasing") as system:
            writer = await system.spawn(ChildSpec("writer", lambda: StoreWriter(database)))
            store = Store(database, lambda: writer)
            store.on_act = what_stores(settings)
            for kind in map(settings.of, extension_tables().values()):
                if (attach := getattr(kind, "attach", None)) is not None:
                    try:
                        await attach(settings, system, store, tell)
                    except ValueError as error:
                        raise DataCommandFailed(str(error)) from error

            async def sign_out(owner: str) -> None:
                await store.commit(revocation_of(owner))

            yield Eraser(store, settings, store.delete_thread, sign_out)
    finally:
        database.close()


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
