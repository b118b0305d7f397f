"""Wakeups by PostgreSQL's NOTIFY: one connection that listens, and one that sends.

1. A lost connection is opened again by its caller; what it missed is in the rows of the database.
2. A pooler that pools transactions gives the listening connection to other sessions, and nothing arrives.
3. Every statement has a deadline.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn

import psycopg
import trio
from attrs import define, field
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus

from understudy.extensions.nodes.wakeups import LISTENER, channel_of
from understudy.storage.errors import WakeupsUnavailable, driver_words

LARGEST: Final = 7_999
"""Bytes of the longest payload (PostgreSQL: NOTIFY, "must be specified as a simple string literal of < 8000 bytes")."""
CALL_S: Final = 2.0
"""Timeout of a statement; `connect` has its own."""
FULL: Final = 0.25
"""Filled share of PostgreSQL's notification queue (of 8 GB) above which the listeners are cut off."""
CUT_OFF: Final = """
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE application_name LIKE 'understudy-listener-%' AND datname = current_database() AND usename = current_user
    AND pg_notification_queue_usage() > $1
"""
"""Ends the sessions of all listeners if the queue is fuller than `$1`: those of living nodes listen anew at once."""


@define(eq=False)
class NotifyWakeups:
    """Wakeups through one database, to which `connect(name)` opens a session of that application name."""

    connect: Callable[[str], "psycopg.Connection[Any]"] = field(repr=False)
    largest: int = LARGEST
    _turn: trio.Lock = field(factory=trio.Lock, init=False, repr=False)
    _sender: "psycopg.Connection[Any] | None" = field(default=None, init=False, repr=False)

    async def publish(self, messages: Sequence[tuple[str, str]]) -> None:
        """As `Wakeups.publish`."""
        rows = ", ".join([f"(${2 * index + 1}, ${2 * index + 2})" for index in range(len(messages))])
        statement = f"SELECT pg_notify(channel, text) FROM (VALUES {rows}) AS message (channel, text)"  # noqa: S608 - numbers
        await self._send(statement, *[part.encode() for message in messages for part in message])

    async def _send(self, statement: str, *values: bytes) -> None:
        async with self._turn:
            if self._sender is None:
                self._sender = await self._open("understudy-sender")
            try:
                await _execute(self._sender, statement, *values)
            except psycopg.Error as error:
                self.close()
                raise WakeupsUnavailable(driver_words(error)) from None
            except BaseException:
                self.close()
                raise

    async def listen(
        self, channels: Sequence[str], take: Callable[[str, str], None], begun: Callable[[], None]
    ) -> NoReturn:
        """As `Wakeups.listen`."""
        line = await self._open(LISTENER + channels[0].removeprefix(channel_of("")))
        try:
            for channel in channels:
                await _execute(line, f'LISTEN "{channel}"')
            begun()
            while True:
                while (message := line.pgconn.notifies()) is not None:
                    take(message.relname.decode(), message.extra.decode(errors="replace"))
                await trio.lowlevel.wait_readable(line.fileno())
                line.pgconn.consume_input()
        except psycopg.Error as error:
            raise WakeupsUnavailable(driver_words(error)) from None
        finally:
            line.close()

    async def cut_off(self) -> None:
        """As `Wakeups.cut_off`: all listeners, if PostgreSQL's queue fills up."""
        await self._send(CUT_OFF, str(FULL).encode())

    def close(self) -> None:
        """As `Wakeups.close`."""
        sender, self._sender = self._sender, None
        if sender is not None:
            sender.close()

    async def _open(self, name: str) -> "psycopg.Connection[Any]":
        try:
            return await trio.to_thread.run_sync(self.connect, name)
        except psycopg.Error as error:
            raise WakeupsUnavailable(driver_words(error)) from None


async def _execute(line: "psycopg.Connection[Any]", statement: str, *values: bytes) -> None:
    """Execute a statement without a thread, because waiting for one would take as long as the statement.

    Raises WakeupsUnavailable if PostgreSQL refuses it, or it takes longer than `CALL_S`; the connection cannot be used
    afterwards.
    """
    link, refused = line.pgconn, None
    with trio.move_on_after(CALL_S) as limit:
        link.send_query_params(statement.encode(), values)
        while link.flush():
            await trio.lowlevel.wait_writable(link.socket)
        while True:
            while link.is_busy():
                await trio.lowlevel.wait_readable(link.socket)
                link.consume_input()
            if (result := link.get_result()) is None:
                break
            if result.status == ExecStatus.FATAL_ERROR:
                refused = error_from_result(result)
    if limit.cancelled_caught:
        raise WakeupsUnavailable(f"no answer within {CALL_S:g} s")
    if refused is not None:
        raise WakeupsUnavailable(driver_words(refused))
