"""The product with users that it has known before: a token for each, and a thread with events in its database."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from attrs import field, frozen

from transport.auth.tokens import Tokens
from understudy.wire.vocabulary import to_log

from .events import envelope
from .server import Server, module

SECRET = "a secret of the benchmark's own, long enough"
_TTL_S = 3600.0
# All clients have one address here, and none answers a ping.
_LIMITS = {"UNDERSTUDY_LIMITS_CONNECTIONS_PER_PEER": "100000", "UNDERSTUDY_LIMITS_HEARTBEAT_S": "300"}


@frozen
class Product:
    """A running `understudy serve`; the threads of its users have `events` events each, from 1 on."""

    server: Server
    events: int
    _tokens: Tokens = field(factory=lambda: Tokens(SECRET, time.time))

    def path(self, number: int) -> str:
        """Where the user of that number connects."""
        token = self._tokens.issue(user(number), f"session-{number}", ttl_s=_TTL_S)
        return f"/ws?session_token={token}"


def user(number: int) -> str:
    """The name of a user."""
    return f"user-{number}"


def thread(number: int) -> str:
    """The name of that user's thread."""
    return f"thread-{number}"


@contextmanager
def product(users: int = 0, events: int = 0) -> Iterator[Product]:
    """The product in a process of its own, with a thread for each of the first so many users. Its data goes after."""
    with TemporaryDirectory(prefix="understudy-bench-") as folder:
        if users:
            _write_threads(Path(folder), users, events)
        settings = {"UNDERSTUDY_SECRET": SECRET, "UNDERSTUDY_LOG_LEVEL": "error", **_LIMITS}
        with Server("understudy", module("commands", "product", folder), settings) as server:
            yield Product(server, events)


def _write_threads(folder: Path, users: int, events: int) -> None:
    """Fill the database before the server opens it."""
    from understudy.storage.changes import Change
    from understudy.storage.records import LoggedEvent, Thread
    from understudy.storage.sqlite import open_database
    from understudy.storage.writer import commit_group

    now = time.time()
    database = open_database(folder)
    try:
        with database.writing.connect() as connection:
            for first in range(0, users, 500):
                changes = [
                    Change(
                        owner=user(number),
                        thread_id=thread(number),
                        thread=Thread(user(number), thread(number), "A thread", "guide", None, now, now),
                        events=tuple(
                            LoggedEvent(seq, "agent_thinking", None, to_log(envelope(thread(number), seq, now)))
                            for seq in range(1, events + 1)
                        ),
                    )
                    for number in range(first, min(first + 500, users))
                ]
                for outcome in commit_group(connection, changes):
                    if isinstance(outcome, Exception):
                        raise outcome
    finally:
        database.close()
