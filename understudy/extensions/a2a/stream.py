"""The event stream of one task: each event is a JSON-RPC response to the request that opened the stream."""

from collections.abc import Sequence
from typing import Any

from understudy.extensions.a2a.tasks import A2aEvent, TaskTranslator
from understudy.extensions.doors.translated_stream import TranslatedStream


class TaskStream(TranslatedStream):
    """A stream that begins with the translator's present task, and ends when the translator has ended."""

    def __init__(self, translator: TaskTranslator, request_id: Any, **options: Any) -> None:
        super().__init__(translator, **options)
        self._request_id = request_id
        self._queue += self.encode([{"task": translator.task()}])
        if translator.ended:
            self.end(1000, "the task has ended, or waits")

    def encode(self, events: Sequence[A2aEvent]) -> list[bytes]:
        """Encode events as responses to the request."""
        return super().encode([{"jsonrpc": "2.0", "id": self._request_id, "result": event} for event in events])
