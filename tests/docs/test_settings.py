"""The settings page against the settings and the commands."""

import json
import re
import tomllib
from pathlib import Path
from textwrap import dedent

import click
import pytest

from tests.rigs.doc_tables import DOCS, code, table
from understudy.app.settings import load
from understudy.cli.main import main
from understudy.installed import chosen

PAGE = "reference/settings.md"


TOML = re.compile(r"^ *```toml[^\n]*\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
FILES = [
    pytest.param(dedent(block), id=f"{page.stem} {number}")
    for page in sorted(DOCS.rglob("*.md"))
    for number, block in enumerate(TOML.findall(page.read_text()))
    if "[understudy" in block
]


@pytest.mark.parametrize("text", FILES)
def test_a_settings_file_of_a_page_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """With the secrets that the pages put into variables."""
    (tmp_path / "understudy.toml").write_text(text)
    monkeypatch.chdir(tmp_path)
    for name, needed in {
        "SECRET": "",
        "WEBHOOK_SECRET": "understudy.webhook",
        "OIDC_CLIENT_SECRET": "understudy.oidc",
    }.items():
        if needed in text:
            monkeypatch.setenv(f"UNDERSTUDY_{name}", "a secret of more than thirty-two bytes")
    settings = load()
    numbers = {name: value for name, value in tomllib.loads(text)["understudy"].items() if isinstance(value, int)}
    assert {name: getattr(settings, name) for name in numbers} == numbers


@pytest.mark.parametrize("page", sorted((DOCS / "extensions").glob("*.md")), ids=lambda page: page.stem)
def test_extensions_can_be_left_out_as_a_page_says(page: Path) -> None:
    for names in re.findall(r"`extensions = (\[.*?\])`", page.read_text()):
        assert chosen(json.loads(names))


def test_a_variable_of_a_limit_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "understudy.toml").write_text("[understudy.limits]\nruns_per_user = 4\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNDERSTUDY_LIMITS_RUNS_PER_USER", "7")
    assert load().limits.runs_per_user == 7


def commands(group: click.Group, before: str = "") -> dict[str, click.Command]:
    """Return every command, also those of groups, by its command line."""
    by_name: dict[str, click.Command] = {}
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        by_name |= commands(command, f"{name} ") if isinstance(command, click.Group) else {before + name: command}
    return by_name


def test_every_command_is_listed() -> None:
    rows = [line for row in table(PAGE, "Commands") for line in code(row["command"])]
    shown = {re.match(r"[a-z-]+( [a-z-]+)*", line).group() for line in rows}  # type: ignore[union-attr]
    assert shown == set(commands(main))
    for name, command in commands(main).items():
        options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
        assert [option.opts[0] for option in options if not option.help] == [], name
