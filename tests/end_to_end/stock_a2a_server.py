"""An A2A server made with the stock SDK on asyncio, in its own process: `python -m tests.end_to_end.stock_a2a_server`.

It prints its address. What a task does is the message's first word. Each message is noted as a line of the file whose
path is the first argument, as is a cancelled task. `slow` waits in its middle until the second argument exists.
"""

import asyncio
import socket
import sys
from pathlib import Path

import uvicorn
from a2a.helpers.proto_helpers import new_task_from_user_message
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types import a2a_pb2 as a2a
from starlette.applications import Starlette

NOTES, GATE = map(Path, sys.argv[1:3])


def note(line: str) -> None:
    with NOTES.open("a") as notes:
        notes.write(f"{line}\n")


def part(text: str) -> a2a.Part:
    return a2a.Part(text=text)


class Executor(AgentExecutor):
    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        text = context.get_user_input()
        assert context.message is not None
        note(f"message {context.context_id} {text} {context.message.message_id}")
        if text == "plain":
            answer = a2a.Message(message_id="m", role=a2a.ROLE_AGENT, parts=[part("no task needed")])
            await event_queue.enqueue_event(answer)
            return
        if context.current_task is None:
            task = new_task_from_user_message(context.message)
            task.id, task.context_id = context.task_id or "", context.context_id or ""
            await event_queue.enqueue_event(task)
        updater = TaskUpdater(event_queue, context.task_id or "", context.context_id or "")
        if text == "fail":
            await updater.failed(updater.new_agent_message([part("The oven is cold.")]))
            return
        if text == "ask":
            await updater.requires_input(updater.new_agent_message([part("Which colour?")]))
            return
        await updater.start_work(updater.new_agent_message([part("Looks it up.")]))
        await updater.add_artifact([part("one two ")], artifact_id="a")
        while text == "slow" and not GATE.exists():  # noqa: ASYNC110 - a file has no event
            await asyncio.sleep(0.02)
        await updater.add_artifact([part("three " + text)], artifact_id="a", append=True)
        file = a2a.Part(raw=b"x,y\n1,2\n", filename="../table.csv", media_type="text/csv")
        await updater.add_artifact([file], artifact_id="b")
        await updater.complete()

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        note("cancelled")
        await TaskUpdater(event_queue, context.task_id or "", context.context_id or "").cancel()


def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    card = a2a.AgentCard(
        name="stock",
        description="A stock agent.",
        version="1",
        supported_interfaces=[
            a2a.AgentInterface(url=f"{address}/rpc", protocol_binding="JSONRPC", protocol_version="1.0")
        ],
        capabilities=a2a.AgentCapabilities(streaming="--no-streams" not in sys.argv),
        default_input_modes=["text/plain"],
        default_output_modes=["text/plain"],
        skills=[a2a.AgentSkill(id="s", name="s", description="s", tags=["s"])],
    )
    handler = DefaultRequestHandler(Executor(), InMemoryTaskStore(), card)
    routes = [*create_agent_card_routes(card), *create_jsonrpc_routes(handler, "/rpc")]
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), log_level="error"))
    print(address, flush=True)
    server.run(sockets=[listener])


if __name__ == "__main__":
    main()
