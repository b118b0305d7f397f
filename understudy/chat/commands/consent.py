"""The decisions of users about tool calls: about one, and that a tool is not allowed always any more."""

from functools import partial

import msgspec

from transport.wire.errors import CommandRejected
from understudy.chat.commands.checks import ask_open
from understudy.chat.commands.request import Request
from understudy.chat.consents import NOT_REMEMBERED, Consents
from understudy.chat.messages import Decide
from understudy.chat.routing import check_id
from understudy.chat.run.questions import MAX_ARGUMENT_BYTES, check_note
from understudy.chat.services import Services
from understudy.storage import queries
from understudy.wire.commands import Approve, Disallow
from understudy.wire.events import ApprovalDecision


async def approve(request: Request[Approve], services: Services) -> None:
    """Decide about a call of a user's run."""
    command, owner, content_filter = request.command, request.owner, services.content_filter
    if command.remember:
        consents(services)
    with request.waiting(services):
        note = await content_filter.filter_note(owner, check_note(command.note or ""))
        parameters = None
        if command.parameters is not None:
            if len(msgspec.json.encode(command.parameters)) > MAX_ARGUMENT_BYTES:
                raise CommandRejected("message_too_large", f"At most {MAX_ARGUMENT_BYTES:,} bytes can be shown.")
            parameters = (await content_filter.filter_context(command.parameters)).value
        decision, remember = ApprovalDecision(command.decision.value), command.remember
        decide = partial(Decide, command.call_id, decision, note, parameters, remember, request.sender, request.door)
        found = await services.store.read(queries.step_of_call, command.call_id)
        run = None if found is None else found[1]
        await ask_open(owner, run, decide, "No tool call of that name waits for your consent.", services)


async def disallow(request: Request[Disallow], services: Services) -> None:
    """Take back the consent to call a tool always in a thread."""
    command = request.command
    check_id("thread_id", command.thread_id)
    with request.waiting(services):
        await consents(services).withdraw(request.owner, command.thread_id, command.tool_name, request.door)


def consents(services: Services) -> Consents:
    """Return what remembers consents. Raises CommandRejected (`forbidden`) if this server does not."""
    if (found := services.parts.find(Consents)) is None:
        raise CommandRejected("forbidden", NOT_REMEMBERED)
    return found
