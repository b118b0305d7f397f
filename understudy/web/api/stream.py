"""`GET /api/threads/{id}/stream`: a thread's events as server-sent events, for clients without WebSocket."""

from collections.abc import AsyncIterable, Mapping

from quart import Response, request

from transport.connection.callbacks import ConnectionCallbacks
from transport.server.eventstream import (
    CONTENT_TYPE,
    HEADERS,
    RETRY_S,
    EventStream,
    encode_comment,
    encode_event,
    parse_last_event_id,
)
from transport.wire.errors import CommandRejected
from transport.wire.events import Ping
from understudy.web.context import identity, web_context
from understudy.web.routes import EVENT_STREAM, OF_ONE, Count, Routes
from understudy.wire.dialects import Dialect
from understudy.wire.events import Envelope

blueprint = Routes("stream", __name__, url_prefix="/api/threads")


@blueprint.get(
    "/<thread_id>/stream", media=EVENT_STREAM, query={"after": Count, "dialect": Dialect, "session_token": str},
    headers={"Last-Event-ID": str}, errors=(*OF_ONE, "rate_limited", "busy"),
)  # fmt: skip
async def stream(thread_id: str) -> Response:
    """Stream the events after `Last-Event-ID`, or else `after`, then every new one."""
    caller = identity(in_query=True)  # a browser's EventSource can set no header
    after = parse_last_event_id(request.headers.get("Last-Event-ID"), request.args.get("after"))
    name = request.args.get("dialect")
    dialect = next((dialect for dialect in Dialect if dialect.value == name), Dialect.CANONICAL)
    if request.method == "HEAD":
        if await web_context().store.thread(caller.user, thread_id) is None:
            raise CommandRejected("not_found", "There is no conversation of that name.")
        return Response(b"", content_type=CONTENT_TYPE, headers=HEADERS)
    chat = web_context().chat
    body = EventStream(lambda: _beat(chat.callbacks, dialect), head=b"retry: %d\n\n" % (RETRY_S * 1000))
    body.dialect = dialect
    return as_answer(await chat.follow(caller, thread_id, body, after, door=dialect.value, welcome=True))


def as_answer(body: AsyncIterable[bytes], headers: Mapping[str, str] = HEADERS) -> Response:
    """Return a response without a time limit, because streams do not end by themselves."""
    answer = Response(body, content_type=CONTENT_TYPE, headers={**HEADERS, **headers})
    answer.timeout = None
    return answer


def _beat(ports: ConnectionCallbacks, dialect: Dialect) -> bytes:
    envelope = Envelope(Ping(), ports.clock(), message="")
    frame = ports.vocabulary.encoder_for(dialect)(envelope)
    return encode_comment("ping") if frame is None else encode_event(envelope, frame)
