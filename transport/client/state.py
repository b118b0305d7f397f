"""The states of a client: whether it is connected, why not, and a way to wait for a change."""

import enum

import trio
from attrs import frozen


class Status(enum.StrEnum):
    """The status of a client. `refused` and `closed` are final: the client does not reconnect."""

    CONNECTING = "connecting"
    ONLINE = "online"
    OFFLINE = "offline"
    REFUSED = "refused"
    CLOSED = "closed"


@frozen
class State:
    """The state of a client. `reason` is a sentence for a person: why it is offline, or was refused.

    `retry_at` is the time of the next attempt on trio's clock, set only while it is offline.
    """

    status: Status
    reason: str = ""
    retry_at: float | None = None

    @property
    def final(self) -> bool:
        """Whether no state follows."""
        return self.status in (Status.REFUSED, Status.CLOSED)


class ObservedState:
    """The current state, with a way to wait for changes."""

    def __init__(self) -> None:
        self.now = State(Status.CONNECTING)
        self._changed = trio.Event()

    def set(self, state: State) -> None:
        """Set the state. No-op after a final one."""
        if state != self.now and not self.now.final:
            self.now = state
            self._changed.set()
            self._changed = trio.Event()

    async def wait_change(self, seen: State | None) -> State:
        """Wait until the state is not `seen`, and return it."""
        await trio.lowlevel.checkpoint()
        while self.now is seen:
            await self._changed.wait()
        return self.now


class States:
    """Iterate over it for the current state and each later one, to the final one.

    If several changes occur between two steps, only the last is returned.
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
