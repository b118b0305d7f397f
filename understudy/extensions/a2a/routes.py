"""`/a2a/{agent}`: A2A 1.0 over JSON-RPC, an endpoint per agent. A task is a run, its context a conversation."""

import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec
import trio
from quart import Response, g, jsonify, request

from transport.wire.command_parser import decode
from transport.wire.dialects import iso
from transport.wire.errors import CommandRejected
from transport.wire.fields import MAX_NAME
from understudy.agents.agent import Agent
from understudy.chat.routing import check_id
from understudy.content.texts import run_off_loop
from understudy.extensions.a2a import params as a2a_params
from understudy.extensions.a2a import push_configs, storage
from understudy.extensions.a2a.errors import A2aError, refusal
from understudy.extensions.a2a.params import OfPush, OfTask, PushConfig, SendMessage
from understudy.extensions.a2a.stream import TaskStream
from understudy.extensions.a2a.tasks import CANCELED, FINAL, TaskTranslator, Wait
from understudy.extensions.doors.message_content import parse_say, text_of_data
from understudy.storage import queries
from understudy.storage.records import RunRecord
from understudy.web.api.stream import as_answer
from understudy.web.context import agents_of_caller, identity, own_url, read_body, web_context
from understudy.web.refusals import convert_refusals
from understudy.web.routes import JsonObject, Routes
from understudy.wire.commands import Approve, Decision, Respond
from understudy.wire.events import ANSWER, ApprovalRequired, RunStatus
from understudy.wire.vocabulary import from_log

blueprint = Routes("a2a", __name__)

LABEL: Final = "a2a"
"""Metric label of A2A's streams, and the door that is recorded with replies over A2A."""
VERSION: Final = "1.0"
MAX_VALUES: Final = 10_000
"""Limit of JSON values in a request."""
CARD_S: Final = 300
"""Seconds for which a client may cache a card."""
INLINE: Final = "message"
"""Id of a push notification config within a message, if it has none; fixed, so that a repeated message replaces it."""
YES: Final = frozenset(
    {"allow", "allowed", "approve", "approved", "ok", "okay", "sure", "true", "y", "yes", "yes please"}
)
NO: Final = frozenset(
    {"decline", "declined", "denied", "deny", "false", "n", "no", "refuse", "refused", "reject", "rejected"}
)
"""Replies to a request for consent: the whole text of a yes; the first words of a no, which a reason may follow."""


@blueprint.get(
    "/.well-known/agent-card.json", token=False, errors=("unauthenticated", "token_expired", "internal"),
    answer=JsonObject,
)  # fmt: skip
async def card() -> Response:
    """Return the card of the agent that answers by default."""
    return await _card(next(iter(_visible()), ""))


@blueprint.get(
    "/a2a/<agent>/.well-known/agent-card.json", token=False,
    errors=("unauthenticated", "token_expired", "not_found", "internal"), answer=JsonObject,
)  # fmt: skip
async def agent_card(agent: str) -> Response:
    """Return the card of an agent."""
    return await _card(agent)


@blueprint.post(
    "/a2a/<agent>", strict_slashes=False, body=JsonObject, errors=("message_too_large", "rate_limited", "internal"),
    answer=JsonObject,
)  # fmt: skip
async def call(agent: str) -> Response:
    """Answer one JSON-RPC request to an agent."""
    identity()  # checked first, so that without a token a caller learns nothing about agents
    body = await read_body()
    try:
        return await _carry_out(agent, body)
    except A2aError as error:
        return _respond(error=error.as_json())


async def as_rpc_error(refused: Response) -> Response:
    """Convert a refusal to a JSON-RPC error, because A2A clients show only the status of an HTTP error."""
    error = (await refused.get_json())["error"]
    return _respond(error=refusal(error["code"], error["message"]).as_json())


convert_refusals(blueprint, "a2a.call", as_rpc_error)


async def _carry_out(name: str, body: bytes) -> Response:
    if request.mimetype and not request.is_json:
        raise A2aError("CONTENT_TYPE_NOT_SUPPORTED", "The Content-Type of a request must be application/json.")
    rpc = decode(body, MAX_VALUES)
    if not isinstance(rpc, dict) or rpc.get("jsonrpc") != "2.0" or not isinstance(rpc.get("method"), str):
        raise A2aError("INVALID_REQUEST", "The body must be one request of JSON-RPC 2.0.")
    if isinstance(rpc.get("id"), bool | dict | list):
        raise A2aError("INVALID_REQUEST", "The id of a request is a text or a number.")
    g.rpc_id = rpc.get("id")
    version = (request.headers.get("A2A-Version") or request.args.get("A2A-Version") or "0.3").strip()
    if version.split(".")[:2] not in (VERSION.split("."), ["1"]):
        sentence = f"This server speaks A2A {VERSION}, not {version[:20]}: say so by the header A2A-Version."
        raise A2aError("VERSION_NOT_SUPPORTED", sentence)
    if rpc["method"] not in _METHODS:
        raise A2aError("METHOD_NOT_FOUND", f"There is no method {rpc['method'][:60]!r}.")
    kind, method = _METHODS[rpc["method"]]
    agents = agents_of_caller()
    if name not in agents:
        raise A2aError("METHOD_NOT_FOUND", "There is no agent of that name.")
    return await method(agents[name], a2a_params.read(rpc.get("params"), kind))


async def _send(agent: Agent, params: SendMessage) -> Response:
    """Send a message. Return its task when it has ended or needs its user, or at once with `return_immediately`."""
    translator = await _accept(agent, params)
    if params.configuration is None or not params.configuration.return_immediately:
        await _follow(translator)
    return _respond(result={"task": translator.task()})


async def _send_streaming(agent: Agent, params: SendMessage) -> Response:
    return as_answer(await _open(await _accept(agent, params)))


async def _subscribe(_: Agent, params: OfTask) -> Response:
    """Return a stream of the task as it is and its events until its end; waiting for its user does not end it."""
    translator = await _replay(await _run(params.id), lasting=True)
    if translator.ended:
        raise A2aError("UNSUPPORTED_OPERATION", "The task has ended: get it.")
    return as_answer(await _open(translator))


async def _get(_: Agent, params: OfTask) -> Response:
    translator = await _replay(await _run(params.id), history_length=params.history_length)
    return _respond(result=translator.task())


async def _list(agent: Agent, params: a2a_params.ListTasks) -> Response:
    """List tasks, last changed first. The states of ended tasks are in the database; unfinished tasks are few, so their
    states are replayed from the log."""
    store, owner, size = web_context().store, identity().user, params.page_size or 50
    wanted_state = None if params.status == "TASK_STATE_UNSPECIFIED" else params.status
    since = 0.0 if params.status_timestamp_after is None else params.status_timestamp_after.timestamp()
    cursor = queries.decode_cursor(params.page_token, tuple[float, str]) if params.page_token else None
    statuses = [status.value for status, state in FINAL.items() if wanted_state in (None, state)]
    thread_id = params.context_id or None
    ended, total = await store.read(storage.ended_runs, owner, agent.name, thread_id, statuses, since, cursor, size + 1)
    dated = [(run.ended_at or 0.0, run) for run in ended]
    for run in await store.unfinished_runs(owner, thread_id):
        translator = await _replay(run)
        if (run.pillar or run.agent_type) == agent.name and wanted_state in (None, translator.state):
            at = datetime.fromisoformat(translator.status["timestamp"]).timestamp()
            total += at >= since
            dated += [(at, run)] if at >= since and (cursor is None or (at, run.id) < cursor) else []
    dated.sort(key=lambda item: (item[0], item[1].id), reverse=True)
    tasks = [(await _replay(run, history_length=params.history_length)).task() for _, run in dated[:size]]
    for task in tasks:
        if not params.include_artifacts:
            task.pop("artifacts", None)
    token = queries.encode(dated[size - 1][0], dated[size - 1][1].id) if len(dated) > size else ""
    return _respond(result={"tasks": tasks, "nextPageToken": token, "pageSize": size, "totalSize": total})


async def _cancel(_: Agent, params: OfTask) -> Response:
    translator = await _replay(await _run(params.id), lasting=True)
    if not translator.ended:
        await web_context().chat.stop(identity(), params.id)
        await _follow(translator)
        if translator.state == CANCELED:
            return _respond(result=translator.task())
    raise A2aError("TASK_NOT_CANCELABLE", "The task has ended.")


async def _extended_card(_: Agent, __: Any) -> Response:
    raise A2aError("UNSUPPORTED_OPERATION", "There is no extended card.")


_Method = Callable[[Agent, Any], Awaitable[Response]]


def _config(carry_out: Callable[[RunRecord, Any], Awaitable[dict[str, Any]]]) -> _Method:
    """Return a method for a task's push notification configs that `carry_out` answers."""

    async def method(_: Agent, params: OfPush | PushConfig) -> Response:
        return _respond(result=await carry_out(await _run(params.task_id or ""), params))

    return method


_METHODS: Final[Mapping[str, tuple[type, _Method]]] = {
    "SendMessage": (SendMessage, _send),
    "SendStreamingMessage": (SendMessage, _send_streaming),
    "SubscribeToTask": (OfTask, _subscribe),
    "GetTask": (OfTask, _get),
    "ListTasks": (a2a_params.ListTasks, _list),
    "CancelTask": (OfTask, _cancel),
    "GetExtendedAgentCard": (a2a_params.Params, _extended_card),
    "CreateTaskPushNotificationConfig": (PushConfig, _config(push_configs.create_config)),
    "GetTaskPushNotificationConfig": (OfPush, _config(push_configs.get_config)),
    "ListTaskPushNotificationConfigs": (OfPush, _config(push_configs.list_configs)),
    "DeleteTaskPushNotificationConfig": (OfPush, _config(push_configs.delete_config)),
}


async def _accept(agent: Agent, params: SendMessage) -> TaskTranslator:
    """Start a task with a message, or pass it to its task as a reply. Store its push config. Return the task."""
    configuration = params.configuration or a2a_params.Configuration()
    push, unheard = configuration.task_push_notification_config, set()
    config = None if push is None else push_configs.check_config(push, INLINE)
    texts, data = _contents(params.message)
    if params.message.task_id:
        run = await _run(params.message.task_id)
        unheard = {await _reply_to(run, params.message, " ".join(texts).strip(), data)}
    else:
        run = await _start(agent, params.message, "\n".join(texts), data)
    if config is not None:
        await push_configs.receivers().add(run, *config)
    return await _replay(run, unheard=unheard, history_length=configuration.history_length)


def _contents(message: a2a_params.A2aMessage) -> tuple[list[str], list[Any]]:
    """Return the texts and the data of a message. Raises A2aError if it has other parts."""
    for part in message.parts:
        kind = (part.media_type or "text/plain").lower()
        if part.raw is not None or part.url is not None:
            sentence = "Files are not taken here: upload them to /api/files, and name them in `metadata.references`."
            raise A2aError("CONTENT_TYPE_NOT_SUPPORTED", sentence)
        if not kind.startswith("text/") and not kind.partition(";")[0].endswith(("/json", "+json")):
            raise A2aError("CONTENT_TYPE_NOT_SUPPORTED", f"Parts of the type {kind[:60]} are not taken here.")
        if part.text is None and part.data is msgspec.UNSET:
            raise A2aError("INVALID_PARAMS", "A part of a message must have `text` or `data`.")
    texts = [part.text for part in message.parts if part.text is not None]
    return texts, [part.data for part in message.parts if part.data is not msgspec.UNSET]


async def _start(agent: Agent, message: a2a_params.A2aMessage, text: str, data: list[Any]) -> RunRecord:
    """Start a new task, or find the task of the same message if it is a repeat. Return its run."""
    check_id("messageId", message.message_id)
    thread_id = message.context_id or f"a2a-{message.message_id}"[:MAX_NAME]
    command = parse_say({
        "content": text or text_of_data(data), "agent_type": agent.agent_type, "pillar": agent.pillar,
        "message_id": message.message_id, "thread_id": thread_id, "context": {"data": data} if data else {},
        "references": (message.metadata or {}).get("references", []),
    })  # fmt: skip
    return await _run((await web_context().chat.accept(identity(), command)).run_id)


async def _reply_to(run: RunRecord, message: a2a_params.A2aMessage, text: str, data: list[Any]) -> str:
    """Reply to the question or the request for consent of a task. Return the id of the question or call."""
    if message.context_id not in (None, "", run.thread_id):
        raise A2aError("INVALID_PARAMS", "The task belongs to another context.")
    translator = await _replay(run, lasting=True)
    if translator.ended:
        raise A2aError("UNSUPPORTED_OPERATION", "The task has ended: leave out its id, and name its context.")
    name, reply = _reply(translator.waits, text, next((value for value in data if isinstance(value, dict)), {}))
    await web_context().chat.answer(identity(), reply, door=LABEL)
    return name


def _reply(waits: Mapping[str, Wait], text: str, data: Mapping[str, Any]) -> tuple[str, Approve | Respond]:
    """Return the id of the wait that a message replies to (the oldest unless `data` names one), and the reply."""
    named_id = data.get("question_id") or data.get("call_id")
    waiting = [(name, wait) for name, wait in waits.items() if named_id in (None, name, wait.call_id)]
    if not waiting:
        raise A2aError("UNSUPPORTED_OPERATION", "The task does not wait for a reply.")
    name, wait = waiting[0]
    if isinstance(wait, ApprovalRequired):
        return name, Approve(name, _decision(data.get("decision", data.get("approved", text))), text or None)
    answer = data.get("answer")
    if answer is None:
        properties = list(wait.schema.get("properties", {}))
        if not text or len(properties) != 1:
            raise A2aError("INVALID_PARAMS", "Reply with data: an `answer` that fits the question's `schema`.")
        answer = {properties[0]: text}
    if not isinstance(answer, dict):
        raise A2aError("INVALID_PARAMS", "The `answer` must be an object.")
    return name, Respond(name, answer)


def _decision(reply: object) -> Decision:
    """Return the decision that a reply means. Raises A2aError if it is neither yes nor no, and the task still waits."""
    word = str(reply).lower()
    if " ".join(re.findall(r"\w+", word)) in YES:
        return Decision.ALLOW
    if re.split(r"[^\w\s]", word.strip())[0].strip() in NO:
        return Decision.DENY
    raise A2aError("INVALID_PARAMS", "The reply is neither a yes nor a no: reply with allow or deny.")


async def _open(translator: TaskTranslator) -> TaskStream:
    """Open a stream of a task's events after those that were already translated."""
    stream = TaskStream(translator, g.get("rpc_id"))
    if stream.open:
        await web_context().chat.follow(identity(), translator.context_id, stream, translator.seq, door=LABEL)
    return stream


async def _follow(translator: TaskTranslator) -> None:
    """Wait until a task has ended or needs its user, at most for the server's limit of a run."""
    stream = await _open(translator)
    try:
        with trio.move_on_after(web_context().settings.limits.run_s):
            async for _ in stream:
                pass
    finally:
        await stream.aclose()


async def _replay(run: RunRecord, **options: Any) -> TaskTranslator:
    """Return a task as its events in the log make it; if they were trimmed, as its run's record says."""
    rows = await web_context().store.run_events(run.owner, run.thread_id, run.id)
    vault = web_context().content_filter.vault
    translator = TaskTranslator(run.thread_id, run.id, own_url(), **options)

    def replay() -> TaskTranslator:
        for row in rows:
            translator.translate(vault.restore_envelope(run.owner, from_log(row.body)))
        translator.pause()
        return translator

    await run_off_loop(replay)
    if run.ended_at is not None and translator.state not in FINAL.values():
        translator.ended = True
        translator.status = {"state": FINAL[RunStatus(run.status)], "timestamp": iso(run.ended_at)}
    if run.ended_at is not None and not translator.text:  # the log has no text of a run that failed
        answer = await web_context().store.message(run.owner, f"{ANSWER}{run.id}")
        translator.text = "" if answer is None else vault.restore_text(run.owner, run.thread_id, answer.content)
    return translator


async def _run(name: str) -> RunRecord:
    """Return the caller's run of this id. Raises A2aError."""
    check_id("id", name)
    run = await web_context().store.run(name)
    if run is None or run.owner != identity().user:
        raise A2aError("TASK_NOT_FOUND", "There is no task of that id.")
    return run


def _visible() -> dict[str, Agent]:
    """Return the agents that the caller may use; without a token, the public ones."""
    if "Authorization" in request.headers:
        return agents_of_caller()
    context = web_context()
    return {name: agent for name, agent in context.agents.items() if context.permissions.is_public(agent)}


async def _card(name: str) -> Response:
    """Return an agent's card, with an ETag for conditional requests (section 8.6 of the specification).

    Raises:
        CommandRejected: `not_found`: the caller may use no agent of this name.
    """
    agent = _visible().get(name)
    if agent is None:
        raise CommandRejected("not_found", "There is no agent of that name.")
    description = agent.description or f"The agent {agent.display_title}."
    skill = {"id": agent.name, "name": agent.display_title, "description": description, "tags": [agent.name]}
    if agent.starters:
        skill["examples"] = [starter.text for starter in agent.starters]
    interface = {"url": f"{own_url()}/a2a/{agent.name}", "protocolBinding": "JSONRPC", "protocolVersion": VERSION}
    response = jsonify({
        "name": agent.display_title,
        "description": description,
        "version": VERSION,
        "supportedInterfaces": [interface],
        "capabilities": {"streaming": True, "pushNotifications": True},
        "defaultInputModes": ["text/plain", "application/json"],
        "defaultOutputModes": ["text/markdown", "application/json"],
        "securitySchemes": {"bearer": {"httpAuthSecurityScheme": {"scheme": "Bearer"}}},
        "securityRequirements": [{"schemes": {"bearer": {"list": []}}}],
        "skills": [skill],
    })  # fmt: skip
    response.headers["Cache-Control"] = f"private, max-age={CARD_S}"
    response.vary.add("Authorization")
    await response.add_etag()
    await response.make_conditional(request)
    return response


def _respond(**outcome: Mapping[str, Any]) -> Response:
    """Return the JSON-RPC response with a `result` or an `error`."""
    return jsonify({"jsonrpc": "2.0", "id": g.get("rpc_id"), **outcome})
