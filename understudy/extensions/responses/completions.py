"""`POST /v1/chat/completions`: OpenAI's older API, built on `/v1/responses`, for clients that know only this one.

Such a client sends the whole conversation with each request, so nothing is stored for long: every request becomes a
thread of its own, with the earlier messages as its history, and is deleted an hour later. Results of the client's tools
are the exception: they go to the run that waits for them.
"""

from typing import Annotated, Final

from msgspec import Meta, UnsetType
from quart import Response

from transport.wire.errors import CommandRejected
from understudy.content.texts import run_off_loop
from understudy.extensions.responses import door
from understudy.extensions.responses.chat import ChatTranslator, completion
from understudy.extensions.responses.input import check_unsupported, read_messages, read_tools, refused
from understudy.extensions.responses.objects import ResponseRequest
from understudy.web.api.stream import as_answer
from understudy.web.routes import EVENT_STREAM, JsonObject, Routes, as_json, many, shape
from understudy.wire.codes import ERRORS

blueprint = Routes("completions", __name__, url_prefix="/v1/chat/completions")

UNSUPPORTED: Final = ("functions", "function_call", "audio")
CompletionInput = shape(
    "CompletionInput", model=str, stream=bool | None | UnsetType, tools=many(JsonObject) | None | UnsetType,
    messages=Annotated[many(shape("ChatMessage", role=str)), Meta(min_length=1)],
)  # fmt: skip
Completion = shape("Completion", id=str, choices=many(JsonObject))


@blueprint.post(
    "", body=Annotated[CompletionInput, door.OF_OPENAI], headers=door.KEY_HEADER,
    errors=(*door.OPENAI_ERRORS, "agent_timeout", "agent_failed", "model_unavailable", "run_interrupted"),
    or_text=EVENT_STREAM, answer=Annotated[Completion, door.OF_OPENAI],
)  # fmt: skip
async def create() -> Response:
    """Have an agent answer a conversation: as one completion, or as a stream of chunks."""
    caller, body = await door.read_request()
    check_unsupported(body, UNSUPPORTED)
    if body.get("n") not in (None, 1):
        raise refused("`n` can only be 1: an agent gives one answer.")
    talk = await run_off_loop(read_messages, body.get("messages"))
    if talk.outputs:
        work = await door.results_work(caller, talk.outputs)
    else:
        tools = [] if body.get("tool_choice") == "none" else read_tools(body.get("tools"))
        name = door.agent_name(body)
        response_request = ResponseRequest(model=name, store=False, instructions=talk.instructions, tools=tools)
        work = await door.message_work(caller, talk, response_request, None)
    options = body.get("stream_options")
    with_usage = isinstance(options, dict) and options.get("include_usage") is True
    if body.get("stream"):
        return as_answer(await door.open_stream(caller, work, ChatTranslator(with_usage), cancel=True))
    whole = await door.collect(await door.open_stream(caller, work, cancel=True))
    if whole["status"] == "failed":
        detail = whole["error"]["understudy"]
        raise CommandRejected(detail["code"] if detail["code"] in ERRORS else "internal", whole["error"]["message"])
    return as_json(completion(whole))
