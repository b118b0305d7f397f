"""`/api/ui`: the UI message stream of the Vercel AI SDK, for React pages that use `useChat`."""

from typing import Any, Final

import msgspec
from attrs import field, frozen
from quart import Blueprint, Response, request

from transport.server.eventstream import CONTENT_TYPE, encode_block, encode_json
from transport.server.eventstream import HEADERS as STREAM_HEADERS
from transport.server.translated_stream import wrap_for_log
from transport.ui_stream.chunks import UiTranslator
from transport.ui_stream.stream import DONE, HEADERS, UiStream
from transport.wire.command_parser import decode, parse_command
from transport.wire.commands import Approve, Decision, Regenerate, Resume, Say
from transport.wire.errors import CommandRejected
from transport.wire.events import ANSWER
from transport.wire.messages import arrived_at
from understudy.content.texts import run_off_loop
from understudy.storage.records import UNFINISHED
from understudy.web.context import agents_of_caller, decode_json, identity, read_body, web_context
from understudy.web.sse import WRITE_TIMEOUT_S

blueprint = Blueprint("ui", __name__, url_prefix="/api/ui")

CHAT: Final = "ui.chat"
"""The route whose refusals are in the stream's own form."""
LABEL: Final = "ui"
"""Metric label of these streams, and the door of decisions that come by them."""
FORM: Final = '{"id": "…", "messages": [{"id": "…", "role": "user", "parts": […]}]}'
MAX_VALUES: Final = 100_000
"""JSON values in a request, in which clients send the whole history each time. More are refused."""
OPTIONS: Final = ("agent_type", "pillar", "references", "parent_id", "context", "settings")
"""Fields of a message that an application may send in the body beside the client's own."""
REGENERATE: Final = "regenerate-message"


@frozen
class UiMessage:
    """A message of the client. Only the last ones are read: the server has the history."""

    id: str = ""
    role: str = ""
    parts: list[dict[str, Any]] = field(factory=list)


@frozen
class UiRequest:
    """The body of a request of the client's transport."""

    id: str
    messages: list[UiMessage] = field(factory=list)
    trigger: str | None = None


@blueprint.post("")
async def chat() -> Response:
    """Run the user's last message, or go on with a run for which its user has decided. The answer is a message."""
    streams = web_context().streams
    arrived_at.set(streams.callbacks.clock())
    caller = identity()
    body = await read_body(web_context().settings.limits.chunks_bytes)
    given, options = await run_off_loop(_read, body)
    if (agent := request.args.get("agent")) is not None:
        known = agents_of_caller().get(agent)
        options |= {"agent_type": agent, "pillar": None}
        if known is not None:
            options |= {"agent_type": known.agent_type, "pillar": known.pillar}
    last = given.messages[-1] if given.messages else UiMessage()
    if last.role == "assistant" and (decisions := _decisions(last)):
        for each in decisions:
            await streams.run_command(caller, each, door=LABEL)
        return await _message(given.id, last.id.removeprefix(ANSWER), frozenset(each.call_id for each in decisions))
    command: Say | Regenerate = _say(given, options)
    if given.trigger == REGENERATE:
        command = Regenerate(command.message_id or "", request.headers.get("Idempotency-Key"))
    accepted = await streams.run_command(caller, command, door=LABEL)
    assert accepted is not None  # noqa: S101 - for the type checker: these commands start runs
    return await _message(accepted.thread_id, accepted.run_id)


@blueprint.get("/<chat_id>/stream")
async def resume(chat_id: str) -> Response:
    """Return the whole message of the chat's run at work, from its start; 204 if no run is at work."""
    page = await web_context().store.runs(identity().user, thread_id=chat_id, limit=1)
    if not page.items or page.items[0].status not in UNFINISHED:
        return Response(b"", status=204)
    return await _message(chat_id, page.items[0].id)


async def as_error_chunk(refused: Response) -> Response:
    """Convert a refusal to a stream with an error: of an HTTP error the client shows its whole body."""
    chunk = {"type": "error", "errorText": (await refused.get_json())["error"]["message"]}
    return Response(
        encode_block(encode_json(chunk)) + DONE, content_type=CONTENT_TYPE, headers=STREAM_HEADERS | HEADERS
    )


async def _message(thread_id: str, run_id: str, decided: frozenset[str] = frozenset()) -> Response:
    """Return the stream of a run's message.

    Raises:
        CommandRejected: `not_found`: the caller has no such run.
    """
    caller, streams = identity(), web_context().streams
    first = await web_context().store.run_start(caller.user, thread_id, run_id)
    if first is None:
        raise CommandRejected("not_found", "There is no run of that message.")
    translator = UiTranslator(thread_id, run_id, decided)
    body = UiStream(translator, beat_s=streams.heartbeat_s, write_s=WRITE_TIMEOUT_S)
    after = Resume({thread_id: first - 1})
    await streams.open(caller, thread_id, body, after, wrap_frame=wrap_for_log, label=LABEL, welcome=False)
    answer = Response(body, content_type=CONTENT_TYPE, headers=STREAM_HEADERS | HEADERS)
    answer.timeout = None
    return answer


def _read(body: bytes) -> tuple[UiRequest, dict[str, Any]]:
    """Return the client's request, and the application's options beside it. Raises CommandRejected."""
    given = decode(body, MAX_VALUES)
    if not isinstance(given, dict):
        raise CommandRejected("invalid_command", f"The body must be {FORM}.")
    messages = given.get("messages")
    # Of a long history only the end is validated, which may be the user's message and the answer that it had.
    shown = {**given, "messages": messages[-2:] if isinstance(messages, list) else messages}
    parsed = decode_json(msgspec.json.encode(shown), UiRequest, FORM)
    return parsed, {name: given[name] for name in OPTIONS if name in given}


def _say(given: UiRequest, options: dict[str, Any]) -> Say:
    """Return the command for the user's last message. Raises CommandRejected: it has a part that is no text."""
    last = next((each for each in reversed(given.messages) if each.role == "user"), None)
    if last is None:
        raise CommandRejected("empty_message", "There is no message of the user.")
    texts = []
    for part in last.parts:
        kind, text = part.get("type"), part.get("text")
        if kind != "text" or not isinstance(text, str):
            raise CommandRejected("invalid_command", "Upload files to /api/files, and name them in `references`.")
        texts.append(text)
    fields = options | {"content": "\n".join(texts), "thread_id": given.id, "message_id": last.id or None}
    command = parse_command({"type": "user_message", "payload": fields}, None)
    if not isinstance(command, Say):
        raise TypeError("a message is a Say")
    return command


def _decisions(message: UiMessage) -> list[Approve]:
    """Return the decisions of the user in an answer that waited for them, and that has no end yet."""
    decisions = []
    for part in message.parts:
        approval = part.get("approval")
        if part.get("state") != "approval-responded" or not isinstance(approval, dict):
            continue
        note = approval.get("reason")
        decision = Decision.ALLOW if approval.get("approved") is True else Decision.DENY
        decisions.append(Approve(str(approval.get("id")), decision, note if isinstance(note, str) else None))
    return decisions
