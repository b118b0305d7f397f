"""Whether stock clients come back to the same answer, whatever dies at whichever event: `stock_rejoin`.

stock_rejoin_openai   answers of the Responses API that end with the same text and calls, of all that were cut: for each
                      number of events once the client leaves there, and once the server is killed there (SIGKILL) and
                      started again. The client is the `openai` SDK, and goes on by `starting_after`.
stock_rejoin_agui     the same of runs of AG-UI and its `HttpAgent`; see `benchmarks.doors.rejoin_pages`
stock_rejoin_ui       the same of messages of the UI message stream and the chat of the AI SDK
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from typing import Any, Final

import openai
import trio
from attrs import define, field
from openai import AsyncOpenAI

from benchmarks.agents.killing import started
from benchmarks.agents.progress import Extent, Progress
from benchmarks.doors import rejoin_pages
from benchmarks.doors.server import READY, WORDS
from benchmarks.figure import Figure, all_cores

ANSWER_S: Final = 60.0


@define
class Reader:
    """What a client has of one response, over several connections."""

    events: list[Any] = field(factory=list)

    @property
    def ended(self) -> bool:
        """Whether it has the end."""
        return bool(self.events) and self.events[-1].type == "response.completed"

    @property
    def told(self) -> tuple[str, list[tuple[str, str]]]:
        """The text by its pieces, and the items that were finished, by their places."""
        text = "".join(each.delta for each in self.events if each.type == "response.output_text.delta")
        done = {each.output_index: each.item for each in self.events if each.type == "response.output_item.done"}
        return text, [(done[place].type, getattr(done[place], "output", "")) for place in sorted(done)]

    async def read(self, api: AsyncOpenAI, until: int | None = None) -> None:
        """Begin or go on, up to this number of events."""
        if self.events:
            name, after = self.events[0].response.id, self.events[-1].sequence_number
            stream: Any = await api.responses.retrieve(name, stream=True, starting_after=after)
        else:
            stream = await api.responses.create(model="slow", input="go", stream=True, background=True)
        async with stream:
            async for event in stream:
                if event.type == "error":
                    return
                self.events.append(event)
                if until is not None and len(self.events) >= until:
                    return


@asynccontextmanager
async def _server(folder: str, token: str = "") -> AsyncIterator[tuple[trio.Process, AsyncOpenAI, str]]:
    """Start the server, and yield it with a client and the client's token."""
    async with AsyncExitStack() as stack:
        process, address = await stack.enter_async_context(started("benchmarks.doors.server", folder, ready=READY))
        if not token:
            async with AsyncOpenAI(base_url=address, api_key="none", max_retries=0) as plain:
                token = (await plain.post("/api/sessions", cast_to=dict[str, Any]))["session_token"]
        yield (
            process,
            await stack.enter_async_context(AsyncOpenAI(base_url=f"{address}/v1", api_key=token, max_retries=0)),
            token,
        )


async def _openai(extent: Extent, progress: Progress) -> tuple[int, int]:
    """Return how many answers were right, of how many."""
    right = 0
    progress.details = lambda: f"({right} right)"
    with tempfile.TemporaryDirectory() as folder, all_cores():
        async with _server(folder) as (_, api, token):
            whole = Reader()
            await whole.read(api)
            assert whole.told[0] == "".join(WORDS)
            moments = [len(whole.events) // 2] if extent.small else range(1, len(whole.events))
            progress.wanted = 2 * len(moments)
            for moment in moments:  # the client leaves
                reader = Reader()
                with trio.move_on_after(ANSWER_S):
                    await reader.read(api, moment)
                    await reader.read(api)
                right += reader.told == whole.told
                progress.done += 1
                progress.tell()
        for moment in moments:  # the server is killed
            if progress.over():
                break
            reader = Reader()
            async with _server(folder, token) as (process, api, _):
                with trio.move_on_after(ANSWER_S):
                    await reader.read(api, moment)
                process.kill()
                await process.wait()
            async with _server(folder, token) as (process, api, _):
                with trio.move_on_after(ANSWER_S), suppress(openai.APIError):
                    await reader.read(api)
            right += reader.told == whole.told
            progress.done += 1
            progress.tell()
    return right, progress.done


CLIENTS: Final[Mapping[str, Callable[[Extent, Progress], Any]]] = {
    "openai": _openai,
    "agui": partial(rejoin_pages.measure, "agui"),
    "ui": partial(rejoin_pages.measure, "ui"),
}
"""The stock clients by name: each returns how many answers were right, of how many."""


def figures(extent: Extent) -> Iterator[Figure]:
    """Cut answers at every event, by each stock client; small ones in the middle."""
    for name, measure in CLIENTS.items():
        right, done = trio.run(measure, extent, Progress(f"rejoin {name}", 0, extent.limit_s))
        yield Figure(f"stock_rejoin_{name}", f"of {done}", right)
