"""The figures of agents run, and the validator of requests finds what providers refuse."""

from typing import Any

import pytest

from benchmarks.agents import FIGURES, figures
from benchmarks.agents.history import refused
from benchmarks.agents.prefix import kept
from benchmarks.agents.provider_rules import faults
from understudy.models import openai_request

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


def test_no_random_history_is_refused_and_without_order_most_are(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(refused(range(150))) == []
    monkeypatch.setattr(openai_request, "settled", list)
    assert len(list(refused(range(150)))) > 50


def test_most_of_a_request_is_the_beginning_of_the_one_before() -> None:
    """Of requests from the second on, also in a window that the conversation outgrows."""
    assert kept(12, 128_000) >= 90
    assert kept(12, 32_000) >= 90


def test_every_figure_has_a_name() -> None:
    assert {"history", "prefix"} <= FIGURES.keys()
    assert [each.figure for each in figures("prefix", small=True)] == ["prefix_kept", "prefix_kept_32k"]
    with pytest.raises(SystemExit):
        list(figures("nothing"))
