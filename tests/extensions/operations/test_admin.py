"""Administration over HTTP: users, schedules, sign-ins and settings, within the rights of the operator."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.rigs.chat_client import connected
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
from understudy.app.settings import load
from understudy.extensions.mcp.oauth.storage import SignIn, put_sign_in


@pytest.mark.promise("wire.endpoint-admin")
async def test_users_and_runs_are_those_of_the_operators_tenant(serve: Any) -> None:
    gate = Gate()
    running = await of_tenants(serve, scripted(Say("one two", gate)))
    async with connected(running.address, ADA) as ada, connected(running.address, BOB) as bob:
        for client in (ada, bob):
            await client.ask(WORDS, agent_type="script", until="message_accepted")
        await gate.reached.wait()
        of_acme = await read(running, "/api/admin/users", ACME_OPERATOR)
        ((user,), runs) = of_acme["users"], await read(running, "/api/observer/runs", ACME_OPERATOR)
        busy = await read(running, "/api/observer/users", ACME_OPERATOR)
        everybody = await read(running, "/api/admin/users?limit=1")
        next_page = await read(running, f"/api/admin/users?limit=5&cursor={everybody['next_cursor']}")
        both = await read(running, "/api/observer/runs")
        of_bob = next(run["run_id"] for run in both["open"] if run["user"] == "bob")
        for method, path in (("GET", f"/api/observer/runs/{of_bob}"), ("POST", f"/api/observer/runs/{of_bob}/stop")):
            assert (await ask(running, path, ACME_OPERATOR, method))[0] == 404
        assert (await ask(running, f"/api/observer/runs/{runs['open'][0]['run_id']}", ACME_OPERATOR))[0] == 200
        assert (await ask(running, f"/api/observer/runs/{of_bob}/stop", method="POST"))[0] == 202
        assert (await bob.until_end())["data"]["status"] == "cancelled"
        (of_ada,) = (await read(running, "/api/admin/users/ada/runs", ACME_OPERATOR))["runs"]
        assert (of_ada["run_id"], of_ada["ended_at"]) == (runs["open"][0]["run_id"], None)
        assert (await read(running, "/api/admin/users/bob/runs", ACME_OPERATOR))["runs"] == []
        assert [(await read(running, "/api/admin/users/bob/runs?tenant=other"))["runs"][0]["user"]] == ["bob"]
        assert (await ask(running, "/api/admin/users/bob/runs?tenant=other", ACME_OPERATOR))[0] == 403
        acme, server = (
            await read(running, "/api/admin/overview", ACME_OPERATOR),
            await read(running, "/api/admin/overview"),
        )
        gate.opened.set()
        await ada.until_end()
    assert (user["user"], user["tenant"], user["threads"], user["open_runs"], user["connections"]) == (
        "ada", "acme", 1, 1, 1,
    )  # fmt: skip
    assert ([run["user"] for run in runs["open"]], runs["ended"]) == (["ada"], [])
    assert [row["user"] for row in busy["users"]] == ["ada"]
    assert [row["user"] for row in (*everybody["users"], *next_page["users"])] == ["ada", "bob"]
    assert next_page["next_cursor"] is None
    ended = await read(running, "/api/observer/runs", ACME_OPERATOR)
    assert {run["user"] for run in ended["ended"]} == {"ada"}
    assert [acme[name] for name in ("users", "open_runs", "connections", "outcomes", "failed")] == [1, 1, 1, {}, []]
    assert acme["database_bytes"] is None
    assert (server["users"], server["open_runs"], server["outcomes"]) == (2, 1, {"cancelled": 1})
    assert server["database_bytes"] > 4096
    assert WORDS not in json.dumps([of_acme, runs, busy, both, ended, of_ada, acme, server])


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
    shown = {setting["name"]: setting for setting in answer["settings"]}
    assert (shown["summary_from"]["value"], shown["summary_from"]["source"]) == (3, "understudy.toml")
    assert (shown["limits.runs_total"]["value"], shown["limits.runs_total"]["source"]) == (77, "understudy.toml")
    assert (shown["page.show_costs"]["value"], shown["page.show_costs"]["source"]) == (
        False,
        "UNDERSTUDY_PAGE_SHOW_COSTS",
    )
    assert shown["secret"] == {"name": "secret", "value": None, "secret": True, "is_set": True, "source": str(secret)}
    assert (shown["models.words_per_s"]["value"], shown["models.words_per_s"]["source"]) == (5000.0, "command")
    assert (shown["model"]["source"], shown["model"]["is_set"]) == ("default", False)
    assert not shown["webhook.secret"]["is_set"]
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
