"""The command `understudy`: its options and exit codes."""

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.rigs.command import refusal, said, understudy
from understudy import __version__
from understudy.app.settings import Settings
from understudy.auth.sessions import open_tokens
from understudy.storage.sqlite import open_database


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("UNDERSTUDY_TOKEN", "UNDERSTUDY_SECRET", "UNDERSTUDY_PORT"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sing"], "No such command"),
        (["serve", "--port", "many"], "not a valid integer"),
        (["serve", "--port", "65536"], "0<=x<=65535"),
        (["serve", "nonsense"], "MODULE:ATTR"),
        (["serve", "--host", "0.0.0.0"], "UNDERSTUDY_SECRET"),
        (["serve", "--database-url", "sqlite:///x.db"], "sqlite:///FOLDER"),
        (["serve", "--database-url", "mysql://x"], "SQLite"),
        (["users", "list", "--database-url", "hunter2@db/chat"], "; only SQLite"),
        (["token"], "--user"),
        (["token", "--user", ""], "--user"),
        (["token", "--user", "a\nb"], "printable"),
        (["token", "--user", "ada", "--role", ""], "--role"),
        (["token", "--user", "ada", "--ttl-s", "0"], "x>=1"),
        (["chat", "--url"], "requires an argument"),
        (["doctor", "extra"], "extra"),
    ],
)
def test_wrong_usage_has_exit_code_2(arguments: list[str], words: str) -> None:
    open_tokens(Settings(data_dir=Path("data")))
    assert words in refusal(*arguments, code=2)


def test_wrong_settings_have_exit_code_2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERSTUDY_PORT", "many")
    for command in (["serve"], ["token", "--user", "ada"], ["chat"]):
        assert "UNDERSTUDY_PORT" in refusal(*command, code=2)


@pytest.mark.parametrize("form", ["json", "auto", "console"])
def test_a_refused_start_is_a_line_of_the_log(monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    monkeypatch.setenv("UNDERSTUDY_LOG_FORMAT", form)
    result = understudy("serve", "--host", "0.0.0.0")
    assert result.exit_code == 2
    if form == "console":
        assert result.stderr.startswith("Error: listening on 0.0.0.0 needs a secret")
    else:
        line = json.loads(result.stderr)
        assert (line["level"], line["event"]) == ("critical", "server.not_started")
        assert line["reason"].startswith("listening on 0.0.0.0 needs a secret")


def test_a_token_is_accepted_by_the_server(folder: Path) -> None:
    tokens = open_tokens(Settings(data_dir=folder / "here"))
    result = understudy(
        "token", "--user", "ada", "--role", "operator", "--role", "reader", "--ttl-s", "60", "--data-dir", "here"
    )
    assert (result.exit_code, result.stderr) == (0, "")
    identity = tokens.verify(result.stdout.strip())
    assert (identity.user, identity.roles) == ("ada", ("operator", "reader"))
    assert 55 < identity.expires_at - time.time() < 65


def test_without_a_secret_there_is_no_token(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused_with = refusal("token", "--user", "ada", "--data-dir", "here", code=2)
    assert str(folder / "here") in refused_with
    assert "UNDERSTUDY_SECRET" in refused_with
    assert not (folder / "here").exists()
    monkeypatch.setenv("UNDERSTUDY_JWT_KEYS", "keys.json")
    monkeypatch.setenv("UNDERSTUDY_JWT_AUDIENCE", "chat")
    monkeypatch.setenv("UNDERSTUDY_HOST", "0.0.0.0")
    assert "identity provider" in refusal("token", "--user", "ada", code=2)


def test_a_secret_that_others_may_read_is_refused(folder: Path) -> None:
    (folder / "secret").write_text("s" * 40)
    (folder / "secret").chmod(0o644)
    assert "chmod 600" in refusal("token", "--user", "ada", "--data-dir", ".", code=2)


def test_doctor_exits_with_1_when_something_is_to_be_mended(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERSTUDY_PORT", "0")
    said("doctor")
    (folder / "data").write_text("in the way")
    assert understudy("doctor").exit_code == 1


LONG = "a" * 300
"""No file system takes such a name."""


@pytest.mark.parametrize(
    "arguments",
    [
        ["migrate", "--data-dir", LONG],
        ["backup", "saved", "--data-dir", LONG],
        ["backup", LONG, "--data-dir", "here"],
        ["restore", LONG, "--data-dir", "here"],
        ["doctor", "--data-dir", LONG],
        ["users", "list", "--data-dir", LONG],
        ["users", "export", "ann", "--data-dir", "here", "--output", "."],
        ["users", "export", "ann", "--data-dir", "here", "--output", LONG],
        ["users", "delete", "ann", "--yes", "--data-dir", LONG],
        ["threads", "export", "--owner", "ann", "--data-dir", LONG],
        ["token", "--user", "ada", "--data-dir", LONG],
        ["serve", "--port", "0", "--data-dir", LONG],
    ],
)
def test_errors_of_the_system_are_reported(folder: Path, arguments: list[str]) -> None:
    open_database(folder / "here").close()
    files = sorted(folder.rglob("*"))
    result = understudy(*arguments)
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit), "no traceback"
    assert any(word in result.output for word in ("File name too long", "is a folder"))
    assert "[Errno" not in result.output
    assert sorted(folder.rglob("*")) == files


@pytest.mark.parametrize(
    "command", [["migrate"], ["users", "list"], ["users", "export", "ann"], ["doctor"], ["serve", "--help"]]
)
def test_an_output_that_is_full_is_reported(folder: Path, command: list[str]) -> None:
    database = open_database(folder / "here")
    with database.writing.connect() as connection, connection.begin():
        connection.exec_driver_sql("INSERT INTO users (id, created_at) VALUES ('ann', 1.0)")
    database.close()
    line = [sys.executable, "-m", "understudy", *command, "--data-dir", "here"]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(line, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (1, "Error: No space left on device\n")


@pytest.mark.parametrize("command", [["settings", "model"], ["doctor", "--offline", "--data-dir", "日本"]])
@pytest.mark.parametrize(
    ("how", "coding"), [(">&-", "utf-8"), ("| head -c 9", "cp1252"), ("", "latin-1"), ("", "ascii")]
)
def test_no_output_is_too_poor(folder: Path, command: list[str], how: str, coding: str) -> None:
    line = shlex.join([sys.executable, "-m", "understudy", *command]) + how
    environment = os.environ | {"PYTHONIOENCODING": coding}
    done = subprocess.run(["bash", "-c", line], capture_output=True, env=environment, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")


def test_an_export_into_a_closed_output_is_refused(folder: Path) -> None:
    open_database(folder / "here").close()
    line = shlex.join([sys.executable, "-m", "understudy", "users", "export", "ann", "--data-dir", "here"]) + ">&-"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, "name a file with --output" in done.stderr) == (1, True), done.stderr
    assert "Traceback" not in done.stderr


def test_chat_needs_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERSTUDY_PORT", "0")
    assert "--url" in refusal("chat", code=2)


def test_the_version() -> None:
    assert understudy("--version").output == f"understudy, version {__version__}\n"


def test_settings_are_printed_with_their_sources_and_without_their_secrets(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNDERSTUDY_SECRET", secret := "s3cret-of-a-server-with-40-letters-and-more")
    (folder / "understudy.toml").write_text("[understudy.limits]\nrun_turns = 7\n")
    lines = said("settings").splitlines()
    assert "limits.run_turns = 7, by understudy.toml; UNDERSTUDY_LIMITS_RUN_TURNS" in lines
    assert "port = 8002, by default; UNDERSTUDY_PORT" in lines
    assert "    The port of everything; 0 takes a free one." in lines
    assert f"data_dir = '{folder / 'data'}', by default; UNDERSTUDY_DATA_DIR" in lines
    assert "secret = (secret), by UNDERSTUDY_SECRET; UNDERSTUDY_SECRET" in lines
    assert secret not in "".join(lines)
    assert [line for line in said("settings", "oidc.out").splitlines() if line[0] != " "] == [
        "oidc.outage_s = 3600, by default; UNDERSTUDY_OIDC_OUTAGE_S"
    ]
    assert said("settings", "no such setting") == ""
