"""Retries messages while the database is away, for servers whose users should rather wait than be refused.

1. A waiting message was not acknowledged: it is lost with its connection, and its client sends it again.
2. At most `capacity` messages wait, for at most `wait_s` each; one more is refused at once.
3. A message is retried under the same id once the database answers: if it had been stored after all, it is the same
   message.
"""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import trio
from attrs import define, field

from transport.wire.errors import CommandRejected
from understudy.storage.errors import StorageUnavailable
from understudy.storage.store import Store

T = TypeVar("T")
PROBE_S: Final = 0.2
"""Seconds between probes of the database, one for all waiting messages."""


@define(eq=False)
class _Probe:
    """One probe of the database, shared by all waiting messages."""

    done: trio.Event = field(factory=trio.Event)
    available: bool = False


@define(eq=False)
class StorageRetry:
    """Lets up to `capacity` messages wait up to `wait_s` seconds each; 0 disables waiting."""

    store: Store
    wait_s: float
    capacity: int
    waiting: int = field(default=0, init=False)
    _probe: _Probe | None = field(default=None, init=False, repr=False)

    async def run(self, take: Callable[[], Awaitable[T]]) -> T:
        """Return the result of `take()`, which is called again if the database was away; it must be idempotent.

        Raises:
            CommandRejected: As `take` raises it; `storage_unavailable` if the database stayed away.
        """
        deadline = trio.current_time() + self.wait_s
        try:
            return await take()
        except CommandRejected as refused:
            if refused.code != "storage_unavailable" or self.waiting >= self.capacity:
                raise
            last = refused
        self.waiting += 1
        try:
            while await self._wait_available(deadline):
                try:
                    return await take()
                except CommandRejected as refused:
                    if refused.code != "storage_unavailable":
                        raise
                    last = refused
            raise last
        finally:
            self.waiting -= 1

    async def _wait_available(self, deadline: float) -> bool:
        """Wait until the database answers. Return False if it does not in time."""
        with trio.move_on_at(deadline):
            while True:
                if (look := self._probe) is not None:
                    await look.done.wait()
                else:
                    look = self._probe = _Probe()
                    try:
                        await trio.sleep(PROBE_S)
                        await self.store.check()
                        look.available = True
                    except StorageUnavailable:
                        pass  # still away
                    finally:
                        self._probe = None
                        look.done.set()
                if look.available:
                    return True
        return False
