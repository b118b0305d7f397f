"""The part of a conversation that a model is given, and notices about omitted messages."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from benchmarks.agents import responses_rules
from benchmarks.agents.provider_rules import faults
from tests.end_to_end.recording_model import RecordingModel
from tests.end_to_end.thread_commands import ended
from tests.rigs import responses_api as responses
from tests.rigs.chat_client import check_arc, connected
from tests.rigs.heard import provider as provider
from tests.rigs.http import new_token
from tests.rigs.model_provider import KEY, Provider, Script, call_chunk, end_chunk, text_chunk
from tests.rigs.scripted_model import TOOLS, Call, Say, ScriptedModel
from tests.rigs.serving import serving
from understudy import Agent, tool
from understudy.chat.run.window import item_tokens
from understudy.extensions.openai.chat_request import build_messages
from understudy.models.model import Emit, ModelLimits, NoteItem, Reply, ResultItem, TextDelta, ToolRequest, Turn
from understudy.storage.limits import Limits


class HearingModel(ScriptedModel):
    def __init__(self, *turns: Any) -> None:
        super().__init__(*turns)
        self.heard: list[Turn] = []
        self.limits = ModelLimits()

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        self.heard.append(turn)
        return await super().respond(turn, emit)


@pytest.mark.promise("wire.limit-history")
async def test_a_long_conversation_is_cut_and_that_is_said(serve_client: Any) -> None:
    recorder = RecordingModel()
    async with serve_client(recorder.agent(), limits=Limits(history_messages=4)) as client:
        for number in range(1, 5):
            await client.say(f"m{number}", agent_type="script", thread_id="t")
            accepted = await ended(client)
        assert recorder.prompt(2) == ["m1", "answer 1", "m2", "answer 2", "m3"]
        assert "left out" not in recorder.turns[2].instructions
        assert recorder.prompt() == [
            "2 earlier messages of this conversation were left out.",
            *("m2", "answer 2", "m3", "answer 3", "m4"),
        ]
        assert recorder.turns[-1].instructions == recorder.turns[2].instructions
        thoughts = [event for event in client.seen if event["type"] == "agent_thinking"]
        thoughts = [thought for thought in thoughts if "left out" in thought["message"]]
        words = "Only the last 4 messages of this conversation were read; 2 older ones were left out."
        assert [thought["data"]["thought"] for thought in thoughts] == [words]
        assert thoughts[0]["run_id"] == accepted["run_id"]
        check_arc(client.durable(accepted["run_id"]))


async def test_queued_messages_are_no_history_of_earlier_ones(serve_client: Any) -> None:
    recorder = RecordingModel()
    async with serve_client(recorder.agent()) as client:
        for number in range(1, 4):
            await client.say(f"m{number}", agent_type="script", thread_id="t")
        for _ in range(3):
            await client.until_end()
    assert recorder.prompt(0) == ["m1"]
    assert recorder.prompt(1) == ["m1", "answer 1", "m2"]
    assert recorder.prompt(2) == ["m1", "answer 1", "m2", "answer 2", "m3"]


@tool
async def find_parcel(order: str) -> dict[str, str]:
    """Find a parcel."""
    return {"carrier": f"Northwind for {order}", "state": "on its way"}


@tool
async def read_page(number: int) -> str:
    """Read a page."""
    return f"{number} " + "word " * 320


async def test_the_next_message_is_answered_with_the_results_of_the_one_before(tmp_path: Path) -> None:
    model = HearingModel(Call([("find_parcel", {"order": "A-17"})]), Say("On its way."))
    agent = Agent("script", tools=(find_parcel,), model=model)
    async with serving(tmp_path, agent) as running:
        token = await new_token(running)
        async with connected(running.address, token) as client:
            await client.ask("Where is A-17?", agent_type="script", thread_id="t")
    model.turns = (Say("Northwind."),)
    async with serving(tmp_path, agent) as running, connected(running.address, token) as client:
        await client.ask("What carrier was that?", agent_type="script", thread_id="t")
    first, second, third = model.heard
    assert second.items[: len(first.items)] == first.items
    assert third.items[: len(second.items)] == second.items
    assert [type(item).__name__[:-4] for item in third.items] == ["Message", "Call", "Result", "Message", "Message"]
    assert "Northwind for A-17" in third.items[2].content
    assert third.request == "What carrier was that?"
    assert (first.instructions, first.tools) == (third.instructions, third.tools)


async def test_a_stopped_answer_leaves_a_complete_history(serve_client: Any) -> None:
    model = HearingModel(Call([("wait", {})]))
    async with serve_client(Agent("script", tools=TOOLS, model=model)) as client:
        started = await client.ask("go", agent_type="script", thread_id="t", until="tool_executing")
        await client.send({"type": "cancel", "payload": {"run_id": started["run_id"]}})
        await client.until_end()
        model.turns = (Say("one"),)
        await client.ask("and now?", agent_type="script", thread_id="t")
    sent = build_messages(model.heard[-1].items)
    assert [message["role"] for message in sent] == ["user", "assistant", "tool", "assistant", "user"]
    assert "stopped" in sent[2]["content"]


async def test_a_long_conversation_is_folded_and_results_can_be_recalled(serve_client: Any) -> None:
    calls = [Call([("read_page", {"number": number})]) for number in range(7)]
    model = HearingModel(*calls, Say("Done."))
    model.limits = ModelLimits(window_tokens=4_500, max_output=500)
    async with serve_client(Agent("script", tools=(read_page,), model=model)) as client:
        end = await client.ask("go", agent_type="script", thread_id="t")
        check_arc(client.durable(end["run_id"]))
        folded = [item for item in model.heard[-1].items if isinstance(item, ResultItem) and "Folded" in item.content]
        assert folded
        assert "recall_result" in [card.name for card in model.heard[-2].tools]
        assert sum(map(item_tokens, model.heard[-1].items)) < 4_500
        assert any("long" in event["message"] for event in client.seen if event["type"] == "agent_thinking")
        later = [turn for turn in model.heard if "Folded" in str(turn.items)]
        assert all("recall_result" in [card.name for card in turn.tools] for turn in later)
        model.turns = (Call([("recall_result", {"call_id": folded[0].call_id})]), Say("one"))
        await client.ask("recall", agent_type="script", thread_id="t")
    assert "word word" in model.heard[-1].items[-1].content


async def test_a_message_longer_than_the_window_is_refused_at_once(serve_client: Any) -> None:
    model = HearingModel(Say("Hello."))
    model.limits = ModelLimits(window_tokens=4_500, max_output=500)
    async with serve_client(Agent("script", model=model)) as client:
        end = await client.ask("word " * 3_000, agent_type="script", thread_id="t")
        check_arc(client.durable(end["run_id"]))
        assert end["data"]["code"] == "model_unavailable"
        assert end["data"]["message"] == "Your message is too long for this model."
        assert not end["data"]["retryable"]
        assert model.heard == []
        assert (await client.ask("Hello", agent_type="script", thread_id="t"))["type"] == "final_response"
        assert max(sum(map(item_tokens, turn.items)) for turn in model.heard) < 4_500
        model.turns = (Say("Hello."),)
        assert (await client.ask("word " * 2_000, agent_type="script", thread_id="t2"))["type"] == "final_response"


class WritingModel(HearingModel):
    """Writes long answers, and a summary when it is asked for one."""

    def __init__(self) -> None:
        super().__init__()
        self.limits = ModelLimits(window_tokens=4_500, max_output=500)
        self.summaries = 0

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        if turn.purpose == "summary":
            self.summaries += 1
            return Reply(f"Summary {self.summaries}.")
        self.heard.append(turn)
        text = f"answer {len(self.heard)} " + "word " * 300
        await emit(TextDelta(text))
        return Reply(text)


async def test_old_turns_become_a_summary_that_is_made_once(tmp_path: Path) -> None:
    model = WritingModel()
    agent = Agent("script", model=model)
    async with serving(tmp_path, agent) as running:
        token = await new_token(running)
        async with connected(running.address, token) as client:
            while not model.summaries:
                await client.ask(f"m{len(model.heard) + 1}", agent_type="script", thread_id="t")
            thoughts = [event["data"]["thought"] for event in client.seen if event["type"] == "agent_thinking"]
            assert sum("summarise" in thought for thought in thoughts) == 1
    items = model.heard[-1].items
    assert isinstance(items[0], NoteItem)
    assert "Summary 1." in items[0].content
    assert not any("answer 1 " in str(getattr(item, "content", "")) for item in items)
    async with serving(tmp_path, agent) as running, connected(running.address, token) as client:
        await client.ask("and now?", agent_type="script", thread_id="t")
    assert model.summaries == 1
    assert model.heard[-1].items[: len(items)] == items


class ClumsyModel(HearingModel):
    """Gives bad output first: broken arguments, then a tool that does not exist, then nothing."""

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        self.heard.append(turn)
        problem = "The arguments of read_page are not valid JSON: {"
        broken = ToolRequest("c1", "read_page", {}, "Read page", problem)
        replies = [Reply(calls=(broken,)), Reply(calls=(ToolRequest("c1", "reed_page", {"number": 1}),)), Reply()]
        if len(self.heard) <= 3:
            return replies[len(self.heard) - 1]
        await emit(TextDelta("Done."))
        return Reply("Done.")


async def test_bad_output_is_told_to_the_model_and_the_run_goes_on(serve_client: Any) -> None:
    model = ClumsyModel()
    async with serve_client(Agent("script", tools=(read_page,), model=model)) as client:
        end = await client.ask("go", agent_type="script")
        check_arc(client.durable(end["run_id"]))
    assert end["data"]["message"] == "Done."
    contents = [item.content for item in model.heard[-1].items if isinstance(item, ResultItem)]
    assert "not valid JSON" in contents[0]
    assert "This agent has: read_page." in contents[1]
    assert "empty" in model.heard[-1].notes[-1].content


@pytest.mark.filterwarnings("ignore:Async generator '(httpx2|httpcore|openai):ResourceWarning")
@pytest.mark.blocking("the provider's package builds what it needs at its first request, for some 60 ms")
async def test_each_request_to_a_provider_begins_with_the_one_before(
    serve_client: Any, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over two messages with calls, the bytes of the messages only grow, and both providers' rules hold."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", provider.url)
    call = [call_chunk(0, "x", "find_parcel", '{"order": "A-17"}'), end_chunk("tool_calls")]
    done = [text_chunk("On its way."), end_chunk("stop")]
    provider.scripts = [Script(call), Script(done), Script(call), Script(done)]
    async with serve_client(
        Agent("script", tools=(find_parcel,), model="openai-chat:tiny"), extensions=["-titles"]
    ) as client:
        for text in ("Where is A-17?", "What carrier was that?"):
            assert (await client.ask(text, agent_type="script", thread_id="t"))["type"] == "final_response"
    assert [faults(body) for body in provider.requests] == [[], [], [], []]
    sent = [json.dumps(body["messages"])[:-1] for body in provider.requests]
    assert all(after.startswith(before) for before, after in pairwise(sent))
    assert len({json.dumps(body["tools"]) for body in provider.requests}) == 1


@pytest.mark.filterwarnings("ignore:Async generator '(httpx2|httpcore|openai):ResourceWarning")
@pytest.mark.blocking("the provider's package builds what it needs at its first request, for some 60 ms")
async def test_encrypted_reasoning_goes_back_in_each_later_request(
    serve_client: Any, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within a run, and from the store in the next one; its summary is shown as a thought. The input only grows."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", provider.url)
    sealed = responses.done(0, "reasoning", summary=[], encrypted_content="gAAA")
    find = responses.call(1, "find_parcel", '{"order": "A-17"}')
    asks = responses.script(responses.thought("I look it up."), sealed, find, responses.end())
    answers = responses.script(responses.said("On its way."), responses.message(0, "On its way."), responses.end())
    provider.scripts = [asks, answers, asks, answers]
    async with serve_client(
        Agent("script", tools=(find_parcel,), model="openai:tiny"), extensions=["-titles"]
    ) as client:
        for text in ("Where is A-17?", "What carrier was that?"):
            final = await client.ask(text, agent_type="script", thread_id="t")
            assert final["data"]["message"] == "On its way."
            assert final["data"]["usage"]["reasoning"] == 10
        thoughts = [event["data"]["thought"] for event in client.seen if event["type"] == "agent_thinking"]
    assert thoughts.count("I look it up.") == 2
    bodies = [{name: value for name, value in request.items() if name != "path"} for request in provider.requests]
    assert [responses_rules.faults(body) for body in bodies] == [[], [], [], []]
    kept = [sum(item.get("type") == "reasoning" for item in body["input"]) for body in bodies]
    assert kept == [0, 1, 1, 2]
    sent = [json.dumps(body["input"])[:-1] for body in bodies]
    assert all(after.startswith(before) for before, after in pairwise(sent))
