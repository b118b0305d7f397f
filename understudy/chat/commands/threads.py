"""What users do to threads and runs: follow them, stop a run, show that they type, switch servers of tools."""

from collections.abc import Sequence
from functools import partial
from typing import Final

import trio

from actors import ActorRef
from transport.wire.commands import Resume
from transport.wire.errors import CommandRejected
from transport.wire.events import Event
from transport.wire.messages import Deliver
from understudy.agents.tool_servers import ToolServers
from understudy.chat.commands.request import UNAVAILABLE, Request, own_run
from understudy.chat.messages import CancelRun
from understudy.chat.placement import News, TypingIn
from understudy.chat.routing import check_id
from understudy.chat.services import Services
from understudy.storage import queries
from understudy.storage.errors import NotStored
from understudy.wire.commands import Cancel, SwitchServer, UserTyping
from understudy.wire.events import Envelope, Typing

MAX_RESUMED: Final = 100
"""Threads that one `resume` may name; more are refused with `invalid_command`."""
RESUME_WORKERS: Final = 8
"""Threads of one `resume` that are subscribed at a time; the others wait."""


async def resume(request: Request[Resume], services: Services) -> None:
    """Subscribe the connection to threads. Raises `not_found` once all the others are subscribed."""
    command, owner, outbox, conversations = request.command, request.owner, request.outbox, services.conversations
    threads = command.threads
    if outbox is None:
        raise CommandRejected("unknown_type")
    if len(threads) > MAX_RESUMED:
        raise CommandRejected("invalid_command", f"At most {MAX_RESUMED} threads can be resumed at once.")
    for thread_id in threads:
        check_id("thread_id", thread_id)
    errors: list[Exception] = []
    with request.waiting(services):
        # A live conversation knows by itself whether its thread exists.
        asleep = [thread for thread in threads if conversations.peek(owner, thread) is None]
        unknown = await missing(owner, asleep, services)
        remaining = iter([thread_id for thread_id in threads if thread_id not in unknown])

        async def follow_some(outbox: ActorRef) -> None:
            for thread_id in remaining:
                try:
                    await conversations.subscribe(owner, thread_id, threads[thread_id], outbox)
                except CommandRejected:  # it was deleted, or its first message was never stored
                    unknown.add(thread_id)
                except UNAVAILABLE as error:
                    errors.append(error)

        if len(threads) == 1:
            await follow_some(outbox)
        else:
            # Concurrently, as each conversation that is started reads its log first.
            async with trio.open_nursery() as nursery:
                for _ in range(min(len(threads), RESUME_WORKERS)):
                    nursery.start_soon(follow_some, outbox)
    if errors:
        raise errors[0]
    if unknown:
        gone = [thread_id for thread_id in threads if thread_id in unknown]
        names = {"thread_id": gone[0]} if len(gone) == 1 else {}
        raise CommandRejected("not_found", f"There is no conversation called {', '.join(gone)}.", names=names)


async def missing(owner: str, ids: Sequence[str], services: Services) -> set[str]:
    """Return the ids that are no thread of the owner; no conversation is started for them."""
    return set(ids).difference(await services.store.read(queries.last_seqs, owner, ids)) if ids else set()


async def cancel(request: Request[Cancel], services: Services) -> None:
    """Stop a run of the user. One that has ended stays as it is."""
    command, owner = request.command, request.owner
    with request.waiting(services):
        run = await own_run(owner, command.run_id, services)
        if run.ended_at is None:
            await services.conversations.ask(owner, run.thread_id, partial(CancelRun, command.run_id))


async def show_typing(request: Request[UserTyping], services: Services) -> None:
    """Send all other connections of the user a typing event, subscribed or not; the thread need not exist yet."""
    command = request.command
    check_id("thread_id", command.thread_id)
    notify(request.owner, command.thread_id, Typing(), services, sender=request.outbox)
    broadcast(TypingIn(request.owner, command.thread_id), services)


async def switch_server(request: Request[SwitchServer], services: Services) -> None:
    """Switch an MCP server of the user's agents in a thread."""
    command, identity = request.command, request.identity
    usable = services.permissions.usable(services.agents, identity)
    if all(server.name != command.server for agent in usable.values() for server in agent.servers):
        raise CommandRejected("not_found", "There is no MCP server of that name.")
    try:
        with request.waiting(services):
            servers = services.parts[ToolServers]
            await servers.switch(identity.user, command.thread_id, command.server, on=command.on)
    except NotStored:
        raise CommandRejected("not_found") from None


def notify(
    owner: str, thread_id: str | None, event: Event, services: Services, *, sender: ActorRef | None = None
) -> None:
    """Send an event that is not logged to the connections of the user here, but not to `sender`.

    One of no thread is not sent to connections that are restricted to a thread.
    """
    message = Deliver(Envelope(event, services.clock(), thread_id=thread_id), shared=True)
    for outbox in services.presence.outboxes(owner, thread_id):
        if outbox != sender:
            outbox.try_tell(message)


def broadcast(news: News, services: Services) -> None:
    """Send news to every other node, if there are any."""
    if services.presence.others is not None:
        services.presence.others.broadcast(news)
