"""The events of one message, to the end of its run."""

from collections.abc import Callable
from typing import Any

from transport.client.decoder import Received
from transport.client.inbox import Inbox
from transport.wire.errors import RunFailed, TransportError
from transport.wire.events import Error, FinalResponse, Resync


class Exchange:
    """Iterate over it for the events of one message, the last of which ends its run, refuses it, or is a `resync`.

    Made by `Client.exchange`. It receives events from then on; made right after `say`, all of them. If a message has
    several runs, it follows the first one that an event names. It need not be closed. Iterating raises what iterating
    over the client raises, and ends when the client is closed.
    """

    def __init__(
        self, message_id: str, run_id: str | None, on_taken: Callable[[Received], None], failure: TransportError | None
    ) -> None:
        self.message_id = message_id
        self.run_id = run_id
        self.thread_id: str | None = None
        self.failure = failure
        self._on_taken = on_taken
        self._inbox = Inbox()
        self._ended = False

    def __aiter__(self) -> "Exchange":
        return self

    async def __anext__(self) -> Received:
        event = await self._inbox.get()
        if event is None:
            if self.failure is not None and not self._ended:
                raise self.failure
            raise StopAsyncIteration
        self._on_taken(event)
        return event

    async def put_event(self, event: Received, size: int) -> None:
        """Queue an event if it belongs to this message."""
        if self._belongs(event):
            self.thread_id = event.thread_id or self.thread_id
            self.run_id = event.run_id or self.run_id
            self._ended = event.terminal or event.refusal or event.type == "resync"
            await self._inbox.put(event, size)
            if self._ended:
                self._inbox.close()

    def end(self, failure: TransportError | None) -> None:
        """End the iteration: the client has ended."""
        self.failure = failure
        self._inbox.close()

    def _belongs(self, event: Received) -> bool:
        if event.type == "resync":
            return self.thread_id is not None and event.thread_id == self.thread_id
        own = event.message_id == self.message_id or getattr(event.event, "message_id", None) == self.message_id
        return own and (self.run_id is None or event.run_id in (None, self.run_id))

    async def answer(self) -> Received:
        """Wait for the final response, and return it.

        Raises:
            RunFailed: The run ended otherwise.
        """
        async for event in self:
            match event.event:
                case FinalResponse():
                    return event
                case Error() as error if event.terminal or event.refusal:
                    raise _failed(error)
                case Resync():
                    raise RunFailed("not_found", "The server's log does not hold this answer any more.")
            if event.terminal or event.refusal:
                raise RunFailed("internal", "The answer is of a kind that this client cannot read.")
        raise RunFailed("run_interrupted", "The client was closed before the answer was there.")


def _failed(error: Error) -> RunFailed:
    known: dict[str, Any] = {"retryable": error.retryable, "retry_after": error.retry_after}
    return RunFailed(error.code, error.message, error.error_id, **known)
