"""Which extensions are on, and what is said of one that is unknown, cannot be on, or fails."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.end_to_end.http import request
from tests.end_to_end.process import started
from understudy import extension
from understudy.app.settings import BadSettings, load
from understudy.cli.main import main
from understudy.extension import Extension, ExtensionFault, brought, chosen, installed


class Other(Extension):
    """One for the tests."""

    def __init__(self, name: str, requires: Sequence[str] = (), packages: dict[str, str] | None = None) -> None:
        self.name, self.requires, self.packages = name, requires, packages or {}  # type: ignore[misc]


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three extensions: one, two that requires it, and one that lacks a package."""
    found = [Other("one"), Other("two", ["one"]), Other("bare", packages={"no_such_package": "accounts"})]
    monkeypatch.setattr(extension, "installed", lambda: {each.name: each for each in found})


@pytest.mark.usefixtures("there")
@pytest.mark.parametrize(
    ("names", "on"),
    [
        ([], ["one", "two"]),
        (["none"], []),
        (["one"], ["one"]),
        (["two", "one"], ["one", "two"]),
        (["-two"], ["one"]),
        (["-one", "-two"], []),
    ],
)
def test_the_setting_names_those_that_are_on(names: list[str], on: list[str]) -> None:
    assert list(chosen(names)) == on


@pytest.mark.usefixtures("there")
@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["three"], "there is no extension 'three'; there are: one, two, bare"),
        (["-three"], "there is no extension 'three'"),
        (["none", "one"], "none stands alone"),
        (["two"], "the extension two requires one, which is off: have both on, or both off"),
        (["-one"], "the extension two requires one, which is off"),
        (["bare"], "the extension bare cannot be on: no_such_package is missing: pip install"),
    ],
)
def test_names_that_do_not_go_together_are_refused(names: list[str], said: str) -> None:
    with pytest.raises(ExtensionFault, match=said.replace("(", r"\(")):
        chosen(names)


def test_what_requires_one_that_cannot_be_on_is_off_too(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"bare": Other("bare", packages={"no_such_package": "accounts"}), "two": Other("two", ["bare"])}
    monkeypatch.setattr(extension, "installed", lambda: found)
    assert chosen([]) == {}


def test_a_part_that_fails_is_named_with_the_way_to_go_on() -> None:
    class Broken(Other):
        def metrics(self) -> Any:
            raise RuntimeError("no disk")

    said = (
        r"the extension bad failed at its metrics \(RuntimeError: no disk\); "
        r'to go on without it, set extensions = \["-bad"\]'
    )
    with pytest.raises(ExtensionFault, match=said):
        brought(Broken("bad").metrics)


def test_the_settings_of_one_that_is_off_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNDERSTUDY_SCHEDULES_EVERY_S", "5")
    name = next(iter(load().own)).__name__
    assert name == "ScheduleSettings"
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
    data = tmp_path / "data"
    environment = brings("1 / 0\n")
    assert "the extension other_ext cannot be imported (division by zero): uninstall or mend it" in serve_fault(
        environment, data
    )
    environment = brings(
        "from quart import Blueprint\nblueprint = Blueprint('twice', __name__, url_prefix='/api/agents')\n"
        "@blueprint.get('')\nasync def agents(): return {}\n"
        "class Other(Extension):\n name = 'other'\n about = 'x'\n def routes(self): return [blueprint]\n"
        "EXTENSION = Other()\n"
    )
    assert "the extension other claims GET /api/agents, which there is already" in serve_fault(environment, data)
    environment = brings("class Other(Extension):\n name = 'schedules'\n about = 'x'\nEXTENSION = Other()\n")
    assert "two extensions are called schedules: uninstall other_ext, or rename one" in serve_fault(environment, data)


async def test_an_extension_whose_actors_fail_too_often_gives_up_alone(brings: Any, tmp_path: Path) -> None:
    """The chat goes on, and the health page says which it is."""
    environment = brings(
        "from actors import Actor, Backoff, ChildSpec\n"
        "class Dies(Actor):\n async def on_start(self, context): context.ref.tell('die')\n"
        " async def receive(self, message, context): raise RuntimeError('always')\n"
        "class Other(Extension):\n name = 'other'\n about = 'x'\n"
        " def children(self, server): return [ChildSpec('dies', Dies, backoff=Backoff(min_s=0.001, max_s=0.001))]\n"
        "EXTENSION = Other()\n"
    )
    async with started(tmp_path / "data", loads=True, **environment) as server:
        while True:
            _, _, health = await request(server.address, "GET", "/healthz")
            if "failed too often" in json.dumps(health):
                break
        assert health["checks"]["other"]["status"] == health["status"] == "degraded"
        assert (await request(server.address, "POST", "/api/sessions"))[0] == 201


def test_this_package_has_each_extension_in_a_folder_of_its_name() -> None:
    for name, each in installed().items():
        if type(each).__module__.startswith("understudy."):
            assert type(each).__module__ == f"understudy.extensions.{name}"


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
