"""Messages that wait for a database that is away, where users should rather wait than be refused.

1. What waits was not acknowledged: it is lost with its connection, and its client says it again.
2. So many wait at most, for so long at most; one more is refused as all are where nobody waits.
3. What waits is tried again under the same name, once the database answers: had it been stored after all, it is the
   same message.
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
"""How often one of those who wait looks whether the database is back."""


@define(eq=False)
class _Probe:
    """One look at the database, for all who wait."""

    done: trio.Event = field(factory=trio.Event)
    available: bool = False


@define(eq=False)
class StorageRetry:
    """Lets up to `places` wait up to `wait_s` seconds each; 0 is not at all."""

    store: Store
    wait_s: float
    capacity: int
    waiting: int = field(default=0, init=False)
    _probe: _Probe | None = field(default=None, init=False, repr=False)

    async def run(self, take: Callable[[], Awaitable[T]]) -> T:
        """What `take()` gives, which is asked again when the database was away; it must take the same each time.

        Raises:
            CommandRejected: What `take` raises; `storage_unavailable` when the wait was in vain.
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
        """Wait until the database answers; False when it does not in time. One looks for all."""
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
                        pass  # still away: that is why we wait
                    finally:
                        self._probe = None
                        look.done.set()
                if look.available:
                    return True
        return False
