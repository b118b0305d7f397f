"""`POST /api/agui`: the AG-UI protocol. The body is a run's input, the response a stream (SSE) of its events."""

import hashlib
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from attrs import evolve
from msgspec import UnsetType
from quart import Response, request

from transport.auth.identity import Identity
from transport.server.eventstream import CONTENT_TYPE, HEADERS
from transport.wire.errors import CommandRejected
from transport.wire.events import Error
from understudy.chat.routing import find_agent
from understudy.content.texts import run_off_loop
from understudy.extensions.agui.capabilities import capabilities
from understudy.extensions.agui.events import AguiTranslator, run_error
from understudy.extensions.agui.interrupts import Interrupts
from understudy.extensions.agui.replies import carry_out, results_of_client, run_of_reply
from understudy.extensions.agui.state import SharedState
from understudy.extensions.agui.stream import AguiStream, encode_blocks
from understudy.extensions.agui.usage import UsageByModel
from understudy.extensions.agui.vocabulary import AguiEvent
from understudy.extensions.doors.versions import new_version, shown_run, stored_version
from understudy.storage import queries
from understudy.storage.records import RunRecord
from understudy.web.api.stream import as_answer
from understudy.web.context import agents_of_caller, identity, read_body, web_context
from understudy.web.refusals import convert_refusals
from understudy.web.routes import EVENT_STREAM, JsonObject, Routes, documented_at, many, shape
from understudy.wire.commands import Regenerate, Say

if TYPE_CHECKING:
    from understudy.extensions.agui.input import AguiRequest

blueprint = Routes("agui", __name__, url_prefix="/api/agui")

LABEL: Final = "agui"
"""Metric label of AG-UI's streams, in place of a dialect, and the door that is recorded with replies over AG-UI."""

RunAgentInput = shape(
    "RunAgentInput", threadId=str, runId=str, messages=many(shape("AguiMessage", id=str, role=str)),
    protocolVersion=str | UnsetType, state=Any | UnsetType, forwardedProps=Any | UnsetType,
    context=many(shape("AguiContext", description=str, value=str)) | UnsetType,
    resume=many(shape(
        "AguiResume", interruptId=str, status=Literal["resolved", "cancelled"], payload=JsonObject | UnsetType
    )) | UnsetType,
)  # fmt: skip
INPUT: Final = documented_at("https://docs.ag-ui.com/sdk/js/core/types#runagentinput")
CAPABILITIES: Final = documented_at("https://docs.ag-ui.com/concepts/capabilities#the-agentcapabilities-interface")


@blueprint.post("", media=EVENT_STREAM, body=Annotated[RunAgentInput, INPUT], query={"agent": str})
async def agui() -> Response:
    """Run the user's last message, or join a run that is known. The events are AG-UI's."""
    # Imported at the first request, because AG-UI's types and pydantic would slow down the start of a server.
    from understudy.extensions.agui.input import parse_request

    caller = identity()
    web_context().chat.check_rate(caller, Say(""))  # before the body is read
    body = await read_body(web_context().settings.limits.chunks_bytes)
    run_input = await run_off_loop(parse_request, body, request.args.get("agent"), agents_of_caller())
    interrupt_ids = [await carry_out(caller, reply, LABEL) for reply in run_input.replies]
    target = await _target(caller, run_input)
    is_new = isinstance(target, Say | Regenerate)
    results, waiting_run = await results_of_client(caller, run_input.thread_id, run_input.results, give_up=is_new)
    interrupt_ids += [await carry_out(caller, result, LABEL) for result in results]
    resumed = frozenset(interrupt_id for interrupt_id in interrupt_ids if interrupt_id is not None)
    translator = AguiTranslator(
        run_input.thread_id,
        run_input.run_id,
        (target.message_id or "") if isinstance(target, Say | Regenerate) else "",
        run_input.parent_run_id,
        run_input.pauses,
        Interrupts(frozenset() if is_new else resumed),
        None if run_input.state is None else SharedState(run_input.state),
        UsageByModel(_models()),
        {call_id: message_id for call_id, (message_id, _) in run_input.results.items()},
    )
    if isinstance(target, Say | Regenerate):
        stream = AguiStream(translator)
        return as_answer(await web_context().chat.follow(caller, run_input.thread_id, stream, target, door=LABEL))
    return await _join_response(caller, translator, run_input, waiting_run or target)


def _models() -> dict[str, str]:
    """Return the names of the agents' models, by the names of agents and pillars."""
    agents, models = web_context().agents, web_context().models
    names = {name: models.of(agent.model).name for name, agent in agents.items()}
    return names | {agent.pillar: names[name] for name, agent in agents.items() if agent.pillar}


def _with_tools(say: Say, run_input: "AguiRequest") -> Say:
    """Return the message with the client's tools, if its agent takes such tools.

    Raises:
        CommandRejected: There is no such agent.
    """
    usable = agents_of_caller()
    name = find_agent(say.agent_type, say.pillar, {name: agent.pillar for name, agent in usable.items()})
    if not run_input.tools or not usable[name].takes_client_tools:
        return say
    return evolve(say, settings={**say.settings, "tools": list(run_input.tools)})


@blueprint.get("/capabilities", query={"agent": str}, errors=("not_found",), answer=Annotated[JsonObject, CAPABILITIES])
async def told_capabilities() -> dict[str, Any]:
    """Return what an agent can do: the one that `agent` names, or the one that answers by default."""
    usable = agents_of_caller()
    agent = usable.get(request.args.get("agent", next(iter(usable), "")))
    if agent is None:
        raise CommandRejected("not_found", "There is no agent of that name.")
    for_caller = web_context().permissions.for_user(agent, identity())
    return capabilities(for_caller, web_context().models.of(agent.model), web_context().settings.limits)


async def _target(caller: Identity, run_input: "AguiRequest") -> RunRecord | Say | Regenerate | None:
    """Return the run that a request joins, or the command that it means; None to join the newest run of the thread.

    A repeated input joins its run. The last message again in another run is answered again, if it has its answer; with
    another text it is an edit.
    """
    for reply in run_input.replies:
        if (run := await run_of_reply(caller, reply)) is not None:
            return run
    if run_input.say is None:
        return None
    store, message_id = web_context().store, run_input.say.message_id or ""
    key = hashlib.sha256("\0".join((run_input.thread_id, message_id, run_input.run_id)).encode()).hexdigest()[:32]
    run = await store.read(queries.run_of_request, caller.user, key) or await shown_run(
        caller, run_input.thread_id, [message_id]
    )
    if run is not None and (run.request_id == key or run_input.goes_on):
        return run
    at_work = run is not None and run.ended_at is None
    say, stored = await stored_version(caller, run_input.say, run_input.files, anew=not at_work)
    if run is not None and at_work:
        if stored is not None and stored.id == run.message_id:
            return run
        await web_context().chat.stop(caller, run.id)
    if stored is not None:
        return Regenerate(stored.id, key)
    return await new_version(caller, _with_tools(say, run_input), run_input.files, run_input.shown, key)


async def _join_response(
    caller: Identity, translator: AguiTranslator, run_input: "AguiRequest", run: RunRecord | None
) -> Response:
    """Return a response with the conversation so far and the run's further events. Raises CommandRejected."""
    from understudy.extensions.agui.join import find_position, join

    thread_id = run_input.thread_id if run is None else run.thread_id
    position = await find_position(caller.user, thread_id, run)
    if position is None:
        raise CommandRejected("empty_message", "There is no message of the user.")
    translator.message_id, translator.server_run_id = position.run.message_id, position.run.id
    translator.at_ms = round(position.run.started_at * 1000)
    events = await join(translator, position, run_input.known, newest=run is None)
    if translator.ended:
        return _stream_of(events)
    stream = AguiStream(translator, head=b"".join(encode_blocks(events)))
    return as_answer(await web_context().chat.follow(caller, thread_id, stream, position.head, door=LABEL))


def _stream_of(events: Sequence[AguiEvent]) -> Response:

    return Response(b"".join(encode_blocks(events)), content_type=CONTENT_TYPE, headers=HEADERS)


async def as_run_error(refused: Response) -> Response:
    """Convert a refusal to a stream with a run error, because AG-UI clients show only the status of an HTTP error."""
    refusal: dict[str, Any] = (await refused.get_json())["error"]
    retry_after = refused.headers.get("Retry-After")
    error = Error(
        refusal["code"],
        refusal["message"],
        refusal["retryable"],
        refusal["error_id"],
        None if retry_after is None else float(retry_after),
    )
    return _stream_of([run_error(error, round(time.time() * 1000))])


convert_refusals(blueprint, "agui.agui", as_run_error)
