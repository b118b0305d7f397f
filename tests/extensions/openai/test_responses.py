"""What only the Responses API has: items in order, sealed reasoning, phases of messages."""

from typing import Any

from attrs import evolve

from tests.rigs.heard import Heard
from tests.rigs.model_apis import sent, talking
from tests.rigs.model_provider import Provider
from tests.rigs.model_turns import LOOKUP, OVER_SDK, a_turn
from tests.rigs.responses_api import call, delta, done, end, event, message, said, script, thought
from understudy.models.model import MessageItem, NoteItem, ProviderState, ReasoningItem, ResultItem, ToolRequest, Usage

pytestmark = OVER_SDK


async def test_reasoning_text_and_calls_go_back_in_their_order(provider: Provider, heard: Heard) -> None:
    provider.scripts = [
        script(
            event("response.output_item.added", output_index=0, item={"type": "reasoning", "id": "r", "summary": []}),
            thought("Two orders. "),
            thought("Ask for both.", part=1),
            done(0, "reasoning", summary=[{"type": "summary_text", "text": "secret"}], encrypted_content="gAAA1"),
            said("I look ", 1),
            said("them up.", 1),
            message(1, "I look them up.", phase="commentary"),
            done(2, "reasoning", summary=[], encrypted_content="gAAA2"),
            delta("function_call_arguments", '{"order_', 3),
            call(3, "lookup", '{"order_id": "A-17"}'),
            call(4, "lookup", '{"order_id": '),
            end(),
        ),
        script(said("Both came."), end()),
    ]
    async with talking(provider, "responses") as model:
        reply = await model.respond(a_turn(tools=(LOOKUP,)), heard)
        first, second = reply.calls
        assert (reply.text, reply.reasoning) == (heard.text, "Two orders. \n\nAsk for both.")
        assert first == ToolRequest("c-3", "lookup", {"order_id": "A-17"}, "Lookup")
        assert second.problem == 'The arguments of lookup are not valid JSON: {"order_id": '
        assert reply.usage == Usage(40, 9, 1, cached=30, reasoning=5)
        calls = [request.item() for request in reply.calls]
        results = [ResultItem(request.id, request.name, "ok", "found") for request in calls]
        items = (ReasoningItem("", reply.state), MessageItem("assistant", reply.text), *calls, *results)
        turn = a_turn(tools=(LOOKUP,), notes=(NoteItem("3 turns are left."),))
        assert (await model.respond(evolve(turn, items=(*turn.items, *items)), heard)).text == "Both came."
    assert provider.requests[1]["input"] == [
        {"role": "user", "content": "Hello"},
        {"type": "reasoning", "id": "reasoning-0", "summary": [], "encrypted_content": "gAAA1"},
        {"type": "message", "role": "assistant", "content": "I look them up.", "phase": "commentary"},
        {"type": "reasoning", "id": "reasoning-2", "summary": [], "encrypted_content": "gAAA2"},
        {"type": "function_call", "call_id": "c-3", "name": "lookup", "arguments": '{"order_id":"A-17"}'},
        {"type": "function_call", "call_id": "c-4", "name": "lookup", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c-3", "output": "found"},
        {"type": "function_call_output", "call_id": "c-4", "output": "found"},
        {"role": "developer", "content": "3 turns are left."},
    ]
    assert provider.requests[1]["include"] == ["reasoning.encrypted_content"]


async def test_unknown_and_damaged_events_are_passed_over(provider: Provider, heard: Heard) -> None:
    strange = [event("response.of_the_future", delta="no", output=[1]), b"data: {}\n\n", b'data: {"type": 7}\n\n']
    damaged = [delta("output_text", 5), delta("output_text", None, "x"), event("response.output_text.delta")]
    damaged += [event("response.output_item.done", item=7), event("response.output_item.done", output_index=9)]
    damaged += [done(3, "message", content=7, phase=[]), done(4, "reasoning", encrypted_content=1)]
    provider.scripts = [script(*strange, said("Hel"), *damaged, said("lo."), end(usage="much", output=7))]
    async with talking(provider, "responses") as model:
        reply = await model.respond(a_turn(), heard)
    assert (reply.text, reply.calls, reply.state, reply.usage) == ("Hello.", (), None, Usage(turns=1))


async def test_a_state_goes_back_to_its_model_and_only_beside_what_followed_it(provider: Provider) -> None:
    """Another model and chat completions get none; reasoning whose text or call is gone is left out."""
    sealed = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}
    called = {"type": "function_call"}
    complete = [sealed, {"type": "message", "phase": "commentary"}, {**sealed, "id": "rs_2"}, called]
    message, call_item = MessageItem("assistant", "I look."), ToolRequest("c", "lookup", {}).item()

    async def kinds(outline: list[Any], *items: Any, of: str = "openai-responses", model: str = "tiny") -> list[str]:
        state = ProviderState(of, "tiny", outline)
        question = MessageItem("user", "Go")
        turn = a_turn(question, ReasoningItem("", state), *items, question)
        _, *built, _ = (await sent(provider, turn, "responses", model))["input"]
        return [item.get("id") or item.get("type") or item["role"] for item in built]

    expected = ["function_call", "function_call_output"]
    calls = [evolve(call_item, id=call_id) for call_id in "de"]
    between = await kinds([called, sealed, called], *calls)
    assert between == ["function_call", "rs_1", *expected, "function_call_output"]
    assert await kinds(complete, message, call_item) == ["rs_1", "message", "rs_2", *expected]
    assert await kinds(complete, message) == ["rs_1", "message"]
    assert await kinds(complete, call_item) == ["rs_1", "rs_2", *expected]
    assert await kinds(complete, message, model="large") == ["assistant"]
    assert await kinds(complete, message, of="openai") == ["assistant"]
