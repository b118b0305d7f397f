"""The example of agents of one's own: from wheels in an empty environment it is served as the unit says."""

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
import yaml

from tests.packaging.environment import Environment
from tests.packaging.served import agents_of, served
from tests.packaging.wheels import OFFLINE, ROOT, SOURCES, build_wheel, build_wheels
from tests.rigs.http import request
from tests.servers.postgresql import Postgres
from tests.servers.redis import Redis

pytestmark = pytest.mark.proof("packaging")

EXAMPLE = ROOT / "deploy" / "example_agents"
UNIT = ROOT / "deploy" / "systemd" / "understudy.service"
AGENTS = ["--no-builtin-agents", "example_agents:AGENTS"]
SECRET = "0123456789abcdef" * 4


@pytest.fixture(scope="module")
def environment(
    filled_once: Callable[[Callable[[Path], None]], Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return an environment with the wheels of the product and of the example, and nothing of the checkout."""
    folder = tmp_path_factory.mktemp("shipped")
    installed = Environment.create(folder / "venv", filled_once(build_wheels))
    installed.install(*SOURCES, extras={"understudy": ("postgres", "redis"), "transport": ("client",)})
    build_wheel(folder / "wheels", EXAMPLE, bundle="skip")
    (wheel,) = (folder / "wheels").glob("example_agents-*.whl")
    command = [sys.executable, "-m", "pip", "--python", str(installed.home / "bin" / "python"), "install", *OFFLINE]
    subprocess.run([*command, "--no-deps", str(wheel)], check=True, timeout=300)
    return installed.home


def unit(key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", UNIT.read_text(), re.MULTILINE)


async def test_the_unit_serves_the_shipped_agents_with_its_credentials(
    environment: Path, postgres: Postgres, redis: Redis, tmp_path: Path
) -> None:
    """Settings and secret come from the files that systemd would make for `LoadCredential`, the agents from a wheel."""
    credentials, state = tmp_path / "credentials", tmp_path / "state"
    (state / "understudy").mkdir(parents=True)
    credentials.mkdir()
    texts = {
        "/etc/understudy/understudy.toml": f'[understudy]\ndatabase_url = "{postgres.create()}"\n'
        f'port = 0\n[understudy.nodes]\nredis_url = "{redis.url}"\n',
        "/etc/understudy/secret": SECRET,
    }
    for name, _, source in (word.partition(":") for word in unit("LoadCredential")):
        (credentials / name).write_text(texts.pop(source))
        (credentials / name).chmod(0o400)
    assert texts == {}
    (setting,), (start,) = unit("Environment"), unit("ExecStart")
    filled = setting.replace("%d", str(credentials)).replace("%S", str(state))
    variables = dict(word.split("=", 1) for word in shlex.split(filled))
    command = shlex.split(start.replace("/opt/understudy", str(environment), 1))
    assert command[1:] == ["serve", *AGENTS]
    with served(command, variables | {"CREDENTIALS_DIRECTORY": str(credentials)}, state / "understudy") as address:
        assert (await request(address, "GET", "/readyz"))[0] == 200
        issued = await trio.run_process(
            [command[0], "token", "--user", "ada"],
            env=variables | {"CREDENTIALS_DIRECTORY": str(credentials)},
            capture_stdout=True,
        )
        status, _, body = await request(address, "GET", "/api/agents", token=issued.stdout.decode().strip())
        assert status == 200, body
        assert agents_of(body) == ["parcels"]


def test_the_wheel_holds_the_agents_and_nothing_else(environment: Path) -> None:
    program = "import example_agents as e, understudy as u; print(e.__file__, u.__file__, [a.name for a in e.AGENTS])"
    done = subprocess.run(
        [str(environment / "bin" / "python"), "-I", "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=environment,
    )
    example, product, names = done.stdout.split(maxsplit=2)
    assert Path(example).is_relative_to(environment)
    assert Path(product).is_relative_to(environment)
    assert names.strip() == "['parcels']"


def test_compose_the_unit_and_the_image_serve_the_same_agents() -> None:
    compose = yaml.safe_load((ROOT / "deploy" / "compose.yml").read_text())
    image, below = (EXAMPLE / "Dockerfile").read_text(), (ROOT / "deploy" / "Dockerfile").read_text()
    (arguments,) = [yaml.safe_load(line) for line in re.findall(r"^CMD (\[.*\])$", image, re.MULTILINE)]
    (product,) = [yaml.safe_load(line) for line in re.findall(r"^CMD (\[.*\])$", below, re.MULTILINE)]
    for node in ("node-a", "node-b"):
        assert compose["services"][node]["command"] == arguments == [*product, *AGENTS]
    user = re.compile(r"^USER (.*)$", re.MULTILINE)
    assert user.findall(image)[-1] == user.findall(below)[-1] != "root"
    example = (EXAMPLE / "pyproject.toml").read_text()
    (version,) = re.findall(r'^dependencies = \["understudy-server>=(.*)"\]$', example, re.M)
    assert version == re.findall(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.M)[0]
