"""Extensions of others: a bare server has none, those of the analyst and the guide work, a broken one is named."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.packaging.environment import Environment
from tests.packaging.served import agents_of, served
from tests.packaging.wheels import OFFLINE, build_wheel, build_wheels

pytestmark = pytest.mark.proof("packaging")

BARE = ("actors", "transport", "sanitization", "understudy")
SERVE = ("serve", "--port", "0", "--data-dir")
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "write-an-extension.md"
TITLED = re.compile(r'^```\w+ title="([^"]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def bare(
    filled_once: Callable[[Callable[[Path], None]], Path], tmp_path_factory: pytest.TempPathFactory
) -> Environment:
    environment = Environment.create(tmp_path_factory.mktemp("bare") / "venv", filled_once(build_wheels))
    environment.install(*BARE, extras={"transport": ("client",)})
    return environment


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
    without = agents_served(bare, tmp_path / "bare")
    assert {"guide", "content"} <= set(without)
    assert "insights" not in without
    assert "duckdb" in bare.run("-c", "import duckdb").stderr
    both = bare.copy(tmp_path / "venv")
    both.install("analyst")
    assert set(agents_served(both, tmp_path / "both")) == {*without, "insights"}


def installed_from(files: dict[str, str], bare: Environment, folder: Path) -> Environment:
    """Return a copy of an environment with a wheel of these files installed."""
    for name, text in files.items():
        path = folder / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    build_wheel(folder / "wheels", folder / "source", bundle="skip")
    environment = bare.copy(folder / "venv")
    (wheel,) = (folder / "wheels").iterdir()
    command = [sys.executable, "-m", "pip", "--python", str(environment.home / "bin" / "python"), "install", *OFFLINE]
    subprocess.run([*command, "--no-deps", str(wheel)], check=True, timeout=300)
    return environment


def test_the_extension_of_the_guide_works_from_an_installed_wheel(bare: Environment, tmp_path: Path) -> None:
    files = dict(TITLED.findall(PAGE.read_text(encoding="utf-8")))
    assert files.keys() == {"pyproject.toml", "clock/__init__.py", "clock/parts.py", "clock/in_runs.py"}
    environment = installed_from(files, bare, tmp_path)
    command = [str(environment.home / "bin" / "python"), "-I", "-m", "understudy", *SERVE, str(tmp_path / "data")]
    with served(command, {"UNDERSTUDY_CLOCK_ZONE": "Asia/Tokyo"}, tmp_path) as address:
        assert httpx.get(f"{address}/api/clock").status_code == 401
        session = httpx.post(f"{address}/api/sessions").json()
        headers = {"Authorization": f"Bearer {session['session_token']}"}
        answer = httpx.get(f"{address}/api/clock", headers=headers).json()
        assert answer["now"].endswith("+09:00")
        assert "timekeeper" in agents_of(httpx.get(f"{address}/api/agents", headers=headers).json())
        assert httpx.get(f"{address}/openapi.json").is_success
        assert "clock" in httpx.get(f"{address}/api/extensions", headers=headers).json()["extensions"]
    listed = environment.run("-m", "understudy", "extensions")
    assert re.search(r"^clock +on +tell the time +agents, settings, routes$", listed.stdout, re.MULTILINE), (
        listed.stdout
    )


def test_an_extension_that_cannot_be_imported_is_named_at_the_start(bare: Environment, tmp_path: Path) -> None:
    files = dict(TITLED.findall(PAGE.read_text(encoding="utf-8")))
    files["clock/__init__.py"] = "import a_library_that_is_not_there\n"
    done = installed_from(files, bare, tmp_path).run("-m", "understudy", *SERVE, str(tmp_path / "data"))
    assert done.returncode != 0
    assert "the extension clock cannot be imported (No module named 'a_library_that_is_not_there')" in done.stderr
    assert "Traceback" not in done.stderr
