"""`/api/ui` over real sockets, by requests as the transport of `useChat` sends them."""

import json
from functools import partial
from typing import Any

import trio

from tests.rigs.http import get, new_token, request
from tests.rigs.scripted_model import Say, ScriptedModel
from understudy import Agent, AgentTurn, Emit, Reply, Turn
from understudy.app.server import Running

CSV = {"type": "file", "mediaType": "text/csv", "filename": "a.csv", "url": "data:text/csv;base64,YSxiCjEsMgo="}
SUBMIT, REGENERATE = "submit-message", "regenerate-message"


class Moody(ScriptedModel):
    """Says yes; fails or hangs if it is told to."""

    def __init__(self) -> None:
        super().__init__(Say("yes"))
        self.hangs = trio.Event()

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        if turn.request == "fail":
            raise RuntimeError("x")
        if turn.request == "hang":
            self.hangs.set()
            await trio.sleep_forever()
        return await super().respond(turn, emit)


class Page:
    """A chat: its messages, as the stock client keeps them."""

    def __init__(self, running: Running, token: str, model: Moody) -> None:
        self.running, self.token, self.model = running, token, model
        self.messages: list[Any] = []

    async def post(self, trigger: str, message_id: str | None = None, agent: str = "script", **options: Any) -> str:
        """Send the messages. Return the text of the answer, or the sentence of its error."""
        body = {"id": "t", "messages": self.messages, "trigger": trigger, "messageId": message_id, **options}
        path = f"/api/ui?agent={agent}"
        _, _, stream = await request(self.running.address, "POST", path, token=self.token, body=body)
        text = stream if isinstance(stream, str) else stream.decode()
        chunks = [json.loads(part[6:]) for part in text.split("\n\n") if part.startswith("data: {")]
        if errors := [chunk["errorText"] for chunk in chunks if chunk["type"] == "error"]:
            return str(errors[0])
        name = next(chunk["messageId"] for chunk in chunks if chunk["type"] == "start")
        answer = "".join(chunk["delta"] for chunk in chunks if chunk["type"] == "text-delta")
        self.messages = [*self.messages, {"id": name, "role": "assistant", "parts": [{"type": "text", "text": answer}]}]
        return answer

    async def say(self, text: str, name: str, *parts: Any, edit: bool = False) -> str:
        place = next((at for at, earlier in enumerate(self.messages) if earlier["id"] == name), len(self.messages))
        message = {"id": name, "role": "user", "parts": [*parts, {"type": "text", "text": text}]}
        self.messages = [*self.messages[:place], message]
        return await self.post(SUBMIT, name if edit else None)

    async def regenerate(self, place: int = -1, **options: Any) -> str:
        if self.messages[place]["role"] == "assistant":
            self.messages = self.messages[:place]
        return await self.post(REGENERATE, **options)

    @property
    def read(self) -> list[str]:
        """The conversation that the model was given last."""
        return [item.content for item in self.model.inputs[-1].items if hasattr(item, "role")]

    async def stored(self) -> list[str]:
        """The messages of the user on all branches."""
        page = await get(self.running, "/api/threads/t/messages", self.token)
        return [message["content"] for message in page["messages"] if message["role"] == "user"]

    async def shown(self) -> list[str]:
        """The messages of the user that a reloaded page shows."""
        page = await get(self.running, "/api/threads/t/turns", self.token)
        return [turn["message"]["content"] for turn in page["turns"]]


async def page(serve: Any) -> Page:
    model = Moody()
    running = await serve(Agent("script", model=model))
    return Page(running, await new_token(running), model)


async def test_a_message_that_is_edited_keeps_its_id_and_begins_a_branch(serve: Any) -> None:
    chat = await page(serve)
    for text, name in (("one", "m1"), ("two", "m2"), ("three", "m3")):
        await chat.say(text, name, edit=name == "m2")
    for text in ("TWO", "zwei", "TWO"):
        assert await chat.say(text, "m2", edit=True) == "yes "
        assert chat.read == ["one", "yes ", text]
    await chat.regenerate()
    assert chat.read == ["one", "yes ", "TWO"]
    await chat.say("four", "m4")
    assert await chat.shown() == ["one", "TWO", "four"]
    await chat.say("ONE", "m1", edit=True)
    await chat.regenerate()
    await chat.say("five", "m5")
    assert chat.read == ["ONE", "yes ", "five"]
    assert await chat.shown() == ["ONE", "five"]
    request_count = len(chat.model.inputs)
    await chat.say("five", "m5")  # sent twice, by a client that lost the answer
    assert (len(chat.model.inputs), await chat.shown()) == (request_count, ["ONE", "five"])


async def test_what_a_page_has_deleted_is_on_another_branch(serve: Any) -> None:
    chat = await page(serve)
    for text, name in (("one", "m1"), ("two", "m2")):
        await chat.say(text, name)
    chat.messages = chat.messages[:2]
    await chat.say("three", "m3")
    assert chat.read == ["one", "yes ", "three"]
    await chat.regenerate(1)
    assert chat.read == ["one"]


async def test_an_answer_that_failed_or_never_began_is_asked_for_again(serve: Any) -> None:
    chat = await page(serve)
    failed = await chat.say("fail", "m1")
    assert failed.startswith("The agent failed")
    assert await chat.regenerate() == failed
    assert await chat.say("better", "m1", edit=True) == "yes "
    chat.messages = [*chat.messages, {"id": "m2", "role": "user", "parts": [{"type": "text", "text": "lost"}]}]
    assert await chat.regenerate() == "yes "
    assert await chat.shown() == ["better", "lost"]


async def test_an_answer_at_work_that_is_asked_for_again_is_cancelled(serve: Any) -> None:
    chat = await page(serve)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(chat.say, "hang", "m1")
        await chat.model.hangs.wait()
        nursery.cancel_scope.cancel()
    assert await chat.say("one", "m1", edit=True) == "yes "
    listed = await get(chat.running, "/api/runs", chat.token)
    assert sorted(run["status"] for run in listed["runs"]) == ["cancelled", "success"]


async def test_files_and_data_of_a_page_reach_the_agent(serve: Any) -> None:
    chat = await page(serve)
    data = [{"type": "data-page", "data": {"open": "orders"}}, {"type": "hologram"}]
    await chat.say("see", "m1", *data, CSV)
    edits = partial(chat.say, "SEE", "m1", CSV, edit=True)
    for again in (chat.regenerate, partial(chat.say, "see", "m1", CSV), edits, edits):
        assert await again() == "yes "
        turn = chat.model.inputs[-1]
        assert [file.name for file in turn.files] == ["a.csv"]
        assert all(any(text in note.content for note in turn.notes) for text in ("orders", "hologram"))
    assert await chat.stored() == ["see", "SEE"]
    other, renamed = {**CSV, "url": "data:text/csv;base64,YSxiCg=="}, {**CSV, "filename": "b.csv"}
    for parts in ([], [other], [renamed], [CSV, renamed]):
        assert await chat.say("SEE", "m1", *parts, edit=True) == "yes "
        files = chat.model.inputs[-1].files
        assert [file.name for file in files] == [part["filename"] for part in parts]
    await chat.say("SEE", "m1", CSV, {"type": "data-page", "data": "invoices"}, edit=True)
    notes = " ".join(note.content for note in chat.model.inputs[-1].notes)
    assert ("invoices" in notes, "orders" in notes) == (True, False)
    elsewhere = {**CSV, "url": "https://example.org/a.csv"}
    assert (await chat.say("x", "m2", elsewhere)).startswith("parts[0] must hold the file itself")


async def test_another_answer_is_of_the_agent_and_with_the_context_that_are_named(serve: Any) -> None:
    async def reading(turn: AgentTurn) -> None:
        await turn.say(str(turn.data))

    running = await serve(Agent("script", model=Moody()), Agent("reading", run=reading))
    chat = Page(running, await new_token(running), Moody())
    assert await chat.say("one", "m1") == "yes "
    for agent, context, text in (("script", 1, "yes "), ("reading", 1, "{'open': 1}"), ("reading", 2, "{'open': 2}")):
        assert await chat.regenerate(agent=agent, context={"open": context}) == text


async def test_messages_of_other_makers_are_read(serve: Any) -> None:
    chat = await page(serve)
    odd: list[Any] = [{"type": "tool-weather", "state": "output-error"}, None, "x", {"type": "step-start"}]
    for number, message in enumerate(
        ({"content": "of AI SDK 4"}, {"content": [{"type": "text", "text": "x"}]}, {"parts": None, "content": "x"})
    ):
        chat.messages = ["x", {"role": "data"}, {"role": "assistant", "content": None, "parts": odd}]
        chat.messages.append({"role": "user", "id": f"m{number}", **message})
        assert await chat.post(SUBMIT) == "yes "
    for messages in ([], [{"role": "assistant", "parts": odd}]):
        chat.messages = messages
        assert await chat.post(SUBMIT) == "There is no message of the user."
