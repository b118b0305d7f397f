"""Delivers the chat's events to a client: the runs of messages, the texts of answers, and waiting for an answer."""

from typing import Any, Final

from transport.client.decoder import Events, Received
from transport.client.delivery import EventDelivery, text_name
from transport.client.exchange import Exchange
from transport.client.unacked import UnackedCommands
from transport.wire.events import Error, Resync
from understudy.client.errors import RunFailed
from understudy.wire.events import FinalResponse, MessageAccepted

_MAX_RUNS: Final = 1024


class ChatExchange(Exchange):
    """The events of one message, the last of which ends its run, refuses it, or is a `resync`."""

    async def answer(self) -> Received:
        """Wait for the final response, and return it.

        Raises:
            RunFailed: The run ended without one, or the message was refused.
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
    fields: dict[str, Any] = {"retryable": error.retryable, "retry_after": error.retry_after}
    return RunFailed(error.code, error.message, error.error_id, **fields)


class ChatDelivery(EventDelivery):
    """Delivers the chat's events. The text of a message is that of its latest run."""

    exchange = ChatExchange

    def __init__(self, unsent: UnackedCommands, events: Events) -> None:
        super().__init__(unsent, events)
        self._runs: dict[str, str] = {}  # the latest run of a message

    def text(self, name: str) -> str:
        """Return the text so far of a run, or of the latest run of a message."""
        return super().text(self._runs.get(name, name))

    def observe(self, event: Received) -> None:
        """Note the run of a message, and the final text of an answer."""
        match event.event:
            case MessageAccepted(message_id=message_id, run_id=run_id):
                self._runs.pop(message_id, None)
                self._runs[message_id] = run_id
                if len(self._runs) > _MAX_RUNS:
                    del self._runs[next(iter(self._runs))]
            case FinalResponse(message=message):
                self.texts.finish_text(text_name(event), message)
