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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from io import StringIO
from pathlib import Path

import pytest
import trio
from rich.console import Console

from tests.servers.postgresql import Postgres
from tests.servers.redis import Redis
from tests.transport.provider import ec_key, key_set, published
from tests.understudy.models.conftest import provider as provider
from tests.understudy.models.provider import KEY, Provider, Script
from tests.understudy.storage.test_postgresql import execute
from understudy.agents.agent import Agent
from understudy.app.server import serve_app
from understudy.app.settings import Settings
from understudy.cli import doctor
from understudy.cli.doctor import CheckResult, run_checks, run_doctor
from understudy.sandbox.spawner import ConfinementReport
from understudy.storage.postgresql import connect_database

Look = Callable[[], dict[str, CheckResult]]


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Look:
    """Run the checks in an empty working folder; return the results by name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNDERSTUDY_PORT", "0")
    return lambda: {finding.name: finding for finding in run_checks()}


@contextmanager
def listening(handler: type[http.server.BaseHTTPRequestHandler]) -> Iterator[int]:
    """A web server that is not understudy; return its port."""
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


def test_what_is_missing_for_tables_is_told_with_its_extra(found: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    finding = found()["tables and charts"]
    assert (finding.state, "pip install 'understudy-server[analyst]'" in finding.text) == ("note", True)


def test_a_fresh_folder_needs_no_mending_and_stays_as_it_was(found: Look, tmp_path: Path) -> None:
    """The doctor creates nothing."""
    findings = found()
    assert {each.state for each in findings.values()} == {"ok", "note"}
    assert "defaults" in findings["settings"].text
    assert "the first start makes it" in findings["data folder"].text
    assert "the first start makes it" in findings["database"].text
    assert "no browser is needed" in findings["tables and charts"].text
    assert findings["sandbox"].state == "ok"
    assert list(tmp_path.iterdir()) == []


def test_processes_that_nothing_confines_are_pointed_out(found: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel lacks Landlock and seccomp; the server works there."""

    async def nothing() -> ConfinementReport:
        return ConfinementReport()

    monkeypatch.setattr(doctor, "probe", nothing)
    assert found()["sandbox"].state == "note"
    assert "Landlock" in found()["sandbox"].text
    assert "seccomp" in found()["sandbox"].text


def test_the_settings_file_that_is_read_is_named(found: Look, tmp_path: Path) -> None:
    """With its absolute path."""
    (tmp_path / "understudy.toml").write_text("[understudy]\nport = 0\n")
    assert found()["settings"] == CheckResult("settings", "ok", str(tmp_path / "understudy.toml"))


def test_wrong_settings_are_the_last_finding(found: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    """No other check runs then; the text is that of the settings."""
    monkeypatch.setenv("UNDERSTUDY_PORT", "[many]")
    findings = found()
    assert list(findings) == ["Python", "settings"]
    assert findings["settings"].state == "mend"
    out = StringIO()
    assert run_doctor(None, Console(file=out, width=200)) == 1
    assert "'[many]' in UNDERSTUDY_PORT" in out.getvalue()


def test_text_with_brackets_is_shown_whole(found: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    """No part of a sentence is treated as markup, and the exit code is 1."""
    monkeypatch.setenv("UNDERSTUDY_MODEL", "[bold]x[/]")
    out = StringIO()
    assert run_doctor(None, Console(file=out, width=200)) == 1
    assert "there is no model '[bold]x[/]'" in out.getvalue()
    assert "openai:NAME" in out.getvalue()


def test_the_exit_code_is_0_when_nothing_is_to_be_mended(found: Look) -> None:
    """Notes are no faults."""
    assert run_doctor(None, Console(file=StringIO())) == 0


def test_a_file_in_the_place_of_the_data_folder(found: Look, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("x")
    finding = found()["data folder"]
    assert finding.state == "mend"
    assert "UNDERSTUDY_DATA_DIR" in finding.text


def test_what_fails_is_told_by_the_findings_alone(tmp_path: Path) -> None:
    """An MCP server that ends at once: no traceback of its actor, and no stack of a check that imports for long."""
    (tmp_path / "mine.py").write_text("from understudy import Agent, mcp\nA = [Agent('x', tools=[mcp('/bin/true')])]")
    command = [sys.executable, "-m", "understudy", "doctor", "mine:A", "--data-dir", str(tmp_path / "data")]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert "true cannot be used: it ended with exit code 0" in ran.stdout
    assert ran.stderr == ""


def test_a_full_disk(found: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    """The required space is set above the free space."""
    assert found()["disk space"].state == "ok"
    monkeypatch.setattr(doctor, "MIN_FREE_BYTES", shutil.disk_usage("/").total * 1000)
    assert found()["disk space"].state == "mend"


def test_a_damaged_database_and_an_open_secret(found: Look, tmp_path: Path) -> None:
    """Each is reported with its place and a remedy."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "understudy.db").write_bytes(b"no database " * 100)
    (tmp_path / "data" / "secret").write_text("s" * 40)
    (tmp_path / "data" / "secret").chmod(0o644)
    findings = found()
    assert findings["database"].state == "mend"
    assert findings["secret"].state == "mend"
    assert "chmod 600" in findings["secret"].text


def test_a_database_of_postgresql(found: Look, postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    address = postgres.create()
    monkeypatch.setenv("UNDERSTUDY_DATABASE_URL", address)
    assert found()["database"].text.endswith("no tables yet; the first start makes them")
    connect_database(address).close()
    assert found()["database"].state == "ok"
    assert "PostgreSQL" in found()["database"].text
    assert "up to date" in found()["database"].text
    monkeypatch.setenv("UNDERSTUDY_DATABASE_URL", "postgresql://me:hunter2@127.0.0.1:1/chat")
    assert found()["database"].state == "mend"
    assert "hunter2" not in found()["database"].text


def test_a_database_that_takes_no_writes(found: Look, postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server would start, and refuse every message."""
    address = postgres.create()
    connect_database(address).close()
    name = address.rpartition("/")[2]
    execute(address, f"ALTER DATABASE {name} SET default_transaction_read_only TO on")
    monkeypatch.setenv("UNDERSTUDY_DATABASE_URL", address)
    assert found()["database"].state == "mend"
    assert "takes no writes" in found()["database"].text


def test_the_clock_of_a_database_and_its_room(found: Look, postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """A differing clock gives a note; a server without room for another node must be fixed."""
    monkeypatch.setenv("UNDERSTUDY_DATABASE_URL", postgres.create())
    findings = found()
    assert findings["database clock"].state == "ok"
    assert findings["database connections"].state == "ok"
    right = time.time
    monkeypatch.setattr("understudy.storage.postgresql.time.time", lambda: right() - 90)
    assert "90.0 s behind the database's" in found()["database clock"].text
    assert found()["database clock"].state == "note"
    monkeypatch.setattr("understudy.storage.postgresql.NODE_CONNECTIONS", 10_000)
    assert found()["database connections"].state == "mend"
    assert "max_connections" in found()["database connections"].text


def test_a_redis(found: Look, postgres: Postgres, own_redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "redis" not in found()
    monkeypatch.setenv("UNDERSTUDY_DATABASE_URL", postgres.create())
    monkeypatch.setenv("UNDERSTUDY_REDIS_URL", own_redis.url)
    assert found()["redis"].state == "ok"
    assert "the same one" in found()["secret"].text
    assert f"at 127.0.0.1:{own_redis.port}" in found()["redis"].text
    own_redis.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    assert found()["redis"].state == "note"
    monkeypatch.setattr("understudy.cli.doctor.REDIS_TIMEOUT_S", 0.2)
    monkeypatch.setenv("UNDERSTUDY_REDIS_URL", "redis://:hunter2@127.0.0.1:1")
    assert found()["redis"].state == "mend"
    assert "hunter2" not in found()["redis"].text


def test_a_clock_that_went_back(found: Look, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data is from the future, and the clock is older than this program."""
    assert found()["clock"].state == "ok"
    (tmp_path / "data").mkdir()
    secret = tmp_path / "data" / "secret"
    secret.write_text("s" * 40)
    os.utime(secret, (time.time() + 10 * 86_400,) * 2)
    assert "set the clock" in found()["clock"].text
    monkeypatch.setattr(doctor, "EARLIEST_S", time.time() + 1000)
    assert found()["clock"].state == "mend"


def test_a_port_taken_by_somebody_else(found: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a web server that is not ours, and by a program that sends nothing."""
    monkeypatch.setattr(doctor, "ANSWER_S", 0.1)
    with listening(Stranger) as port:
        monkeypatch.setenv("UNDERSTUDY_PORT", str(port))
        finding = found()["port"]
        assert finding.state == "mend"
        assert "another program" in finding.text
    assert "is free" in found()["port"].text
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("UNDERSTUDY_PORT", str(silent.getsockname()[1]))
        assert "another program" in found()["port"].text


def test_an_address_of_another_machine(found: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERSTUDY_PORT", "8002")
    monkeypatch.setenv("UNDERSTUDY_HOST", "192.0.2.1")
    monkeypatch.setenv("UNDERSTUDY_SECRET", "s" * 32)
    findings = found()
    assert findings["port"].state == "mend"
    assert "UNDERSTUDY_HOST" in findings["port"].text
    assert findings["secret"].state == "ok"


async def test_a_server_that_runs_already(
    found: Look, tmp_path: Path, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = await nursery.start(partial(serve_app, Settings(port=0, data_dir=tmp_path / "data")))
    monkeypatch.setenv("UNDERSTUDY_PORT", running.address.rpartition(":")[2])
    findings = await trio.to_thread.run_sync(found)
    assert findings["port"].state == "note"
    assert "already answers" in findings["port"].text
    assert findings["database"].state == "ok"
    assert findings["database"].state == "ok"
    assert findings["data folder"].state == "ok"
    await running.stop()


@pytest.mark.parametrize(
    ("model", "key", "state"),
    [
        ("offline", "", "note"),
        ("openai:x", "", "mend"),
        ("openai:", "k", "mend"),
        ("offline,", "", "mend"),
        ("x:y", "", "mend"),
    ],
)
def test_models(found: Look, monkeypatch: pytest.MonkeyPatch, model: str, key: str, state: str) -> None:
    """A model needs its key, and must exist."""
    monkeypatch.setenv("UNDERSTUDY_MODEL", model)
    monkeypatch.setenv("OPENAI_API_KEY", key)
    assert found()["model"].state == state


def test_a_reply_that_would_take_most_of_the_window_is_limited_and_said_to_be(
    found: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "model_max_output" not in found()
    monkeypatch.setenv("UNDERSTUDY_MODEL_WINDOW_TOKENS", "4096")
    limited = found()["model_max_output"]
    assert (limited.state, "at most 2,048 tokens, half of model_window_tokens" in limited.text) == ("note", True)
    monkeypatch.setenv("UNDERSTUDY_MODEL_MAX_OUTPUT", "1000")
    assert "model_max_output" not in found()


def test_each_provider_says_whether_it_can_be_used(
    found: Look, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the key is accepted and the model known, in a sentence without the key; and nobody is asked offline."""
    for name, url in (("ANTHROPIC", provider.root), ("OPENAI", provider.url)):
        monkeypatch.setenv(f"{name}_API_KEY", KEY)
        monkeypatch.setenv(f"{name}_BASE_URL", url)
    about = {"type": "model", "display_name": "B", "created_at": "2026-01-01T00:00:00Z", "lifecycle": "active"}
    provider.models = {"gpt-tiny": {"id": "gpt-tiny"}, "claude-tiny": {"id": "claude-tiny", **about}}

    def said(model: str, *, offline: bool = False) -> list[tuple[str, str]]:
        monkeypatch.setenv("UNDERSTUDY_MODEL", model)
        checks = [each for each in run_checks(offline=offline) if each.name == "model"]
        assert KEY not in "".join(each.text for each in checks)
        return [(each.state, each.text) for each in checks]

    for state, text in said("openai:gpt-tiny, openai-chat:gpt-tiny, anthropic:claude-tiny"):
        assert state == "ok"
        assert re.search(r"answered in \d+ ms, accepts the key and knows the model", text)
    for model, near in (("openai:gpt-tinny", "gpt-tiny"), ("anthropic:claude-tinny", "claude-tiny")):
        ((state, text),) = said(model)
        assert (state, f"it has {near}" in text) == ("mend", True)
    for model in ("openai:gpt-tiny", "anthropic:claude-tiny"):
        for status, state, words in (
            (401, "mend", "refused the key"),
            (429, "note", "too many"),
            (500, "mend", "the provider failed"),
        ):
            provider.scripts = [Script(status=status, error={"type": "error", "message": f"bad key {KEY}"})]
            ((found_state, text),) = said(model)
            assert (found_state, words in text) == (state, True), text
    asked = len(provider.keys)
    assert [state for state, _ in said("openai:gpt-tiny, anthropic:claude-tiny", offline=True)] == ["ok", "ok"]
    assert len(provider.keys) == asked
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    ((state, text),) = said("openai:gpt-tiny")
    assert (state, "cannot be reached" in text) == ("mend", True)


def test_the_keys_of_a_provider(found: Look, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "identity provider" not in found()
    path = tmp_path / "keys.json"
    monkeypatch.setenv("UNDERSTUDY_JWKS", str(path))
    assert (found()["settings"].state, "jwt_audience" in found()["settings"].text) == ("mend", True)
    monkeypatch.setenv("UNDERSTUDY_JWT_AUDIENCE", "chat")
    finding = found()["identity provider"]
    assert finding.state == "mend"
    assert "keys.json" in finding.text
    path.write_bytes(key_set(published(ec_key(), "e"), {"kty": "oct"}))
    assert found()["identity provider"].text.startswith("1 keys, 1 of no use here")
    assert found()["identity provider"].state == "ok"
    assert "there are no anonymous sessions" in found()["secret"].text
    monkeypatch.setenv("UNDERSTUDY_HOST", "0.0.0.0")
    assert "only the tokens of the identity provider count" in found()["secret"].text


def test_a_provider_that_is_away(found: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its tokens would be refused."""
    monkeypatch.setenv("UNDERSTUDY_JWKS", "http://127.0.0.1:1/keys")
    monkeypatch.setenv("UNDERSTUDY_JWT_AUDIENCE", "chat")
    assert found()["identity provider"].state == "mend"


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


def test_users_with_a_password(found: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    """A password is hashed, as the server does it; without the extra that is a fault with what to install."""
    monkeypatch.setenv("UNDERSTUDY_ACCOUNTS", "true")
    finding = found()["sign-in"]
    assert (finding.state, "with a password at http://127.0.0.1" in finding.text) == ("ok", True)
    monkeypatch.setitem(sys.modules, "argon2", None)
    monkeypatch.delitem(sys.modules, "understudy.auth.accounts.passwords", raising=False)
    finding = found()["sign-in"]
    assert (finding.state, "pip install 'understudy-server[accounts]'" in finding.text) == ("mend", True)


def test_the_provider_at_which_users_sign_in(found: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    """The way back is said, as it has to be registered there; another name of the provider is a fault."""
    assert "sign-in" not in found()
    monkeypatch.setenv("UNDERSTUDY_OIDC_CLIENT_ID", "chat")
    monkeypatch.setenv("UNDERSTUDY_PUBLIC_URL", "https://chat.example.org")
    with listening(SignInServer) as port:
        monkeypatch.setenv("UNDERSTUDY_OIDC_ISSUER", f"http://127.0.0.1:{port}")
        finding = found()["sign-in"]
        assert (finding.state, "https://chat.example.org/auth/callback" in finding.text) == ("note", True)
        monkeypatch.setenv("UNDERSTUDY_OIDC_ISSUER", f"http://127.0.0.1:{port}/")
        finding = found()["sign-in"]
        assert (finding.state, "calls itself" in finding.text) == ("mend", True)
    assert found()["sign-in"].state == "mend"


def test_the_permissions_file_is_compared_with_the_agents_that_are_named(
    found: Look, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without them its form alone is checked, and that is said."""
    path = tmp_path / "permissions.toml"
    monkeypatch.setenv("UNDERSTUDY_PERMISSIONS_FILE", str(path))
    assert found()["permissions"].state == "mend"
    path.write_text('groups = ["staff"]\n[agents]\ndesk = ["group:staff"]')
    assert (found()["permissions"].state, found()["permissions"].text.partition("; ")[0]) == (
        "note",
        f"{path}: 1 rules",
    )
    checked = {each.name: each for each in run_checks(agents=[Agent("desk", model="offline")])}["permissions"]
    assert (checked.state, checked.text) == ("ok", f"{path}: 1 rules")
    wrong = {each.name: each for each in run_checks(agents=[Agent("disk", model="offline")])}["permissions"]
    assert (wrong.state, "agents.desk: there is no agent of that name" in wrong.text) == ("mend", True)
    path.write_text("groups = 1")
    assert "groups must be a list of names" in found()["permissions"].text
