"""The event stream of one task: each event is the result of the JSON-RPC request that asked for it."""

from collections.abc import Sequence
from typing import Any

from transport.a2a.tasks import A2aEvent, TaskTranslator
from transport.server.eventstream import encode_block, encode_json
from transport.server.translated_stream import TranslatedStream


class TaskStream(TranslatedStream):
    """It ends with the task, or when that needs its user."""

    def __init__(self, translator: TaskTranslator, request_id: Any, **options: Any) -> None:
        super().__init__(translator, **options)
        self._request_id = request_id

    def encode(self, events: Sequence[A2aEvent]) -> list[bytes]:
        """Encode events as replies to the request."""
        replies = ({"jsonrpc": "2.0", "id": self._request_id, "result": each} for each in events)
        return [encode_block(encode_json(each)) for each in replies]
