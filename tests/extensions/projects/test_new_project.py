"""`understudy new`: the project that it makes passes its tests and is served."""

import os
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.rigs.chat_client import connected
from tests.rigs.process import started
from understudy import __version__
from understudy.app.settings import load
from understudy.cli.main import main
from understudy.cli.options import FixableError
from understudy.extensions.projects.new_project import make_project

FILES = [
    ".dockerignore", ".gitignore", "Dockerfile", "README.md", "deploy/shop_desk.service", "pyproject.toml",
    "shop_desk/__init__.py", "shop_desk/agents.py", "shop_desk/tools.py", "tests/test_agents.py", "understudy.toml",
]  # fmt: skip


def test_a_project_has_the_name_that_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = CliRunner().invoke(main, ["new", str(tmp_path / "shop_desk")])
    assert result.exit_code == 0, result.output
    assert "understudy serve shop_desk.agents:AGENTS" in result.output
    project = tmp_path / "shop_desk"
    assert sorted(str(path.relative_to(project)) for path in project.rglob("*") if path.is_file()) == FILES
    for path in project.rglob("*.*"):
        assert not path.is_file() or ("my_app" not in path.read_text() and "My app" not in path.read_text())
    built = tomllib.loads((project / "pyproject.toml").read_text())
    assert built["project"]["name"] == "shop_desk"
    assert built["project"]["dependencies"] == [f"understudy-server>={__version__}"]
    assert (project / "README.md").read_text().startswith("# Shop desk\n")
    monkeypatch.chdir(project)
    assert (load().builtin_agents, load().default_agent) == ([], "assistant")


@pytest.mark.parametrize("name", ["My-App", "1st", "class", "json", "understudy", "a" * 41, "über"])
def test_a_name_that_no_package_may_have_is_refused(tmp_path: Path, name: str) -> None:
    refused = CliRunner().invoke(main, ["new", str(tmp_path / name)])
    assert refused.exit_code == 2
    assert "name" in refused.output
    assert not (tmp_path / name).exists()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "mine.txt").write_text("mine")
    with pytest.raises(FixableError, match="not an empty folder"):
        make_project(tmp_path / "shop")
    assert [path.name for path in (tmp_path / "shop").iterdir()] == ["mine.txt"]


def run(command: Sequence[str], folder: Path) -> Any:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV"))}
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=120, env=environment, check=False
    )


@pytest.mark.proof("packaging")
async def test_the_tests_of_a_project_pass_and_it_is_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_project(tmp_path / "shop_desk")
    tested = run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], tmp_path / "shop_desk")
    assert "4 passed" in tested.stdout, tested.stdout + tested.stderr
    monkeypatch.chdir(tmp_path / "shop_desk")
    async with (
        started(tmp_path / "data", "shop_desk.agents:AGENTS") as process,
        connected(process.address) as client,
    ):
        await client.send({"message": "Look up order A-17"})
        answer = await client.until_end()
    assert (answer["agent_type"], "on its way" in answer["data"]["message"]) == ("assistant", True)
