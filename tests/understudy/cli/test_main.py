"""The command `understudy`: its options and exit codes."""

import json
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from understudy import __version__
from understudy.app.settings import Settings
from understudy.auth.sessions import open_tokens
from understudy.cli.main import main
from understudy.storage.sqlite import open_database


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, without variables of the environment."""
    monkeypatch.chdir(tmp_path)
    for name in ("UNDERSTUDY_TOKEN", "UNDERSTUDY_SECRET", "UNDERSTUDY_PORT"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def run(*arguments: str) -> Result:
    """Run the command."""
    return CliRunner().invoke(main, arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sing"], "No such command"),
        (["serve", "--port", "many"], "not a valid integer"),
        (["serve", "--port", "65536"], "0<=x<=65535"),
        (["serve", "nonsense"], "MODULE:ATTR"),
        (["serve", "--host", "0.0.0.0"], "UNDERSTUDY_SECRET"),
        (["serve", "--database-url", "sqlite:///x.db"], "sqlite:///FOLDER"),
        (["serve", "--database-url", "postgres://x"], "SQLite"),
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
    result = run(*arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert result.stdout == ""


def test_wrong_settings_have_exit_code_2(monkeypatch: pytest.MonkeyPatch) -> None:
    """For each command that reads them."""
    monkeypatch.setenv("UNDERSTUDY_PORT", "many")
    for command in (["serve"], ["token", "--user", "ada"], ["chat"]):
        result = run(*command)
        assert result.exit_code == 2
        assert "UNDERSTUDY_PORT" in result.stderr


@pytest.mark.parametrize("form", ["json", "auto", "console"])
def test_a_refused_start_is_a_line_of_the_log(monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    """As JSON if the log is written so, else as a sentence."""
    monkeypatch.setenv("UNDERSTUDY_LOG_FORMAT", form)
    result = run("serve", "--host", "0.0.0.0")
    assert result.exit_code == 2
    if form == "console":
        assert result.stderr.startswith("Error: listening on 0.0.0.0 needs a secret")
    else:
        line = json.loads(result.stderr)
        assert (line["level"], line["event"]) == ("critical", "server.not_started")
        assert line["reason"].startswith("listening on 0.0.0.0 needs a secret")


def test_a_token_is_accepted_by_the_server(folder: Path) -> None:
    tokens = open_tokens(Settings(data_dir=folder / "here"))
    result = run(
        "token", "--user", "ada", "--role", "operator", "--role", "reader", "--ttl-s", "60", "--data-dir", "here"
    )
    assert (result.exit_code, result.stderr) == (0, "")
    identity = tokens.verify(result.stdout.strip())
    assert (identity.user, identity.roles) == ("ada", ("operator", "reader"))
    assert 55 < identity.expires_at - time.time() < 65


def test_without_a_secret_there_is_no_token(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run("token", "--user", "ada", "--data-dir", "here")
    assert (result.exit_code, result.stdout) == (2, "")
    assert str(folder / "here") in result.stderr
    assert "UNDERSTUDY_SECRET" in result.stderr
    assert not (folder / "here").exists()
    monkeypatch.setenv("UNDERSTUDY_JWKS", "keys.json")
    monkeypatch.setenv("UNDERSTUDY_JWT_AUDIENCE", "chat")
    monkeypatch.setenv("UNDERSTUDY_HOST", "0.0.0.0")
    result = run("token", "--user", "ada")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "identity provider" in result.stderr


def test_a_secret_that_others_may_read_is_refused(folder: Path) -> None:
    """The message says how to fix it."""
    (folder / "secret").write_text("s" * 40)
    (folder / "secret").chmod(0o644)
    result = run("token", "--user", "ada", "--data-dir", ".")
    assert result.exit_code == 2
    assert "chmod 600" in result.stderr


def test_doctor_exits_with_1_when_something_is_to_be_mended(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERSTUDY_PORT", "0")
    assert run("doctor").exit_code == 0
    (folder / "data").write_text("in the way")
    assert run("doctor").exit_code == 1


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
    """In a sentence, with exit code 1, and no file is left behind."""
    open_database(folder / "here").close()
    before = sorted(folder.rglob("*"))
    result = run(*arguments)
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit), "no traceback"
    assert any(word in result.output for word in ("File name too long", "is a folder"))
    assert "[Errno" not in result.output
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("command", [["migrate"], ["users", "list"], ["users", "export", "ann"], ["doctor"]])
def test_an_output_that_is_full_is_reported(folder: Path, command: list[str]) -> None:
    """Once, and not again when the process ends."""
    database = open_database(folder / "here")
    with database.writing.connect() as connection, connection.begin():
        connection.exec_driver_sql("INSERT INTO users (id, created_at) VALUES ('ann', 1.0)")
    database.close()
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "understudy", *command, "--data-dir", "here"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert (done.returncode, done.stderr) == (1, "Error: No space left on device\n")


def test_chat_needs_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Port 0 of the settings is no address."""
    monkeypatch.setenv("UNDERSTUDY_PORT", "0")
    result = run("chat")
    assert result.exit_code == 2
    assert "--url" in result.stderr


@pytest.mark.parametrize("command", ["serve", "chat", "token", "scrub", "doctor"])
def test_each_command_has_help(command: str) -> None:
    """Every option has a sentence."""
    result = run(command, "--help")
    assert result.exit_code == 0
    assert all(option.help for option in main.commands[command].params if isinstance(option, click.Option))


def test_the_version() -> None:
    assert run("--version").output == f"understudy, version {__version__}\n"


def test_settings_are_printed_with_their_sources_and_without_their_secrets(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNDERSTUDY_SECRET", secret := "s3cret-of-a-server-with-40-letters-and-more")
    (folder / "understudy.toml").write_text("[understudy.limits]\nrun_turns = 7\n")
    lines = run("settings").stdout.splitlines()
    assert "limits.run_turns = 7, by understudy.toml; UNDERSTUDY_LIMITS_RUN_TURNS" in lines
    assert "port = 8002, by default; UNDERSTUDY_PORT" in lines
    assert "    The port of everything; 0 takes a free one." in lines
    assert f"data_dir = '{folder / 'data'}', by default; UNDERSTUDY_DATA_DIR" in lines
    assert "secret = (secret), by UNDERSTUDY_SECRET; UNDERSTUDY_SECRET" in lines
    assert secret not in "".join(lines)
    assert [line for line in run("settings", "oidc_out").stdout.splitlines() if line[0] != " "] == [
        "oidc_outage_s = 3600, by default; UNDERSTUDY_OIDC_OUTAGE_S"
    ]
    assert run("settings", "no such setting").stdout == ""
