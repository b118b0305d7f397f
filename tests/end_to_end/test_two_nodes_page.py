"""Two servers over one PostgreSQL and one Redis: a page shows the same, whichever of them it is connected to."""

from typing import Any

from tests.rigs.caller import Caller, inbox
from tests.rigs.scripted_model import Call, Gate, Say, scripted
from tests.rigs.server_pair import Begin, on_both, post, resume, said, token_of


async def row(caller: Caller, thread_id: str = "t", which: str = "") -> Any:
    """Return a thread as the list of chats has it, None if it is not listed."""
    listed = await caller.get(f"/api/threads?which={which}" if which else "/api/threads")
    return next((thread for thread in listed["threads"] if thread["id"] == thread_id), None)


async def test_a_tab_on_the_other_server_has_the_same_inbox_and_list(begin: Begin) -> None:
    gate = Gate(open_after=3)
    asking = scripted(Call([("send_mail", {"to": "bob@example.org"})]), Say("Sent"), name="mail")
    two = await begin(scripted(Say("one **two** three four", gate)), asking)
    at_a, at_b = Caller(two.a, token_of()), Caller(two.b, token_of())
    async with on_both(two) as (on_a, on_b):
        await said(on_a)
        await gate.reached.wait()
        await inbox(at_b, running=1)
        await resume(on_b)
        gate.opened.set()
        await on_b.until_end()
        await on_a.until_end()
        (unread,) = (await inbox(at_b, unread=1))["unread"]
        assert (unread["thread_id"], unread["status"]) == ("t", "success")
        await at_b.post("/api/inbox/read", 204, threads={"t": 1000})
        for client in (on_a, on_b):
            assert (await client.until("answers_read"))["data"] == {"threads": {"t": 1000}}
        await inbox(at_a, unread=0)

        await said(on_a, "mail", "mail")
        (item,) = (await inbox(at_b, needs_you=1, running=0))["needs_you"]
        assert (item["thread_id"], item["tool_name"]) == ("mail", "send_mail")
        assert (await post(two.b, at_b.token, "approve", call_id=item["call_id"], decision="allow"))[0] == 202
        await inbox(at_a, needs_you=0, unread=1)

        await on_a.until_end()
        await on_b.until_end()
        await at_a.send("PATCH", "/api/threads/t", pinned=True, title="Named here")
        await on_b.until("thread_changed")
        entry = await row(at_b)
        assert (entry["title"], entry["pinned"]) == ("Named here", True)
        await on_a.until("thread_changed")
        await at_b.send("PATCH", "/api/threads/t", archived=True)
        await on_a.until("thread_changed")
        assert await row(at_a) is None
        await at_b.send("DELETE", "/api/threads/mail", 204)
        for client in (on_a, on_b):
            assert (await client.until("thread_changed", deleted=True))["thread_id"] == "mail"
    assert (await row(at_a, which="archived"))["title"] == "Named here"
