"""Agents of other distributions: a bare server has none, the analyst brings one, and a broken one says whose it is."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.packaging.environment import Environment
from tests.packaging.test_shipped_agents import agents_of, served
from tests.packaging.wheels import OFFLINE, build_wheel, build_wheels

pytestmark = pytest.mark.proof("packaging")

BARE = ("actors", "transport", "sanitization", "understudy")
SERVE = ("serve", "--port", "0", "--data-dir")
BROKEN = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "broken-agents"
version = "1.0"

[project.entry-points."understudy.agents"]
oracle = "broken_agents:oracle"
"""


@pytest.fixture(scope="module")
def bare(
    filled_once: Callable[[Callable[[Path], None]], Path], tmp_path_factory: pytest.TempPathFactory
) -> Environment:
    made = Environment.create(tmp_path_factory.mktemp("bare") / "venv", filled_once(build_wheels))
    made.install(*BARE, extras={"transport": ("client",)})
    return made


def agents_served(environment: Environment, folder: Path) -> list[str]:
    """Start a server, and return the names of the agents that a new user finds."""
    folder.mkdir()
    command = [str(environment.home / "bin" / "python"), "-I", "-m", "understudy", *SERVE, str(folder / "data")]
    with served(command, {}, folder) as address:
        token = httpx.post(f"{address}/api/sessions").json()["session_token"]
        answer = httpx.get(f"{address}/api/agents", headers={"Authorization": f"Bearer {token}"})
        assert answer.is_success, answer.text
    return agents_of(answer.json())


def test_a_bare_server_knows_no_tables_until_the_analyst_is_installed(bare: Environment, tmp_path: Path) -> None:
    own = agents_served(bare, tmp_path / "bare")
    assert {"guide", "content"} <= set(own)
    assert "insights" not in own
    assert "duckdb" in bare.run("-c", "import duckdb").stderr
    both = bare.copy(tmp_path / "venv")
    both.install("analyst")
    assert set(agents_served(both, tmp_path / "both")) == {*own, "insights"}


def test_a_distribution_whose_agent_cannot_be_loaded_is_named_at_the_start(bare: Environment, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "broken_agents").mkdir(parents=True)
    (source / "pyproject.toml").write_text(BROKEN)
    (source / "broken_agents" / "__init__.py").write_text("import a_library_that_is_not_there\n")
    build_wheel(tmp_path / "wheels", source, bundle="skip")
    environment = bare.copy(tmp_path / "venv")
    (wheel,) = (tmp_path / "wheels").iterdir()
    command = [sys.executable, "-m", "pip", "--python", str(environment.home / "bin" / "python"), "install", *OFFLINE]
    subprocess.run([*command, "--no-deps", str(wheel)], check=True, timeout=300)
    done = environment.run("-m", "understudy", *SERVE, str(tmp_path / "data"))
    assert done.returncode == 1
    assert "the agent 'oracle' of broken-agents cannot be loaded (ModuleNotFoundError" in done.stderr
    assert "leave the agent out of builtin_agents" in done.stderr
    assert "Traceback" not in done.stderr
