"""What happens to clients while the database is away: progress events, and messages that wait and are retried.

1. While the database answers, a wait costs two dictionary operations: no task and no timer of its own. One actor checks
   all waits: it notifies the client after `FIRST_S`, and again every `AGAIN_S` as long as the wait lasts. Without waits
   it sleeps until the next one wakes it.
2. A message that waits to be retried was not acknowledged: it is lost with its connection, and its client sends it
   again. It is retried under the same id, so if it had been stored after all, it is the same message.
3. At most `capacity` messages wait to be retried, for at most `wait_s` each; one more is refused at once.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final, TypeVar

import trio
from attrs import define, field

from actors import Actor, Context
from transport.wire.errors import CommandRejected
from understudy.storage.errors import StorageUnavailable
from understudy.storage.store import Store

T = TypeVar("T")

AWAY: Final = "Waiting for the database"
FIRST_S: Final = 0.7
"""Seconds before the first notice, at most `CHECK_S` more: within a second, and longer than any healthy commit."""
AGAIN_S: Final = 10.0
"""Seconds between further notices of the same wait."""
CHECK_S: Final = 0.1
"""Seconds between checks of all waits."""
PROBE_S: Final = 0.2
"""Seconds between probes of the database, one for all messages that wait to be retried."""


@define(eq=False)
class StorageWaits:
    """The `current` waits for the database by number, each with its notice and when that is due, on trio's clock."""

    current: dict[int, tuple[Callable[[], None], float]] = field(factory=dict, init=False)
    _next: int = field(default=0, init=False)
    wake: Callable[[], object] | None = field(default=None, init=False, repr=False)
    """Called by the next wait, which removes it; set while nothing checks the waits."""

    @contextmanager
    def notify_if_slow(self, notify: Callable[[], None]) -> Iterator[None]:
        """Call `notify` as long as the block lasts too long. It must not block, nor raise."""
        self._next += 1
        number = self._next
        self.current[number] = (notify, trio.current_time() + FIRST_S)
        if (wake := self.wake) is not None:
            self.wake = None
            wake()
        try:
            yield
        finally:
            del self.current[number]


class _Check:
    """To itself: check now."""


class StorageWaitMonitor(Actor):
    """Checks the waits every `CHECK_S`, as long as there are any."""

    def __init__(self, waits: StorageWaits) -> None:
        self.waits = waits

    async def on_start(self, context: Context) -> None:
        """Check at once."""
        context.ref.tell(_Check())

    async def receive(self, message: object, context: Context) -> None:
        """Send the notices that are due, and schedule the next check."""
        now, current = trio.current_time(), self.waits.current
        if not current:
            self.waits.wake = partial(context.ref.try_tell, _Check())
            return
        context.set_timer("look", CHECK_S, _Check())
        for number, (notify, due) in list(current.items()):
            if due <= now:
                current[number] = (notify, now + AGAIN_S)
                notify()


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
