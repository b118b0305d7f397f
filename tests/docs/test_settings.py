"""The settings page against the settings and the commands."""

import re
import tomllib
from pathlib import Path

import click
import pytest

from tests.docs.tables import DOCS, code, table
from understudy.app.settings import load
from understudy.cli.main import main

PAGE = "reference/settings.md"


def test_the_example_file_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = re.findall(r"```toml\n(.*?)```", (DOCS / PAGE).read_text(), re.DOTALL)[0]
    (tmp_path / "understudy.toml").write_text(example)
    monkeypatch.chdir(tmp_path)
    settings, given = load(), tomllib.loads(example)["understudy"]
    assert settings.port == given["port"]
    assert settings.allowed_origins == given["allowed_origins"]
    assert settings.limits.runs_per_user == given["limits"]["runs_per_user"]


def test_a_variable_of_a_limit_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "understudy.toml").write_text("[understudy.limits]\nruns_per_user = 4\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNDERSTUDY_LIMITS_RUNS_PER_USER", "7")
    assert load().limits.runs_per_user == 7


def commands(group: click.Group, before: str = "") -> dict[str, click.Command]:
    """Return every command, also those of groups, by its command line."""
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        found |= commands(command, f"{name} ") if isinstance(command, click.Group) else {before + name: command}
    return found


def test_every_command_is_listed() -> None:
    rows = [line for row in table(PAGE, "Commands") for line in code(row["command"])]
    shown = {re.match(r"[a-z-]+( [a-z-]+)*", line).group() for line in rows}  # type: ignore[union-attr]
    assert shown == set(commands(main))
    for name, command in commands(main).items():
        options = [each for each in command.params if isinstance(each, click.Option)]
        assert [each.opts[0] for each in options if not each.help] == [], name
