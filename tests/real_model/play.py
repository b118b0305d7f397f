"""Chat with a small real model through a server started as the guide says, in its good and its bad moments.

python -m tests.real_model.play FOLDER

Prints what is said and what the user sees, act by act. Exit code 0 if every act went as the guide promises: a stream,
a history, a title, a stop, messages that are too long, a model server that is not there, one that loads its model, and
one that is killed while it answers. FOLDER is empty or new.
"""

import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import trio
from attrs import define, field

from tests.real_model.environment import environment
from tests.rigs.chat_client import ChatClient, check_arc, connected
from tests.rigs.http import new_token, request
from tests.rigs.process import Process, started
from tests.servers.needed import free_port

WINDOW: Final = 4_096
"""Tokens of the model's window, as of many servers that are started without a setting."""
ANSWER_S: Final = 300.0
"""Longest time of an answer."""
SERVER: Final = Path(__file__).with_name("server.py")
AGENT: Final = "tests.real_model.plain:agent"
STORY: Final = "Please tell me a long story about a lighthouse, its keeper and a storm."


@define
class ModelServer:
    """The model's server, which is started and killed by the acts."""

    port: int = field(factory=free_port)
    process: trio.Process | None = None

    @property
    def url(self) -> str:
        """The address of its API."""
        return f"http://127.0.0.1:{self.port}/v1"

    async def start(self, log: Path, *, ready: bool = True) -> None:
        """Start it; unless `ready`, do not wait until the model is loaded."""
        python, model = environment()
        with log.open("ab") as output:
            self.process = await trio.lowlevel.open_process(
                [str(python), str(SERVER), str(model), str(self.port), str(WINDOW)], stdout=output, stderr=output
            )
        with trio.fail_after(ANSWER_S):
            while (status := await self._status()) != 200 and (ready or status is None):  # noqa: ASYNC110 - it is asked
                await trio.sleep(0.02)

    async def _status(self) -> int | None:
        try:
            return (await request(self.url, "GET", "/health"))[0]
        except OSError:
            return None

    async def kill(self) -> None:
        """Kill it (SIGKILL)."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            await self.process.wait()
            self.process = None


@define
class Talk:
    """A user in one thread of the chat: what is asked and seen is printed."""

    client: ChatClient
    thread: str

    async def ask(self, text: str, **more: Any) -> dict[str, Any]:
        """Send a message, and read to the end of its run. Return its last event."""
        await self.say(text, **more)
        return await self.end()

    async def say(self, text: str, **more: Any) -> None:
        """Send a message."""
        print(f"  user: {_short(text)}")
        await self.client.say(text, agent_type="plain", thread_id=self.thread, **more)

    async def end(self) -> dict[str, Any]:
        """Read to the end of the run; its events are in order and end once."""
        began, count = time.monotonic(), len(self.client.seen)
        with trio.fail_after(ANSWER_S):
            event = await self.client.until_end()
        events = self.client.seen[count:]
        for each in events:
            if each["type"] == "agent_thinking":
                print(f"  thought: {each['data']['thought']}")
        deltas = sum(each["type"] == "partial_result" for each in events)
        data = event["data"]
        took = f"{time.monotonic() - began:.1f} s, {deltas} pieces"
        print(f"  {data.get('status') or data.get('code')}: {_short(data['message'])}  [{took}, {data.get('usage')}]")
        check_arc(self.client.durable(event["run_id"]))
        return event


@asynccontextmanager
async def chat(
    folder: Path, server: ModelServer, thread: str, **settings: str
) -> AsyncIterator[tuple[Talk, Process, str]]:
    """Start the product with the model, and open a thread."""
    variables = {"OPENAI_API_KEY": "none", "OPENAI_BASE_URL": server.url}
    variables |= {f"UNDERSTUDY_{name.upper()}": value for name, value in settings.items()}
    options = ("--model", "openai-chat:local", AGENT)
    async with started(folder, *options, log=folder.with_suffix(".log"), loads=True, **variables) as running:
        token = await new_token(running)
        async with connected(running.address, token) as client:
            yield Talk(client, thread), running, token


async def title_of(running: Process, token: str, thread: str) -> str:
    """Return the title of a thread."""
    _, _, thread_read = await request(running.address, "GET", f"/api/threads/{thread}", token=token)
    return str(thread_read["title"])


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 300 else f"{line[:200]} … ({len(line):,} characters)"


def _log(folder: Path) -> str:
    return folder.with_suffix(".log").read_text()


async def away_then_loading(folder: Path, server: ModelServer) -> None:
    """Nothing listens at the model's address; then its server is there, and loads."""
    async with chat(folder, server, "away") as (talk, _, _):
        end = await talk.ask("Are you there?")
        assert end["data"]["code"] == "model_unavailable"
        assert "cannot be reached" in end["data"]["message"]
        assert "model.not_ready" in _log(folder)
        await server.start(folder.with_suffix(".model.log"), ready=False)
        end = await talk.ask("And now?")
        assert end["data"].get("status") == "success"


async def stream_history_title(folder: Path, server: ModelServer) -> None:
    """Two turns; the second one has the first in its input; the thread gets a title or keeps its first words."""
    async with chat(folder, server, "first", models_window_tokens=str(WINDOW)) as (talk, running, token):
        first = await talk.ask("My name is Ann and I live in Oslo. What is the capital of Norway?")
        assert first["data"]["status"] == "success"
        assert sum(event["type"] == "partial_result" for event in talk.client.seen) > 1
        with trio.fail_after(ANSWER_S):
            while "title.not_made" not in _log(folder) and not _titled(talk.client):
                with trio.move_on_after(1):
                    await talk.client.read()
        print(f"  title: {await title_of(running, token, 'first')}")
        second = await talk.ask("What is my name?")
        assert second["data"]["usage"]["input"] > first["data"]["usage"]["input"] + 10
        long = "Here is a report of our garden. " + "The roses grew well in June, the beans did not. " * 54
        third = await Talk(talk.client, "long").ask(long + "What grew well?")
        assert third["data"]["status"] == "success"
        assert "This conversation is long" not in str(talk.client.seen)


def _titled(client: ChatClient) -> bool:
    return any(event["type"] == "thread_titled" for event in client.seen)


async def stopped(folder: Path, server: ModelServer) -> None:
    """A story is stopped; its slot at the model's server is free for the next question."""
    async with chat(folder, server, "stopped", models_window_tokens=str(WINDOW), extensions="-titles") as (talk, _, _):
        await talk.say(STORY)
        began = await talk.client.until("partial_result")
        await talk.client.send({"type": "cancel", "payload": {"run_id": began["run_id"]}})
        end = await talk.end()
        assert end["data"]["status"] == "cancelled"
        ended = [event for event in talk.client.seen if event["type"] == "agent_completed"]
        assert ended[-1]["data"]["usage"]["output"] > 0
        end = await talk.ask("Thank you. Say goodbye.")
        assert end["data"]["status"] == "success"


async def too_long(folder: Path, server: ModelServer) -> None:
    """Longer than the window as it is set, and as only the model's server knows."""
    text = "The tide comes in and goes out again. " * 600
    async with chat(folder, server, "set", models_window_tokens=str(WINDOW)) as (talk, _, _):
        end = await talk.ask(text)
        assert end["data"]["message"] == "Your message is too long for this model."
    async with chat(folder, server, "unset") as (talk, _, _):
        end = await talk.ask(text)
        assert "too long" in end["data"]["message"]
        assert not end["data"]["retryable"]
        assert "model.unavailable" in _log(folder)


async def killed(folder: Path, server: ModelServer) -> None:
    """The model's server is killed while it answers, and is back for the next message."""
    async with chat(folder, server, "killed", extensions="-titles") as (talk, _, _):
        await talk.say(STORY)
        await talk.client.until("partial_result")
        await server.kill()
        end = await talk.end()
        assert end["data"]["code"] == "model_unavailable"
        await server.start(folder.with_suffix(".model.log"))
        end = await talk.ask("Try once more: say hello.")
        assert end["data"]["status"] == "success"


ACTS: Final = (away_then_loading, stream_history_title, stopped, too_long, killed)


async def play(folder: Path) -> None:
    """Play all acts, one after the other, with one server of the model."""
    server = ModelServer()
    try:
        for act in ACTS:
            print(f"{act.__name__}: {str(act.__doc__).splitlines()[0]}", flush=True)
            (place := folder / act.__name__).mkdir()
            await act(place, server)
    finally:
        with trio.CancelScope(shield=True):
            await server.kill()


if __name__ == "__main__":
    where = Path(sys.argv[1]).resolve()
    where.mkdir(parents=True, exist_ok=True)
    os.environ.pop("UNDERSTUDY_DATABASE_URL", None)
    trio.run(play, where)
    print(f"{len(ACTS)} acts: all as promised")
