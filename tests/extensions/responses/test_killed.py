"""A response whose client and server are killed again and again, read by the stock `openai` client."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import openai
import pytest
import trio
from attrs import define, field
from openai import AsyncOpenAI

from tests.rigs import http
from tests.rigs.process import started
from tests.rigs.resumable_agent import CALLS, SPOKEN

pytestmark = [
    pytest.mark.filterwarnings("ignore:Async generator '(httpx2|httpcore|openai):ResourceWarning"),
    # The generators of a stream that was left are closed by the collector, at times one while another closes it.
    pytest.mark.filterwarnings(
        r"ignore:Exception ignored in. <async_generator:pytest.PytestUnraisableExceptionWarning"
    ),
]
AGENT = "tests.rigs.resumable_agent:agent"
WEATHER: Any = {"type": "function", "name": "once", "parameters": {"type": "object", "properties": {}}}


@define
class Reader:
    """What one reader has of a response, over several connections and servers."""

    events: list[Any] = field(factory=list)

    @property
    def text(self) -> str:
        return "".join(event.delta for event in self.events if event.type == "response.output_text.delta")

    @property
    def ended(self) -> bool:
        return bool(self.events) and self.events[-1].type == "response.completed"

    async def read(self, api: AsyncOpenAI, moment: Callable[["Reader"], bool]) -> None:
        """Begin or go on, until the moment has come; then leave without a word."""
        if self.events:
            name, after = self.events[0].response.id, self.events[-1].sequence_number
            stream: Any = await api.responses.retrieve(name, stream=True, starting_after=after)
        else:
            stream = await api.responses.create(model="resumable", input="again and stop", stream=True, background=True)
        async with stream:
            async for event in stream:
                if event.type == "error":
                    return
                assert not self.events or event.sequence_number > self.events[-1].sequence_number
                self.events.append(event)
                if moment(self):
                    return


def has_event(kind: str, text: str = "") -> Callable[[Reader], bool]:
    return lambda reader: reader.events[-1].type == f"response.{kind}" and text in str(reader.events[-1])


def has_characters(characters: int) -> Callable[[Reader], bool]:
    """Stop when this much of the text has come."""
    return lambda reader: len(reader.text) >= characters


@pytest.mark.promise("wire.responses-resumed")
async def test_a_response_goes_on_over_the_death_of_clients_and_servers(tmp_path: Path) -> None:
    """Each pair of moments: one at which the client dies, one at which the server does."""
    reader, token = Reader(), ""
    moments = [
        (has_event("created"), has_event("output_item.added")),
        (has_event("reasoning_summary_text.done", "Calls `"), has_event("reasoning_summary_text.done", "` (ok)")),
        (has_characters(40), has_characters(100)),
        (has_characters(160), has_characters(300)),
    ]
    environment = {CALLS: str(tmp_path / "calls")}
    with trio.fail_after(300):
        for of_client, of_server in [*moments, (lambda _: False, lambda _: False)]:
            async with started(tmp_path / "data", AGENT, **environment) as server:
                if not token:
                    token = await http.new_token(server)
                async with AsyncOpenAI(base_url=f"{server.address}/v1", api_key=token, max_retries=0) as api:
                    for moment in (of_client, of_server):
                        with suppress(openai.APIConnectionError):
                            if not reader.ended:
                                await reader.read(api, moment)
                    if reader.ended:
                        final = await api.responses.retrieve(reader.events[0].response.id)
                await server.kill()
    assert reader.ended
    assert final == reader.events[-1].response
    assert reader.text == final.output_text == SPOKEN
    items = {event.output_index: event.item for event in reader.events if event.type == "response.output_item.done"}
    assert [items[index] for index in sorted(items)] == final.output
    assert [item.type for item in final.output] == ["reasoning", "message"]


@pytest.mark.promise("wire.client-tools")
async def test_a_run_waits_for_its_clients_tool_over_the_death_of_the_server(tmp_path: Path) -> None:
    token, data = "", tmp_path / "data"
    answer: Any = None
    with trio.fail_after(200):
        for begun in (False, True):
            async with started(data, "tests.end_to_end.client_tool_agent:agent") as server:
                if not begun:
                    token = await http.new_token(server)
                async with AsyncOpenAI(base_url=f"{server.address}/v1", api_key=token, max_retries=0) as api:
                    if not begun:
                        answer = await api.responses.create(model="caller", input="go", tools=[WEATHER])
                    else:
                        assert await api.responses.retrieve(answer.id) == answer
                        call = answer.output[-1]
                        result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "fine"}
                        response = await api.responses.create(model="caller", input=[result])
                        assert (response.status, response.output_text) == ("completed", "sunny")
                await server.kill()
