"""The audit log over HTTP: every action has an entry before it happens, and only auditors read it."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.rigs.approvals import MAIL, approve, asked
from tests.rigs.audited_actions import ADA, AUDITOR, OPERATOR, Case, ask, check_case, read, talked
from tests.rigs.chat_client import connected
from tests.rigs.http import request
from tests.rigs.marked_text import MARKER
from tests.rigs.mcp_sign_in import agents_of, signed_in
from tests.rigs.scripted_model import Call, Say, scripted
from tests.rigs.tokens import SECRET, token
from tests.servers.mcp_oauth import Provider, serving
from understudy.app.server import Running
from understudy.extensions.audit.storage import AuditFilter, entries
from understudy.extensions.audit.terminal import every_action


async def mcp_signed_in(running: Running) -> dict[str, str]:
    assert (await signed_in(running, ADA))[0] == 200
    return {}


CASES = [
    Case("user.exported", ("GET", "/api/me/export?events=1"), {},
         {"format": "json", "events": True, "thread": False}, talked),
    Case("user.exported", ("GET", "/api/threads/t/export?format=markdown"), {},
         {"format": "markdown", "events": False, "thread": True}, talked),
    Case("user.erased", ("DELETE", "/api/me"), {"confirm": "ada"}, {}, talked),
    Case("user.erased", ("DELETE", "/api/users/ada"), {}, {}, talked, by="op"),
    Case("sessions.ended", ("DELETE", "/api/sessions"), {}, {"all": False}, status=204),
    Case("sessions.ended", ("DELETE", "/api/me/sessions"), {}, {"all": True}, status=204),
    Case("sessions.ended", ("DELETE", "/api/users/ada/sessions"), {}, {"all": True}, by="op", status=204),
    Case("sessions.ended", ("POST", "/auth/sign-out"), {"everywhere": True}, {"all": True}),
    Case("alert.sent", ("POST", "/api/alerts"), {"message": MARKER}, by="op", target=None, status=202),
    Case("stop.made", ("PUT", "/api/stops/tool/send_mail"), {"reason": MARKER}, {"kind": "tool", "name": "send_mail"},
         by="op", target=None),
    Case("stop.ended", ("DELETE", "/api/stops/tool/send_mail"), {}, {"kind": "tool", "name": "send_mail"}, by="op",
         target=None, status=404),
    Case("actor.killed", ("POST", "/api/observer/kill"), {"path": "/system/observe/recovery"},
         {"path": "/system/observe/recovery"}, by="op", target=None, status=202),
    Case("consent.withdrawn", ("DELETE", "/api/threads/t/consents/send_mail"), {}, {"tool": "send_mail"}, talked,
         status=204),
    Case("mcp.signed_out", ("DELETE", "/api/mcp/notes/sign-in"), {}, {"server": "notes"}, mcp_signed_in, status=204),
]  # fmt: skip
OF_ACCOUNTS = {
    "account.changed", "account.disabled", "account.invited", "account.joined", "account.password_changed",
    "account.sign_in_refused", "account.signed_in", "passkey.added", "passkey.removed",
}  # fmt: skip
"""Actions of operators and users of accounts: `tests/extensions/accounts`."""
ELSEWHERE = OF_ACCOUNTS | {
    "audit.read", "run.handed_back", "run.steered", "run.stopped", "run.taken_over",
    "mcp.signed_in", "model.used", "sessions.begun", "tool.allowed", "tool.denied",
}  # fmt: skip
"""Actions that are not one request: the other tests of this module, `test_takeovers.py`,
`test_openid.py`, `test_local_model.py`."""
OF_EXTENSIONS = ("schedule.", "share.")
"""Beginnings of actions that their extensions' own tests have."""


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.action}-{case.request[1]}")
async def test_an_action_has_an_entry_and_without_it_does_not_happen(serve: Any, case: Case, tmp_path: Path) -> None:
    await check_case(serve, case, tmp_path)


def test_every_action_is_covered() -> None:
    pages = "".join(path.read_text() for path in sorted(Path("docs/extensions").glob("*.md")))
    covered = {case.action for case in CASES} | ELSEWHERE
    for action in every_action():
        assert action in covered or action.startswith(OF_EXTENSIONS), action
        assert f"`{action}`" in pages, "the documentation says what it is"


async def test_without_the_log_what_is_asked_for_is_done(serve: Any) -> None:
    running = await serve(scripted(Say("one")), secret=SECRET, extensions=["-audit"])
    assert await ask(running, ADA, "DELETE", "/api/me/sessions") == (204, "")
    assert (await ask(running, AUDITOR, "GET", "/api/audit"))[0] == 404
    assert await running.store.read(entries, AuditFilter(), 2**62, 1) == []


@pytest.mark.parametrize("decision", ["allow", "deny"])
async def test_a_users_decision_about_a_tool_is_in_the_log_with_its_door(serve: Any, decision: str) -> None:
    running = await serve(scripted(Call([("send_mail", MAIL)]), Say("Done")), secret=SECRET)
    async with connected(running.address, ADA) as client:
        required = await asked(client)
        await approve(client, required, decision, MARKER)
        await client.until_end()
    action = "tool.allowed" if decision == "allow" else "tool.denied"
    (entry,) = await read(running, f"?action={action}")
    detail = {"tool": "send_mail", "run": required["run_id"]} | ({"always": False} if decision == "allow" else {})
    assert (entry["user"], entry["target"], entry["way"], entry["detail"]) == ("ada", "ada", "socket", detail)
    assert MARKER not in json.dumps(entry)


async def test_a_sign_in_at_an_mcp_server_is_in_the_log(serve: Any) -> None:
    async with serving(Provider()) as url:
        running = await serve(*agents_of(url), secret=SECRET)
        await mcp_signed_in(running)
        (entry,) = await read(running, "?action=mcp.signed_in")
    assert (entry["user"], entry["way"], entry["detail"]) == ("ada", "page", {"server": "notes"})


async def test_requests_of_the_page_say_so(serve: Any) -> None:
    running = await serve(scripted(Say("one")), secret=SECRET)
    headers = {"Sec-Fetch-Site": "same-origin"}
    await request(running.address, "DELETE", "/api/me/sessions", token=ADA, headers=headers)
    assert [entry["way"] for entry in await read(running, "?action=sessions.ended")] == ["page"]


async def test_the_log_is_read_in_pages_of_one_reading_which_has_an_entry(serve: Any) -> None:
    running = await serve(scripted(Say("one")), secret=SECRET)
    for _ in range(3):
        await ask(running, OPERATOR, "POST", "/api/alerts", message="Hello")
    actions, cursor = [], ""
    while cursor is not None:
        _, page = await ask(running, AUDITOR, "GET", f"/api/audit?limit=2{cursor and f'&cursor={cursor}'}")
        actions += [entry["action"] for entry in page["entries"]]
        last, cursor = cursor or page["next_cursor"], page["next_cursor"]
        await ask(running, OPERATOR, "POST", "/api/alerts", message="Hello")
    assert actions == ["audit.read", *["alert.sent"] * 3]
    other = token("mallory", "auditor")
    for who, bad in ((other, last), (AUDITOR, "x"), (AUDITOR, "WzUsICJ4Il0")):
        assert (await ask(running, who, "GET", f"/api/audit?cursor={bad}"))[0] == 400
    assert [entry["user"] for entry in await read(running, "?action=audit.read", other)] == ["mallory", "eve"]
    status, answer = await ask(running, AUDITOR, "GET", "/api/audit?since=noon")
    assert (status, answer["error"]["message"]) == (400, "since must be a time in Unix seconds.")
    assert (await ask(running, AUDITOR, "GET", "/api/audit?action=x"))[0] == 400


async def test_operators_do_not_read_the_log_and_auditors_do_nothing_else(serve: Any) -> None:
    running = await serve(scripted(Say("one")), secret=SECRET, observer_kill=True)
    for who in (ADA, OPERATOR, token("root", "server_operator")):
        status, answer = await ask(running, who, "GET", "/api/audit")
        assert (status, answer["error"]["message"]) == (403, "That needs the role auditor.")
    for who in (AUDITOR, token("eve", "server_auditor")):
        for method, path, body in (
            ("POST", "/api/alerts", {"message": "x"}),
            ("DELETE", "/api/users/ada", {}),
            ("DELETE", "/api/users/ada/sessions", {}),
            ("GET", "/api/observer/runs", {}),
            ("GET", "/api/observer/counts", {}),
            ("POST", "/api/observer/kill", {"path": "/system/observe/recovery"}),
        ):
            assert (await ask(running, who, method, path, **body))[0] == 403, path
    assert [entry["action"] for entry in await read(running)] == ["audit.read"]


async def test_an_auditor_of_a_tenant_reads_what_concerns_it(serve: Any) -> None:
    running = await serve(scripted(Say("one")), secret=SECRET, tenant_claim="org")
    root, auditor = token("root", "server_operator"), token("aud", "auditor", org="acme")
    await ask(running, root, "DELETE", "/api/users/ada/sessions?tenant=acme")
    await ask(running, root, "POST", "/api/alerts", message="Hello", tenant="other")
    await ask(running, root, "POST", "/api/alerts", message="Hello")
    assert [row["action"] for row in await read(running, "", auditor)] == ["audit.read", "sessions.ended"]
    (entry,) = await read(running, "?user=ada", auditor)
    assert (entry["user"], entry["user_tenant"], entry["target"], entry["tenant"]) == ("root", None, "ada", "acme")
    status, answer = await ask(running, auditor, "GET", "/api/audit?tenant=other")
    assert (status, "server_auditor" in answer["error"]["message"]) == (403, True)
    server_auditor = token("all", "server_auditor")
    assert [row["tenant"] for row in await read(running, "?action=alert.sent", server_auditor)] == [None, "other"]
    assert [row["action"] for row in await read(running, "?tenant=other", server_auditor)] == ["alert.sent"]
