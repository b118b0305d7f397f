"""New messages and edits: checked, filtered, and accepted by their conversation."""

import uuid
from typing import Any, Final

import msgspec
from attrs import evolve

from sanitization import Sanitized
from transport.wire.commands import JsonObject
from transport.wire.errors import CommandRejected
from transport.wire.messages import arrived_at, traceparent
from understudy.agents.budget import Budget
from understudy.chat.commands.checks import check_agent, check_limits, own_message, pillars, route_of
from understudy.chat.commands.request import NAMES_SHOWN, Accepted, Request
from understudy.chat.messages import Accept, MessageInOtherThread, RunOrder, Version, WidgetCall
from understudy.chat.placement import actor_name
from understudy.chat.routing import Route, check_id, route
from understudy.chat.run_settings import CONTEXT_BYTES, WRITTEN, check_settings, unknown_settings
from understudy.chat.services import Services
from understudy.chat.user_files import NO_FILES
from understudy.content.summary import build_alert, build_summary
from understudy.content.texts import INLINE, SanitizedValue, weigh_text
from understudy.observe import conventions as names
from understudy.observe.spans import Attribute, SpanKind, parse_header, span_of
from understudy.observe.traces import Traces
from understudy.storage import queries
from understudy.wire.commands import FILE_MEMBERS, Edit, Say

GONE: Final = "A file that the message refers to is not here; upload it again."
NO_FILE: Final = "A file that `metadata` names is not here, and is left out: {}"
IGNORED: Final = "Settings that this server does not know are ignored: {}"
TRACEPARENT: Final = "traceparent"
"""The field of a message's `metadata` with the header of W3C Trace Context."""


async def accept_say(request: Request[Say], services: Services) -> Accepted:
    """Accept a message."""
    say, way = await check_say(request, services)
    if isinstance(say, Version):
        return await accept(request, say, way, services, branch_of=say.branch_of, request_id=say.request_id)
    return await accept(request, say, way, services)


async def accept_edit(request: Request[Edit], services: Services) -> Accepted:
    """Accept a message of the user in another version, on a new branch."""
    edit, identity = request.command, request.identity
    check_id("new_message_id", edit.new_message_id)
    with request.waiting(services):
        edited = await own_message(identity.user, edit.message_id, "user", services)
        way = await route_of(identity, edited, services)
    check_agent(identity, way.agent, services)
    files = edit.references or edited.references
    say = Say(edit.content, way.thread_id, edit.new_message_id, parent_id=edited.parent_id, references=files)
    return await accept(request, say, way, services, branch_of=edited.id)


async def check_say(request: Request[Say], services: Services) -> tuple[Say, Route]:
    """Check the agent, ids, files and settings of a message. Return it with its files and settings, and its route.

    Raises:
        CommandRejected: It could not be sent now.
    """
    say, identity = request.command, request.identity
    way = route(say, identity.session, pillars(identity, services), services.default_agent)
    if isinstance(name := say.settings.get("tool"), str):
        way = _with_tool(request, way, name, services)
    references = await _files(request, say, services) if say.references else ()
    check_agent(identity, way.agent, services)
    settings: JsonObject = {}
    if isinstance(say, WidgetCall):
        settings = say.settings
    elif say.settings:
        settings = _settings(request, say, way, services)
    if say.context and len(msgspec.json.encode(say.context)) > CONTEXT_BYTES:
        raise CommandRejected("message_too_large", f"`context` may have at most {CONTEXT_BYTES:,} bytes of JSON.")
    return evolve(say, references=references, settings=settings), way


async def _files(request: Request[Any], say: Say, services: Services) -> tuple[str, ...]:
    """Return the files of a message that are here. Raises CommandRejected (`not_found`)."""
    attachments = services.attachments(request.owner)
    with request.waiting(services):
        there = {each.id for each in await attachments.rows(say.references)}
    missing = [file_id for file_id in say.references if file_id not in there]
    beside = [say.metadata.get(name) for name in FILE_MEMBERS]
    if any(each not in beside for each in missing):
        raise CommandRejected("not_found", GONE if attachments.limit_bytes else NO_FILES)
    if missing:
        request.note(services, NO_FILE.format(", ".join(missing)))
    return tuple(each for each in say.references if each not in missing)


def _settings(request: Request[Any], say: Say, way: Route, services: Services) -> JsonObject:
    """Return the settings of a message that this server knows. Raises CommandRejected (`invalid_command`)."""
    agent, limits, known = services.agents[way.agent], services.settings.limits, services.settings.message
    most, limit_s = agent.budget.within(limits, agent.name), agent.run_limit_s(limits.run_s)
    most = most.lowered(Budget(wall_s=limit_s))
    tools = [each.name for each in services.permissions.for_user(agent, request.identity).tools]
    settings = check_settings(say.settings, limit_s, most, agent, tools, known)
    if unknown := unknown_settings(say.settings, known):
        request.note(services, IGNORED.format(unknown))
    return settings


def _with_tool(request: Request[Any], way: Route, name: str, services: Services) -> Route:
    """Return the route to the agent that has a tool of this name: the addressed one, or else a colleague of it."""
    permissions, agents, identity = services.permissions, services.agents, request.identity
    addressed = agents[way.agent]
    if permissions.for_user(addressed, identity).tool(name):
        return way  # under the agent's name that the client used
    for agent in permissions.colleagues(addressed, agents, identity):
        if permissions.for_user(agent, identity).tool(name):
            return evolve(way, agent=agent.name, agent_type=agent.agent_type, pillar=agent.pillar)
    return way


async def accept(
    request: Request[Any],
    say: Say,
    way: Route,
    services: Services,
    *,
    branch_of: str | None = None,
    request_id: str | None = None,
) -> Accepted:
    """Filter a checked message, and have its conversation accept it.

    The filter runs here, not in the conversation, so that only the sender waits for it. A message that is filtered in a
    worker thread, for which it may wait for seconds, is admitted after that.
    """
    admission, filtered = services.conversations.admission, None
    if say.context or weigh_text(say.content) > INLINE:
        admission.check()
        filtered = await _filter(request, say, way, services)
    async with admission.admitted():
        clean, beside = filtered or await _filter(request, say, way, services)
        message_id, thread_id = say.message_id or uuid.uuid4().hex, way.thread_id
        context, settings = beside.value["context"], {**say.settings, **beside.value["settings"]}
        said = Say(  # what the filter removed goes no further
            clean.text, say.thread_id, message_id, say.conversation_id, parent_id=say.parent_id,
            references=say.references, context=context, settings=settings,
        )  # fmt: skip
        summary = alert = None
        if clean.findings or clean.omitted or beside.findings:
            from_, found = services.settings.summary_from, clean.findings
            summary = build_summary("inbound", found, from_, omitted=clean.omitted, beside=beside.findings)
            alert = build_alert((*found, *beside.findings), summarised=summary is not None)
        order = RunOrder(said, way, request.identity, branch_of, request_id, summary, alert)
        named = thread_id, message_id, say.conversation_id, way.agent_type, way.pillar
        request.names = dict(zip(NAMES_SHOWN, named, strict=True))
        sent_from = say.metadata.get(TRACEPARENT)
        with request.waiting(services):
            try:
                return await ask_for_run(request, order, thread_id, services, sent_from)
            except MessageInOtherThread as elsewhere:
                thread_id = elsewhere.thread_id
            try:
                return await ask_for_run(request, order, thread_id, services, sent_from)
            except MessageInOtherThread as elsewhere:
                raise CommandRejected("message_id_reused") from elsewhere


async def _filter(request: Request[Any], say: Say, way: Route, services: Services) -> tuple[Sanitized, SanitizedValue]:
    """Check a message against the limits of its user, and filter it with what came beside it."""
    content_filter = services.content_filter
    await check_limits(request.identity, services, say.content)
    clean = await filter_text(request.identity.user, way.thread_id, say.content, services)
    written = {name: say.settings[name] for name in WRITTEN if name in say.settings}
    return clean, await content_filter.filter_context({"context": say.context, "settings": written})


async def filter_text(owner: str, thread_id: str, content: str, services: Services) -> Sanitized:
    """Filter what a user says in a thread. Raises CommandRejected (`content_blocked`)."""

    async def is_new() -> bool:
        return not await services.store.read(queries.last_seqs, owner, [thread_id])

    placeholders = await services.content_filter.thread_placeholders(owner, thread_id, is_new)
    return await services.content_filter.filter_message(owner, content, placeholders)


async def ask_for_run(
    request: Request[Any], order: RunOrder, thread_id: str, services: Services, sent_from: object = None
) -> Accepted:
    """Have a conversation accept a message. The trace of its run begins here, if it is traced.

    Each attempt at the request has another run id, so the reply says which one was accepted. `sent_from` is the header
    `traceparent` in the message, if any; else that of the HTTP request counts.
    """
    owner, message_id, attempts = request.identity.user, order.say.message_id or "", request.attempts

    def attempt() -> Accept:
        earlier, run_id = tuple(attempts), uuid.uuid4().hex
        attempts.append(run_id)
        return Accept(order, run_id, request.outbox, arrived_at.get(), earlier)

    traces, error, run_id = services.parts.find(Traces), "", ""
    if traces is None:
        return Accepted(message_id, await services.conversations.ask(owner, thread_id, attempt), thread_id)
    began, first = arrived_at.get() or services.clock(), len(attempts)
    try:
        run_id = await services.conversations.ask(owner, thread_id, attempt)
        return Accepted(message_id, run_id, thread_id)
    except CommandRejected as refused:
        error = refused.code
        raise
    except Exception as failure:
        error = type(failure).__name__
        raise
    finally:
        run_id = run_id or (attempts[-1] if len(attempts) > first else "")
        # Not of a repeated message, whose run has its trace, nor of one that another thread has.
        if run_id in attempts and error != MessageInOtherThread.__name__ and traces.of_run(run_id):
            caller = parse_header(sent_from) or parse_header(traceparent.get())
            # Ids that clients choose are not among the attributes: they may be words.
            about: dict[str, Attribute] = {names.RUN: run_id, names.CONVERSATION: actor_name(owner, thread_id)}
            about[names.AGENT_NAME] = order.route.agent
            links, now = () if caller is None else (caller,), services.clock()
            span = "message", span_of(run_id), None, began, now, about
            traces.add(*span, kind=SpanKind.SERVER, links=links, error=error)
