"""The operations liaison over real sockets: figures of the server that answers, for those who may see them."""

from typing import Any

from tests.rigs.chat_client import connected
from tests.rigs.tokens import SECRET, token

STEPS = ["agent_thinking", "tool_executing", "tool_completed", "final_response"]


async def answer(address: str, who: str, text: str, path: str = "/ws") -> tuple[list[str], dict[str, Any]]:
    """Ask on a new connection. Return the types of the events, and the final response."""
    async with connected(address, who, path) as client:
        await client.send({"type": "agent_message", "content": text})
        final = await client.until_end()
    return [event["type"] for event in client.seen], final


async def test_the_liaison_answers_with_figures_of_this_server(serve: Any) -> None:
    running = await serve(secret=SECRET)
    operator, user = token("op", "operator"), token("ada")
    for path in ("/ws", "/ws?dialect=flat", "/ws?dialect=payload"):
        kinds, _ = await answer(running.address, operator, "Analyze my code performance", path)
        assert [kind for kind in STEPS if kind in kinds] == STEPS
        assert kinds.index("tool_executing") < kinds.index("tool_completed") < kinds.index("final_response")
    _, final = await answer(running.address, operator, "Analyze my database performance")
    (result,) = final["data"]["data"]["results"]
    rows = {(row["operation"], row["name"]): row for row in result["result"]["operations"]}
    assert rows["commit to the log", ""]["count"] >= 3
    assert rows["commit to the log", ""]["p95_ms"] > 0
    assert any(operation == "database read" for operation, _ in rows)
    assert result["kind"] == "analysis"
    assert [step["label"] for step in result["next_steps"]] == ["Slowest operations", "Errors", "Restarts"]
    await answer(running.address, user, "What is 2 + 2?")
    _, final = await answer(running.address, user, "Analyze my database performance")
    rows = final["data"]["data"]["results"][0]["result"]["operations"]
    assert {row["operation"]: row["count"] for row in rows} == {"whole run": 1, "message to first event": 1}
    assert "shown to its operators" in final["data"]["message"]
