"""The command `undo`."""

from functools import partial

from transport.wire.errors import CommandRejected
from understudy.chat.commands.request import Request
from understudy.chat.services import Services
from understudy.extensions.undo.undos import UndoCalls
from understudy.storage import queries
from understudy.wire.commands import Undo


async def undo(request: Request[Undo], services: Services) -> None:
    """Have a call of a user's run undone, or all calls of a run that can be undone."""
    run, owner, call_id, run_id = None, request.owner, request.command.call_id, request.command.run_id
    with request.waiting(services):
        if call_id is not None:
            row = await services.store.read(queries.step_of_call, call_id)
            run = None if row is None else row[1]
        elif run_id is not None:
            run = await services.store.run(run_id)
        if run is None or run.owner != owner:
            raise CommandRejected("not_found", "There is no tool call or run of that name.")
        ask = partial(UndoCalls, run.id, call_id, request.identity.roles)
        await services.conversations.ask(owner, run.thread_id, ask)
