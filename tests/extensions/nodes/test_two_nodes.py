"""Two servers over one PostgreSQL: each shows and controls the other's runs, whatever carries their wakeups."""

from pathlib import Path

import pytest

from tests.rigs.answer_view import AnswerView
from tests.rigs.chat_client import check_arc, connected
from tests.rigs.http import request, upload
from tests.rigs.scripted_model import Call, Gate, Say, scripted
from tests.rigs.server_pair import Begin, on_both, post, resume, said, token_of


@pytest.fixture(params=["postgresql", "redis"])
def carrier(request: pytest.FixtureRequest) -> str:
    return str(request.param)


WORDS = "one two three four five six seven eight nine ten eleven twelve"


async def test_what_is_said_on_one_is_seen_streaming_on_the_other(begin: Begin) -> None:
    gate = Gate(open_after=6)
    two = await begin(scripted(Say(WORDS, gate)))
    async with on_both(two) as (on_a, on_b):
        await said(on_a)
        await gate.reached.wait()
        screen = AnswerView()
        while "three" not in screen.text:
            screen.shows(await on_b.read())
        gate.opened.set()
        assert screen.shows(await on_b.until_end()).text
        end = await on_a.until_end(checked=True)
        assert on_b.durable() == on_a.durable()
        assert screen.shows(*on_b.seen).text == end["data"]["message"]
        assert screen.jumps == 0
        await said(on_b)
        await on_b.until_end()
        await on_a.until_end()
    assert on_b.durable() == on_a.durable()


async def test_new_threads_on_one_server_reach_only_their_user_on_the_other(begin: Begin) -> None:
    gate = Gate()
    two = await begin(scripted(Say("Done")), scripted(Say("Done", gate), name="slow"))
    async with on_both(two) as (on_a, on_b), connected(two.b.address, token_of("eve")) as eve:
        await said(on_a, "first")
        await on_a.until_end()
        await on_b.until_end()
        await said(on_b, "second")
        await on_b.until_end()
        await on_a.until_end()
        assert on_b.durable() == on_a.durable()
        await on_a.send({"type": "typing", "payload": {"thread_id": "third"}})
        assert (await on_b.until("typing"))["thread_id"] == "third"
        accepted = await said(on_a, "third", "slow")
        await gate.reached.wait()
        await resume(eve, "third")
        assert (await eve.until("error"))["data"]["code"] == "not_found"
        await eve.send({"type": "cancel", "payload": {"run_id": accepted["run_id"]}})
        assert (await eve.until("error"))["data"]["code"] == "not_found"
        gate.opened.set()
        assert (await on_a.until_end())["data"]["status"] == "success"
    assert not eve.durable()


async def test_what_runs_on_one_is_stopped_allowed_and_deleted_on_the_other(begin: Begin) -> None:
    gate, second = Gate(open_after=4), Gate()
    mail = scripted(Call([("send_mail", {"to": "anna@example.org"})]), Say("Done"), name="mail")
    two = await begin(scripted(Say(WORDS, gate)), mail, scripted(Say("Done", second), name="slow"))
    async with on_both(two) as (on_a, on_b):
        accepted = await said(on_a)
        await gate.reached.wait()
        await on_b.send({"type": "cancel", "payload": {"run_id": accepted["run_id"]}})
        ends = [await on_a.until_end(), await on_b.until_end()]
        assert [end["data"]["status"] for end in ends] == ["cancelled", "cancelled"]
        check_arc(on_b.durable())

        await said(on_a, "mail", "mail")
        required = await on_b.until("approval_required")
        decision = {"call_id": required["data"]["call_id"], "decision": "allow", "note": "go on"}
        await on_b.send({"type": "approve", "payload": decision})
        await on_a.until_end()
        await on_b.until_end()
        assert (await post(two.b, token_of(), "approve", **decision))[0] == 404
        decided = next(event for event in on_a.seen if event["type"] == "approval_decided")
        assert decided["data"]["note"] == "go on"
        completed = next(event for event in on_b.seen if event["type"] == "tool_completed")
        assert completed["data"]["status"] == "ok"

        await said(on_a, "gone", "slow")
        await second.reached.wait()
        await on_b.until("agent_started")
        assert (await request(two.b.address, "DELETE", "/api/threads/gone", token=token_of()))[0] == 204
        assert (await on_a.until_end())["data"]["status"] == "cancelled"
        await on_b.until_end()
        second.opened.set()
        assert (await said(on_b, "gone", "slow"))["seq"] == 1
        await on_b.until_end()
        assert (await on_a.until("message_accepted"))["seq"] == 1


async def test_feedback_editing_and_repeating_from_the_other(begin: Begin) -> None:
    two = await begin(scripted(Say("Done")))
    async with on_both(two) as (on_a, on_b):
        accepted = await said(on_a, message_id="m1")
        await on_a.until_end()
        await on_b.until_end()
        answer = f"answer-{accepted['run_id']}"
        await on_b.send({"type": "feedback", "payload": {"message_id": answer, "rating": "up"}})
        for client in (on_a, on_b):
            assert (await client.until("feedback"))["data"] == {"message_id": answer, "rating": "up"}
        await on_b.send({"type": "edit", "payload": {"message_id": "m1", "content": "go again"}})
        assert (await on_a.until("message_accepted"))["data"]["branch_of"] == "m1"
        await on_a.until_end()
        await on_b.until_end()
        status, begun = await post(two.b, token_of(), "regenerate", message_id="m1", request_id="again")
        assert status == 202
        assert (await on_a.until("message_accepted"))["run_id"] == begun["run_id"]
        await on_a.until_end()
        await on_b.until_end()
        assert (await post(two.b, token_of(), "regenerate", message_id="m1", request_id="again"))[1] == begun
        assert on_b.durable() == on_a.durable()
        again = await said(on_b, message_id="m1")
        await on_b.send({"type": "ping", "payload": {"nonce": "n"}})
        await on_b.until("pong")
    assert again == accepted
    assert on_b.durable() == [*on_a.durable(), again]


async def test_an_event_stream_and_commands_over_http_work_on_either(begin: Begin) -> None:
    from tests.rigs.sse import streaming

    two = await begin(scripted(Say("Done")))
    token = token_of()
    assert (await post(two.a, token, "user_message", content="go", thread_id="t", agent_type="script"))[0] == 202
    async with streaming(two.b.address, "/api/threads/t/stream?after=0", token) as stream:
        await stream.until("final_response")
        assert stream.numbers() == [1, 2, 3, 4, 5]
        assert (await post(two.b, token, "user_message", content="go", thread_id="t", agent_type="script"))[0] == 202
        await stream.until("final_response")
        assert stream.numbers() == list(range(1, 11))


async def test_a_draining_server_hands_its_threads_over(begin: Begin) -> None:
    gate = Gate(open_after=6)
    two = await begin(scripted(Say(WORDS, gate)), grace_s=1.0)
    screen = AnswerView()
    async with on_both(two) as (on_a, on_b):
        accepted = await said(on_a)
        await gate.reached.wait()
        while "three" not in screen.text:
            screen.shows(await on_b.read())
        await two.a.stop()
        gate.opened.set()
        end = await on_b.until_end()
        assert await on_a.until_closed() == 1001
    check_arc(on_b.durable())
    assert (end["type"], end["run_id"]) == ("final_response", accepted["run_id"])
    assert screen.shows(*on_b.seen).text == end["data"]["message"] == f"{WORDS} "
    assert screen.jumps == 0


async def test_an_upload_to_one_is_read_on_the_other(begin: Begin, tmp_path: Path) -> None:
    two, token = await begin(), token_of()
    table = b"month,sales\n" + b"".join(b"2026-%02d,%d\n" % (month, 100 + month) for month in range(1, 13))
    status, row = await upload(two.a, token, "sales.csv", table)
    assert status == 201
    status, headers, content = await request(two.b.address, "GET", f"/api/files/{row['id']}", token=token)
    assert (status, headers["content-length"]) == (200, str(len(table)))
    assert content in (table, table.decode())
    assert (await request(two.b.address, "GET", f"/api/files/{row['id']}", token=token_of("bob")))[0] == 404
    async with connected(two.b.address, token) as client:
        assert "112" in str(await client.ask("SELECT max(sales) AS best FROM data", references=[row["id"]]))
    assert [path.name for path in (tmp_path / "b" / "copies").iterdir()] == [row["id"]]
