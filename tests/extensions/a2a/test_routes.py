"""The stock A2A client (`a2a-sdk` from PyPI) against a server."""

import json
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from a2a.types import a2a_pb2 as a2a
from a2a.utils.errors import TaskNotFoundError
from google.protobuf.json_format import MessageToDict

from tests.rigs.a2a_client import client, message, told
from tests.rigs.http import new_token, request
from tests.rigs.permissions import add, start
from tests.rigs.scripted_model import TOOLS, Call, Gate, Say, ScriptedModel, scripted
from understudy import Agent, AgentTurn
from understudy.app.server import Running

pytestmark = pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")


async def test_the_stock_client_streams_a_task_and_goes_on_in_its_context(serve: Any) -> None:
    running = await serve(scripted(Call([("echo", {"text": "hi"})]), Say("one two")))
    with trio.fail_after(60):
        async with client(running, await new_token(running)) as agent:
            states, text, task_id = await told(agent.send_message(message("go")))
            assert (states[-1], text.strip()) == ("COMPLETED", "one two")
            task = await agent.get_task(a2a.GetTaskRequest(id=task_id))
            assert task.artifacts[0].parts[0].text.strip() == "one two"
            again = message("more", context_id=task.context_id)
            assert (await told(agent.send_message(again)))[0][-1] == "COMPLETED"
            assert len((await agent.list_tasks(a2a.ListTasksRequest(context_id=task.context_id))).tasks) == 2
            with pytest.raises(TaskNotFoundError):
                await agent.get_task(a2a.GetTaskRequest(id="none"))


async def test_the_stock_client_waits_for_a_task(serve: Any) -> None:
    running = await serve(scripted(Say("one two")))
    with trio.fail_after(60):
        async with client(running, await new_token(running), streaming=False) as agent:
            (answer,) = [event async for event in agent.send_message(message("go"))]
            assert MessageToDict(answer.task.status)["state"] == "TASK_STATE_COMPLETED"


async def test_the_stock_client_is_asked_for_consent(serve: Any) -> None:
    turns = Call([("send_mail", {"to": "ann"})]), Say("It was sent.")
    running = await serve(scripted(*turns))
    with trio.fail_after(60):
        async with client(running, await new_token(running)) as agent:
            states, _, task_id = await told(agent.send_message(message("go")))
            assert states[-1] == "INPUT_REQUIRED"
            states, text, _ = await told(agent.send_message(message("allow", task_id=task_id)))
            assert (states[-1], text.strip()) == ("COMPLETED", "It was sent.")


async def test_only_a_yes_or_a_no_decides(serve_guest: Any) -> None:
    async def pay(turn: AgentTurn) -> None:
        await turn.say(str(await turn.call("send_mail", to="ann")))

    running, token = await serve_guest(Agent("script", run=pay, tools=TOOLS))
    replies = {
        "COMPLETED": (
            {"text": "Yes, please."},
            {"text": "OK"},
            {"data": {"decision": True}},
            {"data": {"approved": True}},
        ),
        "FAILED": ({"text": "No, that is too much."}, {"data": {"decision": "deny"}}, {"data": {"approved": False}}),
    }
    for state, parts in replies.items():
        for part in parts:
            sent = {"parts": [{"text": "go"}], "messageId": uuid.uuid4().hex}
            task = (await rpc(running, token, "SendMessage", {"message": sent}))["result"]["task"]
            for unclear in ("what is that?", "No problem", "Yes, but only one"):
                unclear_reply = {"message": OK | {"taskId": task["id"], "parts": [{"text": unclear}]}}
                assert failure(await rpc(running, token, "SendMessage", unclear_reply)) == (-32602, "INVALID_PARAMS")
            malformed_reply = {"message": OK | {"taskId": task["id"], "parts": [part]}}
            answer = await rpc(running, token, "SendMessage", malformed_reply)
            assert answer["result"]["task"]["status"]["state"] == f"TASK_STATE_{state}", part


async def test_the_stock_client_subscribes_again_and_cancels(serve_guest: Any) -> None:
    gate = Gate(open_after=2)
    running, token = await serve_guest(scripted(Say("one two three four", gate=gate)))
    with trio.fail_after(60):
        async with client(running, token) as agent:
            async for event in agent.send_message(message("go")):
                if event.WhichOneof("payload") == "artifact_update":
                    task_id = event.artifact_update.task_id
                    break
            states, text, _ = await told(agent.subscribe(a2a.SubscribeToTaskRequest(id=task_id)), gate.opened)
            assert (states[-1], text.strip()) == ("COMPLETED", "one two three four")
            gate.opened = trio.Event()
            gate.open_after = 1
            async for event in agent.send_message(message("once more")):
                if event.WhichOneof("payload") == "artifact_update":
                    cancelled = await agent.cancel_task(a2a.CancelTaskRequest(id=event.artifact_update.task_id))
                    assert cancelled.status.state == a2a.TASK_STATE_CANCELED
                    break


OK = {"parts": [{"text": "go"}], "messageId": "m"}
UNKNOWN = "none"
OF_TASK = ("GetTask", "CancelTask", "SubscribeToTask")
CONFIG = "TaskPushNotificationConfig"
OF_PUSH = (f"Create{CONFIG}", f"Get{CONFIG}", f"List{CONFIG}s", f"Delete{CONFIG}")
SENDING = ("SendMessage", "SendStreamingMessage")
METHODS = (*OF_TASK, *OF_PUSH, *SENDING, "ListTasks", "GetExtendedAgentCard")


async def rpc(
    running: Running, token: str, method: str = "", params: Any = None, *, body: bytes = b"", **more: Any
) -> dict[str, Any]:
    """Return the response to a request of JSON-RPC."""
    payload = body or json.dumps({"jsonrpc": "2.0", "id": 7, "method": method, "params": params or {}}).encode()
    more.setdefault("headers", {"A2A-Version": "1.0"})
    status, _, answer = await request(
        running.address, "POST", more.pop("path", "/a2a/script"), token=token, body=payload, **more
    )
    assert status == 200, answer
    return answer if isinstance(answer, dict) else json.loads(answer.split("data: ")[1])


def failure(answer: dict[str, Any]) -> tuple[int, str]:
    """Return code and reason of an error, which has a sentence, and names the domain of the protocol."""
    error = answer["error"]
    assert "thread_id" not in error["message"], "no field of the protocol"
    (info,) = error["data"]
    assert (info["domain"], error["message"][-1]) == ("a2a-protocol.org", ".")
    return error["code"], info["reason"]


def sending(**message: Any) -> list[tuple[str, Any]]:
    return [(method, {"message": OK | message}) for method in SENDING]


REFUSED: list[tuple[tuple[int, str], list[tuple[str, Any]]]] = [
    ((-32001, "TASK_NOT_FOUND"), [
        *((method, {"id": UNKNOWN}) for method in OF_TASK),
        *((method, {"taskId": UNKNOWN, "url": "https://example.com/"}) for method in OF_PUSH),
        *sending(taskId=UNKNOWN),
    ]),
    ((-32004, "UNSUPPORTED_OPERATION"), [("GetExtendedAgentCard", {})]),
    ((-32005, "CONTENT_TYPE_NOT_SUPPORTED"), [
        case for part in ({"raw": "dGNr"}, {"url": "https://example.com/a.png", "mediaType": "image/png"},
                          {"text": "x", "mediaType": "application/x-other"}, {"data": 1, "mediaType": "image/png"})
        for case in sending(parts=[{"text": "see"}, part])
    ]),
    ((-32601, "METHOD_NOT_FOUND"), [("Dance", {}), ("message/send", {})]),
    ((-32602, "INVALID_PARAMS"), [
        *((method, params) for method in SENDING for params in (
            {}, [], {"message": "x"}, {"message": OK, "configuration": []},
            {"message": OK, "configuration": {"historyLength": -1}},
        )),
        *sending(parts=[{}]), *sending(parts="x"), *sending(parts=[]), *sending(metadata=[]), *sending(messageId=5),
        *sending(metadata={"references": ["none"]}), *sending(messageId="urn:a/b"), *sending(messageId="x" * 129),
        *sending(contextId=5), *((method, {"id": 5}) for method in OF_TASK),
        ("GetTask", {"id": UNKNOWN, "historyLength": "x"}),
        *(("ListTasks", params) for params in (
            {"pageSize": 0}, {"pageSize": 101}, {"pageToken": "x"}, {"status": "completed"}, {"historyLength": -1},
            {"statusTimestampAfter": "today"},
        )),
    ]),
]  # fmt: skip
MALFORMED = {
    b"{": (-32700, "JSON_PARSE"),
    b"[]": (-32600, "INVALID_REQUEST"),
    b'{"method": "GetTask"}': (-32600, "INVALID_REQUEST"),
    b'{"jsonrpc": "2.0", "method": 5}': (-32600, "INVALID_REQUEST"),
    b'{"jsonrpc": "2.0", "id": {}, "method": "ListTasks"}': (-32600, "INVALID_REQUEST"),
    b'{"jsonrpc": "2.0", "method": "ListTasks", "params": []}': (-32602, "INVALID_PARAMS"),
}


async def test_each_refusal_is_an_error_of_the_protocol(serve_guest: Any) -> None:
    running, token = await serve_guest(scripted(Say("one")))
    for expected, cases in REFUSED:
        for method, params in cases:
            answer = await rpc(running, token, method, params)
            assert (failure(answer), answer["id"]) == (expected, 7), (method, params)
    for body, expected in MALFORMED.items():
        assert failure(await rpc(running, token, body=body)) == expected, body
    plain = await rpc(running, token, "GetTask", {"id": UNKNOWN}, content_type="text/plain")
    assert failure(plain) == (-32005, "CONTENT_TYPE_NOT_SUPPORTED")
    for method in METHODS:
        for version in ({}, {"A2A-Version": "99.0"}, {"A2A-Version": "0.3"}, {"A2A-Version": "1.1"}):
            assert failure(await rpc(running, token, method, headers=version)) == (-32009, "VERSION_NOT_SUPPORTED")
    for more in ({"headers": {"A2A-Version": "1.0.1"}}, {"path": "/a2a/script?A2A-Version=1.0", "headers": {}}):
        assert (await rpc(running, token, "ListTasks", **more))["result"]["tasks"] == []
    answer = await rpc(running, token, "ListTasks", path="/a2a/nobody")
    assert answer["error"]["message"] == "There is no agent of that name."
    assert (await rpc(running, token, "ListTasks", path="/a2a/script/"))["result"]["totalSize"] == 0
    assert (await request(running.address, "POST", "/a2a/script", body=b"{}"))[0] == 401


async def test_a_message_is_text_and_data_of_any_kind(serve_guest: Any) -> None:
    async def repeat(turn: AgentTurn) -> None:
        await turn.say(turn.message)

    running, token = await serve_guest(Agent("script", run=repeat))
    kinds = (
        [{"data": {"a": 1}}], [{"data": ["a", "b"]}], [{"data": None}], [{"data": 5}, {"data": "x"}],
        [{"data": ["a"], "mediaType": "application/json"}], [{"text": "see", "mediaType": "Text/Plain; charset=x"}],
    )  # fmt: skip
    for number, parts in enumerate(kinds):
        message = {"messageId": str(number), "role": "ROLE_USER", "parts": parts}
        task = (await rpc(running, token, "SendMessage", {"message": message}))["result"]["task"]
        assert task["status"]["state"] == "TASK_STATE_COMPLETED"
        (stored,) = task["history"]
        sent = [{name: value for name, value in part.items() if name != "mediaType"} for part in parts]
        assert (stored["messageId"], stored["role"], stored["parts"]) == (str(number), "ROLE_USER", sent)
        read = "\n".join(part.get("text") or json.dumps(part["data"]) for part in sent)
        assert task["artifacts"][0]["parts"] == [{"text": read}]


async def test_tasks_are_listed_by_state_time_and_page(serve_guest: Any) -> None:
    running, token = await serve_guest(scripted(Call([("send_mail", {"to": "ann"})]), Say("It was sent.")))

    async def listed(**params: Any) -> tuple[list[str], int]:
        answer = (await rpc(running, token, "ListTasks", params))["result"]
        if answer["nextPageToken"]:
            more, total = await listed(**params | {"pageToken": answer["nextPageToken"]})
            assert (total, len(answer["tasks"])) == (answer["totalSize"], answer["pageSize"])
            return [task["id"] for task in answer["tasks"]] + more, total
        return [task["id"] for task in answer["tasks"]], answer["totalSize"]

    tasks = []
    for name in ("a", "b", "c", "d", "e"):
        request_params = {"message": OK | {"messageId": name, "contextId": name}}
        tasks.append((await rpc(running, token, "SendMessage", request_params))["result"]["task"])
    ids = [task["id"] for task in tasks]
    for number in (0, 1):
        message = {"messageId": f"r{number}", "parts": [{"text": "allow"}], "taskId": ids[number]}
        await rpc(running, token, "SendMessage", {"message": message})
    await rpc(running, token, "CancelTask", {"id": ids[2]})
    changed = [ids[place] for place in (2, 1, 0, 4, 3)]  # last changed first
    for size in (1, 2, 5, 50):
        assert await listed(pageSize=size) == (changed, 5)
    states = {"COMPLETED": changed[1:3], "CANCELED": changed[:1], "INPUT_REQUIRED": changed[3:], "WORKING": []}
    for state, some in states.items():
        assert await listed(status=f"TASK_STATE_{state}", pageSize=1) == (some, len(some))
    assert await listed(contextId="b") == ([ids[1]], 1)
    assert await listed(statusTimestampAfter=tasks[4]["status"]["timestamp"]) == (changed[:4], 4)
    assert await listed(statusTimestampAfter="2999-01-01T00:00:00Z") == ([], 0)


async def test_a_task_that_waits_is_subscribed_to_until_its_end(serve_guest: Any) -> None:
    """Its question and the reply are messages of the task; one that has ended takes neither a message nor a stop."""
    running, token = await serve_guest(scripted(Call([("send_mail", {"to": "ann"})]), Say("It was sent.")))
    with trio.fail_after(60):
        async with client(running, token) as agent, trio.open_nursery() as nursery:
            _, _, task_id = await told(agent.send_message(message("go")))
            question_sent, updates = trio.Event(), []

            async def listen() -> None:
                updates.extend((await told(agent.subscribe(a2a.SubscribeToTaskRequest(id=task_id)), question_sent))[0])

            nursery.start_soon(listen)
            await question_sent.wait()
            await told(agent.send_message(message("allow", task_id=task_id)))
        assert (updates[0], updates[-1]) == ("INPUT_REQUIRED", "COMPLETED")
        assert "WORKING" in updates
        conversation = ["go", "May send_mail be called? Reply with allow or deny.", "allow"]
        for length, texts in ((None, conversation), (5, conversation), (1, conversation[2:]), (0, [])):
            history = {} if length is None else {"historyLength": length}
            task = (await rpc(running, token, "GetTask", {"id": task_id, **history}))["result"]
            assert [past["parts"][0]["text"] for past in task.get("history", [])] == texts
        for method, expected in (("CancelTask", -32002), ("SubscribeToTask", -32004)):
            assert failure(await rpc(running, token, method, {"id": task_id}))[0] == expected
        for method in SENDING:
            assert failure(await rpc(running, token, method, {"message": OK | {"taskId": task_id}}))[0] == -32004
            other = {"message": OK | {"taskId": task_id, "contextId": "another"}}
            assert failure(await rpc(running, token, method, other))[0] == -32602


async def test_a_file_that_an_agent_made_is_a_part_with_its_address(serve_guest: Any) -> None:
    async def work(turn: AgentTurn) -> None:
        await turn.files.save("out.csv", "text/csv", b"x,y")

    running, token = await serve_guest(Agent("script", run=work))
    answer = await rpc(running, token, "SendMessage", {"message": OK})
    (part,) = answer["result"]["task"]["artifacts"][0]["parts"]
    assert (part["filename"], part["mediaType"]) == ("out.csv", "text/csv")
    path = part["url"].removeprefix(running.address)
    assert (await request(running.address, "GET", path, token=token))[2] == b"x,y"


async def test_a_failed_task_has_its_text_whenever_it_is_read(serve_guest: Any) -> None:
    async def work(turn: AgentTurn) -> None:
        await turn.say("half ")
        raise ValueError

    running, token = await serve_guest(Agent("script", run=work))
    task = (await rpc(running, token, "SendMessage", {"message": OK}))["result"]["task"]
    assert task["artifacts"][0]["parts"] == [{"text": "half "}]
    assert (await rpc(running, token, "GetTask", {"id": task["id"]}))["result"] == task


async def test_a_card_is_asked_for_again_only_if_it_has_changed(serve: Any) -> None:
    running = await serve(scripted(Say("one")))
    for path in ("/.well-known/agent-card.json", "/a2a/script/.well-known/agent-card.json"):
        _, headers, _ = await request(running.address, "GET", path)
        assert "max-age" in headers["cache-control"]
        async with httpx.AsyncClient(base_url=running.address) as http:
            assert (await http.get(path, headers={"If-None-Match": headers["etag"]})).status_code == 304
            assert (await http.get(path, headers={"If-None-Match": '"another"'})).status_code == 200


async def test_the_card_of_an_agent_with_a_rule_is_not_public(serve: Any, rules: Path) -> None:
    add(rules, '[agents]\ndesk = ["group:staff"]')
    front, desk = (Agent(name, model=ScriptedModel(Say("hi"))) for name in ("front", "desk"))
    running = await start(serve, rules, front, desk)
    for name, expected in (("front", 200), ("desk", 404)):
        path = f"/a2a/{name}/.well-known/agent-card.json"
        assert (await request(running.address, "GET", path))[0] == expected
