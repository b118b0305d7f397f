"""Which extensions are on, and what is said of one that is unknown, cannot be on, or fails."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jwt
import pytest
from click.testing import CliRunner

from tests.rigs.http import new_token, request
from tests.rigs.process import started
from tests.servers.postgresql import Postgres
from understudy.agents.tool_servers import ToolServers
from understudy.app.settings import BadSettings, load
from understudy.cli.main import main
from understudy.extension import Extension, Parts
from understudy.extensions.frameworks.asyncio_thread import AsyncioLoop
from understudy.extensions.mcp.catalogue import McpCatalogue
from understudy.installed import ExtensionFault, brought, chosen, installed
from understudy.tools.loop import ToolLoop


class Other(Extension):
    """One for the tests."""

    def __init__(self, name: str, requires: Sequence[str] = (), packages: dict[str, str] | None = None) -> None:
        self.name, self.requires, self.packages = name, requires, packages or {}  # type: ignore[misc]


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three extensions: one, two that requires it, and one that lacks a package."""
    extensions = [Other("one"), Other("two", ["one"]), Other("bare", packages={"no_such_package": "accounts"})]
    monkeypatch.setattr(
        "understudy.installed.installed", lambda: {extension.name: extension for extension in extensions}
    )


@pytest.mark.usefixtures("there")
@pytest.mark.parametrize(
    ("names", "on"),
    [
        ([], ["one", "two"]),
        (["none"], []),
        (["one"], ["one"]),
        (["two"], ["one", "two"]),
        (["-two"], ["one"]),
        (["-one", "-two"], []),
    ],
)
def test_the_setting_names_those_that_are_on(names: list[str], on: list[str]) -> None:
    assert list(chosen(names)) == on


@pytest.mark.usefixtures("there")
@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["three"], "there is no extension 'three'; there are: one, two, bare"),
        (["-tow"], "there is no extension 'tow' (did you mean 'two'?); there are: one, two, bare"),
        (["none", "one"], "none stands alone"),
        (["-one"], "the extension two requires one, which is off: have both on, or both off"),
        (["bare"], "the extension bare cannot be on: no_such_package is missing: pip install"),
    ],
)
def test_names_that_do_not_go_together_are_refused(names: list[str], sentence: str) -> None:
    with pytest.raises(ExtensionFault, match=re.escape(sentence)):
        chosen(names)


def test_an_extension_that_requires_one_that_cannot_be_on_is_off_too(monkeypatch: pytest.MonkeyPatch) -> None:
    extensions = {"bare": Other("bare", packages={"no_such_package": "accounts"}), "two": Other("two", ["bare"])}
    monkeypatch.setattr("understudy.installed.installed", lambda: extensions)
    assert chosen([]) == {}
    with pytest.raises(ExtensionFault, match="the extension bare cannot be on: no_such_package is missing"):
        chosen(["two"])


def test_a_part_is_found_by_its_class_and_by_no_other_that_was_not_named() -> None:
    """The loop of other frameworks is a kind of the loop of tools, and does not take its place."""
    parts, tools, frameworks = Parts(), ToolLoop({}, asyncio=False), AsyncioLoop({}, asyncio=False)
    parts.add(frameworks)
    assert parts.find(ToolLoop) is None
    parts.add(tools)
    parts.add(frameworks)
    assert (parts[ToolLoop], parts[AsyncioLoop]) == (tools, frameworks)
    parts.add(McpCatalogue(), ToolServers)
    assert parts[ToolServers] is parts[McpCatalogue]


def test_a_part_that_fails_is_named_with_the_way_to_go_on() -> None:
    class Broken(Other):
        def metrics(self) -> Any:
            raise RuntimeError("no disk")

    sentence = (
        r"the extension bad failed at its metrics \(RuntimeError: no disk\); to go on without it, set extensions = "
    )
    with pytest.raises(ExtensionFault, match=rf'{sentence}\["-bad"\]'):
        brought(Broken("bad").metrics)


def test_the_settings_of_one_that_is_off_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNDERSTUDY_SCHEDULES_EVERY_S", "5")
    assert next(iter(load().own)).__name__ == "ScheduleSettings"
    monkeypatch.setenv("UNDERSTUDY_EXTENSIONS", "-schedules")
    with pytest.raises(BadSettings, match="has no effect: the extension schedules is off; remove it, or have it on"):
        load()
    monkeypatch.setenv("UNDERSTUDY_EXTENSIONS", "nothing")
    with pytest.raises(BadSettings, match="there is no extension 'nothing'; there are: "):
        load()


@pytest.fixture
def brings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Write a module of an extension of another distribution, with its entry point, for processes that are started."""

    def write(body: str) -> dict[str, str]:
        folder = tmp_path / "site"
        (folder / "other-1.0.dist-info").mkdir(parents=True, exist_ok=True)
        (folder / "other-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
        (folder / "other-1.0.dist-info" / "entry_points.txt").write_text("[understudy.extensions]\nother = other_ext\n")
        (folder / "other_ext.py").write_text(f"from understudy.extension import Extension\n{body}")
        return {"PYTHONPATH": f"{folder}:{Path.cwd()}"}

    return write


def extension(body: str = "pass", before: str = "", name: str = "other") -> str:
    """Return the text of a module with an extension of this body, whose lines after the first are indented."""
    return f"{before}class Other(Extension):\n name = {name!r}\n about = 'x'\n {body}\nEXTENSION = Other()\n"


MINE = "from attrs import frozen\n@frozen\nclass Mine: x: int = 1\n"
FAULTS = (
    ("table = 'shares'", "shares is no name for the settings of other: it is taken; rename it"),
    ("async def open(self, server): 1 / 0", "other failed at its open (ZeroDivision"),
    ("async def open(self, server): raise ValueError('set a key')", "extension other: set a key"),
    ("async def open(self, server): server.settings.of(Mine).faults = 1", "FrozenInstanceError"),
    ("def routes(self): return None", "the extension other failed at its routes (TypeError"),
    (
        "def metrics(self):\n  from understudy.observe.collectors import CountedBy\n"
        "  return [CountedBy('understudy_runs', 'x', 'y')]",
        "the extension other failed at its metrics (DuplicateTimeseries",
    ),
    (
        "def children(self, server):\n  from actors import Actor, ChildSpec\n"
        "  class Fails(Actor):\n   async def on_start(self, context): 1 / 0\n  return [ChildSpec('fails', Fails)]",
        "the extension other failed at its children (",
    ),
    (
        "def user_data(self): 1 / 0",
        "failed at its user_data (ZeroDivisionError: division by zero); uninstall or mend it",
    ),
    (
        "def tables(self):\n  from sqlalchemy import Column, Table, Text\n"
        "  from understudy.storage.schema import metadata\n  return [Table('schedules', metadata, Column('id', Text))]",
        "the extension other claims the table schedules, which there is already: uninstall it, or rename its table",
    ),
)
ROUTES = (
    ("/api/agents", "agents()", "/api/agents, which there is already"),
    ("/api/threads/<which>", "thread(which)", "/api/threads/<>, which there is already"),
    ("/api/threads/marked", "marked()", "/api/threads/marked, which another route with a variable answers already"),
)
"""Paths of routes with their views, and what is wrong with them."""


def serve_fault(environment: dict[str, str], folder: Path, *more: str) -> str:
    """Start a server that does not start. Return what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "understudy", "serve", "--port", "0", "--data-dir", str(folder), *more],
        capture_output=True, text=True, timeout=60, env=os.environ | environment, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    return done.stderr


def test_faults_of_an_extension_are_sentences_before_anything_is_served(brings: Any, tmp_path: Path) -> None:
    def fault(module: str) -> str:
        return serve_fault(brings(module), tmp_path / "data")

    sentence = "the extension other_ext cannot be imported (division by zero): uninstall or mend it"
    assert sentence in fault("1 / 0\n")
    for path, view, claim in ROUTES:
        blueprint = "from quart import Blueprint\nblueprint = Blueprint('more', __name__)\n"
        route = f"{blueprint}@blueprint.get({path!r})\nasync def {view}: return {{}}\n"
        assert f"the extension other claims GET {claim}" in fault(
            extension("def routes(self): return [blueprint]", route)
        )
    for wrong in ("'other'", "Extension", "type('Nameless', (Extension,), {})()"):
        sentence = "EXTENSION of other_ext is not an instance of a subclass of understudy.Extension that has a name"
        assert sentence in fault(f"EXTENSION = {wrong}\n")
    sentence = "two extensions are called schedules: uninstall other_ext, or rename one"
    assert sentence in fault(extension(name="schedules"))
    sentence = "limits is no name for the settings of limits: it is taken; rename it"
    assert sentence in fault(extension("def settings(self): return Mine", MINE, "limits"))
    for body, sentence in FAULTS:
        assert sentence in fault(extension(f"{body}\n def settings(self): return Mine", MINE))


def test_parts_that_an_extension_opens_are_there_for_those_that_require_it(brings: Any, tmp_path: Path) -> None:
    body = (
        "requires = ('shares',)\n table = 'other'\n def settings(self): return Mine\n"
        " async def open(self, server):\n"
        "  assert list(server.extensions)[-2:] == ['shares', 'aaa'], list(server.extensions)\n"
        "  server.parts.add(server.settings.of(Mine))\n"
        "  raise ValueError(f'{server.parts[Mine].x} {server.parts.find(Mine).x} {server.parts.find(int)}')"
    )
    mine = (
        "from attrs import frozen\n@frozen\nclass Mine:\n x: int = 1\n"
        " def faults(self, settings):\n  if self.x > 5: yield f'other.x is above 5 on port {settings.port}'\n"
    )
    environment = brings(extension(body, mine, "aaa"))
    only = {"UNDERSTUDY_EXTENSIONS": "files,shares,aaa"}
    for value, sentence in (("5", "5 5 None"), ("6", "other.x is above 5 on port 0")):
        fault = serve_fault(environment | only | {"UNDERSTUDY_OTHER_X": value}, tmp_path / "data")
        assert sentence in fault


async def test_an_extension_whose_actors_fail_too_often_gives_up_alone(brings: Any, tmp_path: Path) -> None:
    dies = (
        "from actors import Actor, Backoff, ChildSpec\n"
        "class Dies(Actor):\n async def on_start(self, context): context.ref.tell('die')\n"
        " async def receive(self, message, context): raise RuntimeError('always')\n"
        "SPEC = ChildSpec('dies', Dies, backoff=Backoff(min_s=0.001, max_s=0.001))\n"
    )
    environment = brings(extension("def children(self, server): return [SPEC]", dies))
    async with started(tmp_path / "data", loads=True, **environment) as server:
        while True:
            _, _, health = await request(server.address, "GET", "/healthz")
            if "failed too often" in json.dumps(health):
                break
        assert health["checks"]["other"]["status"] == health["status"] == "degraded"
        assert (await request(server.address, "POST", "/api/sessions"))[0] == 201


STORED = extension(
    "def tables(self):\n  from understudy.storage.schema import metadata\n"
    "  if 'others' in metadata.tables: return [metadata.tables['others']]\n"
    "  return [Table('others', metadata, Column('owner', Text, primary_key=True))]\n"
    " def user_data(self):\n  from understudy.extension import UserData\n"
    "  return [UserData('others', self.tables()[0], lambda row: row.owner)]",
    "from sqlalchemy import Column, Table, Text\n",
)
"""An extension of another distribution that keeps something of users."""


async def makes_others(folder: Path, brought_by: dict[str, str], on: str, **where: str) -> None:
    """A server that was there before the extension makes its table, and exports and erases what that has."""
    async with started(folder, loads=True, **where) as server:
        assert (await request(server.address, "POST", "/api/sessions"))[0] == 201
    async with started(folder, loads=True, **brought_by, **where, UNDERSTUDY_EXTENSIONS=on) as server:
        token = await new_token(server)
        user = {"confirm": jwt.decode(token, options={"verify_signature": False})["sub"]}
        remembered = "/api/memory/household/dog"
        assert (await request(server.address, "PUT", remembered, token=token, body={"value": "Rex"}))[0] < 300
        status, _, export = await request(server.address, "GET", "/api/me/export", token=token)
        assert (status, export["others"]) == (200, []), export
        assert (await request(server.address, "DELETE", "/api/me", token=token, body=user))[0] in (200, 204)


@pytest.mark.parametrize("on", ["", "-other"])
async def test_tables_of_another_distribution_are_made_where_there_is_a_database(
    on: str, brings: Any, tmp_path: Path
) -> None:
    """Also while it is off, as exports and erasures ask it for what it keeps."""
    await makes_others(tmp_path / "data", brings(STORED), on)


async def test_tables_of_another_distribution_are_made_on_postgresql(
    brings: Any, tmp_path: Path, postgres: Postgres
) -> None:
    where = {"UNDERSTUDY_DATABASE_URL": postgres.create()}
    await makes_others(tmp_path / "data", brings(STORED), "", **where)


def test_a_command_that_is_there_already_is_refused(brings: Any, tmp_path: Path) -> None:
    before = "import click\nfrom understudy.extension import TerminalCommands\n"
    environment = brings(extension("def terminal(self): return TerminalCommands([click.Command('serve')])", before))
    sentence = "the extension other claims the command serve, which there is already: uninstall or mend it"
    assert sentence in command(environment, tmp_path, "--help")


def test_settings_without_texts_are_listed(brings: Any, tmp_path: Path) -> None:
    mine = "from attrs import frozen\nif True:\n @frozen\n class Mine:\n  zone: str = 'UTC'\n"
    environment = brings(extension("def settings(self): return Mine", mine))
    assert "other.zone" in command(environment, tmp_path, "settings", "other")


def test_settings_say_which_extension_is_off(tmp_path: Path) -> None:
    sentence = command({"UNDERSTUDY_EXTENSIONS": "-schedules"}, tmp_path, "settings", "s.")
    off = [line for line in sentence.splitlines() if "is off" in line]
    assert off
    assert all(line.startswith("schedules.") and line.endswith("; the extension schedules is off") for line in off)


def test_a_setting_that_cannot_be_read_is_named(brings: Any, tmp_path: Path) -> None:
    for kind in ("dict[str, int]", "list[int]", "int | str", "'int'"):
        mine = f"from attrs import frozen\n@frozen\nclass Mine:\n x: int | None = 1\n y: {kind} = None\n"
        environment = brings(extension("def settings(self): return Mine", mine))
        sentence = "y of the settings of other is of a type that cannot be read, "
        assert sentence in serve_fault(environment, tmp_path / "data")


def test_an_extension_that_requires_a_missing_one_says_so(brings: Any, tmp_path: Path) -> None:
    environment = brings(extension("requires = ('nonesuch',)"))
    assert "off: it requires nonesuch, which is not on" in command(environment, tmp_path, "extensions")
    environment |= {"UNDERSTUDY_EXTENSIONS": "other"}
    sentence = "the extension other requires nonesuch, which is not installed: install it"
    assert sentence in serve_fault(environment, tmp_path / "data")


def command(environment: dict[str, str], folder: Path, *arguments: str) -> str:
    """Run a command of `understudy` in a folder. Return all that it says."""
    done = subprocess.run(
        [sys.executable, "-m", "understudy", *arguments],
        capture_output=True, text=True, timeout=60, cwd=folder, env=os.environ | environment, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def test_this_package_has_each_extension_in_a_folder_of_its_name() -> None:
    for name, extension in installed().items():
        if type(extension).__module__.startswith("understudy."):
            assert type(extension).__module__ == f"understudy.extensions.{name}"


def test_the_command_lists_what_each_brings_and_why_it_is_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNDERSTUDY_EXTENSIONS", "-schedules")
    done = CliRunner().invoke(main, ["extensions"])
    (row,) = [line for line in done.output.splitlines() if line.startswith("schedules")]
    assert "off: by the setting `extensions`" in row
    assert "tables, user_data, routes, children" in row
    monkeypatch.setenv("UNDERSTUDY_EXTENSIONS", "")
    (row,) = [line for line in CliRunner().invoke(main, ["extensions"]).output.splitlines() if line.startswith("sched")]
    assert " on " in row
