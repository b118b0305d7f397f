"""The figures of agents run, and the validator of requests finds what providers refuse."""

import random
from collections.abc import Iterable
from typing import Any

import anthropic
import pytest
from pydantic import TypeAdapter

from benchmarks.agents import FIGURES, figures
from benchmarks.agents.history import message_request, refused, response_faults, turn
from benchmarks.agents.messages_rules import message_faults
from benchmarks.agents.prefix import kept
from benchmarks.agents.provider_rules import faults
from understudy.extensions.anthropic import request as anthropic_request
from understudy.extensions.openai import chat_request as openai_chat_request
from understudy.extensions.openai import request as openai_request
from understudy.models.items import Item

ASK = {"role": "user", "content": "Go"}
FUNCTION = {"name": "lookup", "arguments": "{}"}
CALL = {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function", "function": FUNCTION}]}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "found"}
TOOLS = [{"type": "function", "function": {"name": "lookup", "parameters": {}}}]


def body(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "system", "content": "Be brief."}, *messages], "tools": TOOLS, **more}


def called(**function: str) -> dict[str, Any]:
    """Return the message with a call, with another name or other arguments."""
    return {**CALL, "tool_calls": [{"id": "c1", "type": "function", "function": FUNCTION | function}]}


def test_a_request_by_the_rules_has_no_faults() -> None:
    assert faults(body(ASK, CALL, RESULT, {"role": "system", "content": "Note."})) == []


@pytest.mark.parametrize(
    "wrong",
    [
        body(ASK, CALL),
        body(ASK, CALL, ASK),
        body(ASK, RESULT),
        body(ASK, CALL, RESULT, RESULT),
        body(ASK, CALL, ASK, RESULT),
        body(CALL, RESULT),
        body(ASK, {"role": "assistant", "content": "Done."}),
        body({"role": "user", "content": " "}),
        body(ASK, CALL, {**RESULT, "content": ""}),
        body(ASK, CALL, RESULT, CALL, RESULT),
        body(ASK, called(name="a b"), RESULT),
        body(ASK, called(arguments="["), RESULT),
        body(ASK, tool_choice={"type": "function", "function": {"name": "other"}}),
        {"messages": [ASK, CALL, RESULT]},
    ],
)
def test_what_providers_refuse_is_a_fault(wrong: dict[str, Any]) -> None:
    assert faults(wrong)


SAID = {"role": "user", "content": [{"type": "text", "text": "Go"}]}
USE = {"type": "tool_use", "id": "c1", "name": "lookup", "input": {}}
USED = {"role": "assistant", "content": [USE]}
THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": "s"}
FOUND = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "found"}]}
BUDGET = {"type": "enabled", "budget_tokens": 1_024}


def told(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a request of the Messages API."""
    tools = [{"name": "lookup", "input_schema": {"type": "object"}}]
    return {"max_tokens": 2_000, "messages": [*messages], "tools": tools, **more}


def test_a_message_by_the_rules_has_no_faults() -> None:
    thought = {"role": "assistant", "content": [THOUGHT, USE]}
    assert message_faults(told(SAID, thought, FOUND, thinking=BUDGET, tool_choice={"type": "auto"})) == []


@pytest.mark.parametrize(
    "wrong",
    [
        told(SAID, SAID),
        told(USED, FOUND),
        told(SAID, USED),
        told(SAID, USED, SAID),
        told(SAID, USED, FOUND, USED, FOUND),
        told(SAID, USED, {"role": "user", "content": SAID["content"] + FOUND["content"]}),
        told(SAID, {"role": "assistant", "content": [USE, {"type": "text", "text": "Hm"}]}, FOUND),
        told({"role": "user", "content": [{"type": "text", "text": " "}]}),
        told(SAID, {"role": "assistant", "content": [THOUGHT | {"signature": ""}]}, SAID),
        told(SAID, USED, FOUND, thinking=BUDGET),
        told(SAID, thinking=BUDGET, max_tokens=1_024),
        told(SAID, thinking=BUDGET, tool_choice={"type": "any"}),
        told(SAID, thinking=BUDGET, temperature=0.5),
        told({"role": "user", "content": 5 * [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]}),
        told(SAID, tool_choice={"type": "tool", "name": "other"}),
    ],
)
def test_a_message_that_the_provider_refuses_is_a_fault(wrong: dict[str, Any]) -> None:
    assert message_faults(wrong)


def test_the_providers_own_types_accept_each_block() -> None:
    """And something of each kind is among the random histories."""
    adapters = {
        kind: TypeAdapter(getattr(anthropic.types, f"{name}Param"))
        for kind, name in {
            "text": "TextBlock", "thinking": "ThinkingBlock", "redacted_thinking": "RedactedThinkingBlock",
            "tool_use": "ToolUseBlock", "tool_result": "ToolResultBlock", "image": "ImageBlock",
        }.items()
    }  # fmt: skip
    kinds: dict[str, int] = {}
    for number in range(150):
        message = message_request(turn(random.Random(number)))
        for content_block in (block for item in message["messages"] for block in item["content"]):
            adapters[content_block["type"]].validate_python(content_block)
            kinds[content_block["type"]] = kinds.get(content_block["type"], 0) + 1
    assert kinds.keys() == adapters.keys()


def as_they_are(items: Iterable[Item], *_: str) -> list[Item]:
    return list(items)


def test_no_random_history_is_refused_and_without_order_most_are(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(refused(range(150))) == []
    for build in (openai_chat_request, openai_request, anthropic_request):
        with monkeypatch.context() as broken:
            broken.setattr(build, "settled", as_they_are)
            assert len(list(refused(range(150)))) > 50


def test_no_random_history_is_refused_by_the_responses_api(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judged by the types of the `openai` package, and by the order of items. Some have encrypted reasoning."""
    turns = [turn(random.Random(number)) for number in range(300)]
    sent = [item for every in turns for item in openai_request.build_request(every, "m")["input"]]
    assert sum(item.get("type") == "reasoning" for item in sent) > 20
    assert [faults for item in turns if (faults := response_faults(item))] == []
    monkeypatch.setattr(openai_request, "settled", as_they_are)
    assert sum(bool(response_faults(item)) for item in turns) > 100


def test_most_of_a_request_is_the_beginning_of_the_one_before() -> None:
    """Of requests from the second on, also in a window that the conversation outgrows."""
    assert kept(12, 128_000) >= 90
    assert kept(12, 32_000) >= 90


def test_every_figure_has_a_name() -> None:
    assert {"history", "prefix"} <= FIGURES.keys()
    assert [figure.figure for figure in figures("prefix", small=True)] == ["prefix_kept", "prefix_kept_32k"]
    with pytest.raises(SystemExit):
        list(figures("nothing"))
