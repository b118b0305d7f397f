"""Deployment files against the product: every file, option, setting, path and metric that they name exists."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.described import DEPLOY, parsed, paths
from tests.rigs.doc_tables import ROOT
from understudy.app.settings import FILES_VARIABLE, Settings, describe_settings, load, variable_of
from understudy.extensions.nodes.metrics import redis_up, register_lapses
from understudy.extensions.nodes.settings import NodeSettings
from understudy.installed import installed
from understudy.observe.metrics import Metrics

NODES = ("node-a", "node-b")
OF_OTHERS = {"UNDERSTUDY_PAGE_BUNDLE"} | {
    "ANTHROPIC_API_KEY",
    "OPENAI_API_KEY",
    "PGPASSWORD",
    "PATH",
    "PYTHONUNBUFFERED",
}
SETTINGS = {variable_of(each.name) for each in describe_settings(Settings())} | {FILES_VARIABLE}


@pytest.fixture(scope="module")
def example() -> dict[str, str]:
    lines = (DEPLOY / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@pytest.fixture(scope="module")
def compose() -> Any:
    return yaml.safe_load((DEPLOY / "compose.yml").read_text())


def filled(text: str, given: dict[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        name, how, default = match["name"], match["how"], match["default"]
        if how == ":?" and not given.get(name):
            raise KeyError(name)
        return given.get(name) or (default or "" if how == ":-" else "")

    put = re.sub(r"(?<!\$)\$\{(?P<name>\w+)(?:(?P<how>:[-?])(?P<default>[^}]*))?\}", value, text)
    return put.replace("$$", "$")


def strings(node: Any) -> Iterator[str]:
    match node:
        case dict():
            for member in node.values():
                yield from strings(member)
        case list():
            for member in node:
                yield from strings(member)
        case str():
            yield node


def test_the_example_names_what_compose_asks_for_and_tells_no_secret(compose: Any, example: dict[str, str]) -> None:
    variables = {name for text in strings(compose) for name in re.findall(r"(?<!\$)\$\{(\w+)", text)}
    assert variables == example.keys()
    needed = {name for text in strings(compose) for name in re.findall(r"\$\{(\w+):\?", text)}
    assert needed == {"UNDERSTUDY_SECRET", "POSTGRES_PASSWORD"}
    assert {name for name in needed | {"ANTHROPIC_API_KEY", "OPENAI_API_KEY"} if example[name]} == set()
    with pytest.raises(KeyError):
        [filled(text, example) for text in strings(compose)]


@pytest.mark.parametrize("name", NODES)
def test_a_node_starts_with_what_compose_gives_it(
    compose: Any, example: dict[str, str], name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    given = example | dict.fromkeys(("UNDERSTUDY_SECRET", "POSTGRES_PASSWORD"), "5" * 64)
    variables = {key: filled(value, given) for key, value in compose["services"][name]["environment"].items()}
    assert variables.keys() - OF_OTHERS <= SETTINGS
    for key, value in variables.items():
        monkeypatch.setenv(key, value)
    settings = load(host="0.0.0.0")
    assert settings.on_postgresql
    assert not settings.of(NodeSettings).redis_url
    assert settings.secret
    assert "5" not in settings.database_url
    assert settings.trusted_proxies == [compose["services"]["balancer"]["networks"]["front"]["ipv4_address"]]
    assert seconds(compose["services"][name]["stop_grace_period"]) > settings.grace_s


def seconds(text: str) -> float:
    assert text.endswith("s")
    return float(text[:-1])


def test_every_file_that_compose_names_is_there(compose: Any) -> None:
    for service in compose["services"].values():
        if build := service.get("build"):
            image = (DEPLOY / build["context"] / "Dockerfile").read_text()
            assert re.findall(r"^ARG (\w+)", image, re.MULTILINE) == list(build["args"])
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert (DEPLOY / source).exists() if source.startswith(".") else source in compose["volumes"]
        assert set(service["networks"]) <= set(compose["networks"])
        assert set(service.get("depends_on", [])) <= set(compose["services"])


def test_the_image_copies_what_is_there_and_runs_a_command_that_is_one() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    for line in re.findall(r"^COPY (?!--from)(.*)$", text, re.MULTILINE):
        *sources, _ = line.split()
        for source in sources:
            assert (ROOT / source).exists()
            assert f"!{source}" in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    variables = set(re.findall(r"\b([A-Z_]+)=", text)) - {"EXTRAS", "PYTHON"}
    assert variables - OF_OTHERS <= SETTINGS
    words = [yaml.safe_load(line) for line in re.findall(r"^(?:ENTRYPOINT|CMD) (\[.*\])$", text, re.MULTILINE)]
    assert words[0] == ["understudy"]
    parsed(words[1])
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE) == ["understudy"]
    (health,) = re.findall(r"127\.0\.0\.1:8002(/\w+)", text)
    assert health in paths()
    assert f"EXPOSE {words[1][words[1].index('--port') + 1]}" in text


def test_the_image_without_a_registry_says_what_it_needs(tmp_path: Path) -> None:
    """The arguments that it builds the Dockerfile with are there; without its tools nothing is begun."""
    text = (DEPLOY / "image.sh").read_text()
    arguments = set(re.findall(r"^ARG (\w+)", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE))
    assert set(re.findall(r"--build-arg \"?(\w+)=", text)) == arguments
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("sh", "dirname"):
        (tools / name).symlink_to(shutil.which(name) or name)
    done = subprocess.run(
        [str(DEPLOY / "image.sh")], env={"PATH": str(tools)}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert done.stderr.strip().endswith("needs buildah: apt-get install buildah")


def test_the_balancer_asks_addresses_that_are_there_and_knows_every_node(compose: Any) -> None:
    text = (DEPLOY / "haproxy" / "haproxy.cfg").read_text()
    assert set(re.findall(r"httpchk GET (\S+)", text)) == {"/readyz", "/healthz"} <= paths()
    (hidden,) = re.findall(r"deny_status 404 if \{ path (.*) \}", text)
    assert set(hidden.split()) == paths()
    for backend in re.split(r"^backend ", text, flags=re.MULTILINE)[1:]:
        assert re.findall(r"server \w+ ([\w-]+):8002", backend) == list(NODES), backend
    (port,) = re.findall(r"^    bind :(\d+)$", text, re.MULTILINE)
    assert filled(compose["services"]["balancer"]["ports"][0], {}).endswith(f":{port}")


def test_the_service_runs_a_command_that_is_one() -> None:
    lines = (DEPLOY / "systemd" / "understudy.service").read_text().splitlines()
    unit = [line.partition("=")[::2] for line in lines if "=" in line and not line.startswith("#")]
    (start,) = [value for key, value in unit if key == "ExecStart"]
    parsed(shlex.split(start)[1:])
    (variables,) = [shlex.split(value) for key, value in unit if key == "Environment"]
    assert {variable.partition("=")[0] for variable in variables} <= SETTINGS
    credentials = [value.partition(":")[0] for key, value in unit if key == "LoadCredential"]
    assert set(credentials) <= SETTINGS | {"settings"}
    (stop_s,) = [float(value) for key, value in unit if key == "TimeoutStopSec"]
    assert stop_s > load(port=0).grace_s
    assert dict(unit)["Type"] == "notify"
    assert dict(unit)["ExecReload"] == "kill -HUP $MAINPID"


def test_alerts_are_about_metrics_that_are_there() -> None:
    rules = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"][0]["rules"]
    known: set[str] = set()
    metrics = Metrics()
    metrics.storage.observe(int)
    for counter in (counter for extension in installed().values() for counter in extension.metrics()):
        metrics.declare(counter)
    register_lapses(metrics, int)
    redis_up(metrics)
    metrics.describe_build("1.0")
    metrics.actors.observe_tree(lambda: None)
    for metric in metrics.registry.collect():
        ends = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"], "info": ["_info"]}.get(
            metric.type, [""]
        )
        known |= {metric.name + end for end in ends}
    for board in (DEPLOY / "grafana" / "dashboards").iterdir():
        assert set(re.findall(r"\b(?:understudy|process)_\w+", board.read_text())) <= known, board.name
    for rule in rules:
        named = set(re.findall(r"\b(?:understudy|process)_\w+", rule["expr"]))
        assert named <= known, rule["alert"]
        assert rule["annotations"]["summary"].endswith(".")
        assert rule["labels"]["severity"] in ("warning", "critical")
