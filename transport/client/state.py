"""Whether a client is connected, and what it does about it."""

import enum

import trio
from attrs import frozen


class Status(enum.StrEnum):
    """`refused` and `closed` are the end: the client does not come back from them."""

    CONNECTING = "connecting"
    ONLINE = "online"
    OFFLINE = "offline"
    REFUSED = "refused"
    CLOSED = "closed"


@frozen
class State:
    """Where a client stands. `reason` is a sentence for a person: why it is offline, or was refused.

    `retry_at` is when it tries again, by trio's clock; only while it is offline.
    """

    status: Status
    reason: str = ""
    retry_at: float | None = None

    @property
    def final(self) -> bool:
        """Whether nothing comes after it."""
        return self.status in (Status.REFUSED, Status.CLOSED)


class ObservedState:
    """A state that can be waited for."""

    def __init__(self) -> None:
        self.now = State(Status.CONNECTING)
        self._changed = trio.Event()

    def set(self, state: State) -> None:
        """This is the state now. Nothing follows a final one."""
        if state != self.now and not self.now.final:
            self.now = state
            self._changed.set()
            self._changed = trio.Event()

    async def wait_change(self, seen: State | None) -> State:
        """Wait until the state is not this one."""
        await trio.lowlevel.checkpoint()
        while self.now is seen:
            await self._changed.wait()
        return self.now


class States:
    """Iterate over it for the state now and each later one, to the final one.

    Of states that came and went between two looks only the last is given.
    """

    def __init__(self, watched: ObservedState) -> None:
        self._watched = watched
        self._seen: State | None = None

    def __aiter__(self) -> "States":
        return self

    async def __anext__(self) -> State:
        if self._seen is not None and self._seen.final:
            raise StopAsyncIteration
        self._seen = await self._watched.wait_change(self._seen)
        return self._seen
