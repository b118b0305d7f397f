"""Agent memory: values that an agent stores about a user, across threads."""

from typing import Any

import pytest
import trio

from tests.rigs.chat_client import connected
from tests.rigs.http import new_token, request
from tests.rigs.secrets import TOKEN
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
        self.notes.append("".join(note.content for note in turn.notes))
        if not turn.work:
            calls = (("note_favourite", {"colour": "green"}), ("in_a_thread", {}))
            return Reply(calls=tuple(ToolRequest(f"c{n}", name, args) for n, (name, args) in enumerate(calls)))
        await emit(TextDelta("Done."))
        return Reply("Done.")


async def test_agent_memory_spans_threads_and_is_in_the_prompt(serve_guest: Any) -> None:
    model, silent = Told(), Told()
    tools = (note_favourite, in_a_thread)
    running, token = await serve_guest(
        Agent("painter", "Paint.", tools, model=model, remembers=True), Agent("silent", "Rest.", tools, model=silent)
    )

    async def say(agent: str, thread: str, token: str) -> list[str]:
        async with connected(running.address, token) as client:
            await client.ask("Hello", thread_id=thread, agent_type=agent)
        return [event["data"]["result"] for event in client.seen if event["type"] == "tool_completed"]

    assert "None before" in await say("painter", "one", token)
    assert sorted(await say("painter", "two", token)) == ["green", "green before"]
    assert set(model.instructions) == {f"Paint.\n\n{FENCE_NOTE}"}
    assert model.notes[0] == ""
    assert model.notes[2].endswith('\n<untrusted-data>\n{"favourite":"green"}\n</untrusted-data>')
    assert "None before" in await say("silent", "three", token)
    assert set(silent.instructions) == {f"Rest.\n\n{FENCE_NOTE}"}
    assert "None before" in await say("painter", "one", await new_token(running))
    assert (await request(running.address, "GET", "/healthz"))[2]["status"] == "ok"


@pytest.mark.promise("wire.error-changed-meanwhile")
async def test_a_user_sees_changes_and_deletes_what_is_remembered(serve: Any) -> None:
    running = await serve(Agent("own", memory="shared"), Agent("alone"))
    token, other = await new_token(running), await new_token(running)

    async def call(method: str, path: str = "", who: str = token, **body: Any) -> Any:
        return (await request(running.address, method, f"/api/memory{path}", token=who, body=body or b""))[::2]

    async def say(text: str, **to: Any) -> str:
        async with connected(running.address, token) as client:
            return str((await client.ask(text, **to))["data"]["message"])

    answer = await say("Remember", thread_id="one", settings={"tool": "remember"}, context={"fact": "I prefer euros"})
    assert "Remembered as prefer_euros" in answer
    content = {"agent_type": "liaison", "pillar": "content", "thread_id": "two"}
    assert "I prefer euros" in await say("Look", settings={"tool": "search_memory"}, context={}, **content)
    _, listed = await call("GET")
    assert {name: titles[0] for name, titles in listed["notebooks"].items()} == {
        "household": "Guide", "shared": "Own", "alone": "Alone",
    }  # fmt: skip
    [entry] = listed["memory"]
    assert (entry["notebook"], entry["name"], entry["value"]) == ("household", "prefer_euros", "I prefer euros")
    assert (await call("GET", who=other))[1]["memory"] == []
    assert (await call("PUT", "/shared/plan", who=other, value=2))[0] == 200, "nothing is stored of them yet"
    assert [fact["value"] for fact in (await call("GET", who=other))[1]["memory"]] == [2]
    place = "/household/prefer_euros"
    status, now = await call("PUT", place, value=f"pounds, {TOKEN}", if_updated_at=entry["updated_at"])
    assert (status, now["value"].startswith("pounds, "), TOKEN in now["value"]) == (200, True, False)
    assert now["expires_at"] == entry["expires_at"]
    status, refused = await call("PUT", place, value="yen", if_updated_at=entry["updated_at"])
    assert (status, refused["error"]["code"]) == (409, "changed_meanwhile")
    assert (await call("DELETE", f"{place}?if_updated_at={entry['updated_at']}"))[0] == 409
    assert "pounds" in await say("Look", thread_id="one", settings={"tool": "search_memory"}, context={})
    assert (await call("PUT", "/shared/plan", value={"a": 1}, days=2))[0] == 200
    for path, body, code in (
        ("/nobody/plan", {"value": 1}, "not_found"),
        ("/shared/a b", {"value": 1}, "invalid_command"),
        ("/shared/b", {"value": 1, "days": 400}, "invalid_command"),
        ("/shared/b", {"value": "x" * 8192}, "message_too_large"),
        ("/shared/gone", {"value": 1, "if_updated_at": 1.0}, "not_found"),
        ("/shared/b", {"other": 1}, "invalid_command"),
    ):
        assert (await call("PUT", path.replace(" ", "%20"), **body))[1]["error"]["code"] == code, path
    assert (await call("DELETE", place, who=other))[0] == 404
    assert (await call("DELETE", f"{place}?if_updated_at={now['updated_at']}"))[0] == 204
    assert (await call("DELETE", place))[0] == 404
    assert (await call("DELETE", "/household"))[0] == 204
    assert [fact["name"] for fact in (await call("GET"))[1]["memory"]] == ["plan"]
    assert (await call("DELETE"))[0] == 204
    assert (await call("GET"))[1]["memory"] == []


async def test_without_the_extension_nothing_is_remembered_and_the_user_is_told(serve_guest: Any) -> None:
    """Tools find an empty memory, and one that would remember fails with a sentence."""
    running, token = await serve_guest(
        Agent("painter", "", (note_favourite,), model=Told(), remembers=True), extensions=["-memory"]
    )
    async with connected(running.address, token) as client:
        await client.ask("Hello", thread_id="one", agent_type="painter")
    ended = [event["data"] for event in client.seen if event["type"] == "tool_completed"]
    assert ("failed", "This server remembers nothing.") in [(call["status"], call["result_summary"]) for call in ended]
