"""An operator invites, lists, changes, resets and disables accounts from a shell, on either database."""

import json
import re
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.rigs.command import refusal, said, understudy
from tests.servers.postgresql import Postgres
from understudy.app.settings import Settings
from understudy.cli import stored_data
from understudy.cli.stored_data import commit_beside, deed_of
from understudy.extensions.accounts import storage as accounts
from understudy.extensions.accounts.invites import digest_of
from understudy.extensions.accounts.storage import JOINED, SoleAccount
from understudy.extensions.privacy.offline import erase_users
from understudy.storage.postgresql import read_server
from understudy.storage.sqlite import read_folder
from understudy.tools.containment import errors_in


@pytest.fixture(autouse=True)
def _accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERSTUDY_ACCOUNTS_ENABLED", "true")


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """The options that name a database without accounts."""
    options = ["--data-dir", str(tmp_path / "data")]
    if request.param == "sqlite":
        shutil.copytree(request.getfixturevalue("migrated"), tmp_path / "data")
        return options
    postgres: Postgres = request.getfixturevalue("postgres")
    (tmp_path / "data").mkdir()
    return [*options, "--database-url", postgres.create(request.getfixturevalue("template"))]


def listed(place: list[str]) -> list[list[str]]:
    return [line.split("\t")[:4] for line in said("accounts", "list", *place).splitlines()]


def stored(place: list[str], name: str) -> accounts.Account | None:
    with_url = "--database-url" in place
    database = read_server(place[-1]) if with_url else read_folder(Path(place[-1]))
    try:
        with database.reading.connect() as connection:
            return accounts.one(connection, name)
    finally:
        database.close()


def test_an_account_from_its_invite_to_its_end(place: list[str]) -> None:
    invited = understudy("invite", "Ada", "--role", "operator", "--group", "b", "--group", "a", *place)
    assert invited.exit_code == 0, invited.output
    printed = re.fullmatch(r"http://127\.0\.0\.1:8002/join#([\w-]{32})\n", invited.stdout)
    account = stored(place, "ada")
    assert (account.invite, account.password) == (digest_of(printed[1]), "")
    assert 71 * 3600 < account.invite_expires_at - account.created_at < 73 * 3600
    assert listed(place) == [["ada", "invited", "operator", "b,a"]]
    said("accounts", "set", "ADA", "--group", "c", *place)
    assert listed(place) == [["ada", "invited", "", "c"]]
    assert said("accounts", "disable", "ada", *place) == "disabled ada and signed them out everywhere\n"
    assert listed(place) == [["ada", "disabled", "", "c"]]
    again = understudy("accounts", "reset", "ada", "--hours", "1", "--url", "https://chat.example.org/", *place)
    link, _, invite = again.stdout.strip().partition("#")
    assert link == "https://chat.example.org/join"
    account = stored(place, "ada")
    assert account.invite == digest_of(invite)
    assert listed(place) == [["ada", "invited", "", "c"]]
    entries = [json.loads(line) for line in said("audit", "--user", "ada", *place).splitlines()]
    assert [entry["action"] for entry in reversed(entries)] == [
        "account.invited", "account.changed", "sessions.ended", "account.disabled", "sessions.ended", "account.invited",
        "sessions.ended",
    ]  # fmt: skip
    assert {entry["way"] for entry in entries} == {"command line"}


def test_what_is_not_there_or_there_already_is_a_sentence(place: list[str]) -> None:
    for command in (("accounts", "disable"), ("accounts", "reset"), ("accounts", "set")):
        assert "there is no account 'bob'" in refusal(*command, "bob", *place)
    said("invite", "ada", *place)
    before = stored(place, "ada")
    assert "ada" in refusal("invite", "Ada", *place)
    assert stored(place, "ada") == before, "the invite that was sent stays valid"


def joined(place: list[str], name: str) -> None:
    """Set a password for a user who was invited."""
    account = stored(place, name)
    assert account is not None
    settings = Settings(data_dir=Path(place[1]), database_url=place[-1] if "--database-url" in place else "")
    commit_beside(
        settings,
        deed_of(JOINED, name),
        accounts.take_invite(name, account.invite, "hash", account.created_at),
    )


def test_the_only_operator_is_lost_only_on_purpose(place: list[str]) -> None:
    """They are disabled, lose the role or are erased; another one who has not joined yet does not count."""
    for name in ("ada", "kim"):
        said("invite", name, "--role", "operator", *place)
    joined(place, "ada")
    commands = (("accounts", "disable", "ADA"), ("accounts", "set", "ada"), ("users", "delete", "ada", "--yes"))
    for command in commands:
        assert "ada is the only operator who can sign in (last_operator)" in refusal(*command, *place)
        assert listed(place)[0] == ["ada", "active", "operator", ""]
    assert "ada" not in said("audit", "--action", "account.disabled", *place)
    result = understudy("accounts", "set", "ada", "--role", "operator", "--group", "desk", *place)
    assert result.exit_code == 0, "the role stays"
    joined(place, "kim")
    said("accounts", "disable", "ada", *place)
    for command in (("accounts", "set", "kim", "--force"), ("users", "delete", "kim", "--yes", "--force")):
        said(*command, *place)
    assert [row[0] for row in listed(place)] == ["ada"]


def test_of_two_operators_who_erase_each_other_one_is_left(
    postgres: Postgres, template: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both commands have looked, and found another operator, before either erases."""
    place = ["--data-dir", str(tmp_path), "--database-url", postgres.create(template)]
    for name in ("ada", "kim"):
        said("invite", name, "--role", "operator", *place)
        joined(place, name)
    both, settings = threading.Barrier(2, timeout=60), Settings(data_dir=tmp_path, database_url=place[-1])
    real = stored_data.open_for_writing

    def together(*arguments: Any, **more: Any) -> Any:
        both.wait()
        return real(*arguments, **more)

    monkeypatch.setattr(stored_data, "open_for_writing", together)

    def erase(name: str) -> str:
        error = ""
        try:
            erase_users(settings, name, None)
        except* SoleAccount as refused:
            error = str(next(errors_in(refused)))
        return error

    with ThreadPoolExecutor(2) as pool:
        errors = dict(zip(("ada", "kim"), pool.map(erase, ("ada", "kim")), strict=True))
    (left,) = (name for name, words in errors.items() if words)
    assert errors[left].startswith(f"{left} is the only operator who can sign in (last_operator)")
    assert listed(place) == [[left, "active", "operator", ""]]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["invite", "a b"], "a name has 1 to 64 letters"),
        (["invite", "anon-1"], "a name has 1 to 64 letters"),
        (["invite", "ada", "--group", "a,b"], "without commas"),
        (["invite", "ada", *(["--group", "x" * 250] * 12)], "at most 3000 bytes"),
        (["invite", "ada", "--role", "x" * 256], "at most 255 letters"),
        (["invite", "ada", "--hours", "0"], "--hours"),
        (["accounts", "set", "ada", "--role", "\n"], "printable"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_stored(arguments: list[str], words: str, tmp_path: Path) -> None:
    assert words in refusal(*arguments, "--data-dir", str(tmp_path / "data"), code=2)
    assert list(tmp_path.iterdir()) == []


def test_where_there_is_no_database_none_is_made(tmp_path: Path) -> None:
    for command in (["invite", "ada"], ["accounts", "list"], ["accounts", "disable", "ada"]):
        assert "there is no database" in refusal(*command, "--data-dir", str(tmp_path / "data"))
    assert list(tmp_path.iterdir()) == []


def test_an_invite_that_nobody_took_expires(tmp_path: Path, migrated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(migrated, tmp_path / "data")
    place = ["--data-dir", str(tmp_path / "data")]
    said("invite", "ada", "--hours", "1", *place)
    account = stored(place, "ada")
    monkeypatch.setattr("understudy.extensions.accounts.terminal.time.time", lambda: account.invite_expires_at)
    assert listed(place) == [["ada", "expired", "", ""]]


@pytest.mark.parametrize("command", [["invite"], ["accounts", "reset"]])
def test_without_accounts_there_is_no_link(
    tmp_path: Path, migrated: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    """The caller may give the option with which the server was started."""
    shutil.copytree(migrated, tmp_path / "data")
    place = ["--data-dir", str(tmp_path / "data")]
    monkeypatch.setenv("UNDERSTUDY_ACCOUNTS_ENABLED", "false")
    assert "UNDERSTUDY_ACCOUNTS_ENABLED=true" in refusal(*command, "ada", *place, code=2)
    assert said("accounts", "list", *place) == ""
    assert "/join#" in said("invite", "ada", "--accounts", *place)
    assert "/join#" in said("accounts", "reset", "ada", "--accounts", *place)


def test_the_link_needs_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERSTUDY_PORT", "0")
    assert "--url" in refusal("invite", "ada", "--data-dir", str(tmp_path), code=2)
