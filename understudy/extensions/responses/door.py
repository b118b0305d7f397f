"""The common part of the doors for OpenAI's clients: errors in OpenAI's form, and the work that a request starts.

Each request is a message to an agent, or has the results of the client's tools for a run that waits for them.
"""

import hashlib
import logging
import uuid
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec
from attrs import evolve, frozen
from quart import Response, request

from transport.auth.identity import Identity
from transport.wire.command_parser import decode
from transport.wire.errors import CommandRejected
from understudy.chat.run.client_tools import CLIENT, OUTPUT, open_calls
from understudy.chat.run.questions import MAX_ANSWER_BYTES, client_question_id
from understudy.content.texts import run_off_loop
from understudy.extensions.doors.message_content import MAX_VALUES, parse_say
from understudy.extensions.doors.versions import store_files
from understudy.extensions.responses.chat import ChatTranslator
from understudy.extensions.responses.events import ResponsesTranslator
from understudy.extensions.responses.input import PARAGRAPH, Given, refused
from understudy.extensions.responses.objects import ResponseRequest
from understudy.extensions.responses.stream import ResponseStream
from understudy.storage import queries
from understudy.storage.records import ONCE, RunRecord
from understudy.suggestion import did_you_mean
from understudy.web.api.runs import KEY
from understudy.web.context import agents_of_caller, identity, read_body, web_context
from understudy.web.routes import STORED, documented_at
from understudy.wire.commands import Respond, Say, Steer
from understudy.wire.events import ANSWER, Envelope, MessageAccepted, QuestionAnswered, QuestionAsked
from understudy.wire.vocabulary import from_log

KEY_HEADER: Final = {KEY: str}
OPENAI_ERRORS: Final = (
    "bad_json", "invalid_command", "empty_message", "unknown_agent_type", "message_id_reused", "content_blocked",
    "message_too_large", "file_too_large", "quota_exceeded", "not_found", "rate_limited", "busy", *STORED,
)  # fmt: skip
OF_OPENAI: Final = documented_at("https://platform.openai.com/docs/api-reference")

log: Final = logging.getLogger(__name__)
PREFIX: Final = "/v1/"
LABEL: Final = "responses"
"""The metric label of these streams, and the door that is recorded with results of a client's tools."""
_TYPES: Final = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


@frozen
class ResponseWork:
    """The work that a request starts or joins. `start` is its message, or the number after which the run's events begin
    in the log; `translator` translates the events that follow.

    `replies` are results of the client's tools, and a message beside them; they are sent first.
    """

    thread_id: str
    start: Say | int
    translator: ResponsesTranslator
    replies: tuple[Respond | Steer, ...] = ()


async def in_openais_form(answer: Response) -> Response:
    """Convert refusals of all paths below PREFIX, also of unknown ones, into the form of OpenAI's API, which the
    server's own fields supplement. Answers of these paths are not cached."""
    if not request.path.startswith(PREFIX):
        return answer
    answer.headers.setdefault("Cache-Control", "no-store")
    if (status := answer.status_code) >= 400:
        error = (await answer.get_json())["error"]
        kind = _TYPES.get(status) or ("server_error" if status >= 500 else "invalid_request_error")
        answer.set_data(msgspec.json.encode({"error": {**error, "type": kind, "param": None}}))
    return answer


async def read_request() -> tuple[Identity, dict[str, Any]]:
    """Return the caller and the body of a request that starts work, after a check of the caller's rate.

    Raises:
        CommandRejected: `rate_limited`, or the body is no JSON object.
    """
    caller = identity()
    web_context().chat.check_rate(caller, Say(""))  # before the body is read
    body = await run_off_loop(decode, await read_body(web_context().settings.limits.chunks_bytes), MAX_VALUES)
    if not isinstance(body, dict):
        raise refused("The body must be a JSON object.")
    return caller, body


def agent_name(body: Mapping[str, Any]) -> str:
    """Return the name of the agent that a request is for. Raises CommandRejected."""
    name = body.get("model")
    if not isinstance(name, str) or not name:
        raise refused("`model` must be the name of an agent: GET /v1/models lists them.")
    return name


async def message_work(
    caller: Identity, given: Given, asked: ResponseRequest, before: RunRecord | None
) -> ResponseWork:
    """Return the work on a new message. `before` is the run whose answer it follows, None for a new conversation.

    A repeated idempotency key is the same message.
    """
    agents, name = agents_of_caller(), asked.model
    if (agent := agents.get(name)) is None:
        sentence = f"There is no agent of that name: {name[:100]}{did_you_mean(name[:100], agents)}."
        raise CommandRejected("unknown_agent_type", sentence)
    waiting = await _waiting_run(caller, given)
    if before is not None and before.ended_at is None and (waiting is None or waiting.id != before.id):
        raise refused("The response named by `previous_response_id` has not ended yet.")
    if waiting is not None:
        if agent.run is not None or not any("calls" in entry for entry in given.history):
            return await _goes_on(caller, given, None if agent.run is not None else waiting.id)
        await web_context().chat.stop(caller, waiting.id)  # a new run gets the whole conversation as its history
    for run in () if before is None else await web_context().store.unfinished_runs(caller.user, before.thread_id):
        if open_calls(envelope.event for envelope in await events_of(run)):  # otherwise the new run would wait for it
            await web_context().chat.stop(caller, run.id)
    key = request.headers.get(KEY)
    digest = uuid.uuid4().hex if key is None else hashlib.sha256(key.encode()).hexdigest()[:32]
    message_id = f"msg-{digest}"
    history: Sequence[Any] = given.history
    text = given.text
    if before is not None:
        if any(entry["role"] != "tool" for entry in history):
            raise refused("In a conversation that the server has, the input is only the new message of the user.")
        text = PARAGRAPH.join([*(item["content"] for item in history), text])  # results for which no run waits any more
        accepted = next((envelope.event for envelope in await events_of(before)), None)
        if isinstance(accepted, MessageAccepted):
            history = (accepted.settings or {}).get("history", ())
    thread_id = asked.conversation or (f"conv_{digest}" if asked.store else f"{ONCE}{digest}")
    prior = None if key is None else await web_context().store.message(caller.user, message_id)
    if given.left_out:
        log.info("message.left_out", extra={"parts": ", ".join(given.left_out)})
    references = list(prior.references) if prior is not None else await store_files(caller, given.files)
    fields = {
        "content": text,
        "thread_id": thread_id,
        "message_id": message_id,
        "agent_type": agent.agent_type,
        "pillar": agent.pillar,
        "references": references,
        "settings": {**asked.settings, **({"history": list(history)} if history else {})},
    }
    if before is not None:
        fields["parent_id"] = f"{ANSWER}{before.id}"
    return ResponseWork(thread_id, parse_say(fields), ResponsesTranslator(message_id=message_id))


async def _waiting_run(caller: Identity, given: Given) -> RunRecord | None:
    """Return the run that waits for the results in a request with a new message; None if there is none."""
    row = await web_context().store.read(queries.step_of_call, given.settled[0]) if given.settled else None
    return row[1] if row is not None and row[1].owner == caller.user and row[1].ended_at is None else None


async def _goes_on(caller: Identity, given: Given, steered: str | None) -> ResponseWork:
    """Return the work on results of the client's tools that come with a message; the text names the message's files.

    The model of the run `steered` reads the message as a steer after the results; a hand-written agent, `steered` None,
    reads it at the end of the last result.
    """
    results = {entry["call_id"]: entry["content"] for entry in given.history if entry["role"] == "tool"}
    results = {call_id: results.get(call_id, "") for call_id in given.settled}
    ids = ", ".join(await store_files(caller, given.files))
    text = PARAGRAPH.join(part for part in (given.text, ids and f"(Files: {ids})") if part)
    if steered is None:
        last = given.settled[-1]
        results[last] = PARAGRAPH.join(part for part in (results[last], text) if part)
    work = await results_work(caller, results)
    return work if steered is None else evolve(work, replies=(Steer(steered, text), *work.replies))


async def results_work(caller: Identity, outputs: Mapping[str, str]) -> ResponseWork:
    """Return the work on results of the client's tools: they continue the run that waits for them.

    If they were sent before, they are not sent again, and the response that followed is joined.

    Raises:
        CommandRejected: No run of the caller waits, or has waited, for these calls; or a result is missing.
    """
    store, run = web_context().store, None
    if (row := await store.read(queries.step_of_call, next(iter(outputs)))) is not None:
        run = row[1]
    envelopes = [] if run is None or run.owner != caller.user else await events_of(run)
    questions = [envelope.event for envelope in envelopes if isinstance(envelope.event, QuestionAsked)]
    waits = list(dict.fromkeys(tuple(question.calls or ()) for question in questions if question.asked_by == CLIENT))
    wait = next((number for number, calls in enumerate(waits) if outputs.keys() <= set(calls)), None)
    if run is None or wait is None:
        raise refused(f"No call waits for its result under this call_id: {next(iter(outputs))[:100]}.")
    answered = {envelope.event.question_id for envelope in envelopes if isinstance(envelope.event, QuestionAnswered)}
    open_calls = [call for call in waits[wait] if client_question_id(run.id, call) not in answered]
    if missing := [call for call in open_calls if call not in outputs]:
        raise refused(f"The result of this call is missing: {missing[0]}.")
    replies = [
        Respond(client_question_id(run.id, call_id), {OUTPUT: outputs[call_id]})
        for call_id in (open_calls if run.ended_at is None else ())
    ]
    for answer in replies:
        if len(msgspec.json.encode(answer.answer)) > MAX_ANSWER_BYTES:
            raise CommandRejected("message_too_large", f"A result has at most {MAX_ANSWER_BYTES:,} bytes of JSON.")
    translator = ResponsesTranslator(run.id, part=wait + 1)
    return ResponseWork(run.thread_id, first_seq(envelopes), translator, tuple(replies))


async def open_stream(
    caller: Identity, work: ResponseWork, chunks: ChatTranslator | None = None, *, cancel: bool = False
) -> ResponseStream:
    """Send a request's replies, start or join its work, and return the stream of the response.

    `cancel`: cancel the run if the client leaves before the end, as the response cannot be joined later.
    """
    house, translator = web_context().chat, work.translator

    async def stop_run() -> None:
        if translator.run_id is not None:
            await house.stop(caller, translator.run_id, limited=False)

    await reply(caller, work)
    stream = ResponseStream(translator, chunks, stop_run if cancel else None)
    return await house.follow(caller, work.thread_id, stream, work.start, door=LABEL)


async def reply(caller: Identity, work: ResponseWork) -> None:
    """Send the replies of a request: results of the client's tools, and a message beside them."""
    for message in work.replies:
        if isinstance(message, Steer):
            await web_context().chat.accept(caller, message)
        else:
            await web_context().chat.answer(caller, message, door=LABEL)


async def collect(stream: ResponseStream) -> dict[str, Any]:
    """Return the whole response of a stream. Raises CommandRejected (`busy`) if the stream ends before the response."""
    whole = await stream.collect()
    if whole is None:
        sentence = "The server is going away; the work goes on, and can be asked for in a moment."
        raise CommandRejected("busy", sentence, 1.0)
    return whole


async def events_of(run: RunRecord) -> list[Envelope]:
    """Return the logged events of a run, with placeholders restored for its user."""
    rows = await web_context().store.run_events(run.owner, run.thread_id, run.id)
    shown = partial(web_context().content_filter.vault.restore_envelope, run.owner)
    return await run_off_loop(lambda: [shown(from_log(row.body)) for row in rows])


def first_seq(envelopes: Sequence[Envelope]) -> int:
    """Return the number after which the events of a run begin in the log of its thread, 0 without events."""
    return max(0, (envelopes[0].seq or 1) - 1) if envelopes else 0
