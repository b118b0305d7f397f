"""Tool calls that wait for their user's approval, over real sockets."""

from typing import Any

import pytest
import trio
import trio.testing
from attrs import evolve

from tests.rigs.approvals import MAIL, approve, asked, completed, mailing
from tests.rigs.chat_client import connected
from tests.rigs.scripted_model import Call, Say, ScriptedModel, scripted
from understudy.models.model import Emit, Reply, Turn


class Noting(ScriptedModel):
    """Plays its script, and keeps the prompt of the last turn."""

    prompt = ""

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        self.prompt = " ".join(str(getattr(item, "content", "")) for item in turn.items)
        return await super().respond(turn, emit)


@pytest.mark.promise("wire.approve", "wire.event-approval-required", "wire.event-approval-decided")
async def test_an_allowed_call_runs_with_exactly_the_shown_arguments(serve_client: Any) -> None:
    async with serve_client(mailing()) as client:
        required = await asked(client)
        assert required["data"]["parameters"] == MAIL
        assert {"agent_id", "call_id", "tool_name", "expires_at"} <= required["data"].keys()
        assert required["message"] == "Waiting for your consent to send_mail"
        await approve(client, required, "allow")
        final = await client.until_end(checked=True)
    kinds = [event["type"] for event in client.durable()]
    assert kinds[3:7] == ["tool_executing", "approval_required", "approval_decided", "tool_completed"]
    decided = next(event["data"] for event in client.seen if event["type"] == "approval_decided")
    assert decided.pop("by")
    assert decided == {"call_id": required["data"]["call_id"], "decision": "allow", "door": "socket"}
    assert (completed(client)["status"], completed(client)["result"]) == ("ok", "sent to anna@example.org")
    assert final["type"] == "final_response"


@pytest.mark.promise("wire.approve")
async def test_a_denied_call_does_not_run_and_the_model_gets_the_note(serve_client: Any) -> None:
    async with serve_client(mailing()) as client:
        await approve(client, await asked(client), "deny", "Not to her.")
        final = await client.until_end(checked=True)
    data = completed(client)
    assert (data["status"], data["result_summary"]) == ("denied", "Not allowed: Not to her.")
    assert data["result"] == {"error": {"code": "forbidden", "message": "Not allowed: Not to her."}}
    assert final["data"]["message"] == "Done "


@pytest.mark.promise("wire.approve", "owasp.authorisation")
async def test_only_the_users_connections_can_decide_and_only_once(serve_guest: Any) -> None:
    running, token = await serve_guest(mailing())
    async with (
        connected(running.address, token) as asking,
        connected(running.address, token) as other_tab,
        connected(running.address) as stranger,
    ):
        required = await asked(asking)
        await approve(stranger, required, "allow")
        assert (await stranger.until("error"))["data"]["code"] == "not_found"
        await approve(other_tab, {"data": {"call_id": "unknown"}}, "allow")
        assert (await other_tab.until("error"))["data"]["code"] == "not_found"
        await approve(other_tab, required, "deny")
        await asking.until("approval_decided", decision="deny")
        await approve(other_tab, required, "deny")
        while (event := await other_tab.read())["type"] != "error":
            pass
        assert event["data"]["code"] == "not_found"
        await asking.until_end(checked=True)
    assert completed(asking)["status"] == "denied"


@pytest.mark.promise("wire.arc-consent")
async def test_a_reconnecting_client_gets_the_approval_request_and_can_answer(serve_guest: Any) -> None:
    running, token = await serve_guest(mailing())
    async with connected(running.address, token) as client:
        await asked(client, thread_id="t")
    async with connected(running.address, token) as again:
        await again.send({"type": "resume", "payload": {"threads": {"t": 0}}})
        await approve(again, await again.until("approval_required"), "allow")
        await again.until_end(checked=True)
    assert completed(again)["status"] == "ok"


async def test_an_allowed_call_has_its_own_time_limit_from_then_on(clock: trio.testing.MockClock, serve: Any) -> None:
    running = await serve(scripted(Call([("hang_with_consent", {})]), Say("Done")))
    async with connected(running.address) as client:
        required = await asked(client)
        clock.jump(0.4)  # twice the tool's own limit
        await approve(client, required, "allow")
        await client.until_end(checked=True)
    assert completed(client)["status"] == "timed_out"


@pytest.mark.promise("wire.approve-changed")
async def test_the_user_can_change_what_a_call_is_given(serve_client: Any) -> None:
    model = Noting(Call([("send_mail", MAIL)]), Say("Done"))
    async with serve_client(evolve(mailing(), model=model)) as client:
        required = await asked(client)
        assert required["data"]["schema"]["required"] == ["to"]
        payload = {"call_id": required["data"]["call_id"], "decision": "allow", "note": "Not Anna."}
        await client.send({"type": "approve", "payload": payload | {"parameters": {"to": 5}}})
        refused = await client.until("error")
        assert refused["data"]["code"] == "invalid_command"
        assert "cannot take `to`" in refused["data"]["message"]
        await client.send({"type": "approve", "payload": payload | {"parameters": {"to": "eve@example.org"}}})
        await client.until_end(checked=True)
    assert completed(client)["result"] == "sent to eve@example.org"
    decided = next(event["data"] for event in client.seen if event["type"] == "approval_decided")
    assert decided["parameters"] == {"to": "eve@example.org"}
    assert 'I changed the arguments to {"to":"eve@example.org"}. Not Anna.' in model.prompt
