"""Agent memory: values that an agent stores about a user, across threads."""

from typing import Any

import pytest
import trio

from tests.end_to_end.chat_client import connected
from tests.end_to_end.http import request
from tests.end_to_end.test_rest import session
from understudy import Agent, ToolContext, tool
from understudy.models.model import FENCE_NOTE, Emit, Reply, TextDelta, ToolRequest, Turn


@tool
async def note_favourite(colour: str, context: ToolContext) -> str:
    """Remember a colour."""
    before = await context.recall("favourite")
    await context.remember("favourite", colour)
    return f"{before} before"


@tool
def in_a_thread(context: ToolContext) -> str:
    """Recall from a plain function."""
    return str(trio.from_thread.run(context.recall, "favourite"))


class Told:
    """A model that calls the tools once, then answers with its instructions and results."""

    name, notice = "told", ""

    def __init__(self) -> None:
        self.instructions: list[str] = []
        self.notes: list[str] = []

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        self.instructions.append(turn.instructions)
        self.notes.append("".join(each.content for each in turn.notes))
        if not turn.work:
            calls = (("note_favourite", {"colour": "green"}), ("in_a_thread", {}))
            return Reply(calls=tuple(ToolRequest(f"c{n}", name, args) for n, (name, args) in enumerate(calls)))
        await emit(TextDelta("Done."))
        return Reply("Done.")


@pytest.mark.slow
async def test_agent_memory_spans_threads_and_is_in_the_prompt(serve: Any) -> None:
    """A value stored in one thread is readable in another thread and connection. It is in the prompt only of agents
    that ask for it, and never of another user.
    """
    model, silent = Told(), Told()
    tools = (note_favourite, in_a_thread)
    running = await serve(
        Agent("painter", "Paint.", tools, model=model, remembers=True), Agent("silent", "Rest.", tools, model=silent)
    )
    token = await session(running)

    async def say(agent: str, thread: str, token: str) -> list[str]:
        async with connected(running.address, token) as client:
            await client.say("Hello", thread_id=thread, agent_type=agent)
            await client.until_end()
        return [each["data"]["result"] for each in client.seen if each["type"] == "tool_completed"]

    assert "None before" in await say("painter", "one", token)
    assert sorted(await say("painter", "two", token)) == ["green", "green before"]
    assert set(model.instructions) == {f"Paint.\n\n{FENCE_NOTE}"}
    assert model.notes[0] == ""
    assert model.notes[2].endswith('\n<untrusted-data>\n{"favourite":"green"}\n</untrusted-data>')
    assert "None before" in await say("silent", "three", token)
    assert set(silent.instructions) == {f"Rest.\n\n{FENCE_NOTE}"}
    assert "None before" in await say("painter", "one", await session(running))
    assert (await request(running.address, "GET", "/healthz"))[2]["status"] == "ok"
