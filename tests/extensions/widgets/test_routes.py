"""Calls that the user interface of an MCP server's tool asks for: as messages of its own thread alone."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.rigs.caller import Caller
from tests.rigs.chat_client import ChatClient, check_arc, connected
from tests.rigs.http import new_token, request
from tests.rigs.scripted_model import Call, Say, ScriptedModel
from understudy import Agent, mcp
from understudy.extensions.widgets.settings import WidgetSettings
from understudy.models.model import MessageItem
from understudy.storage.limits import Limits

pytestmark = pytest.mark.filterwarnings("ignore:Async generator '(httpx2|httpcore):ResourceWarning")
SERVER = Path(__file__).resolve().parents[2] / "servers" / "mcp_widget.py"
ORIGIN = "http://widgets.example.org"
SHOWN = {WidgetSettings: WidgetSettings(ORIGIN)}
NO_WIDGET = "There is no such widget, or this server shows none."


class Player(Caller):
    """A user whose agent has called the tool with a user interface once, in the thread `t`."""

    call_id = ""

    async def play(self) -> None:
        """Have the tool called, once its server has started, for which a run waits only so long."""
        async with connected(self.running.address, self.token) as client:
            await client.ask("go", agent_type="dice", thread_id="before")
            with trio.fail_after(60):
                while (await self.get("/api/threads/before/servers"))["servers"][0]["state"] != "ready":  # noqa: ASYNC110
                    await trio.sleep(0.1)
            await client.say("go", agent_type="dice", thread_id="t")
            self.call_id = (await client.until("tool_completed", tool_name="dice_roll", status="ok"))["data"]["call_id"]
            await client.until_end()

    async def ask(self, name: str, status: int = 202, *, thread: str = "t", **more: Any) -> Any:
        body = {"call_id": self.call_id, "name": name, "arguments": {}, "request_id": name} | more
        return await self.post(f"/api/threads/{thread}/widget/calls", status, **body)

    async def events_of(self, run_id: str) -> list[dict[str, Any]]:
        await self.ended(run_id)
        events: list[dict[str, Any]] = (await self.get(f"/api/runs/{run_id}/events"))["events"]
        check_arc(events)
        return events

    async def result(self, run_id: str) -> Any:
        (completed,) = [event["data"] for event in await self.events_of(run_id) if event["type"] == "tool_completed"]
        return completed


def dice() -> Agent:
    """Return an agent whose model rolls once for each message, and answers."""
    model = ScriptedModel(Call([("dice_roll", {})]), Say("Rolled"))
    return Agent("dice", tools=[mcp([sys.executable, str(SERVER)], name="dice")], model=model)


@pytest.fixture
async def player(serve: Any) -> Player:
    running = await serve(dice(), own=SHOWN)
    new_player = Player(running, await new_token(running))
    await new_player.play()
    return new_player


async def test_a_widget_calls_the_tools_that_its_server_lets_it_call(player: Player) -> None:
    """The call is a message and a run of the thread, made once; models have no tool that is for the widget alone."""
    shown = await player.get(f"/api/threads/t/widget?call_id={player.call_id}")
    assert (shown["frame"], shown["arguments"], shown["result"]) == (f"{ORIGIN}/widgets/frame", {}, {"result": "four"})
    first = await player.ask("tally", arguments={"more": 3})
    assert await player.ask("tally", arguments={"more": 3}) == first
    events = await player.events_of(first["run_id"])
    accepted = events[0]["data"]
    assert accepted["message_id"] == first["message_id"] == "widget-tally"
    assert accepted["settings"] == {"tool": "dice_tally", "widget": {"server": "dice", "call_id": player.call_id}}
    assert (accepted["content"], accepted["context"]) == ("Call dice_tally.", {"more": 3})
    completed = await player.result(first["run_id"])
    assert (completed["status"], completed["result"]) == ("ok", {"count": 3})
    assert (await player.result((await player.ask("roll"))["run_id"]))["status"] == "ok"
    host = (await player.result((await player.ask("host"))["run_id"]))["result"]
    assert host["io.modelcontextprotocol/ui"] == {"mimeTypes": ["text/html;profile=mcp-app"]}
    messages = (await player.get("/api/threads/t/messages"))["messages"]
    contents = [message["content"] for message in messages]
    assert contents == [
        "go",
        "Rolled ",
        *(part for tool in ("tally", "roll", "host") for part in (f"Call dice_{tool}.", "")),
    ]


async def test_a_widget_is_refused_what_is_not_its_own(player: Player) -> None:
    for name in ("peek", "dice_tally", "nothing", ""):
        refused = await player.ask(name, 404, request_id="1")
        assert "has no tool of that name" in refused["error"]["message"], name
    for forged in ("", "nothing", "x" * 200):
        assert (await player.ask("tally", 404, call_id=forged))["error"]["message"] == NO_WIDGET
    other = (await player.ask("tally"))["run_id"]
    call = (await player.result(other))["call_id"]
    await player.ask("tally", 404, call_id=call, request_id="2")  # its tool has no user interface
    await player.ask("tally", 404, thread="elsewhere")
    await player.ask("tally", 400, arguments=[1])
    await player.ask("tally", 400, request_id="answer-1")
    await player.ask("tally", 413, request_id="3", arguments={"more": "x" * 40_000})
    await player.ask("tally", 413, request_id="4", arguments={"more": "x" * 70_000})
    assert (await request(player.running.address, "POST", "/api/threads/t/widget/calls", body=b"{}"))[0] == 401
    stranger = Player(player.running, await new_token(player.running))
    stranger.call_id = player.call_id
    await stranger.ask("tally", 404)
    await stranger.play()
    await stranger.ask("tally", 404, call_id=player.call_id)  # in a thread of their own
    assert (await stranger.get(f"/api/threads/t/widget?call_id={player.call_id}", 404))["error"]["message"] == NO_WIDGET


async def test_a_client_cannot_send_the_setting_of_a_widget(player: Player) -> None:
    async with connected(player.running.address, player.token) as client:
        await client.say("go", agent_type="dice", settings={"tool": "dice_tally"}, context={})
        assert (await client.until_end())["data"]["code"] == "invalid_command"
        widget = {"server": "dice", "call_id": player.call_id}
        await client.ask("go", agent_type="dice", settings={"widget": widget, "max_turns": 1}, context={})
        (accepted,) = [event for event in client.durable() if event["type"] == "message_accepted"]
        assert accepted["data"]["settings"] == {"max_turns": 1}


async def test_consent_is_asked_for_as_when_the_agent_calls(player: Player) -> None:
    async with connected(player.running.address, player.token) as client:
        await client.send({"type": "resume", "threads": {"t": 0}})

        async def bet(number: int, **decision: Any) -> dict[str, Any]:
            more = {"arguments": {"stake": number, "name": "ada"}, "request_id": str(number)}
            run_id = (await player.ask("bet", **more))["run_id"]
            if decision:
                required = await asked_in(client, run_id)
                assert required["parameters"] == more["arguments"]
                await client.send({"type": "approve", "call_id": required["call_id"], **decision})
            return await player.result(run_id)

        assert (await bet(1, decision="allow"))["result"] == {"staked": 1, "for": "ada"}
        denied = await bet(2, decision="deny", note="Too much")
        assert (denied["status"], denied["result_summary"]) == ("denied", "Not allowed: Too much")
        assert (await bet(3, decision="allow", remember=True))["status"] == "ok"
        assert (await bet(4))["status"] == "ok"
    assert [row["tool_name"] for row in (await player.get("/api/threads/t/consents"))["consents"]] == ["dice_bet"]


async def asked_in(client: ChatClient, run_id: str) -> dict[str, Any]:
    """Return the request for approval of a run; read up to it."""
    while True:
        for event in client.seen:
            if event["type"] == "approval_required" and event["run_id"] == run_id:
                return dict(event["data"])
        await client.read()


async def test_a_flood_leaves_room_for_messages(serve: Any) -> None:
    running = await serve(dice(), own=SHOWN)
    player = Player(running, await new_token(running))
    await player.play()
    async with connected(running.address, player.token) as client:
        await client.send({"type": "resume", "threads": {"t": 0}})
        first = [(await player.ask("bet", arguments={"stake": stake}, request_id=f"a{stake}")) for stake in range(4)]
        assert (await player.ask("bet", 503, arguments={"stake": 9}, request_id="b"))["error"]["code"] == "busy"
        await client.say("hello", agent_type="dice", thread_id="t", message_id="m")
        while (event := await client.read())["type"] != "message_accepted" or event["data"]["message_id"] != "m":
            pass
        for begun in first:
            required = await asked_in(client, begun["run_id"])
            await client.send({"type": "approve", "call_id": required["call_id"], "decision": "deny"})
            await player.ended(begun["run_id"])
        while (final := await client.until_end())["message_id"] != "m":
            pass
        assert final["data"]["message"] == "Rolled "


async def test_calls_have_a_rate_of_their_own(serve: Any) -> None:
    running = await serve(dice(), own=SHOWN, limits=Limits(operations_per_minute=1))
    player = Player(running, await new_token(running))
    await player.play()
    await player.ask("tally", request_id="1")
    assert (await player.ask("tally", 429, request_id="2"))["error"]["code"] == "rate_limited"
    await player.post("/api/runs", message="go", agent="dice")


async def test_no_call_is_made_in_a_chat_that_is_archived_deleted_or_without_the_server(
    player: Player,
) -> None:
    await change(player, "PATCH", "/api/threads/t", {"archived": True})
    assert (await player.ask("tally", 403))["error"]["code"] == "forbidden"
    await player.get(f"/api/threads/t/widget?call_id={player.call_id}")
    await change(player, "PATCH", "/api/threads/t", {"archived": False})
    await player.result((await player.ask("tally"))["run_id"])
    await change(player, "PUT", "/api/threads/t/servers/dice", {"on": False})
    await player.ask("tally", 404, request_id="2")
    await change(player, "PUT", "/api/threads/t/servers/dice", {"on": True})
    stranger = Player(player.running, await new_token(player.running))
    stranger.call_id = player.call_id
    await stranger.ask("tally", 404)
    await change(player, "DELETE", "/api/threads/t", None, 204)
    await player.ask("tally", 404, request_id="3")


async def change(player: Player, method: str, path: str, body: dict[str, Any] | None, status: int = 200) -> None:
    payload = b"" if body is None else json.dumps(body).encode()
    answered, _, answer = await request(player.running.address, method, path, token=player.token, body=payload)
    assert answered == status, answer


async def test_a_server_without_the_setting_shows_and_calls_nothing(serve: Any) -> None:
    running = await serve(dice())
    player = Player(running, await new_token(running))
    await player.play()
    await player.ask("tally", 404)
    await player.get(f"/api/threads/t/widget?call_id={player.call_id}", 404)


async def test_models_are_not_given_what_widgets_did(serve: Any) -> None:
    agent = dice()
    running = await serve(agent, own=SHOWN)
    player = Player(running, await new_token(running))
    await player.play()
    await player.result((await player.ask("tally"))["run_id"])
    async with connected(running.address, player.token) as client:
        await client.ask("again", agent_type="dice", thread_id="t")
    assert len(agent.model.inputs) == 6
    turn = agent.model.inputs[-1]
    offered = {tool.name for tool in turn.tools}
    assert offered == {"dice_roll", "dice_bet", "dice_peek", "list_resources", "read_resource"}
    items = [item for item in turn.items if isinstance(item, MessageItem)]
    assert [(item.role, item.content) for item in items] == [
        ("user", "go"),
        ("assistant", "Rolled "),
        ("user", "again"),
    ]
    assert not [item for item in turn.items if "tally" in str(item)]
