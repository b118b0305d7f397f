"""What holds for a message at the chat's own doors holds at those of other clients: limits, rights, redaction."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.rigs import allowed_agents as allowed
from tests.rigs.doors import DOORS, say
from tests.rigs.http import get
from tests.rigs.permissions import CALLED, OTHER, STAFF, nothing_open, payout, start, until
from tests.rigs.scripted_model import Call, Say, ScriptedModel, scripted
from tests.rigs.secrets import SECRET, shows
from understudy import Agent
from understudy.chat import registry
from understudy.wire.codes import ERRORS

each_door = pytest.mark.parametrize("door", DOORS)


@each_door
async def test_each_door_says_that_it_is_too_much(serve_guest: Any, monkeypatch: pytest.MonkeyPatch, door: str) -> None:
    monkeypatch.setattr(registry, "AT_A_TIME", 0)
    monkeypatch.setattr(registry, "WAIT_S", 0.05)
    running, token = await serve_guest(scripted(Say("word"), name="desk"))
    status, headers, body = await say(running, token, door)
    assert status == (200 if door in ("agui", "ui", "a2a") else 503)
    assert "retry-after" in headers or status == 200
    assert ERRORS["busy"].text in body
    assert (await get(running, "/api/threads", token))["threads"] == []


@pytest.mark.promise("wire.tool-allowed")
@each_door
async def test_a_tool_is_called_at_each_door_for_those_it_allows_alone(serve: Any, rules: Path, door: str) -> None:
    model = ScriptedModel(Call([("payout", {})]), Say("done"))
    running = await start(serve, rules, Agent("desk", model=model, tools=[payout]))
    for who, called in ((OTHER, []), (STAFF, ["payout"])):
        status, _, _ = await say(running, who, door)
        assert status == 200
        await until(partial(nothing_open, running, who))
        assert called == CALLED


@pytest.mark.promise("wire.agent-allowed")
@each_door
async def test_an_agent_that_is_not_allowed_is_not_there(serve: Any, door: str) -> None:
    """The refusal is that of an unknown agent, and nothing is stored."""
    running = await allowed.start(serve)
    _, _, body = await say(running, allowed.BOB, door)
    assert any(code in body for code in ("unknown_agent_type", "Unknown agent_type: desk", "no agent of that name"))
    assert (await get(running, "/api/threads", allowed.BOB))["threads"] == []
    _, _, body = await say(running, allowed.ADA, door)
    assert not any(code in body for code in ("unknown_agent_type", "Unknown agent_type", "no agent of that name"))


@pytest.mark.promise("wire.scrubbed-in")
@each_door
async def test_a_secret_that_comes_by_a_door_is_not_kept(serve_guest: Any, door: str) -> None:
    running, token = await serve_guest(scripted(Say("yes"), name="desk"))
    status, _, body = await say(running, token, door, f"x {SECRET}")
    assert status == 200
    export = json.dumps(await get(running, "/api/me/export", token))
    assert "[redacted]" in export
    assert not shows(export + body)
