"""`/api/ui`: the UI message stream of the Vercel AI SDK, for React pages that use `useChat`."""

from collections.abc import Mapping
from typing import Any, Final

from attrs import field, frozen
from quart import Response, request

from transport.auth.identity import Identity
from transport.server.eventstream import CONTENT_TYPE, encode_block, encode_json
from transport.server.eventstream import HEADERS as STREAM_HEADERS
from transport.wire.command_parser import decode
from transport.wire.errors import CommandRejected
from understudy.agents.agent import Agent
from understudy.content.texts import run_off_loop
from understudy.extensions.doors.message_content import MAX_VALUES, OPTIONS, NewFile, read_message
from understudy.extensions.doors.versions import new_version, stored_version
from understudy.extensions.ui.chunks import UiTranslator
from understudy.extensions.ui.stream import DONE, HEADERS, UiStream
from understudy.storage import queries
from understudy.storage.records import UNFINISHED
from understudy.web.api.runs import KEY
from understudy.web.api.stream import as_answer
from understudy.web.context import agents_of_caller, identity, read_body, web_context
from understudy.web.refusals import convert_refusals
from understudy.web.routes import EVENT_STREAM, STORED, JsonObject, Routes
from understudy.wire.commands import Approve, Decision, Regenerate, Say
from understudy.wire.events import ANSWER

blueprint = Routes("ui", __name__, url_prefix="/api/ui")

LABEL: Final = "ui"
"""The metric label of these streams, and the door that is recorded with decisions in their requests."""
FORM: Final = '{"id": "…", "messages": [{"id": "…", "role": "user", "parts": […]}]}'
REGENERATE: Final = "regenerate-message"


@frozen
class UiMessage:
    """A message in a request. Only the last two are read, as the server has the history."""

    id: str = ""
    role: str = ""
    parts: list[Any] = field(factory=list)

    @classmethod
    def of(cls, raw: dict[str, Any]) -> "UiMessage":
        """Return a message; without parts its text is read from `content`, as AI SDK 4 sends it."""
        parts = raw.get("parts") or raw.get("content") or []
        return cls(str(raw.get("id") or ""), str(raw.get("role")), parts if isinstance(parts, list) else [parts])


@frozen
class UiRequest:
    """The body of a request of the client's transport."""

    id: str
    messages: list[UiMessage] = field(factory=list)
    trigger: str | None = None
    message_id: str | None = None


@blueprint.post("", media=EVENT_STREAM, body=JsonObject, query={"agent": str}, headers={KEY: str})
async def chat() -> Response:
    """Run the user's last message, or go on with a run for which its user has decided."""
    chat, caller = web_context().chat, identity()
    body = await read_body(web_context().settings.limits.chunks_bytes)
    chat_request, options = await run_off_loop(_read, body)
    last = chat_request.messages[-1] if chat_request.messages else UiMessage()
    if last.role == "assistant" and (decisions := _decisions(last)):
        for decision in decisions:
            await chat.answer(caller, decision, door=LABEL)
        return await _message(
            chat_request.id, last.id.removeprefix(ANSWER), frozenset(decision.call_id for decision in decisions)
        )
    agent, agents = request.args.get("agent"), agents_of_caller()
    command = await _command(caller, chat_request, *await run_off_loop(_say, chat_request, options, agent, agents))
    accepted = await chat.accept(caller, command)
    return await _message(accepted.thread_id, accepted.run_id)


@blueprint.get("/<chat_id>/stream", media=EVENT_STREAM, errors=("busy", *STORED), also={204: "No run is at work."})
async def resume(chat_id: str) -> Response:
    """Return the whole message of the chat's run at work, from its start; 204 if no run is at work."""
    page = await web_context().store.runs(identity().user, thread_id=chat_id, limit=1)
    if not page.items or page.items[0].status not in UNFINISHED:
        return Response(b"", status=204)
    return await _message(chat_id, page.items[0].id)


async def as_error_chunk(refused: Response) -> Response:
    """Convert a refusal to a stream with an error, because the client would show the whole body of an HTTP error."""
    chunk = {"type": "error", "errorText": (await refused.get_json())["error"]["message"]}
    return Response(
        encode_block(encode_json(chunk)) + DONE, content_type=CONTENT_TYPE, headers=STREAM_HEADERS | HEADERS
    )


convert_refusals(blueprint, "ui.chat", as_error_chunk)


async def _message(thread_id: str, run_id: str, decided: frozenset[str] = frozenset()) -> Response:
    """Return the stream of a run's message.

    Raises:
        CommandRejected: The caller has no such run (`not_found`).
    """
    first = await web_context().store.read(queries.run_start, identity().user, thread_id, run_id)
    if first is None:
        raise CommandRejected("not_found", "There is no run of that message.")
    body = UiStream(UiTranslator(thread_id, run_id, decided))
    return as_answer(await web_context().chat.follow(identity(), thread_id, body, first - 1, door=LABEL), HEADERS)


def _read(body: bytes) -> tuple[UiRequest, dict[str, Any]]:
    """Parse a body. Return the request, and the application's options in it. Raises CommandRejected."""
    raw = decode(body, MAX_VALUES)
    if not isinstance(raw, dict):
        raise CommandRejected("invalid_command", f"The body must be {FORM}.")
    messages, name, again = raw.get("messages"), raw.get("id"), raw.get("messageId")
    if not isinstance(name, str) or not isinstance(messages, list):
        raise CommandRejected("invalid_command", f"The body must be {FORM}.")
    # Only the end of a long history is read: the user's message, and possibly an answer to it.
    last = [UiMessage.of(message) for message in messages[-2:] if isinstance(message, dict)]
    parsed = UiRequest(name, last, raw.get("trigger"), again if isinstance(again, str) else None)
    return parsed, {name: raw[name] for name in OPTIONS if name in raw}


def _say(
    chat_request: UiRequest, options: dict[str, Any], agent: str | None, agents: Mapping[str, Agent]
) -> tuple[Say, tuple[NewFile, ...]]:
    """Return the user's last message, and its files. Raises CommandRejected if there is none, or it is invalid."""
    last = next((message for message in reversed(chat_request.messages) if message.role == "user"), None)
    if last is None:
        raise CommandRejected("empty_message", "There is no message of the user.")
    fields = options | {"thread_id": chat_request.id, "message_id": last.id or None}
    return read_message("parts", last.parts, fields, agent, agents)


async def _command(caller: Identity, chat_request: UiRequest, say: Say, files: tuple[NewFile, ...]) -> Say | Regenerate:
    """Return the command of a request: a message, an edit of a message, or a request for another answer to it."""
    again = chat_request.trigger == REGENERATE or chat_request.message_id is not None
    sent, stored = await stored_version(caller, say, files, anew=again)
    names = [name for name in (say.message_id, sent.message_id) if name]
    runs = await web_context().store.read(queries.runs_of, caller.user, names) if again else []
    at_work = bool(runs) and runs[-1].status in UNFINISHED
    if stored is not None and chat_request.trigger != REGENERATE and (at_work or not runs):
        return sent
    if at_work:  # the client has replaced the message, and does not wait for this answer any more
        await web_context().chat.stop(caller, runs[-1].id)
    if stored is not None:
        return Regenerate(stored.id, request.headers.get(KEY))
    return await new_version(caller, sent, files, [message.id for message in reversed(chat_request.messages[:-1])])


def _decisions(message: UiMessage) -> list[Approve]:
    """Return the user's decisions in the parts of an answer that waits for approvals."""
    decisions = []
    for part in message.parts:
        approval = part.get("approval") if isinstance(part, dict) else None
        if not isinstance(approval, dict) or part.get("state") != "approval-responded":
            continue
        note = approval.get("reason")
        decision = Decision.ALLOW if approval.get("approved") is True else Decision.DENY
        decisions.append(Approve(str(approval.get("id")), decision, note if isinstance(note, str) else None))
    return decisions
