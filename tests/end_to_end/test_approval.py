"""Tool calls that wait for their user's approval, over real sockets."""

from typing import Any

import pytest
import trio
import trio.testing
from attrs import evolve

from tests.end_to_end.chat_client import ChatClient, check_arc, connected
from tests.end_to_end.http import new_token, request
from tests.end_to_end.scripted_model import Call, Say, ScriptedModel, scripted
from transport.connection.limits import Limits
from understudy import Agent
from understudy.models.model import Emit, Reply, Turn

MAIL = {"to": "anna@example.org", "text": "x" * 5000}


class Noting(ScriptedModel):
    """Plays its script, and keeps the prompt of the last turn."""

    prompt = ""

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Keep the prompt, and play the turn."""
        self.prompt = " ".join(str(getattr(each, "content", "")) for each in turn.items)
        return await super().respond(turn, emit)


def mailing(*, timeout_s: float = 30.0) -> Agent:
    """Return an agent that sends one mail, then answers."""
    return scripted(Call([("send_mail", MAIL)]), Say("Done"), timeout_s=timeout_s)


async def approve(client: ChatClient, required: dict[str, Any], decision: str, note: str | None = None) -> None:
    """Decide about a call."""
    payload = {"call_id": required["data"]["call_id"], "decision": decision, "note": note}
    await client.send({"type": "approve", "payload": payload})


async def asked(client: ChatClient, **payload: Any) -> dict[str, Any]:
    """Send a message and read up to the request for approval."""
    await client.say("go", agent_type="script", **payload)
    return await client.until("approval_required")


def completed(client: ChatClient) -> dict[str, Any]:
    """Return the data of the first tool call that has ended."""
    return next(event["data"] for event in client.seen if event["type"] == "tool_completed")


@pytest.mark.promise("wire.approve", "wire.event-approval-required", "wire.event-approval-decided")
async def test_an_allowed_call_runs_with_exactly_the_shown_arguments(serve: Any) -> None:
    """Events: executing, approval requested with all parameters, decided, completed; the arc is complete."""
    running = await serve(mailing())
    async with connected(running.address) as client:
        required = await asked(client)
        assert required["data"]["parameters"] == MAIL
        assert {"agent_id", "call_id", "tool_name", "expires_at"} <= required["data"].keys()
        assert required["message"] == "Waiting for your consent to send_mail"
        await approve(client, required, "allow")
        final = await client.until_end()
        check_arc(client.durable())
    kinds = [event["type"] for event in client.durable()]
    assert kinds[3:7] == ["tool_executing", "approval_required", "approval_decided", "tool_completed"]
    decided = next(event["data"] for event in client.seen if event["type"] == "approval_decided")
    assert decided.pop("by")
    assert decided == {"call_id": required["data"]["call_id"], "decision": "allow", "door": "socket"}
    assert (completed(client)["status"], completed(client)["result"]) == ("ok", "sent to anna@example.org")
    assert final["type"] == "final_response"


@pytest.mark.promise("wire.approve")
async def test_a_denied_call_does_not_run_and_the_model_gets_the_note(serve: Any) -> None:
    """The call is completed as denied, with the user's own words, and the model answers."""
    running = await serve(mailing())
    async with connected(running.address) as client:
        await approve(client, await asked(client), "deny", "Not to her.")
        final = await client.until_end()
        check_arc(client.durable())
    data = completed(client)
    assert (data["status"], data["result_summary"]) == ("denied", "Not allowed: Not to her.")
    assert data["result"] == {"error": {"code": "forbidden", "message": "Not allowed: Not to her."}}
    assert final["data"]["message"] == "Done "


@pytest.mark.promise("wire.arc-consent")
async def test_an_unanswered_approval_expires(serve: Any) -> None:
    running = await serve(mailing(), limits=Limits(approval_s=0.2))
    async with connected(running.address) as client:
        required = await asked(client)
        await client.until_end()
        check_arc(client.durable())
        await approve(client, required, "allow")
        assert (await client.read())["data"]["code"] == "not_found"
    decided = next(event for event in client.seen if event["type"] == "approval_decided")
    assert decided["data"]["decision"] == "expired"
    assert completed(client)["status"] == "denied"
    assert completed(client)["result_summary"] == "It was not allowed in time."


@pytest.mark.promise("wire.approve", "owasp.authorisation")
async def test_only_the_users_connections_can_decide_and_only_once(serve: Any) -> None:
    """A tab that is not subscribed decides; another user, an unknown call and a second decision get `not_found`."""
    running = await serve(mailing())
    token = await new_token(running)
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
        await asking.until_end()
        check_arc(asking.durable())
    assert completed(asking)["status"] == "denied"


@pytest.mark.promise("wire.arc-consent")
async def test_a_reconnecting_client_gets_the_approval_request_and_can_answer(serve: Any) -> None:
    """The socket is dropped while the call waits; a new connection resumes, reads the question and allows it."""
    running = await serve(mailing())
    token = await new_token(running)
    async with connected(running.address, token) as client:
        await asked(client, thread_id="t")
    async with connected(running.address, token) as again:
        await again.send({"type": "resume", "payload": {"threads": {"t": 0}}})
        await approve(again, await again.until("approval_required"), "allow")
        await again.until_end()
        check_arc(again.durable())
    assert completed(again)["status"] == "ok"


@pytest.mark.promise("wire.arc-consent")
async def test_a_cancel_ends_a_waiting_run_at_once(clock: trio.testing.MockClock, serve: Any) -> None:
    """The call is completed as cancelled without a decision, and cannot be allowed afterwards. The clock is slow."""
    running = await serve(mailing())
    async with connected(running.address) as client:
        required = await asked(client)
        with trio.fail_after(2):
            await client.send({"type": "cancel", "payload": {"run_id": required["run_id"]}})
            final = await client.until_end()
        check_arc(client.durable())
        await approve(client, required, "allow")
        assert (await client.read())["data"]["code"] == "not_found"
    assert (final["data"]["status"], completed(client)["status"]) == ("cancelled", "cancelled")
    assert "approval_decided" not in [event["type"] for event in client.seen]


@pytest.mark.promise("wire.limit-run")
async def test_waiting_for_the_user_is_not_work(clock: trio.testing.MockClock, serve: Any) -> None:
    """Waiting for several times the run's deadline is no timeout; the rest of the deadline still applies afterwards."""
    calls = Call([("send_mail", MAIL)]), Call([("wait", {})])
    running = await serve(scripted(*calls, timeout_s=20.0))
    async with connected(running.address) as client:
        required = await asked(client)
        clock.jump(50.0)
        await approve(client, required, "allow")
        await client.until("tool_completed", status="ok")
        await client.until("tool_executing", tool_name="wait")
        clock.jump(20.0)
        end = await client.until_end()
        check_arc(client.durable())
    assert completed(client)["duration_ms"] < 50_000
    assert end["data"]["code"] == "agent_timeout"


async def test_while_another_call_works_the_clock_goes_on(clock: trio.testing.MockClock, serve: Any) -> None:
    """One call waits for consent, another works: the run's limit holds, and both are completed."""
    running = await serve(scripted(Call([("send_mail", MAIL), ("wait", {})]), timeout_s=20.0))
    async with connected(running.address) as client:
        await asked(client)
        begun = ("tool_executing", "wait")
        if not any((event["type"], event["data"].get("tool_name")) == begun for event in client.seen):
            await client.until("tool_executing", tool_name="wait")
        clock.jump(20.0)
        assert (await client.until_end())["data"]["code"] == "agent_timeout"
        check_arc(client.durable())


async def test_several_calls_wait_side_by_side(serve: Any) -> None:
    calls = [("send_mail", {"to": "a"}), ("pay", {"amount": 5.0}), ("pay", {"amount": 500.0})]
    running = await serve(scripted(Call(calls), Say("Done")))
    async with connected(running.address) as client:
        questions = [await asked(client), await client.until("approval_required")]
        mail, large = sorted(questions, key=lambda event: event["data"]["tool_name"], reverse=True)
        if not any(event["type"] == "tool_completed" for event in client.seen):
            await client.until("tool_completed")
        await approve(client, large, "deny")
        await client.until("tool_completed", status="denied")
        await approve(client, mail, "allow")
        await client.until_end()
        check_arc(client.durable())
    ended = [
        (event["data"]["tool_name"], event["data"]["status"]) for event in client.seen if event["type"] == TOOL_END
    ]
    assert ended == [("pay", "ok"), ("pay", "denied"), ("send_mail", "ok")]
    assert (mail["data"]["tool_name"], large["data"]["parameters"]) == ("send_mail", {"amount": 500.0})


TOOL_END = "tool_completed"


async def test_an_allowed_call_has_its_own_time_limit_from_then_on(clock: trio.testing.MockClock, serve: Any) -> None:
    """A tool that hangs after consent is stopped by its own timeout."""
    running = await serve(scripted(Call([("hang_with_consent", {})]), Say("Done")))
    async with connected(running.address) as client:
        required = await asked(client)
        clock.jump(0.4)  # twice the tool's own limit
        await approve(client, required, "allow")
        await client.until_end()
        check_arc(client.durable())
    assert completed(client)["status"] == "timed_out"


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (("send_mail", {"to": 5}), "invalid_arguments"),
        (("send_mail", {"to": "a", "text": "x" * 70_000}), "invalid_arguments"),
        (("undecided", {}), "tool_failed"),
    ],
)
async def test_what_cannot_be_shown_is_not_asked_about_and_does_not_run(serve: Any, call: Any, code: str) -> None:
    """Arguments that do not fit or are too large to be read, and a tool that cannot say whether it needs consent."""
    running = await serve(scripted(Call([call]), Say("Hm")))
    async with connected(running.address) as client:
        await client.say("go", agent_type="script")
        await client.until_end()
        check_arc(client.durable())
    assert completed(client)["result"]["error"]["code"] == code
    assert "approval_required" not in [event["type"] for event in client.seen]


@pytest.mark.promise("wire.approve")
async def test_a_bad_decision_decides_nothing(serve: Any) -> None:
    """A note that is too long is refused; the call still waits."""
    running = await serve(mailing())
    async with connected(running.address) as client:
        required = await asked(client)
        await approve(client, required, "deny", "x" * 1001)
        assert (await client.read())["data"]["code"] == "invalid_command"
        await approve(client, required, "allow", "x" * 1000)
        await client.until_end()
    assert completed(client)["status"] == "ok"


async def test_a_secret_in_a_note_is_redacted(serve: Any) -> None:
    running = await serve(mailing())
    async with connected(running.address) as client:
        await approve(client, await asked(client), "deny", "password: blue-harbour-42 is hers")
        await client.until_end()
    assert "blue-harbour-42" not in str(client.seen)


@pytest.mark.promise("wire.approve-changed")
async def test_the_user_can_change_what_a_call_is_given(serve: Any) -> None:
    """Parameters that do not fit are refused; those that fit run instead, and log and agent are told of them."""
    model = Noting(Call([("send_mail", MAIL)]), Say("Done"))
    running = await serve(evolve(mailing(), model=model))
    async with connected(running.address) as client:
        required = await asked(client)
        assert required["data"]["schema"]["required"] == ["to"]
        payload = {"call_id": required["data"]["call_id"], "decision": "allow", "note": "Not Anna."}
        await client.send({"type": "approve", "payload": payload | {"parameters": {"to": 5}}})
        refused = await client.until("error")
        assert refused["data"]["code"] == "invalid_command"
        assert "cannot take `to`" in refused["data"]["message"]
        await client.send({"type": "approve", "payload": payload | {"parameters": {"to": "eve@example.org"}}})
        await client.until_end()
        check_arc(client.durable())
    assert completed(client)["result"] == "sent to eve@example.org"
    decided = next(event["data"] for event in client.seen if event["type"] == "approval_decided")
    assert decided["parameters"] == {"to": "eve@example.org"}
    assert 'I changed the arguments to {"to":"eve@example.org"}. Not Anna.' in model.prompt


@pytest.mark.promise("wire.approve-always")
async def test_a_tool_is_allowed_always_in_one_thread_until_that_is_taken_back(serve: Any) -> None:
    """The second call runs at once, and the log says why. Another thread asks, and so does this one afterwards."""
    running = await serve(mailing())
    token = await new_token(running)
    async with connected(running.address, token) as client:
        required = await asked(client, thread_id="a")
        payload = {"call_id": required["data"]["call_id"], "decision": "allow", "remember": True}
        await client.send({"type": "approve", "payload": payload})
        await client.until_end()
        client.seen.clear()
        await client.say("again", agent_type="script", thread_id="a")
        await client.until_end()
        check_arc(client.durable())
        decided = next(event["data"] for event in client.seen if event["type"] == "approval_decided")
        assert (decided["decision"], decided["door"], completed(client)["status"]) == ("allow", "remembered", "ok")
        other = await asked(client, thread_id="b")
        await approve(client, other, "deny")
        await client.until_end()
        path = "/api/threads/a/consents"
        _, _, body = await request(running.address, "GET", path, token=token)
        assert [each["tool_name"] for each in body["consents"]] == ["send_mail"]
        assert (await request(running.address, "GET", path, token=await new_token(running)))[0] == 404
        await client.send({"type": "disallow", "thread_id": "a", "tool_name": "send_mail"})
        await approve(client, await asked(client, thread_id="a"), "deny")
        await client.until_end()
        status, _, _ = await request(running.address, "DELETE", f"{path}/send_mail", token=token)
        assert status == 404


async def test_a_run_that_waits_for_approval_releases_its_permit(serve: Any) -> None:
    running = await serve(mailing(), limits=Limits(runs_per_user=1))
    async with connected(running.address) as client:
        required = await asked(client, thread_id="a")
        with trio.fail_after(60):
            await client.say("What is 2 + 2?", thread_id="b")
            assert (await client.until("final_response"))["thread_id"] == "b"
        await approve(client, required, "allow")
        assert (await client.until_end())["thread_id"] == "a"
    check_arc([event for event in client.durable() if event["thread_id"] == "a"])


async def test_an_allowed_run_is_queued_ahead_of_new_runs(serve: Any) -> None:
    first, second = mailing(), scripted(Call([("wait", {})]), name="second")
    running = await serve(first, second, limits=Limits(runs_per_user=1))
    async with connected(running.address) as client:
        required = await asked(client, thread_id="a")
        await client.say("go", agent_type="second", thread_id="b")
        busy = await client.until("tool_executing")
        await client.say("What is 2 + 2?", thread_id="c")
        await client.until("agent_progress", note="Waiting for a free place: number 1 in line")
        await approve(client, required, "allow")
        place = {"note": "Waiting for a free place: number 1 in line"}
        while (await client.until("agent_progress", **place))["thread_id"] != "a":
            pass  # c was told as it was queued, and again as its client followed the thread
        await client.send({"type": "cancel", "payload": {"run_id": busy["run_id"]}})
        ends = [(await client.until_end())["thread_id"] for _ in range(3)]
    assert ends == ["b", "a", "c"]
    check_arc([event for event in client.durable() if event["thread_id"] == "a"])


async def test_the_offline_model_saves_a_note_with_consent(serve: Any) -> None:
    running = await serve()
    token = await new_token(running)
    async with connected(running.address, token) as client:
        await client.say("Save a note: buy milk")
        required = await client.until("approval_required")
        assert required["data"]["parameters"] == {"text": "buy milk"}
        await approve(client, required, "allow")
        final = await client.until_end()
        check_arc(client.durable())
        await client.say("Save a note: never mind")
        await approve(client, await client.until("approval_required"), "deny", "Changed my mind.")
        denied = await client.until_end()
    saved = completed(client)["result"]
    _, _, body = await request(running.address, "GET", f"/api/files/{saved['file_id']}", token=token)
    assert body == b"buy milk"
    assert saved["name"] in final["data"]["message"]
    assert denied["data"]["message"] == "Save note was not done. Not allowed: Changed my mind."
