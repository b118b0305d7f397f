"""What all three APIs read alike: calls, ends, usage, marks of reasoning, whole answers. Each API plays each row."""

import json
import math
import re
from itertools import chain, repeat
from typing import Any

import pytest
import trio
from attrs import evolve

from tests.rigs import messages_api
from tests.rigs import responses_api as responses
from tests.rigs.heard import Heard
from tests.rigs.model_apis import LOOKING, ask, begun, fails, items_of, played, talking
from tests.rigs.model_provider import KEY, Provider, Script, chunk
from tests.rigs.model_turns import COLLEAGUE, OVER_SDK, a_turn
from understudy.extensions.providers.answer import CUT, FILTERED, INCOMPLETE, MAX_COUNT, REFUSED
from understudy.models.model import Handoff, ReasoningDelta, ToolCard, ToolRequest

pytestmark = OVER_SDK

A17 = '{"order_id": "A-17"}'
ARGUMENTS: list[tuple[str, list[Any], dict[str, Any] | str]] = [
    ("in pieces", ['{"order', '_id": "A-17"}'], {"order_id": "A-17"}),
    ("nothing", [""], {}),
    ("null", ["null"], {}),
    ("a null within the pieces", [None, A17], {"order_id": "A-17"}),
    ("a placeholder alone", ["{}"], {}),
    ("a placeholder first", ["{}", '{"order_', 'id": "A-17"}'], {"order_id": "A-17"}),
    ("a null first", ["null", A17], {"order_id": "A-17"}),
    ("the whole once more", ['{"order', '_id": "A-17"}', A17], {"order_id": "A-17"}),
    ("the whole once more, in another form", [A17, '{"order_id":"A-17"}'], {"order_id": "A-17"}),
    ("an object", [{"order_id": "A-17"}], {"order_id": "A-17"}),
    ("encoded twice", [json.dumps(A17)], {"order_id": "A-17"}),
    ("encoded twice, nothing in it", ['""'], {}),
    ("in a fence", [f"```json\n{A17}\n```"], {"order_id": "A-17"}),
    ("a comma too many", ['{"order_id": "A,}", }'], {"order_id": "A,}"}),
    ("a line break in a text", ['{"order_id": "A\n17"}'], {"order_id": "A\n17"}),
    ("of Python", ["{'order_id': None, 'it\": \"s': True}"], {"order_id": None, 'it": "s': True}),
    ("an empty list", ["[]"], {}),
    ("an object in a list", [f"[{A17}]"], {"order_id": "A-17"}),
    ("with words around", [f"Sure: {A17}</tool_call>"], {"order_id": "A-17"}),
    ("an object within what is no JSON", ['{order: {"order_id": "A-17"}}'], "are not valid JSON"),
    ("no object at all", ["} {"], "are not valid JSON"),
    ("two objects", [A17, '{"order_id": "B-2"}'], "unreadable"),
    ("cut", ['{"order_id": '], 'are not valid JSON: {"order_id": '),
    ("two in a list", [f"[{A17}, {A17}]"], "are not a JSON object: "),
    ("a number", ["17"], "are not a JSON object: 17"),
    ("no number", ['{"order_id": NaN}'], "are not valid JSON"),
    ("half of a character", ['{"order_id": "\\ud83d"}'], {"order_id": "\ufffd"}),
    ("half of a character, and a comma", ['{"order_id": "\\ud83d",}'], {"order_id": "\ufffd"}),
    ("nested too deep", ["[" * 100_000], "are not valid JSON"),
]  # fmt: skip


@pytest.mark.parametrize(("pieces", "expected"), [row[1:] for row in ARGUMENTS], ids=[what for what, *_ in ARGUMENTS])
async def test_arguments_are_read_where_their_meaning_is_clear(
    provider: Provider, heard: Heard, api: str, pieces: list[Any], expected: dict[str, Any] | str
) -> None:
    script = played(api, call=pieces)
    if expected == "unreadable":
        await fails(provider, api, heard, script, "unreadable")
        return
    (call,) = (await ask(provider, api, heard, script)).calls
    if isinstance(expected, dict):
        assert (call.arguments, call.problem) == (expected, "")
    else:
        assert call.arguments == {}
        assert expected in call.problem


ENDS: list[tuple[Any, str]] = [
    *((word, CUT) for word in ("length", "max_tokens", "MAX_TOKENS", "model_length", "model_context_window_exceeded")),
    *((word, FILTERED) for word in ("content_filter", "SAFETY", "content_filter: RECITATION", "sensitive", "LANGUAGE")),
    *((word, FILTERED) for word in ("content_filter: PROHIBITED_CONTENT", "guardrail_intervened")),
    ("refusal", REFUSED),
    *((word, INCOMPLETE) for word in ("OTHER", "of_the_future", 7)),
    *((word, "") for word in ("function_call_filter: MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "abort")),
    *((word, "") for word in ("error", "network_error", "insufficient_system_resource")),
]


@pytest.mark.parametrize(("reason", "note"), ENDS)
async def test_half_an_answer_says_that_it_is(
    provider: Provider, heard: Heard, api: str, reason: Any, note: str
) -> None:
    """Its calls, which may be a part, are not made; an answer that failed is none."""
    script = played(api, "Once", call=['{"or'], reason=reason)
    if not note:
        error = await fails(provider, api, heard, script, "failed; try again")
        assert (error.retryable, error.used is None) == (True, False)
        return
    reply = await ask(provider, api, heard, script)
    assert (reply.text, reply.calls, reply.cut) == ("Once" + note, (), note if note in (CUT, INCOMPLETE) else "")


@pytest.mark.parametrize("reason", ["stop", "STOP", "end_turn", "stop_sequence", "eos_token", "tool_calls", "COMPLETE"])
@pytest.mark.parametrize("api", ["chat", "messages"])
async def test_a_whole_answer_has_many_names(provider: Provider, heard: Heard, api: str, reason: str) -> None:
    assert (await ask(provider, api, heard, played(api, "Once.", reason=reason))).text == "Once."


async def test_an_answer_whose_end_is_null_has_broken_off(provider: Provider, heard: Heard) -> None:
    for api in ("chat", "messages"):
        await fails(provider, api, heard, played(api, "Once", reason=None), "stopped in the middle")


ODD: list[tuple[Any, tuple[int, int], bool]] = [
    ({"in": 12.0, "out": 3.5}, (12, 4), False),
    ({"in": "12", "out": " 3 "}, (12, 3), False),
    ({"in": None, "out": None}, (0, 0), False),
    ({}, (0, 0), False),
    ({"in": -1, "out": True}, (0, 0), True),
    ({"in": math.inf, "out": math.nan}, (0, 0), True),
    ({"in": MAX_COUNT + 1, "out": 2}, (0, 2), True),
    ({"in": 10**400, "out": 2}, (0, 2), True),
    ({"in": {"total": 9}, "out": [3]}, (0, 0), True),
    ({"in": 9, "out": 2, "details": [1], "more": {"cached_tokens": "x"}}, (9, 2), True),
    ("much", (0, 0), True),
    (17, (0, 0), True),
    ([1, 2], (0, 0), True),
]


@pytest.mark.parametrize("row", ODD, ids=lambda row: str(row[0])[:40])
async def test_no_number_of_usage_costs_the_answer(
    provider: Provider, heard: Heard, api: str, row: Any, caplog: pytest.LogCaptureFixture
) -> None:
    reported, counted, odd = row
    if isinstance(reported, dict):
        names = {"in": "prompt_tokens", "out": "completion_tokens"} if api == "chat" else {}
        names = names or {"in": "input_tokens", "out": "output_tokens"}
        reported = {names.get(name, name): value for name, value in reported.items()}
    usage = (await ask(provider, api, heard, played(api, "Hello.", usage=reported))).usage
    if api != "messages" or counted != (0, 0):  # else those of its beginning may stay
        assert (usage.input, usage.output) == counted
    assert all(type(count) is int and 0 <= count <= MAX_COUNT for count in (usage.input, usage.output))
    assert odd == any(record.message == "model.usage_odd" for record in caplog.records)


MARKS = [
    ["<reason", "ing>so</reasoning>\n\nFour"],
    ["<|channel|>analysis<|message|>so<|end|><|start|>assistant<|channel|>final<|message|>Four<|return|>"],
    ["so\n</think>\n", "\nFour"],
    ["so\n</reasoning>\nFour"],
    ["so\n[/THINK]\nFour"],
]


@pytest.mark.parametrize("texts", MARKS)
async def test_reasoning_in_the_text_is_reasoning(provider: Provider, heard: Heard, api: str, texts: list[str]) -> None:
    reply = await ask(provider, api, heard, played(api, *texts))
    assert (reply.text, reply.reasoning) == ("Four", "so")


WHOLE: dict[str, Any] = {
    "chat": {"choices": [{"message": {"content": "Four", "tool_calls": []}, "finish_reason": "stop"}]},
    "responses": {"object": "response", "status": "completed",
        "output": [{"type": "message", "content": [{"type": "output_text", "text": "Four"}]}]},
    "messages": {"type": "message", "content": [{"type": "text", "text": "Four"}], "stop_reason": "end_turn"},
}  # fmt: skip


async def test_an_answer_may_come_as_one_object(provider: Provider, heard: Heard, api: str) -> None:
    assert (await ask(provider, api, heard, Script(whole=WHOLE[api]))).text == "Four"


async def test_all_of_an_answer_is_streamed_in_its_order(provider: Provider, heard: Heard, api: str) -> None:
    script = played(api, "I look ", "them up.", thoughts=["Two ", "orders."], call=[A17], ids=("a", "b"))
    reply = await ask(provider, api, heard, script)
    reasoning = [event.text for event in heard.events if isinstance(event, ReasoningDelta)]
    assert (reasoning, reply.reasoning, reply.text) == (["Two ", "orders."], "Two orders.", "I look them up.")
    assert reply.calls == tuple(ToolRequest(call_id, "lookup", {"order_id": "A-17"}, "Lookup") for call_id in "ab")
    assert heard.thoughts == ["Next: Lookup, Lookup"]
    path = {"chat": "chat/completions"}.get(api, api)
    assert (provider.requests[0]["path"], provider.requests[0]["stream"]) == (f"/v1/{path}", True)
    assert provider.keys == [f"Bearer {KEY}"]


@pytest.mark.parametrize("ids", [("D00000001",), ("a" * 900,), ("same", "same"), ("", "b"), ("functions.lookup:0",)])
async def test_the_ids_of_a_provider_go_back_to_it(
    provider: Provider, heard: Heard, api: str, ids: tuple[str, ...]
) -> None:
    """Repeated and empty ones, and those of another model, are made anew in the form that all take."""
    provider.scripts = [played(api, call=["{}"], ids=ids), *(played(api, "Four") for _ in range(3))]
    async with talking(provider, api) as model:
        reply = await model.respond(LOOKING, heard)
        calls = [evolve(call, id=f"{n}-of-the-server") for n, call in enumerate(reply.calls)]
        items = items_of(evolve(reply, calls=tuple(calls)))
        for name, history in (("tiny", items), ("tiny", items * 2), ("other", items)):
            model.model = name
            await model.respond(evolve(LOOKING, items=(*LOOKING.items, *history)), heard)
    sent_ids, twice, others = (
        re.findall(r'"(?:\w+_)?id": "([^"]*)"', json.dumps(request.get("messages") or request["input"]))
        for request in provider.requests[1:]
    )
    if api == "responses" and ids[0] == "same":  # there the id is what a call is known by
        ids = ids[:1]
    assert len(sent_ids) == len(others) == 2 * len(ids)  # of each call, and of its result
    assert {call_id for call_id in sent_ids if call_id in ids} == {*ids} - {""}
    new_ids = others + [call_id for call_id in sent_ids if call_id not in ids] + twice[len(sent_ids) :]
    assert all(re.fullmatch("[a-zA-Z0-9]{9}", call_id) for call_id in new_ids)
    assert len({*sent_ids}) == len({*others}) == len(ids)
    assert (twice[: len(sent_ids)], len({*twice})) == (sent_ids, 2 * len(ids))
    assert provider.connections == 1


REFUSALS: dict[str, list[Any]] = {
    "chat": [chunk({"refusal": "No."}, "stop")],
    "responses": [responses.delta("refusal", "No.", content_index=0), responses.end()],
    "messages": messages_api.message(messages_api.text(0, "No."), reason="refusal"),
}


async def test_a_refusal_is_told(provider: Provider, heard: Heard, api: str) -> None:
    assert (await ask(provider, api, heard, Script(REFUSALS[api], done=False))).text == "No." + REFUSED


async def test_a_handoff_is_a_call(provider: Provider, heard: Heard, api: str) -> None:
    """Its name is one that no tool has."""
    good, bad = (played(api, call=[f'{{"to": "{to}"}}'], name="hand_over__") for to in ("insights", "nobody"))
    turn = a_turn(tools=(ToolCard("hand_over"), ToolCard("hand_over_")), colleagues=(COLLEAGUE,))
    reply = await ask(provider, api, heard, good, turn)
    assert (reply.handoff, reply.calls) == (Handoff("insights", "insights has better tools for this."), ())
    await fails(provider, api, heard, bad, "colleague that does not exist", turn)
    assert "'hand_over__'" in str(provider.requests[0]["tools"])


async def test_an_endless_answer_is_cut(provider: Provider, heard: Heard, api: str) -> None:
    *begin, more = begun(api, "Hel", "x" * 50_000)
    reply = await ask(provider, api, heard, Script(chain(begin, repeat(more)), done=False))
    assert await trio.to_thread.run_sync(provider.left.wait, 5)
    assert reply.text.endswith(CUT)
    assert 1_000_000 < len(reply.text) < 1_100_000
