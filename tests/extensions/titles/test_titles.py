"""Titles of threads by the model of their agent, which is a local server that speaks chat completions."""

import logging
import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import trio

from tests.rigs.chat_client import check_arc, connected
from tests.rigs.heard import provider as provider
from tests.rigs.http import get, new_token, request
from tests.rigs.model_provider import KEY, Provider, Script, end_chunk, text_chunk, usage_chunk
from tests.rigs.server_pair import eventually
from understudy.agents.agent import Agent

pytestmark = [
    pytest.mark.filterwarnings("ignore:Async generator '(httpx2|httpcore|openai):ResourceWarning"),
    pytest.mark.blocking("the provider's package builds what it needs at its first request, for some 60 ms"),
]
FIRST = "How did our sales go last year?"


def reply(text: str, tokens: tuple[int, int] = (20, 8)) -> Script:
    return Script([text_chunk(text), end_chunk("stop"), usage_chunk(*tokens)])


@pytest.fixture
async def start(serve: Any, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", provider.url)

    async def start(**settings: Any) -> tuple[Any, str]:
        running = await serve(Agent("script", model="openai-chat:tiny"), **settings)
        return running, await new_token(running)

    return start


async def ask(client: Any, text: str = FIRST) -> dict[str, Any]:
    await client.say(text, agent_type="script", thread_id="t")
    end: dict[str, Any] = await client.until_end()
    check_arc(client.durable(end["run_id"]))
    assert end["type"] == "final_response"
    return end


async def titled(client: Any) -> dict[str, Any]:
    """Read up to the event of the title. It may overtake events that a client reads from the log."""
    while not (events := [frame for frame in client.seen if frame["type"] == "thread_titled"]):
        await client.read()
    (event,) = events
    return dict(event)


async def title(running: Any, token: str) -> str:
    return str((await get(running, "/api/threads/t", token))["title"])


async def logged(caplog: pytest.LogCaptureFixture, event: str) -> None:
    await eventually(lambda: event in [record.getMessage() for record in caplog.records])


async def test_a_thread_gets_its_title_after_its_first_answer(start: Any, provider: Provider) -> None:
    provider.scripts = [reply("They grew. " * 200), reply('"**Sales of last year**"', (70, 3)), reply("Yes.")]
    running, token = await start(spending_user_tokens_per_day=100)
    async with connected(running.address, token) as client, connected(running.address, token) as other:
        await ask(client, FIRST + " " + "More words. " * 200)
        events = await titled(client)
        assert events["data"]["title"] == "Sales of last year"
        assert (await titled(other))["data"] == events["data"]
        assert (events["thread_id"], events.get("seq")) == ("t", None)
        assert await title(running, token) == "Sales of last year"
        await client.say("Thanks", agent_type="script", thread_id="t")
        assert (await client.until("error"))["data"]["code"] == "quota_exceeded"
    _, body = provider.requests
    assert body["max_completion_tokens"] == 24
    assert "tools" not in body
    prompt = body["messages"][-1]["content"]
    assert FIRST in prompt
    assert "They grew." in prompt
    assert 2_000 < len(prompt) < 2_300


async def test_a_model_that_reasons_in_its_text_gets_a_title(start: Any, provider: Provider) -> None:
    """Its server counts no tokens of reasoning: there is room for it all the same, and none is in the title."""
    provider.scripts = [reply("<think>Hm.</think>They grew."), reply("<think>A title, then.</think>Sales of last year")]
    running, token = await start()
    async with connected(running.address, token) as client:
        assert (await ask(client))["data"]["message"] == "They grew."
        assert (await titled(client))["data"]["title"] == "Sales of last year"
    assert provider.requests[1]["max_completion_tokens"] > 1_000
    assert "Hm." not in str(provider.requests[1]["messages"])


@pytest.mark.parametrize(("extensions", "expected"), [([], "Sales of last year"), (["-titles"], FIRST)])
async def test_the_first_answer_alone_makes_a_title_unless_titles_are_off(
    start: Any, provider: Provider, extensions: list[str], expected: str
) -> None:
    titles = [] if extensions else [reply(expected)]
    provider.scripts = [reply("They grew."), *titles, reply("You are welcome.")]
    running, token = await start(extensions=extensions)
    async with connected(running.address, token) as client:
        await ask(client)
        if titles:
            await titled(client)
        await ask(client, "Thanks")
    assert len(provider.requests) == 2 + len(titles)
    assert await title(running, token) == expected


async def test_the_users_title_wins(start: Any, provider: Provider, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "understudy")
    requested, go_on = threading.Event(), threading.Event()

    def slowly() -> Iterator[dict[str, Any]]:
        requested.set()
        assert go_on.wait(60)
        yield from reply("Sales of last year").chunks  # type: ignore[misc]

    provider.scripts = [reply("They grew."), Script(slowly())]
    running, token = await start()
    async with connected(running.address, token) as client:
        try:
            await ask(client)
            assert await trio.to_thread.run_sync(requested.wait, 30)
            renamed = b'{"title": "My own"}'
            assert (await request(running.address, "PATCH", "/api/threads/t", token=token, body=renamed))[0] == 200
        finally:
            go_on.set()
        await logged(caplog, "title.not_stored")
    assert await title(running, token) == "My own"


async def test_no_question_waits_for_a_title(start: Any, provider: Provider) -> None:
    provider.scripts = [reply("They grew."), Script(hang=True), reply("You are welcome."), reply("Sales of last year")]
    running, token = await start()
    async with connected(running.address, token) as client:
        await ask(client)
        await eventually(lambda: len(provider.requests) == 2)
        await ask(client, "Thanks")
        assert await trio.to_thread.run_sync(provider.left.wait, 30)
        assert (await titled(client))["data"]["title"] == "Sales of last year"
    (used,) = re.findall(r'understudy_model_tokens_total{.*"input".*} (.*)', (await get(running, "/metrics", token)))
    assert FIRST in provider.requests[3]["messages"][-1]["content"]
    assert "You are welcome." in provider.requests[3]["messages"][-1]["content"]
    assert float(used) > 4 * 20


async def test_without_means_there_is_no_title(
    start: Any, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "understudy")
    provider.scripts = [reply("They grew.")]
    running, token = await start(spending_user_tokens_per_day=28)
    async with connected(running.address, token) as client:
        await ask(client)
        await logged(caplog, "title.not_made")
    assert len(provider.requests) == 1
    assert await title(running, token) == FIRST


@pytest.mark.parametrize(
    "script",
    [
        Script(status=400, error={"message": "no", "code": "bad"}),
        Script([text_chunk("Sales of"), end_chunk("length"), usage_chunk(70, 24)]),
        reply("..."),
        Script(status=503, error={"message": "busy"}),
    ],
    ids=["refused", "cut", "nonsense", "busy"],
)
async def test_a_model_that_makes_none_leaves_the_title(
    start: Any, provider: Provider, script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "understudy")
    provider.scripts = [reply("They grew."), script, reply("You are welcome."), reply("Bye.")]
    running, token = await start()
    async with connected(running.address, token) as client:
        await ask(client)
        await logged(caplog, "title.not_made")
        await ask(client, "Thanks")
        await ask(client, "Bye")
        assert not [event for event in client.seen if event["type"] == "thread_titled"]
    assert len(provider.requests) == 4
    assert await title(running, token) == FIRST
