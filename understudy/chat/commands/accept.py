"""Accepts commands that start a run: a new message or an edit, checked and filtered, or a stored message once more."""

import uuid
from typing import Any, Final

import msgspec
from attrs import evolve

from sanitization import Sanitized
from transport.wire.commands import JsonObject
from transport.wire.errors import CommandRejected
from transport.wire.messages import arrived_at
from understudy.agents.budget import Budget
from understudy.chat.commands.request import (
    NAMES_SHOWN,
    Accepted,
    Request,
    check_agent,
    check_limits,
    own_message,
    pillars,
    route_of,
)
from understudy.chat.messages import Accept, Again, MessageInOtherThread, RunOrder, Version, WidgetCall
from understudy.chat.routing import Route, check_id, route
from understudy.chat.run_settings import CONTEXT_BYTES, WRITTEN, check_settings, unknown_settings
from understudy.chat.services import Services
from understudy.chat.user_files import NO_FILES
from understudy.content.summary import build_alert, build_summary
from understudy.content.texts import INLINE, SanitizedValue, weigh_text
from understudy.storage import queries
from understudy.wire.commands import FILE_MEMBERS, Edit, Regenerate, Say
from understudy.wire.events import ANSWER

GONE: Final = "A file that the message refers to is not here; upload it again."
NO_FILE: Final = "A file that `metadata` names is not here, and is left out: {}"
IGNORED: Final = "Settings that this server does not know are ignored: {}"


async def accept_say(request: Request[Say], services: Services) -> Accepted:
    """Accept a message."""
    say, to = await check_say(request, services)
    if isinstance(say, Version):
        return await accept(request, say, to, services, branch_of=say.branch_of, request_id=say.request_id)
    return await accept(request, say, to, services)


async def accept_edit(request: Request[Edit], services: Services) -> Accepted:
    """Accept a message of the user in another version, on a new branch."""
    edit, identity = request.command, request.identity
    check_id("new_message_id", edit.new_message_id)
    with request.waiting(services):
        edited = await own_message(identity.user, edit.message_id, "user", services)
        to = await route_of(identity, edited, services)
    check_agent(identity, to.agent, services)
    files = edit.references or edited.references
    say = Say(edit.content, to.thread_id, edit.new_message_id, parent_id=edited.parent_id, references=files)
    return await accept(request, say, to, services, branch_of=edited.id)


async def check_say(request: Request[Say], services: Services) -> tuple[Say, Route]:
    """Check the agent, ids, files and settings of a message. Return it with its files and settings, and its route.

    Raises:
        CommandRejected: It could not be sent now.
    """
    say, identity = request.command, request.identity
    to = route(say, identity.session, pillars(identity, services), services.default_agent)
    if isinstance(name := say.settings.get("tool"), str):
        to = _with_tool(request, to, name, services)
    references = await _files(request, say, services) if say.references else ()
    check_agent(identity, to.agent, services)
    settings: JsonObject = {}
    if isinstance(say, WidgetCall):
        settings = say.settings
    elif say.settings:
        settings = _settings(request, say, to, services)
    if say.context and len(msgspec.json.encode(say.context)) > CONTEXT_BYTES:
        raise CommandRejected("message_too_large", f"`context` may have at most {CONTEXT_BYTES:,} bytes of JSON.")
    return evolve(say, references=references, settings=settings), to


async def _files(request: Request[Any], say: Say, services: Services) -> tuple[str, ...]:
    """Return the files of a message that exist. Raises CommandRejected (`not_found`) if others are missing than those
    that its `metadata` names."""
    attachments = services.attachments(request.owner)
    with request.waiting(services):
        existing = {file.id for file in await attachments.rows(say.references)}
    missing = [file_id for file_id in say.references if file_id not in existing]
    optional = [say.metadata.get(name) for name in FILE_MEMBERS]
    if any(file_id not in optional for file_id in missing):
        raise CommandRejected("not_found", GONE if attachments.limit_bytes else NO_FILES)
    if missing:
        request.note(services, NO_FILE.format(", ".join(missing)))
    return tuple(file_id for file_id in say.references if file_id in existing)


def _settings(request: Request[Any], say: Say, to: Route, services: Services) -> JsonObject:
    """Return the settings of a message that this server knows. Raises CommandRejected (`invalid_command`)."""
    agent, limits, rules = services.agents[to.agent], services.settings.limits, services.settings.message
    most, limit_s = agent.budget.within(limits, agent.name), agent.run_limit_s(limits.run_s)
    most = most.lowered(Budget(wall_s=limit_s))
    tools = [tool.name for tool in services.permissions.for_user(agent, request.identity).tools]
    settings = check_settings(say.settings, limit_s, most, agent, tools, rules)
    if unknown := unknown_settings(say.settings, rules):
        request.note(services, IGNORED.format(unknown))
    return settings


def _with_tool(request: Request[Any], to: Route, name: str, services: Services) -> Route:
    """Return the route to the agent that has a tool of this name: the addressed one, or else a colleague of it."""
    permissions, agents, identity = services.permissions, services.agents, request.identity
    addressed = agents[to.agent]
    if permissions.for_user(addressed, identity).tool(name):
        return to  # under the agent's name that the client used
    for agent in permissions.colleagues(addressed, agents, identity):
        if permissions.for_user(agent, identity).tool(name):
            return evolve(to, agent=agent.name, agent_type=agent.agent_type, pillar=agent.pillar)
    return to


async def accept(
    request: Request[Any],
    say: Say,
    to: Route,
    services: Services,
    *,
    branch_of: str | None = None,
    request_id: str | None = None,
) -> Accepted:
    """Filter a checked message, and have its conversation accept it.

    The filter runs here, not in the conversation, so that only the sender waits for it. A long message may wait seconds
    for the filter's worker thread: it is filtered first, and admitted after that.
    """
    admission, filtered = services.conversations.admission, None
    if say.context or weigh_text(say.content) > INLINE:
        admission.check()
        filtered = await _filter(request, say, to, services)
    async with admission.admitted():
        clean, beside = filtered or await _filter(request, say, to, services)
        message_id, thread_id = say.message_id or uuid.uuid4().hex, to.thread_id
        context, settings = beside.value["context"], {**say.settings, **beside.value["settings"]}
        say_clean = Say(  # all that goes further: without what the filter removed
            clean.text, say.thread_id, message_id, say.conversation_id, parent_id=say.parent_id,
            references=say.references, context=context, settings=settings,
        )  # fmt: skip
        summary = alert = None
        if clean.findings or clean.omitted or beside.findings:
            from_, findings = services.settings.summary_from, clean.findings
            summary = build_summary("inbound", findings, from_, omitted=clean.omitted, beside=beside.findings)
            alert = build_alert((*findings, *beside.findings), summarised=summary is not None)
        order = RunOrder(say_clean, to, request.identity, branch_of, request_id, summary, alert)
        names = thread_id, message_id, say.conversation_id, to.agent_type, to.pillar
        request.names = dict(zip(NAMES_SHOWN, names, strict=True))
        with request.waiting(services):
            try:
                return await ask_for_run(request, order, thread_id, services)
            except MessageInOtherThread as elsewhere:  # a repeat that named no thread
                thread_id = elsewhere.thread_id
            try:
                return await ask_for_run(request, order, thread_id, services)
            except MessageInOtherThread as elsewhere:
                raise CommandRejected("message_id_reused") from elsewhere


async def _filter(request: Request[Any], say: Say, to: Route, services: Services) -> tuple[Sanitized, SanitizedValue]:
    """Check a message against the limits of its user, and filter it with what came beside it."""
    content_filter = services.content_filter
    await check_limits(request.identity, services, say.content)
    clean = await filter_text(request.identity.user, to.thread_id, say.content, services)
    written = {name: say.settings[name] for name in WRITTEN if name in say.settings}
    return clean, await content_filter.filter_context({"context": say.context, "settings": written})


async def filter_text(owner: str, thread_id: str, content: str, services: Services) -> Sanitized:
    """Filter what a user says in a thread. Raises CommandRejected (`content_blocked`)."""

    async def is_new() -> bool:
        return not await services.store.read(queries.last_seqs, owner, [thread_id])

    placeholders = await services.content_filter.thread_placeholders(owner, thread_id, is_new)
    return await services.content_filter.filter_message(owner, content, placeholders)


async def ask_for_run(request: Request[Any], order: RunOrder, thread_id: str, services: Services) -> Accepted:
    """Have a conversation accept a message. Each attempt has another run id; the reply says which one was accepted."""
    attempts = request.attempts

    def attempt() -> Accept:
        earlier = (*attempts[-1].earlier, attempts[-1].run_id) if attempts else ()
        attempts.append(Accept(order, uuid.uuid4().hex, request.outbox, arrived_at.get(), earlier))
        return attempts[-1]

    run_id = await services.conversations.ask(request.identity.user, thread_id, attempt)
    return Accepted(order.say.message_id or "", run_id, thread_id)


async def regenerate(request: Request[Regenerate], services: Services) -> Accepted:
    """Have a message answered once more, from the beginning or from a call of a run on."""
    command, identity = request.command, request.identity
    check_id("request_id", command.request_id)
    message_id = command.message_id
    with request.waiting(services):
        if message_id.startswith(ANSWER):
            run = await services.store.run(message_id.removeprefix(ANSWER))
            message_id = run.message_id if run is not None and run.owner == identity.user else ""
        message = await own_message(identity.user, message_id, "user", services)
        again = Again(message)
        if command.call_id is not None:
            row = await services.store.read(queries.step_of_call, command.call_id)
            if row is None or (row[1].owner, row[1].message_id) != (identity.user, message.id):
                raise CommandRejected("not_found", "There is no tool call of that name in the work on this message.")
            again = Again(message, row[1].id, row[0].number - 1)
        to = await route_of(identity, message, services)
        await check_limits(identity, services, message.content)
        return await answer_again(request, again, to, command.request_id, services)


async def answer_again(
    request: Request[Any], again: Again, to: Route, request_id: str | None, services: Services
) -> Accepted:
    """Have a stored message answered once more, by the agent of its route."""
    check_agent(request.identity, to.agent, services)
    stored = again.message
    say = Say(stored.content, to.thread_id, stored.id, parent_id=stored.parent_id, references=stored.references)
    order = RunOrder(say, to, request.identity, stored.id, request_id, again=again)
    async with services.conversations.admission.admitted():
        return await ask_for_run(request, order, to.thread_id, services)
