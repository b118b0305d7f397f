"""Tools, models and budgets by group: a denial is a sentence with a code, and changes count from the next turn on."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.mcp_demo_agent import demo
from tests.rigs.caller import Caller
from tests.rigs.chat_client import connected
from tests.rigs.eager_agent import Eager
from tests.rigs.eager_agent import agent as eager
from tests.rigs.http import get, request
from tests.rigs.permissions import CALLED, OTHER, STAFF, add, answer, payout, start, until
from tests.rigs.permissions import rules as rules
from tests.rigs.scripted_model import Call, Gate, Hand, Say, ScriptedModel
from tests.rigs.tokens import token
from understudy import Agent, tool
from understudy.app.server import Running, serve_app
from understudy.app.settings import Settings
from understudy.extensions.permissions.rules import BadRules
from understudy.extensions.permissions.settings import PermissionSettings


@tool(approval=True)
async def mail() -> str:
    """Send."""
    CALLED.append("mail")
    return "sent"


class Named(ScriptedModel):
    def __init__(self, name: str, *turns: Any) -> None:
        super().__init__(*turns)
        self.name = name


def results(events: list[dict[str, Any]]) -> list[Any]:
    return [event["data"]["result"] for event in events if event["type"] == "tool_completed"]


@pytest.mark.promise("wire.tool-allowed")
async def test_a_tool_is_not_called_for_those_it_does_not_allow(serve: Any, rules: Path) -> None:
    model = ScriptedModel(Call([("payout", {})]), Say("done"))
    running = await start(serve, rules, Agent("desk", model=model, tools=[payout]))
    shown = []
    for who in (STAFF, OTHER):
        agents = await get(running, "/api/agents", who)
        tools = await get(running, "/api/tools", who)
        shown.append((agents["agents"][0]["tools"], [row["name"] for row in tools["tools"]]))
    assert shown == [(["payout"], ["payout"]), ([], [])]
    assert results(await answer(running, STAFF, "desk")) == ["paid"]
    (denied,) = results(await answer(running, OTHER, "desk"))
    assert denied["error"]["code"] == "forbidden"
    sentence = "Your user may not use the tool payout: this server allows it to other users only."
    assert denied["error"]["message"] == sentence
    assert CALLED == ["payout"]
    assert [[card.name for card in turn.tools] for turn in model.inputs] == [["payout"], ["payout"], [], []]


@pytest.mark.promise("wire.tool-allowed")
async def test_a_tool_is_refused_at_the_other_doors_too(serve: Any, rules: Path) -> None:
    model = ScriptedModel(Call([("payout", {})]), Say("done"))
    desk = Agent("desk", model=model, tools=[payout])
    front = Agent(
        "front", model=ScriptedModel(Call([("ask_desk", {"request": "pay"})]), Say("ok")), tools=[desk.as_tool()]
    )
    first = Agent("first", model=ScriptedModel(Hand("desk")), colleagues=["desk"])
    running = await start(serve, rules, desk, front, first)
    async with connected(running.address, OTHER) as client:
        await client.say("go", agent_type="desk", settings={"tool": "payout"})
        assert (await client.until("error"))["data"]["code"] == "invalid_command"
    for name in ("front", "first"):
        denied = [result for result in results(await answer(running, OTHER, name)) if isinstance(result, dict)]
        assert [refusal["error"]["code"] for refusal in denied] == ["forbidden"]
    assert CALLED == []


async def test_a_user_who_leaves_a_group_has_other_tools_from_the_next_message_on(serve: Any, rules: Path) -> None:
    model = ScriptedModel(Call([("payout", {})]), Say("done"))
    running = await start(serve, rules, Agent("desk", model=model, tools=[payout]))
    assert results(await answer(running, STAFF, "desk", thread_id="t")) == ["paid"]
    left = token("ada", groups=["alumni"])
    (denied,) = results(await answer(running, left, "desk", thread_id="t"))
    assert denied["error"]["code"] == "forbidden"
    assert CALLED == ["payout"]


async def test_an_agent_with_a_rule_is_not_shown_to_others(serve: Any, rules: Path) -> None:
    """A rule is as good as the agent's own list."""
    add(rules, '[agents]\ndesk = ["group:staff"]')
    front, desk = (Agent(name, model=ScriptedModel(Say("hi"))) for name in ("front", "desk"))
    running = await start(serve, rules, front, desk)
    shown = {agent["name"] for agent in (await get(running, "/api/agents", OTHER))["agents"]}
    assert shown & {"front", "desk"} == {"front"}
    async with connected(running.address, OTHER) as client:
        assert (await client.ask("go", agent_type="desk", until="error"))["data"]["code"] == "unknown_agent_type"
    assert (await answer(running, STAFF, "desk"))[-1]["data"]["message"].strip() == "hi"


async def test_a_change_of_the_file_counts_from_the_next_turn_on(serve: Any, rules: Path) -> None:
    gate = Gate()
    model = ScriptedModel(Call([("mail", {})]), Say("done", gate))
    running = await start(serve, rules, Agent("desk", model=model, tools=[mail, payout]))
    async with connected(running.address, OTHER) as client:
        required = await client.ask("go", agent_type="desk", until="approval_required")
        add(rules, '[tools]\nmail = ["group:staff"]')
        await until(partial(in_force, running, OTHER, []))
        await client.send({"type": "approve", "call_id": required["data"]["call_id"], "decision": "allow"})
        assert (await client.until("tool_completed"))["data"]["result"]["error"]["code"] == "forbidden"
        assert CALLED == []
        await gate.reached.wait()
        assert [card.name for card in model.inputs[-1].tools] == []
        add(rules, "")
        await until(partial(in_force, running, OTHER, ["mail"]))
        gate.opened.set()
        await client.until_end()


async def in_force(running: Running, who: str, tools: list[str]) -> bool:
    agents = await get(running, "/api/agents", who)
    shown: list[str] = agents["agents"][0]["tools"]
    return shown == tools


@pytest.mark.promise("wire.model-allowed")
async def test_a_model_is_for_those_whom_the_file_allows(serve: Any, rules: Path) -> None:
    add(rules, '[models]\nbig = ["group:staff"]')
    expert = Agent("expert", model=Named("big", Say("from the expert")))
    front = Agent("front", model=Named("small", Hand("expert")), colleagues=["expert"])
    asking = Agent(
        "asking", model=Named("small", Call([("ask_expert", {"request": "?"})]), Say("ok")), tools=[expert.as_tool()]
    )
    running = await start(serve, rules, front, expert, asking)
    assert (await answer(running, STAFF, "expert"))[-1]["data"]["message"].strip() == "from the expert"
    sentence = "You may not use the model big: this server allows it to other users only."
    async with connected(running.address, OTHER) as client:
        refused = (await client.ask("go", agent_type="expert", thread_id="t", until="error"))["data"]
    assert (refused["code"], refused["message"], refused["retryable"]) == ("forbidden", sentence, False)
    assert (await request(running.address, "GET", "/api/threads", token=OTHER))[2]["threads"] == []
    ended = (await answer(running, OTHER, "front"))[-1]
    assert (ended["type"], ended["data"]["code"], ended["data"]["message"]) == ("error", "forbidden", sentence)
    (denied,) = results(await answer(running, OTHER, "asking"))
    assert (denied["error"]["code"], denied["error"]["message"]) == ("forbidden", sentence)


async def test_a_model_that_is_taken_away_is_not_asked_for_the_next_turn(serve: Any, rules: Path) -> None:
    gate = Gate()

    @tool(on_server_loop=True)
    async def pause() -> str:
        """Wait for the test."""
        gate.reached.set()
        await gate.opened.wait()
        return ""

    model = Named("big", Call([("pause", {})]), Say("done"))
    running = await start(serve, rules, Agent("desk", model=model, tools=[pause]))
    async with connected(running.address, OTHER) as client, connected(running.address, OTHER) as other:
        await client.say("go", agent_type="desk")
        await gate.reached.wait()
        add(rules, '[models]\nbig = ["group:staff"]\n[tools]\npause = ["group:staff"]')
        await until(partial(in_force, running, OTHER, []))
        assert (await other.ask("go", agent_type="desk", until="error"))["data"]["code"] == "forbidden"
        gate.opened.set()
        ended = await client.until_end()
    assert (ended["type"], ended["data"]["code"]) == ("error", "forbidden")
    assert len(model.inputs) == 1


@pytest.mark.promise("wire.group-budget")
async def test_members_of_a_group_may_spend_more(serve: Any, rules: Path) -> None:
    """A turn of 15 tokens: others end after three turns of 45 tokens a day, members after five of 75 a month.

    A member's budget is each member's own, and is raised while the run is at work.
    """
    add(rules, '[budgets."group:staff"]\ntokens_per_day = 1000\ntokens_per_month = 75')
    limits = {"spending_user_tokens_per_day": 45, "spending_user_tokens_per_month": 60}
    running = await start(serve, rules, eager(Eager(), turns=20), **limits)
    spent = {}
    for who in (OTHER, STAFF, token("bea", groups=["staff"])):
        end = (await answer(running, who, "script"))[-1]["data"]
        spent[who] = (end["data"]["budget"]["ended_by"], end["usage"]["turns"])
    assert list(spent.values()) == [("user_tokens_per_day", 3), *[("user_tokens_per_month", 5)] * 2]
    async with connected(running.address, STAFF) as client:
        refused = (await client.ask("go", agent_type="script", until="error"))["data"]
    assert refused["code"] == "quota_exceeded"
    assert refused["message"].startswith("You have used the 75 tokens of this month; there is more from ")
    add(rules, '[budgets."group:staff"]\ntokens_per_day = 1000\ntokens_per_month = 105')
    ended: list[dict[str, Any]] = []

    async def is_answered() -> bool:
        ended.append(await answer_or_refusal(running, STAFF))
        return bool(ended[-1]["type"] == "final_response")

    await until(is_answered)
    assert ended[-1]["data"]["usage"]["turns"] == 2


@pytest.mark.promise("wire.group-together")
async def test_members_of_a_group_spend_from_one_budget(serve: Any, rules: Path) -> None:
    """A turn of 15 tokens: after three turns of one member the other has two; others go on."""
    add(rules, '[budgets."group:staff".together]\ntokens_per_day = 75')
    running = await start(serve, rules, eager(Eager(), turns=3))
    bea = token("bea", groups=["staff"])
    assert (await answer(running, STAFF, "script"))[-1]["data"]["usage"]["turns"] == 3
    end = (await answer(running, bea, "script"))[-1]["data"]
    assert (end["data"]["budget"]["ended_by"], end["usage"]["turns"]) == ("group_tokens_per_day", 2)
    sentence = "Your group staff has used the 75 tokens of today; there is more from 00:00 UTC on."
    assert end["data"]["budget"]["message"] == f"Stopped. {sentence}"
    for who in (STAFF, bea):
        refused = (await answer_or_refusal(running, who))["data"]
        assert (refused["code"], refused["message"]) == ("quota_exceeded", sentence)
    assert (await answer_or_refusal(running, OTHER))["type"] == "final_response"
    operator = Caller(running, token("op", roles=["server_operator"]))
    summed = (await operator.get("/api/admin/spending?by=group"))["spending"]
    assert summed == [{"group": "group:staff", "tokens": 75, "cost": 0.0, "runs": 2}]


async def answer_or_refusal(running: Running, who: str) -> dict[str, Any]:
    async with connected(running.address, who) as client:
        await client.say("go", agent_type="script")
        while (event := await client.read())["type"] not in ("final_response", "error"):
            pass
    return event


async def test_a_group_that_was_renamed_stops_the_start(tmp_path: Path, rules: Path) -> None:
    add(rules, "", "workforce")
    for path, words in (
        (rules, "allow of the tool payout: there is no group 'staff' in groups"),
        (tmp_path / "none.toml", r"the permissions file .*none.toml cannot be read"),
    ):
        settings = Settings(port=0, data_dir=tmp_path / "data", own={PermissionSettings: PermissionSettings(path)})
        with pytest.raises(BadRules, match=words):
            await serve_app(settings, [Agent("desk", tools=[payout])])


async def test_tools_of_an_mcp_server_are_allowed_by_the_beginning_of_their_names(
    serve: Any, rules: Path, tmp_path: Path
) -> None:
    (tmp_path / "notes").touch()
    server = demo(tmp_path / "notes")
    model = ScriptedModel(Call([("demo_add", {"a": 2, "b": 3})]), Say("done"))
    add(rules, '[tools]\n"demo_a*" = ["group:staff"]')
    running = await start(serve, rules, Agent("desk", model=model, tools=[server]))
    assert results(await answer(running, STAFF, "desk", thread_id="a"))[0] == {"result": 5}
    (denied,) = results(await answer(running, OTHER, "desk", thread_id="b"))
    assert denied["error"]["code"] == "forbidden"
    listed = []
    for who, thread_id in ((STAFF, "a"), (OTHER, "b")):
        body = await get(running, f"/api/threads/{thread_id}/servers", who)
        listed.append({row["name"] for row in body["servers"][0]["tools"]})
    assert {"demo_add", "demo_fail"} <= listed[0]
    assert not [name for name in listed[1] if name.startswith("demo_a")]
    assert "demo_fail" in listed[1]
