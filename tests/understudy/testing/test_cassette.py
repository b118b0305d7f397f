"""A cassette over real sockets: recorded from a provider that runs here, replayed when that has gone."""

import json
import os
from pathlib import Path

import anthropic  # noqa: F401 - half a second that belongs to no test
import openai  # noqa: F401 - the same
import pytest
import trio
from attrs import evolve

from tests.rigs import messages_api
from tests.rigs.model_provider import KEY, Provider, Script, end_chunk, text_chunk
from understudy import Agent, tool
from understudy.testing import Cassette, NotRecorded, run_agent

pytestmark = [
    pytest.mark.filterwarnings("ignore:Async generator '(httpx2|httpcore|openai|anthropic):ResourceWarning"),
    pytest.mark.blocking("the providers' packages build what they need at their first request"),
]


@tool
def lookup(order_id: str) -> dict[str, str]:
    """Look up an order."""
    return {"order_id": order_id, "carrier": "Northmail"}


SUPPORT = Agent("support", "You look up orders.", tools=[lookup], model="anthropic:tiny")
ASKED = "Where is order A-17 of Ann? Mail ann@example.org"


async def test_a_run_is_recorded_once_and_replayed_without_the_provider(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cassettes" / "orders.json"
    with Provider() as provider:
        monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
        monkeypatch.setenv("ANTHROPIC_BASE_URL", provider.root)
        thought = messages_api.thinking(0, "sig-1", "Ann wants A-17.")
        wanted = messages_api.call(1, "toolu_1", "lookup", '{"order_id": "A-17"}')
        answer = messages_api.text(0, "Northmail has it; ", "I wrote to ann@example.org.")
        provider.scripts = [
            Script(messages_api.message(thought, wanted, reason="tool_use"), done=False),
            Script(messages_api.message(answer), done=False),
        ]
        with Cassette(path, hide=["Ann"], record=True):
            recorded = await run_agent(SUPPORT, ASKED, scrub_policy="off")
        assert provider.keys == [f"Bearer {KEY}", f"Bearer {KEY}"]
        assert "ann@example.org" in str(provider.requests[0]), "the provider itself is asked as it is"
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    with Cassette(path, hide=["Ann"]) as tape:
        replayed = await run_agent(SUPPORT, ASKED, scrub_policy="off")
    assert len(tape.exchanges) == 2
    assert replayed.text == recorded.text
    assert replayed.text.startswith("Northmail has it; ")
    assert [call.arguments for call in replayed.calls] == [{"order_id": "A-17"}]
    kept = path.read_text()
    assert not any(word in kept for word in (KEY, "ann@example.org", "Ann wants"))
    assert os.environ["ANTHROPIC_BASE_URL"] == provider.root
    assert "ANTHROPIC_API_KEY" not in os.environ


async def test_a_request_that_was_not_recorded_is_an_error_that_says_where_it_differs(tmp_path: Path) -> None:
    path = tmp_path / "hello.json"
    hello = evolve(SUPPORT, tools=(), model="openai-chat:tiny")
    with Provider() as provider, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_API_KEY", KEY)
        patch.setenv("OPENAI_BASE_URL", provider.url)
        provider.scripts = [Script([text_chunk("Hello."), end_chunk("stop")])]
        with Cassette(path, record=True):
            await run_agent(hello, "Hello")
    differs = r"recording 1 .* messages\[1\]\.content: \"Hello\" was recorded, \"Bye\" was"
    with pytest.raises(NotRecorded, match=differs), Cassette(path):
        assert (await run_agent(hello, "Bye")).error is not None
    with pytest.raises(NotRecorded, match="less often"), Cassette(path):
        await twice(hello)
    with pytest.raises(NotRecorded, match="of another version"), Cassette(_changed(path)):
        await trio.lowlevel.checkpoint()
    missing = tmp_path / "no.json"
    with pytest.raises(NotRecorded, match=r"there is no cassette .* UNDERSTUDY_RECORD=1"), Cassette(missing):
        await trio.lowlevel.checkpoint()


async def twice(agent: Agent) -> None:
    for _ in range(2):
        await run_agent(agent, "Hello")


def _changed(path: Path) -> Path:
    later = path.with_name("later.json")
    later.write_text(json.dumps(json.loads(path.read_text()) | {"version": 2}))
    return later
