"""Answers requests for event streams, whose connections the server handles itself, without hypercorn.

The application answers these requests like all others: its checks, limits, headers and refusals apply. Only the
connection of an accepted stream differs.
"""

import re
from typing import Final

from attrs import frozen
from quart import Response
from quart.wrappers.response import IterableBody
from quart_trio import QuartTrio
from werkzeug.datastructures import Headers

from transport.server.eventstream import EventStream
from transport.server.stream_response import StreamAnswer, StreamRequest

_PATH: Final = re.compile(rb"/api/threads/[^/]+/stream")


@frozen
class StreamRequests:
    """Answers requests for the events of a thread (`StreamHandler`)."""

    app: QuartTrio

    def takes(self, path: bytes) -> bool:
        """Return whether a path is that of a thread's event stream."""
        return _PATH.fullmatch(path) is not None

    async def handle_stream(self, request: StreamRequest) -> StreamAnswer:
        """Answer a request as the application does."""
        headers = Headers([("Remote-Addr", request.peer)])
        for name, value in request.headers:
            headers.add(name.decode("latin-1").title(), value.decode("latin-1"))
        headers.setdefault("Host", "")  # a request of HTTP/1.0 may have none
        http_request = self.app.request_class(
            "GET",
            "https" if request.secure else "http",
            request.path,
            request.query,
            headers,
            "",
            request.http_version,
            scope={"type": "http", "state": {"permit": request.permit}},  # type: ignore[typeddict-item]
            send_push_promise=_push_nothing,
        )
        http_request.body.set_complete()
        answer = await self.app.handle_request(http_request)
        assert isinstance(answer, Response)  # noqa: S101 - for the type checker: the application makes no other
        fields = answer.headers.items()
        if isinstance(answer.response, IterableBody) and isinstance(answer.response.iter, EventStream):
            return StreamAnswer(answer.status_code, tuple(fields), answer.response.iter)
        return StreamAnswer(answer.status_code, tuple(fields), await answer.get_data(as_text=False))


async def _push_nothing(path: str, headers: Headers) -> None:
    """HTTP/1.1 has no push."""
