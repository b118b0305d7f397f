"""Shared parts of commands on stored data: opening the database beside a server or in its place, and ending sessions.

An act is written into the audit log, if an extension keeps one, before it is done.
"""

import os
import pwd
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from understudy.app.settings import Settings
from understudy.auth.revocation import USER_REVOCATION_S, user_key
from understudy.auth.sessions import SESSIONS_ENDED
from understudy.installed import brought, chosen
from understudy.storage.acts import COMMAND_LINE, Act, Deed
from understudy.storage.database import Database, DriverErrors, ReadDatabase
from understudy.storage.errors import StorageError, StorageUnavailable, driver_words
from understudy.storage.owners import owner_of
from understudy.storage.revocations import revoke_session
from understudy.storage.sqlite import open_database, read_folder
from understudy.storage.write import Write
from understudy.storage.writer import commit_group


class DataCommandFailed(StorageError):
    """A command on stored data cannot be carried out; the text says why, and is for the operator."""


def sign_out(settings: Settings, user: str, tenant: str | None) -> None:
    """End all sessions of a user. Running servers apply it within a second. Raises StorageError."""
    owner = owner_of(user, tenant)
    commit_beside(settings, deed_of(SESSIONS_ENDED, owner, all=True), revocation_of(owner))


def deed_of(act: Act, /, target: str | None = None, tenant: str | None = None, **detail: str | bool) -> Deed:
    """Return the audit log's entry for an act of the operating system's user at the command line."""
    number = os.getuid()
    try:
        who = pwd.getpwuid(number).pw_name
    except KeyError:
        who = f"uid {number}"
    return Deed(act, who, COMMAND_LINE, target, tenant=tenant, detail=detail)


def what_stores(settings: Settings) -> Callable[[Deed], Write] | None:
    """Return the function that makes the write of a deed, if an extension that is on has one."""
    stores = (brought(extension.terminal).acts for extension in chosen(settings.extensions).values())
    return next((store for store in stores if store is not None), None)


def commit_beside(settings: Settings, deed: Deed, *writes: Write) -> list[int]:
    """Store a deed, if an extension stores deeds, and then commit the writes, even beside a running server.

    Return the results of the writes. Raises StorageError; if the deed cannot be stored, nothing is written.
    """
    with open_read_only(settings):
        pass  # raises if there is no database, which the next step would create or migrate
    stores = what_stores(settings)
    database = open_for_writing(settings, beside=True)
    try:
        with database.writing.connect() as connection:
            for outcome in () if stores is None else commit_group(connection, [stores(deed)]):
                if isinstance(outcome, Exception):
                    raise StorageUnavailable(f"the audit log cannot be written: {outcome}") from outcome
            outcomes = commit_group(connection, writes)
    except DriverErrors.of(database.writing).all as error:
        raise StorageUnavailable(driver_words(error)) from error
    finally:
        database.close()
    answers: list[int] = []
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome
        answers.append(outcome)
    return answers


def revocation_of(owner: str) -> Write:
    """Return the write by which servers refuse all tokens of a user that were issued until now."""
    now = time.time()
    return revoke_session(user_key(owner), now + USER_REVOCATION_S, now)


@contextmanager
def open_read_only(settings: Settings) -> Iterator[ReadDatabase]:
    """Open the database for reading, even beside servers; nothing is created or migrated. Raises DatabaseUnusable."""
    if settings.on_postgresql:
        from understudy.storage.postgresql import read_server  # needs an optional dependency

        database = read_server(settings.database_url)
    else:
        database = read_folder(settings.database_folder)
    try:
        yield database
    finally:
        database.close()


def open_for_writing(settings: Settings, *, beside: bool = False) -> Database:
    """Open the database for writing. On SQLite, `beside`: a server may use the folder; else none may."""
    if not settings.on_postgresql:
        return open_database(settings.database_folder, locked=beside)
    from understudy.storage.postgresql import connect_database

    return connect_database(settings.database_url)
