"""`/a2a/{agent}`: each agent as one of A2A 1.0, by JSON-RPC. A task is a run, its context a conversation."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import trio
from quart import Blueprint, Response, jsonify, request

from transport.a2a.stream import TaskStream
from transport.a2a.tasks import FINAL, TaskTranslator, refusal
from transport.server.eventstream import CONTENT_TYPE, HEADERS
from transport.server.translated_stream import wrap_for_log
from transport.wire.codec import from_log
from transport.wire.command_parser import decode, parse_command
from transport.wire.commands import Approve, Cancel, Decision, Respond, Resume, Say
from transport.wire.errors import CommandRejected
from transport.wire.events import ApprovalRequired, QuestionAsked
from transport.wire.messages import arrived_at
from understudy.agents.agent import Agent
from understudy.chat.routing import check_id
from understudy.content.texts import run_off_loop
from understudy.storage.records import LoggedEvent, RunRecord
from understudy.web.api.a2a_push import (
    create_config,
    delete_config,
    get_config,
    list_configs,
    read_config,
    store_config,
)
from understudy.web.context import agents_of_caller, identity, own_url, read_body, web_context
from understudy.web.sse import WRITE_TIMEOUT_S

blueprint = Blueprint("a2a", __name__)

LABEL: Final = "a2a"
"""Metric label of these streams, and the door of replies that come by them."""
VERSION: Final = "1.0"
MAX_VALUES: Final = 10_000
"""JSON values in a request."""
NO_METHOD, BAD_REQUEST, UNSUPPORTED = -32601, -32600, -32004
INLINE: Final = "message"
"""Id of the push notification config that comes with a message, if it has none: a repeated message has the same one."""
YES: Final = frozenset({"allow", "yes", "ok", "approve", "approved"})


class RpcError(Exception):
    """A refusal by a code of JSON-RPC or A2A."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)
        self.code, self.message = code, message


@blueprint.get("/.well-known/agent-card.json")
async def card() -> dict[str, Any]:
    """Return the card of the agent that answers by default."""
    agents = _visible()
    return _card(next(iter(agents.values())), own_url())


@blueprint.get("/a2a/<agent>/.well-known/agent-card.json")
async def agent_card(agent: str) -> dict[str, Any]:
    """Return the card of an agent."""
    return _card(_agent(agent, _visible()), own_url())


@blueprint.post("/a2a/<agent>")
async def call(agent: str) -> Response:
    """Answer one JSON-RPC request to an agent."""
    identity()  # first: without a token nothing is said about agents
    arrived_at.set(web_context().streams.callbacks.clock())
    body = await read_body()
    request_id: Any = None
    try:
        given = decode(body, MAX_VALUES)
        if not isinstance(given, dict) or not isinstance(given.get("method"), str):
            raise RpcError(BAD_REQUEST, "The body must be a JSON-RPC request.")
        request_id = given.get("id")
        method, params = _METHODS.get(given["method"]), given.get("params", {})
        if method is None:
            raise RpcError(NO_METHOD, f"There is no method {given['method'][:60]!r}.")
        if not isinstance(params, dict):
            raise RpcError(BAD_REQUEST, "The params must be an object.")
        return await method(_agent(agent, agents_of_caller()), params, request_id)
    except RpcError as error:
        refused = {"code": error.code, "message": error.message}
    except CommandRejected as error:
        refused = refusal(error.code, error.message)
    return jsonify({"jsonrpc": "2.0", "id": request_id, "error": refused})


async def _send(agent: Agent, params: Mapping[str, Any], request_id: Any) -> Response:
    """Send a message, and return its task once that has ended or needs its user, or at once if that is asked for."""
    task_id, context_id, answered = await _accept(agent, params)
    wait = not _configuration(params).get("returnImmediately")
    translator = await _follow(context_id, task_id, answered) if wait else await _replay(context_id, task_id)
    return _result(request_id, {"task": translator.task()})


async def _send_streaming(agent: Agent, params: Mapping[str, Any], request_id: Any) -> Response:
    task_id, context_id, answered = await _accept(agent, params)
    return await _stream(context_id, task_id, request_id, answered)


async def _subscribe(_: Agent, params: Mapping[str, Any], request_id: Any) -> Response:
    run = await _run(params.get("id"))
    translator = await _replay(run.thread_id, run.id)
    if translator.state in FINAL:
        raise RpcError(UNSUPPORTED, "The task has ended: get it.")
    return await _stream(run.thread_id, run.id, request_id)


async def _get(_: Agent, params: Mapping[str, Any], request_id: Any) -> Response:
    run = await _run(params.get("id"))
    return _result(request_id, (await _replay(run.thread_id, run.id)).task())


async def _list(agent: Agent, params: Mapping[str, Any], request_id: Any) -> Response:
    size = params.get("pageSize") or 20
    if not isinstance(size, int) or not 1 <= size <= 100:
        raise CommandRejected("invalid_command", "pageSize must be from 1 to 100.")
    page = await web_context().store.runs(
        identity().user, agent=agent.name, thread_id=params.get("contextId") or None,
        cursor=params.get("pageToken") or None, limit=size,
    )  # fmt: skip
    tasks = [(await _replay(run.thread_id, run.id)).task() for run in page.items]
    if not params.get("includeArtifacts"):
        tasks = [{name: value for name, value in each.items() if name != "artifacts"} for each in tasks]
    listed = {"tasks": tasks, "nextPageToken": page.next_cursor or "", "pageSize": size, "totalSize": len(tasks)}
    return _result(request_id, listed)


async def _cancel(_: Agent, params: Mapping[str, Any], request_id: Any) -> Response:
    run = await _run(params.get("id"))
    await web_context().streams.run_command(identity(), Cancel(run.id), door=LABEL)
    return _result(request_id, (await _follow(run.thread_id, run.id)).task())


_Config = Callable[[RunRecord, Mapping[str, Any]], Awaitable[dict[str, Any]]]


def _config(carry_out: _Config) -> "_Method":
    """Return the method that does something with the push notification configs of a task."""

    async def method(_: Agent, params: Mapping[str, Any], request_id: Any) -> Response:
        return _result(request_id, await carry_out(await _run(params.get("taskId")), params))

    return method


_Method = Callable[[Agent, Mapping[str, Any], Any], Awaitable[Response]]
_METHODS: Final[Mapping[str, _Method]] = {
    "SendMessage": _send,
    "SendStreamingMessage": _send_streaming,
    "SubscribeToTask": _subscribe,
    "GetTask": _get,
    "ListTasks": _list,
    "CancelTask": _cancel,
    "CreateTaskPushNotificationConfig": _config(create_config),
    "GetTaskPushNotificationConfig": _config(get_config),
    "ListTaskPushNotificationConfigs": _config(list_configs),
    "DeleteTaskPushNotificationConfig": _config(delete_config),
}


async def _accept(agent: Agent, params: Mapping[str, Any]) -> tuple[str, str, frozenset[str]]:
    """Carry out a message, and have its client told of the task if it asks for that. Return as `_carry_out`."""
    given = _configuration(params).get("taskPushNotificationConfig")
    config = read_config({"id": INLINE, **given}) if isinstance(given, dict) else None
    task_id, context_id, answered = await _carry_out(agent, params)
    if config is not None:
        await store_config(await _run(task_id), config)
    return task_id, context_id, answered


async def _carry_out(agent: Agent, params: Mapping[str, Any]) -> tuple[str, str, frozenset[str]]:
    """Carry out a message: a new task, or the reply to what a task asks. Return the ids of task and context, and of
    the questions that it replied to.
    """
    message = params.get("message")
    if not isinstance(message, dict):
        raise CommandRejected("invalid_command", "The field `message` is needed.")
    parts = [each for each in message.get("parts") or () if isinstance(each, dict)]
    texts = [each["text"] for each in parts if isinstance(each.get("text"), str)]
    if any("raw" in each or "url" in each for each in parts):
        raise CommandRejected("invalid_command", "Upload files to /api/files, and name them in `metadata.references`.")
    data = [each["data"] for each in parts if isinstance(each.get("data"), dict)]
    streams, caller = web_context().streams, identity()
    if message.get("taskId"):
        run = await _run(message["taskId"])
        reply = _reply(await _waits(run), " ".join(texts).strip(), data[0] if data else None)
        await streams.run_command(caller, reply, door=LABEL)
        name = reply.call_id if isinstance(reply, Approve) else reply.question_id
        return run.id, run.thread_id, frozenset({name})
    metadata = message.get("metadata") or {}
    fields: dict[str, Any] = {"content": "\n".join(texts), "agent_type": agent.agent_type, "pillar": agent.pillar}
    fields |= {"message_id": message.get("messageId"), "thread_id": message.get("contextId") or None}
    fields["thread_id"] = fields["thread_id"] or f"a2a-{fields['message_id']}"
    fields |= {"references": metadata.get("references", []), "context": {"data": data} if data else {}}
    command = parse_command({"type": "user_message", "payload": fields}, None)
    if not isinstance(command, Say):
        raise TypeError("a message is a Say")
    accepted = await streams.run_command(caller, command, door=LABEL)
    assert accepted is not None  # noqa: S101 - for the type checker: a message starts a run
    return accepted.run_id, accepted.thread_id, frozenset()


def _configuration(params: Mapping[str, Any]) -> dict[str, Any]:
    given = params.get("configuration") or {}
    if not isinstance(given, dict):
        raise CommandRejected("invalid_command", "The configuration must be an object.")
    return given


async def _waits(run: RunRecord) -> list[ApprovalRequired | QuestionAsked]:
    """Return what a run waits for its user to say, oldest first."""
    return await run_off_loop(_open_waits, await web_context().store.run_events(run.owner, run.thread_id, run.id))


def _open_waits(rows: Sequence[LoggedEvent]) -> list[ApprovalRequired | QuestionAsked]:
    waits: dict[str, ApprovalRequired | QuestionAsked] = {}
    for row in rows:
        event = from_log(row.body).event
        name = str(getattr(event, "question_id", None) or getattr(event, "call_id", ""))
        if isinstance(event, ApprovalRequired | QuestionAsked):
            waits[name] = event
        elif event.type in ("approval_decided", "question_answered", "tool_completed"):
            waits.pop(name, None)
    return list(waits.values())


def _reply(
    waits: list[ApprovalRequired | QuestionAsked], text: str, data: Mapping[str, Any] | None
) -> Approve | Respond:
    """Return the reply to the oldest question, or to the one that the data names."""
    named = (data or {}).get("question_id") or (data or {}).get("call_id")
    found = [each for each in waits if named in (None, getattr(each, "question_id", None), each.call_id)]
    if not found:
        raise CommandRejected("not_found", "The task does not wait for a reply.")
    wait = found[0]
    if isinstance(wait, ApprovalRequired):
        word = str((data or {}).get("decision", text)).strip().lower()
        return Approve(wait.call_id, Decision.ALLOW if word in YES else Decision.DENY, text or None)
    answer = (data or {}).get("answer")
    if answer is None:
        properties = list(wait.schema.get("properties", {}))
        if not text or len(properties) != 1:
            raise CommandRejected("invalid_command", "Reply with data: an `answer` that fits the question's `schema`.")
        answer = {properties[0]: text}
    if not isinstance(answer, dict):
        raise CommandRejected("invalid_command", "The `answer` must be an object.")
    return Respond(wait.question_id, answer)


async def _stream(context_id: str, task_id: str, request_id: Any, answered: frozenset[str] = frozenset()) -> Response:
    body = await _open(TaskTranslator(context_id, task_id, answered), request_id)
    answer = Response(body, content_type=CONTENT_TYPE, headers=HEADERS)
    answer.timeout = None
    return answer


async def _open(translator: TaskTranslator, request_id: Any) -> TaskStream:
    """Open a stream of a task's events from its first one on."""
    streams, caller = web_context().streams, identity()
    first = await web_context().store.run_start(caller.user, translator.context_id, translator.task_id)
    body = TaskStream(translator, request_id, beat_s=streams.heartbeat_s, write_s=WRITE_TIMEOUT_S)
    after = Resume({translator.context_id: 0 if first is None else first - 1})
    await streams.open(caller, translator.context_id, body, after, wrap_frame=wrap_for_log, label=LABEL, welcome=False)
    return body


async def _follow(context_id: str, task_id: str, answered: frozenset[str] = frozenset()) -> TaskTranslator:
    """Return a task once it has ended or needs its user, after the server's limit of a run at latest."""
    translator = TaskTranslator(context_id, task_id, answered)
    body = await _open(translator, None)
    try:
        with trio.move_on_after(web_context().settings.limits.run_s):
            async for _ in body:
                pass
    finally:
        await body.aclose()
    return translator


async def _replay(context_id: str, task_id: str) -> TaskTranslator:
    """Return a task as it is in the log."""
    rows = await web_context().store.run_events(identity().user, context_id, task_id)
    restore = web_context().content_filter.vault.restore_envelope

    def replay() -> TaskTranslator:
        translator = TaskTranslator(context_id, task_id)
        for row in rows:
            translator.translate(restore(owner, from_log(row.body)))
        translator.pause()
        return translator

    owner = identity().user
    return await run_off_loop(replay)


async def _run(name: Any) -> RunRecord:
    """Return the caller's run of this id. Raises CommandRejected `not_found`."""
    if not isinstance(name, str):
        raise CommandRejected("invalid_command", "The id of a task is needed.")
    check_id("id", name)
    run = await web_context().store.run(name)
    if run is None or run.owner != identity().user:
        raise CommandRejected("not_found", "There is no task of that id.")
    return run


def _visible() -> dict[str, Agent]:
    """Return the agents of the caller; without a token those that everybody may use."""
    if "Authorization" in request.headers:
        return agents_of_caller()
    context = web_context()
    return {name: agent for name, agent in context.agents.items() if context.permissions.is_public(agent)}


def _agent(name: str, agents: Mapping[str, Agent]) -> Agent:
    if name not in agents:
        raise CommandRejected("not_found", "There is no agent of that name.")
    return agents[name]


def _card(agent: Agent, address: str) -> dict[str, Any]:
    about = agent.description or f"The agent {agent.display_title}."
    skill = {"id": agent.name, "name": agent.display_title, "description": about, "tags": [agent.name]}
    if agent.starters:
        skill["examples"] = list(agent.starters)
    url = f"{address}/a2a/{agent.name}"
    return {
        "name": agent.display_title,
        "description": about,
        "version": VERSION,
        "supportedInterfaces": [{"url": url, "protocolBinding": "JSONRPC", "protocolVersion": VERSION}],
        "capabilities": {"streaming": True, "pushNotifications": True},
        "defaultInputModes": ["text/plain", "application/json"],
        "defaultOutputModes": ["text/markdown", "application/json"],
        "securitySchemes": {"bearer": {"httpAuthSecurityScheme": {"scheme": "Bearer"}}},
        "securityRequirements": [{"schemes": {"bearer": {"list": []}}}],
        "skills": [skill],
    }


def _result(request_id: Any, result: Mapping[str, Any]) -> Response:
    return jsonify({"jsonrpc": "2.0", "id": request_id, "result": result})
