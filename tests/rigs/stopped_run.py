"""A run that its user stops, and what a client has of it."""

from collections.abc import Callable

import trio.lowlevel

from transport.wire.events import PartialResult
from understudy.testing import AgentRun, AgentSession


def shown(run: AgentRun) -> str:
    """Return the text that a client has at the end of a run, by the pieces alone."""
    text = ""
    for piece in run.of(PartialResult):
        text = text[: piece.offset] + piece.text
    return text


async def stopped_when(session: AgentSession, message: str, ready: Callable[[], bool]) -> AgentRun:
    """Send a message, and stop its run once it is `ready`."""
    runs: list[AgentRun] = []

    async def say() -> None:
        runs.append(await session.say(message))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(say)
        with trio.fail_after(60):
            while not ready():  # noqa: ASYNC110 - the model or the tool sets it
                await trio.sleep(0.01)
            await session.cancel(await newest_run(session))
    return runs[0]


async def newest_run(session: AgentSession) -> str:
    """Return the id of the newest run of the session's user."""
    return (await session._context.store.runs(session.identity.user, limit=1)).items[0].id
