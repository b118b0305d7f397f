"""`understudy doctor`, on real folders, ports and clocks."""

import http.server
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from io import StringIO
from pathlib import Path

import pytest
import trio
from attrs import define
from click.testing import CliRunner

from tests.rigs.heard import provider as provider
from tests.rigs.identity_provider import ec_key, key_set, published
from tests.rigs.model_provider import KEY, Provider, Script
from tests.servers.pgbouncer import PgBouncer
from tests.servers.postgresql import Postgres, execute
from tests.servers.redis import Redis
from understudy.agents.agent import Agent
from understudy.app.server import serve_app
from understudy.app.settings import Settings
from understudy.cli.check_result import CheckResult
from understudy.cli.main import main
from understudy.extensions.doctor import checks as doctor
from understudy.extensions.doctor import terminal
from understudy.extensions.doctor.checks import run_checks, run_doctor
from understudy.storage.postgresql import connect_database


@define
class Look:
    """Runs the checks, with settings that are given by name from then on."""

    monkeypatch: pytest.MonkeyPatch

    def __call__(self, **settings: str) -> dict[str, CheckResult]:
        for name, value in settings.items():
            self.monkeypatch.setenv(f"UNDERSTUDY_{name}", value)
        return {finding.name: finding for finding in run_checks()}

    def expect(self, name: str, state: str, *words: str, **settings: str) -> None:
        """Check the state of a finding, and that it has these words."""
        finding = self(**settings)[name]
        assert (finding.state, [word for word in words if word not in finding.text]) == (state, []), finding


@pytest.fixture
def look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Look:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNDERSTUDY_PORT", "0")
    return Look(monkeypatch)


@contextmanager
def listening(handler: type[http.server.BaseHTTPRequestHandler]) -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


class Stranger(http.server.BaseHTTPRequestHandler):
    """Answers every request with the same page."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<h1>hello</h1>")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        pass


def test_a_fresh_folder_needs_no_mending_and_stays_as_it_was(look: Look, tmp_path: Path) -> None:
    findings = look()
    assert {finding.state for finding in findings.values()} == {"ok", "note"}
    assert "defaults" in findings["settings"].text
    assert "the first start makes it" in findings["data folder"].text
    assert "the first start makes it" in findings["database"].text
    assert list(tmp_path.iterdir()) == []


def test_the_settings_file_that_is_read_is_named(look: Look, tmp_path: Path) -> None:
    (tmp_path / "understudy.toml").write_text("[understudy]\nport = 0\n")
    assert look()["settings"] == CheckResult("settings", "ok", str(tmp_path / "understudy.toml"))


def test_wrong_settings_are_the_last_finding(look: Look) -> None:
    findings = look(PORT="[many]")
    assert list(findings) == ["Python", "settings"]
    assert findings["settings"].state == "mend"
    out = StringIO()
    assert run_doctor(out=out) == 1
    assert "'[many]' in UNDERSTUDY_PORT" in out.getvalue()


def test_it_takes_the_options_of_serve(look: Look, tmp_path: Path) -> None:
    serves, checks = ({param.name for param in command.params} for command in (main.commands["serve"], terminal.doctor))
    assert checks - serves == {"offline"}
    assert serves < checks
    options = ["--port", "0", "--model", "openai:gpt-tiny", "--no-builtin-agents", "--default-agent", "gide"]
    options += ["--data-dir", "mine", "--tls-certificate", "c.pem", "--tls-key", "k.pem", "--accounts", "--offline"]
    result = CliRunner().invoke(main, ["doctor", *options])
    assert result.exit_code == 1
    findings = dict(line.split(None, 2)[1:] for line in result.output.splitlines())
    for name, words in {
        "model": "openai needs a key", "port": "any free one", "data": f"{tmp_path}/mine", "sign-in": "with a password",
        "TLS": "c.pem", "agents": "there is no agent",
    }.items():  # fmt: skip
        assert words in findings[name], result.output


def test_text_with_brackets_is_shown_whole(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERSTUDY_MODEL", "[bold]x[/]")
    out = StringIO()
    assert run_doctor(out=out) == 1
    assert "there is no model '[bold]x[/]'" in out.getvalue()
    assert "openai:NAME" in out.getvalue()


def test_a_file_in_the_place_of_the_data_folder(look: Look, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("x")
    look.expect("data folder", "mend", "UNDERSTUDY_DATA_DIR")


def test_what_fails_is_told_by_the_findings_alone(tmp_path: Path) -> None:
    """An MCP server that ends at once: no traceback of its actor, and no stack of a check that imports for long."""
    (tmp_path / "mine.py").write_text("from understudy import Agent, mcp\nA = [Agent('x', tools=[mcp('/bin/true')])]")
    command = [sys.executable, "-m", "understudy", "doctor", "mine:A", "--data-dir", str(tmp_path / "data")]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert "true cannot be used: it ended with exit code 0" in ran.stdout
    assert ran.stderr == ""


def test_a_full_disk(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    look.expect("disk space", "ok")
    monkeypatch.setattr(doctor, "MIN_FREE_BYTES", shutil.disk_usage("/").total * 1000)
    look.expect("disk space", "mend")


def test_a_damaged_database_and_an_open_secret(look: Look, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "understudy.db").write_bytes(b"no database " * 100)
    (tmp_path / "data" / "secret").write_text("s" * 40)
    (tmp_path / "data" / "secret").chmod(0o644)
    findings = look()
    assert findings["database"].state == "mend"
    assert findings["secret"].state == "mend"
    assert "chmod 600" in findings["secret"].text


def test_a_database_of_postgresql(look: Look, postgres: Postgres) -> None:
    address = postgres.create()
    assert look(DATABASE_URL=address)["database"].text.endswith("no tables yet; the first start makes them")
    connect_database(address).close()
    look.expect("database", "ok", "PostgreSQL", "up to date")
    look.expect("database", "mend", DATABASE_URL="postgresql://me:hunter2@127.0.0.1:1/chat")
    assert "hunter2" not in look()["database"].text


def test_a_database_that_takes_no_writes(look: Look, postgres: Postgres) -> None:
    address = postgres.create()
    connect_database(address).close()
    name = address.rpartition("/")[2]
    execute(address, f"ALTER DATABASE {name} SET default_transaction_read_only TO on")
    look.expect("database", "mend", "takes no writes", DATABASE_URL=address)


def test_what_the_user_of_a_database_may_not_do(look: Look, postgres: Postgres) -> None:
    address = postgres.create()
    name = address.rpartition("/")[2]
    bare = address.replace("//understudy@", f"//bare_{name}@")
    execute(address, f"CREATE ROLE bare_{name} LOGIN", "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    grant = f"GRANT USAGE, CREATE ON SCHEMA public TO bare_{name}"
    look.expect("database", "mend", "create on the schema", grant, DATABASE_URL=bare)
    connect_database(address).close()
    look.expect("database", "mend", "permission denied")
    execute(address, f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO bare_{name}")
    look.expect("database", "mend", f"bare_{name} delete on", " more: have it own the tables")
    execute(address, f"GRANT ALL ON ALL TABLES IN SCHEMA public TO bare_{name}")
    look.expect("database", "ok", "up to date")  # a start makes no table now
    execute(address, f"ALTER ROLE bare_{name} CONNECTION LIMIT 7")
    look.expect("database connections", "mend", "7 more can be opened", "limit of the user")


def test_the_clock_of_a_database_and_its_room(look: Look, postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    findings = look(DATABASE_URL=postgres.create())
    assert findings["database clock"].state == "ok"
    assert findings["database connections"].state == "ok"
    right = time.time
    monkeypatch.setattr("understudy.storage.postgresql.time.time", lambda: right() - 90)
    look.expect("database clock", "note", "90.0 s behind the database's")
    monkeypatch.setattr("understudy.storage.postgresql.NODE_CONNECTIONS", 10_000)
    look.expect("database connections", "mend", "max_connections")


def test_a_pooler_of_transactions(look: Look, postgres: Postgres, pgbouncer: PgBouncer) -> None:
    direct = postgres.create()
    pooled = pgbouncer.address(direct)
    look.expect("wakeups", "ok", "notifications arrive", DATABASE_URL=direct)
    look.expect("wakeups", "note", "database_url is a pooler", "nodes.listen_url", DATABASE_URL=pooled)
    look.expect("wakeups", "mend", "nodes.listen_url is a pooler", DATABASE_URL=pooled, NODES_LISTEN_URL=pooled)
    look.expect("wakeups", "mend", "not of the form", DATABASE_URL=pooled, NODES_LISTEN_URL="db.internal")
    look.expect("wakeups", "ok", DATABASE_URL=pooled, NODES_LISTEN_URL=direct)


def test_a_redis(look: Look, postgres: Postgres, own_redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "redis" not in look()
    look.expect("redis", "ok", DATABASE_URL=postgres.create(), NODES_REDIS_URL=own_redis.url)
    assert "the same one" in look()["secret"].text
    assert f"at 127.0.0.1:{own_redis.port}" in look()["redis"].text
    size = own_redis.command("DBSIZE")
    with_rights = ["on", ">sesame", "~understudy:*", "+@all", "-@admin", "-@dangerous"]
    for rights, state, words in (
        ([], "note", "INFO is refused"),
        (["+info"], "ok", "Redis 7"),
        (["-hdel"], "mend", "refuses its user what servers do"),
        (["+@all", "resetkeys", "resetchannels"], "mend", "give it ~understudy:*"),
    ):
        own_redis.command("ACL", "SETUSER", "ann", *with_rights, *rights)
        look.expect("redis", state, words, NODES_REDIS_URL=own_redis.url.replace("//", "//ann:sesame@"))
    wakes = {"NODES_REDIS_URL": own_redis.url.replace("//", "//ann:sesame@"), "NODES_WAKEUPS_BY_REDIS": "true"}
    own_redis.command("ACL", "SETUSER", "ann", *with_rights, "+info", "resetchannels")
    look.expect("redis", "mend", "&understudy:*", **wakes)
    own_redis.command("ACL", "SETUSER", "ann", "&understudy:*")
    look.expect("redis", "ok", **wakes)
    assert "wakeups" not in look()
    assert own_redis.command("DBSIZE") == size
    look(NODES_REDIS_URL=own_redis.url)
    monkeypatch.setattr("understudy.extensions.nodes.check.REDIS_TIMEOUT_S", 0.2)
    look.expect("redis", "mend", NODES_REDIS_URL="redis://:hunter2@127.0.0.1:1")
    assert "hunter2" not in look()["redis"].text


def test_a_clock_that_went_back(look: Look, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    look.expect("clock", "ok")
    (tmp_path / "data").mkdir()
    secret = tmp_path / "data" / "secret"
    secret.write_text("s" * 40)
    os.utime(secret, (time.time() + 10 * 86_400,) * 2)
    assert "set the clock" in look()["clock"].text
    monkeypatch.setattr(doctor, "EARLIEST_S", time.time() + 1000)
    look.expect("clock", "mend")


def test_a_port_taken_by_somebody_else(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "ANSWER_S", 0.1)
    with listening(Stranger) as port:
        look.expect("port", "mend", "another program", PORT=str(port))
    assert "is free" in look()["port"].text
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert "another program" in look(PORT=str(silent.getsockname()[1]))["port"].text


def test_an_address_of_another_machine(look: Look) -> None:
    findings = look(PORT="8002", HOST="192.0.2.1", SECRET="s" * 32)
    assert findings["port"].state == "mend"
    assert "UNDERSTUDY_HOST" in findings["port"].text
    assert findings["secret"].state == "ok"


async def test_a_server_that_runs_already(
    look: Look, tmp_path: Path, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = await nursery.start(partial(serve_app, Settings(port=0, data_dir=tmp_path / "data")))
    monkeypatch.setenv("UNDERSTUDY_PORT", running.address.rpartition(":")[2])
    findings = await trio.to_thread.run_sync(look)
    assert findings["port"].state == "note"
    assert "already answers" in findings["port"].text
    assert findings["database"].state == "ok"
    assert findings["data folder"].state == "ok"
    await running.stop()


@pytest.mark.parametrize(
    ("model", "key", "state"),
    [
        ("offline", "", "note"), ("openai:x", "", "mend"), ("openai:", "k", "mend"), ("offline,", "", "mend"),
        ("x:y", "", "mend"),
    ],
)  # fmt: skip
def test_models(look: Look, monkeypatch: pytest.MonkeyPatch, model: str, key: str, state: str) -> None:
    monkeypatch.setenv("UNDERSTUDY_MODEL", model)
    monkeypatch.setenv("OPENAI_API_KEY", key)
    assert look()["model"].state == state


def test_a_reply_that_would_take_most_of_the_window_is_limited_and_said_to_be(look: Look) -> None:
    assert "models.max_output" not in look()
    limited = look(MODELS_WINDOW_TOKENS="4096")["models.max_output"]
    assert (limited.state, "at most 2,048 tokens, half of models.window_tokens" in limited.text) == ("note", True)
    assert "models.max_output" not in look(MODELS_MAX_OUTPUT="1000")


def test_each_provider_says_whether_it_can_be_used(
    look: Look, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, url in (("ANTHROPIC", provider.root), ("OPENAI", provider.url)):
        monkeypatch.setenv(f"{name}_API_KEY", KEY)
        monkeypatch.setenv(f"{name}_BASE_URL", url)
    about = {"type": "model", "display_name": "B", "created_at": "2026-01-01T00:00:00Z", "lifecycle": "active"}
    provider.models = {"gpt-tiny": {"id": "gpt-tiny"}, "claude-tiny": {"id": "claude-tiny", **about}}

    def model_findings(model: str, *, offline: bool = False) -> list[tuple[str, str]]:
        monkeypatch.setenv("UNDERSTUDY_MODEL", model)
        checks = [finding for finding in run_checks(offline=offline) if finding.name == "model"]
        assert KEY not in "".join(finding.text for finding in checks)
        return [(finding.state, finding.text) for finding in checks]

    for state, text in model_findings("openai:gpt-tiny, openai-chat:gpt-tiny, anthropic:claude-tiny"):
        assert state == "ok"
        assert re.search(r"answered in \d+ ms, accepts the key and knows the model", text)
    for model, near in (("openai:gpt-tinny", "gpt-tiny"), ("anthropic:claude-tinny", "claude-tiny")):
        ((state, text),) = model_findings(model)
        assert (state, f"it has {near}" in text) == ("mend", True)
    for model in ("openai:gpt-tiny", "anthropic:claude-tiny"):
        for status, state, words in (
            (401, "mend", "refused the key"),
            (429, "note", "too many"),
            (500, "mend", "the provider failed"),
        ):
            provider.scripts = [Script(status=status, error={"type": "error", "message": f"bad key {KEY}"})]
            ((found_state, text),) = model_findings(model)
            assert (found_state, words in text) == (state, True), text
    requests = len(provider.keys)
    assert [state for state, _ in model_findings("openai:gpt-tiny, anthropic:claude-tiny", offline=True)] == [
        "ok",
        "ok",
    ]
    assert len(provider.keys) == requests
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    ((state, text),) = model_findings("openai:gpt-tiny")
    assert (state, "cannot be reached" in text) == ("mend", True)


def test_the_keys_of_a_provider(look: Look, tmp_path: Path) -> None:
    assert "identity provider" not in look()
    path = tmp_path / "keys.json"
    look.expect("settings", "mend", "jwt.audience", JWT_KEYS=str(path))
    look.expect("identity provider", "mend", "keys.json", JWT_AUDIENCE="chat")
    path.write_bytes(key_set(published(ec_key(), "e"), {"kty": "oct"}))
    assert look()["identity provider"].text.startswith("1 keys, 1 of no use here")
    look.expect("identity provider", "ok")
    assert "there are no anonymous sessions" in look()["secret"].text
    assert "only the tokens of the identity provider count" in look(HOST="0.0.0.0")["secret"].text


def test_a_provider_that_is_away(look: Look) -> None:
    look.expect("identity provider", "mend", JWT_KEYS="http://127.0.0.1:1/keys", JWT_AUDIENCE="chat")


class SignInServer(http.server.BaseHTTPRequestHandler):
    """Says of itself what a provider does that has no sign-out of its own, under the issuer that it is asked for."""

    def do_GET(self) -> None:
        issuer = f"http://{self.headers['Host']}"
        paths = {"authorization_endpoint": "a", "token_endpoint": "t", "jwks_uri": "k"}
        body = json.dumps({"issuer": issuer, **{name: f"{issuer}/{path}" for name, path in paths.items()}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_users_with_a_password(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    look.expect("sign-in", "ok", "with a password at http://127.0.0.1", ACCOUNTS_ENABLED="true")
    monkeypatch.setitem(sys.modules, "argon2", None)
    monkeypatch.delitem(sys.modules, "understudy.extensions.accounts.passwords", raising=False)
    look.expect("sign-in", "mend", "pip install 'understudy-server[accounts]'")


def test_the_provider_at_which_users_sign_in(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "sign-in" not in look()
    monkeypatch.setenv("UNDERSTUDY_OIDC_CLIENT_ID", "chat")
    monkeypatch.setenv("UNDERSTUDY_PUBLIC_URL", "https://chat.example.org")
    with listening(SignInServer) as port:
        look.expect("sign-in", "note", "https://chat.example.org/auth/callback", OIDC_ISSUER=f"http://127.0.0.1:{port}")
        look.expect("sign-in", "mend", "calls itself", OIDC_ISSUER=f"http://127.0.0.1:{port}/")
    look.expect("sign-in", "mend")


def test_the_permissions_file_is_compared_with_the_agents_that_are_named(look: Look, tmp_path: Path) -> None:
    path = tmp_path / "permissions.toml"
    look.expect("permissions", "mend", PERMISSIONS_FILE=str(path))
    path.write_text('groups = ["staff"]\n[agents]\ndesk = ["group:staff"]')
    assert look()["permissions"].state == "note"
    assert look()["permissions"].text.partition("; ")[0] == f"{path}: 1 rules"
    checked = {finding.name: finding for finding in run_checks(agents=[Agent("desk", model="offline")])}["permissions"]
    assert (checked.state, checked.text) == ("ok", f"{path}: 1 rules")
    wrong = {finding.name: finding for finding in run_checks(agents=[Agent("disk", model="offline")])}["permissions"]
    assert (wrong.state, "agents.desk: there is no agent of that name" in wrong.text) == ("mend", True)
    path.write_text("groups = 1")
    assert "groups must be a list of names" in look()["permissions"].text
