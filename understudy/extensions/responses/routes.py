"""`/v1/responses`: the Responses API of OpenAI, for which an agent is a model. All of it is the caller's own."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import trio
from msgspec import UnsetType
from quart import Response, request

from transport.auth.identity import Identity
from transport.wire.errors import CommandRejected
from understudy.chat.routing import check_id
from understudy.chat.run.client_tools import OUTPUT
from understudy.chat.run.questions import client_question_id
from understudy.content.texts import run_off_loop
from understudy.extensions.responses import door
from understudy.extensions.responses.events import ResponsesTranslator, project
from understudy.extensions.responses.input import check_unsupported, read_items, read_tools, refused
from understudy.extensions.responses.objects import JsonValue, ResponseId, ResponseRequest, response_object, text_part
from understudy.storage import queries
from understudy.storage.deletion import delete_whole
from understudy.storage.records import RunRecord
from understudy.web.api.stream import as_answer
from understudy.web.context import identity, web_context
from understudy.web.routes import EVENT_STREAM, OF_ONE, Count, JsonObject, Routes, as_json, choice, many, shape
from understudy.wire.events import ANSWER, AnswerOutcome, Envelope, QuestionAnswered

blueprint = Routes("responses", __name__, url_prefix="/v1/responses")
blueprint.after_app_request(door.in_openais_form)

UNSUPPORTED: Final = ("prompt", "moderation", "context_management")
MAX_METADATA: Final = 16
MAX_METADATA_TEXT: Final = (64, 512)
"""Limits of values in a response's metadata, and of characters of a name and of a value, as in OpenAI's API."""
MAX_SEQUENCE: Final = 2**53
CANCEL_S: Final = 5.0
"""Seconds for a cancelled run to end before the answer says that it is still in progress."""
_FLAG, _TEXT = bool | None | UnsetType, str | None | UnsetType
ResponseInput = shape(
    "ResponseInput", model=str, input=str | many(JsonObject), instructions=_TEXT, previous_response_id=_TEXT,
    stream=_FLAG, background=_FLAG, store=_FLAG, conversation=str | JsonObject | None | UnsetType,
    metadata=JsonObject | None | UnsetType, tools=many(JsonObject) | None | UnsetType,
)  # fmt: skip
ResponseObject = shape(
    "Response", id=str, object=Literal["response"], created_at=int, model=str,
    status=Literal["in_progress", "completed", "incomplete", "cancelled", "failed"],
    output=many(shape("OutputItem", id=str, type=str)), usage=JsonObject | None | UnsetType,
    error=JsonObject | None | UnsetType,
)  # fmt: skip
Deleted = shape("ResponseDeleted", id=str, object=str, deleted=bool)
Items = shape("ResponseItems", object=Literal["list"], data=many(JsonObject), has_more=bool)
NOT_THERE: Final = "There is no response of that name."


@blueprint.post(
    "", body=Annotated[ResponseInput, door.OF_OPENAI], headers=door.KEY_HEADER, errors=door.OPENAI_ERRORS,
    or_text=EVENT_STREAM, answer=Annotated[ResponseObject, door.OF_OPENAI],
)  # fmt: skip
async def create() -> Response:
    """Have an agent answer: as a whole response, as a stream of events, or in the background."""
    caller, body = await door.read_request()
    work, stored = await _work(caller, body)
    if body.get("background") and not body.get("stream"):
        return await _in_background(caller, work)
    stream = await door.open_stream(caller, work, cancel=not stored)
    if body.get("stream"):
        return as_answer(stream)
    return as_json(await door.collect(stream))


@blueprint.get(
    "/<response_id>", query={"stream": bool, "starting_after": Count}, errors=(*OF_ONE, "rate_limited", "busy"),
    or_text=EVENT_STREAM, answer=Annotated[ResponseObject, door.OF_OPENAI],
)  # fmt: skip
async def one(response_id: str) -> Response:
    """Return a response, or with `stream=true` its events after the sequence number `starting_after`."""
    run, name, envelopes = await _own(response_id)
    if request.args.get("stream", "").lower() not in ("true", "1"):
        return as_json(await _response(run, name, envelopes))
    await _response(run, name, envelopes)  # raises `not_found` if the response has not begun
    after = _starting_after(request.args.get("starting_after"))
    translator = ResponsesTranslator(run.id, part=name.part, after=after)
    work = door.ResponseWork(run.thread_id, door.first_seq(envelopes), translator)
    return as_answer(await door.open_stream(identity(), work))


@blueprint.post(
    "/<response_id>/cancel", errors=(*OF_ONE, "rate_limited", "busy"), answer=Annotated[ResponseObject, door.OF_OPENAI]
)
async def cancel(response_id: str) -> Response:
    """Stop the work on a response; it ends with what it has."""
    run, name, envelopes = await _own(response_id)
    await web_context().chat.stop(identity(), run.id)
    translator = ResponsesTranslator(run.id, part=name.part)
    work = door.ResponseWork(run.thread_id, door.first_seq(envelopes), translator)
    stream = await door.open_stream(identity(), work)
    with trio.move_on_after(CANCEL_S):
        await stream.collect()
    return as_json(await _response(*await _own(response_id)))


@blueprint.delete("/<response_id>", errors=(*OF_ONE, "busy"), answer=Deleted)
async def delete(response_id: str) -> dict[str, Any]:
    """Delete a response with its conversation, if that has no other one."""
    run, _, _ = await _own(response_id)
    page = await web_context().store.runs(run.owner, thread_id=run.thread_id, limit=2)
    if len(page.items) > 1:
        sentence = "This response is part of a conversation, which can only be deleted as a whole: "
        raise CommandRejected("forbidden", f"{sentence}DELETE /api/threads/{run.thread_id}.")
    context = web_context()
    await delete_whole(context.store, context.chat.commands.delete_thread, run.owner, run.thread_id)
    return {"id": response_id, "object": "response", "deleted": True}


@blueprint.get("/<response_id>/input_items", query={"order": choice(["asc", "desc"])}, errors=OF_ONE, answer=Items)
async def input_items(response_id: str) -> dict[str, Any]:
    """List the input of a response: the message, or the results of the client's tools."""
    run, name, envelopes = await _own(response_id)
    items = _results(run, name, envelopes) if name.part else await _message(run)
    if request.args.get("order", "desc") != "asc":
        items.reverse()
    ids = [item["id"] for item in items]
    return {
        "object": "list",
        "data": items,
        "first_id": ids[0] if ids else None,
        "last_id": ids[-1] if ids else None,
        "has_more": False,
    }


async def _work(caller: Identity, body: JsonValue) -> tuple[door.ResponseWork, bool]:
    """Return the work that a request starts or joins, and whether the response is stored."""
    check_unsupported(body, UNSUPPORTED)
    instructions = body.get("instructions")
    if instructions is not None and not isinstance(instructions, str):
        raise refused("`instructions` must be a text.")
    items = await _resolved(caller, body.get("input"))
    talk = await run_off_loop(read_items, items, instructions)
    previous = body.get("previous_response_id")
    before = None if previous is None else (await _own_run(caller, previous))[0]
    if talk.outputs:
        work = await door.results_work(caller, talk.outputs)
        if before is not None and before.id != work.translator.run_id:
            raise refused("The results belong to another response than `previous_response_id`.")
        return work, True
    stored, conversation = body.get("store") is not False, _conversation(body.get("conversation"))
    if previous is not None and conversation is not None:
        raise refused("Name a `conversation` or a `previous_response_id`, not both.")
    if not stored and (previous or conversation):
        raise refused("A conversation that is stored cannot go on with `store` false.")
    if conversation is not None and (thread := await web_context().store.thread(caller.user, conversation)):
        before = None if thread.newest_run is None else await web_context().store.run(thread.newest_run)
    response_request = ResponseRequest(
        model=door.agent_name(body),
        metadata=_metadata(body.get("metadata")),
        previous=previous,
        background=bool(body.get("background")),
        store=stored,
        instructions=talk.instructions,
        tools=[] if body.get("tool_choice") == "none" else read_tools(body.get("tools")),
        conversation=conversation if before is None else before.thread_id,
    )
    return await door.message_work(caller, talk, response_request, before), stored


async def _resolved(caller: Identity, value: Any) -> Any:
    """Return an input in which references are replaced by the items, as clients may send back items by reference.

    Raises:
        CommandRejected: The caller has no such item.
    """
    if not isinstance(value, list):
        return value
    responses: dict[str, JsonValue] = {}
    items: list[Any] = []
    for index, item in enumerate(value):
        if not isinstance(item, dict) or item.get("type") != "item_reference":
            items.append(item)
            continue
        name = str(item.get("id") or "")
        try:
            items.append(await _item(caller, name, responses))
        except CommandRejected:
            raise refused(f"input[{index}] refers to an item that this server does not have: {name[:100]}.") from None
    return items


async def _item(caller: Identity, name: str, responses: dict[str, JsonValue]) -> JsonValue:
    """Return an item of an earlier response by its id. `responses` caches those that were read, by the tail of the
    id."""
    kind, _, tail = name.partition("_")
    if kind == "fc":
        row = await web_context().store.read(queries.step_of_call, tail)
        if row is None or row[1].owner != caller.user:
            raise CommandRejected("not_found", NOT_THERE)
        step = row[0]
        return {"type": "function_call", "call_id": tail, "name": step.name, "arguments": step.arguments or {}}
    if name.startswith("msg-") and (message := await web_context().store.message(caller.user, name)) is not None:
        text = web_context().content_filter.vault.restore_text(caller.user, message.thread_id, message.content)
        return {"type": "message", "role": message.role, "content": text}
    if tail not in responses:
        run, part = await _own_run(caller, f"resp_{tail}")
        responses[tail] = await _response(run, part, await door.events_of(run))
    if kind == "rs":
        return {"type": "reasoning"}
    output: list[JsonValue] = responses[tail]["output"]
    for item in output:
        if item.get("id") == name:
            return item
    raise CommandRejected("not_found", NOT_THERE)


async def _in_background(caller: Identity, work: door.ResponseWork) -> Response:
    """Start or join the work, and return the response as it is now."""
    await door.reply(caller, work)
    if isinstance(work.start, int):
        name = ResponseId(work.translator.run_id or "", work.translator.part)
    else:
        name = ResponseId((await web_context().chat.accept(caller, work.start, limited=False)).run_id)
    return as_json(await _response(*await _own(str(name))))


async def _own(response_id: str) -> tuple[RunRecord, ResponseId, list[Envelope]]:
    """Return the run of a response of the caller, the parsed id, and the run's logged events."""
    run, name = await _own_run(identity(), response_id)
    return run, name, await door.events_of(run)


async def _own_run(caller: Identity, response_id: object) -> tuple[RunRecord, ResponseId]:
    name = ResponseId.parse(response_id) if isinstance(response_id, str) else None
    run = None if name is None else await web_context().store.run(name.run_id)
    if name is None or run is None or run.owner != caller.user:
        raise CommandRejected("not_found", NOT_THERE)
    return run, name


async def _response(run: RunRecord, name: ResponseId, envelopes: list[Envelope]) -> JsonValue:
    """Return a response as its logged events describe it; if they were trimmed, as the stored answer does."""
    if not envelopes and name.part == 0:
        return await _trimmed(run, name)
    translator, _ = await run_off_loop(project, envelopes, name)
    if translator.response is None:
        raise CommandRejected("not_found", NOT_THERE)
    return translator.response


async def _trimmed(run: RunRecord, name: ResponseId) -> JsonValue:
    response_request = ResponseRequest(model=run.pillar or run.agent_type, conversation=run.thread_id)
    answer = await web_context().store.message(run.owner, f"{ANSWER}{run.id}")
    text = "" if answer is None else answer.content
    shown = web_context().content_filter.vault.restore_text(run.owner, run.thread_id, text)
    status = {"success": "completed", "cancelled": "cancelled"}.get(run.status, "failed")
    message = {"id": f"msg_{run.id}", "type": "message", "role": "assistant", "content": [text_part(shown)]}
    output = [{**message, "status": "completed" if status == "completed" else "incomplete"}]
    return response_object(response_request, name, run.started_at) | {"status": status, "output": output}


async def _message(run: RunRecord) -> list[JsonValue]:
    """Return the message of a run as an input item."""
    context = web_context()
    message = await context.store.message(run.owner, run.message_id)
    if message is None:
        return []
    text = context.content_filter.vault.restore_text(run.owner, run.thread_id, message.content)
    parts: list[JsonValue] = [{"type": "input_text", "text": text}]
    parts += [{"type": "input_file", "file_id": reference} for reference in message.references]
    return [{"id": message.id, "type": "message", "role": "user", "status": "completed", "content": parts}]


def _results(run: RunRecord, name: ResponseId, envelopes: list[Envelope]) -> list[JsonValue]:
    """Return the results of the client's tools with which a later response of a run began."""
    before = name.previous
    translator = None if before is None else project(envelopes, before)[0]
    if translator is None or translator.response is None:
        raise CommandRejected("not_found", NOT_THERE)
    calls = [item["call_id"] for item in translator.response["output"] if item["type"] == "function_call"]
    results = {
        envelope.event.question_id: envelope.event.answer[OUTPUT]
        for envelope in envelopes
        if isinstance(envelope.event, QuestionAnswered)
        and envelope.event.outcome is AnswerOutcome.ANSWERED
        and envelope.event.answer is not None
        and OUTPUT in envelope.event.answer
    }
    names = {call_id: client_question_id(run.id, call_id) for call_id in calls}
    return [
        {
            "id": f"fco_{call_id}",
            "type": "function_call_output",
            "call_id": call_id,
            "output": results[question],
            "status": "completed",
        }
        for call_id, question in names.items()
        if question in results
    ]


def _conversation(value: object) -> str | None:
    if isinstance(value, Mapping):
        value = value.get("id")
    if value is None:
        return None
    if not isinstance(value, str):
        raise refused("`conversation` must be an id.")
    check_id("conversation", value)
    return value


def _metadata(value: object) -> dict[str, str]:
    if value is None:
        return {}
    name_size, value_size = MAX_METADATA_TEXT
    if not isinstance(value, dict) or len(value) > MAX_METADATA:
        raise refused(f"`metadata` must be an object of at most {MAX_METADATA} texts.")
    for name, text in value.items():
        if not isinstance(text, str) or len(name) > name_size or len(text) > value_size:
            raise refused(f"`metadata` has names of {name_size} and texts of {value_size} characters at most.")
    return dict(value)


def _starting_after(value: str | None) -> int:
    if value is None:
        return -1
    if not (value.isascii() and value.isdigit()) or len(value) > 16 or int(value) > MAX_SEQUENCE:
        raise refused("`starting_after` must be the sequence number of an event.")
    return int(value)
