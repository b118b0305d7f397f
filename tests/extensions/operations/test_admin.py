"""Administration over HTTP: users, schedules, sign-ins and settings, within the rights of the operator."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.rigs.chat_client import ChatClient, connected
from tests.rigs.scripted_model import Gate, Say, scripted
from tests.rigs.tenants import (
    ACME_OPERATOR,
    ADA,
    BOB,
    PLAIN_OPERATOR,
    SERVER_OPERATOR,
    WORDS,
    ask,
    of_tenants,
    read,
    talk,
)
from tests.rigs.tokens import SECRET
from understudy.app.server import Running
from understudy.app.settings import load
from understudy.extensions.mcp.oauth.storage import SignIn, put_sign_in


@asynccontextmanager
async def two_runs(serve: Any) -> AsyncIterator[tuple[Running, ChatClient]]:
    """Have the runs of ada and of bob, of another tenant, wait for the model. Yield the server and bob's client."""
    gate = Gate()
    running = await of_tenants(serve, scripted(Say("one two", gate)))
    async with connected(running.address, ADA) as ada, connected(running.address, BOB) as bob:
        for client in (ada, bob):
            await client.ask(WORDS, agent_type="script", until="message_accepted")
        await gate.reached.wait()
        yield running, bob
        gate.opened.set()
        await ada.until_end()


async def shown(running: Running, path: str, caller: str = SERVER_OPERATOR) -> Any:
    """Return what an operator reads, which has no words of users."""
    body = await read(running, path, caller)
    assert WORDS not in json.dumps(body)
    return body


@pytest.mark.promise("wire.endpoint-admin")
async def test_users_are_those_of_the_operators_tenant(serve: Any) -> None:
    async with two_runs(serve) as (running, _):
        (user,) = (await shown(running, "/api/admin/users", ACME_OPERATOR))["users"]
        connected_users = (await shown(running, "/api/observer/users", ACME_OPERATOR))["users"]
        first_page = await shown(running, "/api/admin/users?limit=1")
        next_page = await shown(running, f"/api/admin/users?limit=5&cursor={first_page['next_cursor']}")
    expected = {"user": "ada", "tenant": "acme", "threads": 1, "open_runs": 1, "connections": 1}
    assert user.items() >= expected.items()
    assert [row["user"] for row in connected_users] == ["ada"]
    assert [row["user"] for row in (*first_page["users"], *next_page["users"])] == ["ada", "bob"]
    assert next_page["next_cursor"] is None


@pytest.mark.promise("wire.endpoint-admin")
async def test_runs_and_sums_are_those_of_the_operators_tenant(serve: Any) -> None:
    async with two_runs(serve) as (running, bob):
        runs = await shown(running, "/api/observer/runs", ACME_OPERATOR)
        (run,) = runs["open"]
        assert (run["user"], runs["ended"]) == ("ada", [])
        assert (await ask(running, f"/api/observer/runs/{run['run_id']}", ACME_OPERATOR))[0] == 200
        (of_ada,) = (await shown(running, "/api/admin/users/ada/runs", ACME_OPERATOR))["runs"]
        assert (of_ada["run_id"], of_ada["ended_at"]) == (run["run_id"], None)
        assert (await shown(running, "/api/admin/users/bob/runs", ACME_OPERATOR))["runs"] == []
        (of_bob,) = (await shown(running, "/api/admin/users/bob/runs?tenant=other"))["runs"]
        assert of_bob["user"] == "bob"
        path = f"/api/observer/runs/{of_bob['run_id']}"
        for method, action in (("GET", ""), ("POST", "/stop")):
            assert (await ask(running, path + action, ACME_OPERATOR, method))[0] == 404
        open_runs = (await shown(running, "/api/observer/runs"))["open"]
        assert {row["run_id"] for row in open_runs} == {of_ada["run_id"], of_bob["run_id"]}
        assert (await ask(running, f"{path}/stop", method="POST"))[0] == 202
        assert (await bob.until_end())["data"]["status"] == "cancelled"
        acme = await shown(running, "/api/admin/overview", ACME_OPERATOR)
        server = await shown(running, "/api/admin/overview")
    figures = {"users": 1, "open_runs": 1, "connections": 1, "outcomes": {}, "failed": [], "database_bytes": None}
    assert acme.items() >= figures.items()
    assert (server["users"], server["open_runs"], server["outcomes"]) == (2, 1, {"cancelled": 1})
    assert server["database_bytes"] > 4096
    ended = (await shown(running, "/api/observer/runs", ACME_OPERATOR))["ended"]
    assert {row["user"] for row in ended} == {"ada"}


async def test_sign_ins_are_listed_without_secrets(serve: Any) -> None:
    running = await of_tenants(serve, scripted(Say("done")))
    for who in (ADA, BOB):
        await talk(running, who, "script")
    signed = SignIn("acme\x1fada", "crm", b"sealed-token", "stamp", 7.0)
    await running.store.commit(put_sign_in(signed))
    sign_ins = await read(running, "/api/admin/sign-ins", ACME_OPERATOR)
    (sign_in,) = sign_ins["sign_ins"]
    assert sign_in == {"user": "ada", "tenant": "acme", "server": "crm", "signed_in_at": 7.0}
    assert (await read(running, "/api/admin/sign-ins", PLAIN_OPERATOR))["sign_ins"] == []
    assert "sealed" not in json.dumps(sign_ins)


async def test_settings_have_their_source_and_no_secret(
    serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "understudy.toml").write_text("[understudy]\nsummary_from = 3\n[understudy.limits]\nruns_total = 77\n")
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    monkeypatch.setenv("UNDERSTUDY_SECRET_FILE", str(secret))
    monkeypatch.setenv("UNDERSTUDY_PAGE_SHOW_COSTS", "false")
    monkeypatch.setenv("UNDERSTUDY_TENANT_CLAIM", "org")
    loaded = load(port=0, data_dir=tmp_path / "data")
    settings = {name: getattr(loaded, name) for name in ("summary_from", "limits", "secret", "page", "tenant_claim")}
    running = await serve(**settings)
    answer = await read(running, "/api/admin/settings")
    listed = {setting["name"]: setting for setting in answer["settings"]}
    for name, value, source in (
        ("summary_from", 3, "understudy.toml"),
        ("limits.runs_total", 77, "understudy.toml"),
        ("page.show_costs", False, "UNDERSTUDY_PAGE_SHOW_COSTS"),
        ("models.words_per_s", 5000.0, "command"),
    ):
        assert (listed[name]["value"], listed[name]["source"]) == (value, source)
    assert listed["secret"] == {"name": "secret", "value": None, "secret": True, "is_set": True, "source": str(secret)}
    assert (listed["model"]["source"], listed["model"]["is_set"]) == ("default", False)
    assert not listed["webhook.secret"]["is_set"]
    assert SECRET not in json.dumps(answer)


@pytest.mark.parametrize("path", ["/api/users/root", "/api/users/root/sessions"])
async def test_operators_who_would_shut_themselves_out_are_told(serve: Any, path: str) -> None:
    running = await of_tenants(serve, scripted(Say("done")))
    await talk(running, SERVER_OPERATOR, "script")
    status, refused = await ask(running, path, method="DELETE")
    assert (status, refused["error"]["code"]) == (400, "invalid_command")
    assert refused["error"]["message"].startswith("That is you: it ")
    assert (await ask(running, "/api/me"))[0] == 200
    assert (await ask(running, f"{path}?own=true", method="DELETE"))[0] in (200, 204)
    assert (await ask(running, "/api/me"))[0] == 401
