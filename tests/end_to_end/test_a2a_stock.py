"""The stock A2A client (`a2a-sdk` from PyPI) against a server."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import trio
from a2a.client import A2ACardResolver, Client, ClientConfig, ClientFactory
from a2a.types import a2a_pb2 as a2a
from a2a.utils.errors import TaskNotFoundError
from google.protobuf.json_format import MessageToDict

from tests.end_to_end.http import new_token, request
from tests.end_to_end.scripted_model import Call, Gate, Say, scripted
from understudy.app.server import Running

pytestmark = pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")


@asynccontextmanager
async def client(running: Running, token: str, *, streaming: bool = True) -> AsyncIterator[Client]:
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=60) as http:
        card = await A2ACardResolver(http, f"{running.address}/a2a/script").get_agent_card()
        assert card.capabilities.streaming
        yield ClientFactory(ClientConfig(streaming=streaming, httpx_client=http)).create(card)


def message(text: str, **ids: str) -> a2a.SendMessageRequest:
    said = a2a.Message(message_id=uuid.uuid4().hex, role=a2a.ROLE_USER, parts=[a2a.Part(text=text)], **ids)
    return a2a.SendMessageRequest(message=said)


async def told(responses: Any, opened: trio.Event | None = None) -> tuple[list[str], str, str]:
    """Return the states of a stream, the text of its answer, and the task's id. Set `opened` once something came."""
    states, text, task = [], "", ""
    async for each in responses:
        if opened is not None:
            opened.set()
        kind = each.WhichOneof("payload")
        if kind == "task":
            task = each.task.id
            states.append(a2a.TaskState.Name(each.task.status.state))
        elif kind == "status_update":
            states.append(a2a.TaskState.Name(each.status_update.status.state))
        else:
            update = each.artifact_update
            fresh = "".join(part.text for part in update.artifact.parts)
            text = text + fresh if update.append else fresh
    return [state.removeprefix("TASK_STATE_") for state in states], text, task


async def test_the_stock_client_streams_a_task_and_goes_on_in_its_context(serve: Any) -> None:
    running = await serve(scripted(Call([("echo", {"text": "hi"})]), Say("one two")))
    with trio.fail_after(60):
        async with client(running, await new_token(running)) as agent:
            states, text, task_id = await told(agent.send_message(message("go")))
            assert (states[0], states[-1], text.strip()) == ("SUBMITTED", "COMPLETED", "one two")
            task = await agent.get_task(a2a.GetTaskRequest(id=task_id))
            assert task.artifacts[0].parts[0].text.strip() == "one two"
            again = message("more", context_id=task.context_id)
            assert (await told(agent.send_message(again)))[0][-1] == "COMPLETED"
            listed = await agent.list_tasks(a2a.ListTasksRequest(context_id=task.context_id))
            assert len(listed.tasks) == 2
            with pytest.raises(TaskNotFoundError):
                await agent.get_task(a2a.GetTaskRequest(id="none"))


async def test_the_stock_client_waits_for_a_task(serve: Any) -> None:
    running = await serve(scripted(Say("one two")))
    with trio.fail_after(60):
        async with client(running, await new_token(running), streaming=False) as agent:
            (each,) = [each async for each in agent.send_message(message("go"))]
            assert MessageToDict(each.task.status)["state"] == "TASK_STATE_COMPLETED"


async def test_the_stock_client_is_asked_for_consent(serve: Any) -> None:
    """The task asks for input, the reply goes on with it, and another client may subscribe to it."""
    turns = Call([("send_mail", {"to": "ann"})]), Say("It was sent.")
    running = await serve(scripted(*turns))
    with trio.fail_after(60):
        async with client(running, await new_token(running)) as agent:
            states, _, task_id = await told(agent.send_message(message("go")))
            assert states[-1] == "INPUT_REQUIRED"
            states, text, _ = await told(agent.send_message(message("allow", task_id=task_id)))
            assert (states[-1], text.strip()) == ("COMPLETED", "It was sent.")


async def test_the_stock_client_subscribes_again_and_cancels(serve: Any) -> None:
    gate = Gate(open_after=2)
    running = await serve(scripted(Say("one two three four", gate=gate)))
    token = await new_token(running)
    with trio.fail_after(60):
        async with client(running, token) as agent:
            async for each in agent.send_message(message("go")):
                if each.WhichOneof("payload") == "artifact_update":
                    task_id = each.artifact_update.task_id
                    break
            states, text, _ = await told(agent.subscribe(a2a.SubscribeToTaskRequest(id=task_id)), gate.opened)
            assert (states[-1], text.strip()) == ("COMPLETED", "one two three four")
            gate.opened = trio.Event()
            gate.open_after = 1
            async for each in agent.send_message(message("once more")):
                if each.WhichOneof("payload") == "artifact_update":
                    cancelled = await agent.cancel_task(a2a.CancelTaskRequest(id=each.artifact_update.task_id))
                    assert cancelled.status.state == a2a.TASK_STATE_CANCELED
                    break


async def test_a_bad_request_is_an_error_of_json_rpc(serve: Any) -> None:
    running = await serve(scripted(Say("one")))
    token = await new_token(running)
    expected = {
        b"{": -32602, b"[]": -32600, b'{"method": "Dance"}': -32601, b'{"method": "SendMessage", "params": {}}': -32602,
        b'{"method": "GetTask", "params": {"id": 5}}': -32602, b'{"method": "SendMessage", "params": []}': -32600,
        b'{"method": "CreateTaskPushNotificationConfig", "params": {"taskId": "none"}}': -32001,
        b'{"method": "SendMessage", "params": {"configuration": []}}': -32602,
    }  # fmt: skip
    for body, code in expected.items():
        status, _, answer = await request(running.address, "POST", "/a2a/script", token=token, body=body)
        assert (status, answer["error"]["code"]) == (200, code), (body, answer)
    status, _, answer = await request(
        running.address, "POST", "/a2a/nobody", token=token, body=b'{"method": "GetTask"}'
    )
    assert answer["error"]["message"] == "There is no agent of that name."
    assert (await request(running.address, "POST", "/a2a/script", body=b"{}"))[0] == 401
