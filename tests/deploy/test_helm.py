"""The Helm chart, rendered by Helm itself: Kubernetes' schemas accept it, and the product what its pods are given."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import click
import kubernetes_validate
import pytest
import trio
import yaml

from tests.deploy.described import DEPLOY, parsed, paths
from tests.deploy.helm.chart import CHART, EVERYTHING, Helm, container
from tests.rigs.doc_tables import ROOT
from tests.rigs.http import request
from tests.rigs.process import READY_S, started
from tests.servers.postgresql import Postgres
from tests.servers.redis import Redis
from understudy import __version__
from understudy.app.settings import BadSettings, Settings, load, setting_tables
from understudy.cli.main import main
from understudy.extensions.nodes.settings import NodeSettings

LEAST: dict[str, Any] = {"existingSecret": {"name": "chat"}}
OLDEST, NEWEST = "1.30", "1.37"
"""Releases of Kubernetes: the one that the chart names, and the newest whose schema is there."""


@pytest.fixture(scope="module")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    return Helm(tmp_path_factory.mktemp("helm"))


def secrets_of(database: str, redis: str) -> dict[str, str]:
    return {
        "UNDERSTUDY_SECRET": "0123456789abcdef" * 4,
        "UNDERSTUDY_DATABASE_URL": database + "\n",
        "UNDERSTUDY_NODES_REDIS_URL": redis,
        "OPENAI_API_KEY": "a-key",
    }


def labels_of(documents: dict[str, Any], kind: str) -> set[tuple[str, str]]:
    return set(documents[kind]["spec"]["template"]["metadata"]["labels"].items())


def properties(schema: dict[str, Any], where: str = "") -> Iterator[str]:
    """Yield the names of the values that a closed schema knows."""
    for name, part in schema.get("properties", {}).items():
        yield f"{where}{name}"
        yield from properties(part, f"{where}{name}.")


def keys(values: dict[str, Any], where: str = "") -> Iterator[str]:
    for name, value in values.items():
        yield f"{where}{name}"
        if isinstance(value, dict):
            yield from keys(value, f"{where}{name}.")


@pytest.mark.parametrize("values", [LEAST, EVERYTHING], ids=["least", "everything"])
def test_helm_and_kubernetes_accept_the_chart(helm: Helm, values: dict[str, Any]) -> None:
    """Helm's own checks are strict, and every object has only fields that the schemas of Kubernetes know."""
    done = helm.run("lint", "--strict", values=values)
    assert done.returncode == 0, done.stdout + done.stderr
    rendered = helm.render(values)
    assert rendered.keys() >= {"Deployment", "Job", "Service", "PodDisruptionBudget"}
    assert ("Ingress" in rendered, "ServiceMonitor" in rendered, "ConfigMap" in rendered) == (values is EVERYTHING,) * 3
    for kind, documents in rendered.items():
        for release in (OLDEST, NEWEST):
            if kind != "ServiceMonitor":  # of the operator of Prometheus, and not of Kubernetes
                kubernetes_validate.validate(documents, release, strict=True)


@pytest.mark.parametrize("values", [LEAST, EVERYTHING], ids=["least", "everything"])
def test_pods_have_no_rights_and_are_found_by_what_selects_them(helm: Helm, values: dict[str, Any]) -> None:
    documents = helm.render(values)
    for kind in ("Deployment", "Job"):
        pod = documents[kind]["spec"]["template"]["spec"]
        # With links a Service called understudy would set UNDERSTUDY_PORT to tcp://…, and no node would start.
        assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False)
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["runAsUser"] == int(
            (DEPLOY / "Dockerfile").read_text().partition("--uid ")[2].split()[0]
        )
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        (only,) = pod["containers"]
        assert only["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"memory"} <= only["resources"]["limits"].keys()
    nodes, migration = labels_of(documents, "Deployment"), labels_of(documents, "Job")
    spread = documents["Deployment"]["spec"]["template"]["spec"]["topologySpreadConstraints"]
    for selector in [
        documents["Deployment"]["spec"]["selector"]["matchLabels"],
        documents["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        documents["Service"]["spec"]["selector"],
        *(constraint["labelSelector"]["matchLabels"] for constraint in spread),
    ]:
        assert set(selector.items()) <= nodes
        assert not set(selector.items()) <= migration
    assert len(spread) == 2
    if monitor := documents.get("ServiceMonitor"):
        assert monitor["spec"]["selector"]["matchLabels"].items() <= documents["Service"]["metadata"]["labels"].items()
        (endpoint,) = monitor["spec"]["endpoints"]
        assert endpoint["port"] in {port["name"] for port in documents["Service"]["spec"]["ports"]}
        assert endpoint["path"] in paths()


def test_a_pod_asks_paths_that_are_there_and_has_the_time_to_drain(helm: Helm) -> None:
    for values, grace_s in ((LEAST, load(port=0).grace_s), (EVERYTHING, EVERYTHING["settings"]["grace_s"])):
        pod = helm.render(values)["Deployment"]["spec"]["template"]["spec"]
        (only,) = pod["containers"]
        asked = {only[f"{probe}Probe"]["httpGet"]["path"] for probe in ("startup", "liveness", "readiness")}
        assert asked == {"/healthz", "/readyz"} <= paths()
        assert only["livenessProbe"]["httpGet"]["path"] == "/healthz"
        (port,) = only["ports"]
        assert only["args"][:5] == ["serve", "--host", "0.0.0.0", "--port", str(port["containerPort"])]
        parsed(only["args"])
        pause_s = only["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert pause_s > 0
        assert pod["terminationGracePeriodSeconds"] > pause_s + grace_s


@pytest.mark.proof("operations")
async def test_the_migration_and_a_node_run_as_their_pods_say(
    helm: Helm, postgres: Postgres, redis: Redis, tmp_path: Path
) -> None:
    """The Job's command migrates an empty database, and the Deployment's then serves the agents of the values there."""
    documents, secrets = helm.render(EVERYTHING), secrets_of(postgres.create(), redis.url)
    job = container(documents, "Job", tmp_path / "job", secrets)
    command = [sys.executable, "-m", "understudy", *job.arguments]
    with trio.fail_after(READY_S):
        done = await trio.run_process(command, capture_stdout=True, env=os.environ | job.variables)
    assert b"it had none" in done.stdout
    node = container(documents, "Deployment", tmp_path / "node", secrets)
    data = Path(node.variables["UNDERSTUDY_DATA_DIR"])
    assert data.is_relative_to(tmp_path)
    variables = node.variables | {"PYTHONPATH": str(DEPLOY / "example_agents")}
    async with started(data, *node.arguments[5:], loads=True, **variables) as server:
        status, _, body = await request(server.address, "GET", "/readyz")
        assert (status, body["status"]) == (200, "ready")
        assert await server.terminate() == 0
    assert not (data / "understudy.db").exists()


def test_settings_and_secrets_of_the_values_are_the_products(
    helm: Helm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    secrets = secrets_of("postgresql://me:pass@db/chat", "redis://:pass@cache:6379")
    for name, value in container(helm.render(EVERYTHING), "Deployment", tmp_path, secrets).variables.items():
        monkeypatch.setenv(name, value)
    settings = load(host="0.0.0.0")
    assert settings.database_url == "postgresql://me:pass@db/chat"
    assert settings.of(NodeSettings).redis_url == "redis://:pass@cache:6379"
    assert str(settings.secret) == secrets["UNDERSTUDY_SECRET"]
    assert (settings.grace_s, settings.trusted_proxies) == (6.5, ["10.0.0.0/8"])
    assert (settings.limits.heartbeat_s, settings.limits.history_messages) == (20.0, 50)
    assert settings.models.prices.prices["gpt-x"].output == 8.5


@pytest.mark.parametrize("missing", ["UNDERSTUDY_SECRET", "UNDERSTUDY_DATABASE_URL"])
def test_a_node_does_not_start_without_a_key_of_the_secret(
    helm: Helm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    """Without the database's address it would store conversations in a volume that goes with the pod."""
    monkeypatch.chdir(tmp_path)
    secrets = secrets_of("postgresql://me@db/chat", "redis://cache:6379")
    del secrets[missing]
    for name, value in container(helm.render(LEAST), "Deployment", tmp_path, secrets).variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(BadSettings, match=missing):
        load(host="0.0.0.0")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "existingSecret"),
        (LEAST | {"settings": {"database_url": "postgresql://me:pass@db/x"}}, "database_url"),
        (LEAST | {"environment": {"OPENAI_API_KEY": "x"}}, "OPENAI_API_KEY"),
        (LEAST | {"replicas": 3}, "replicas"),
        (LEAST | {"agents": ["example_agents"]}, "agents"),
        (LEAST | {"ingress": {"enabled": True}}, "hosts"),
        (LEAST | {"serviceMonitor": {"enabled": True}}, "tokenSecret"),
        (LEAST | {"probes": {"readinessPath": "/ready"}}, "readinessPath"),
    ],
)
def test_values_that_are_wrong_or_secret_are_refused(helm: Helm, values: dict[str, Any], said: str) -> None:
    done = helm.run("template", "chat", values=values)
    assert done.returncode != 0
    assert said in done.stderr


def test_the_schema_knows_the_values_and_every_secret_setting() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    known = {name for name in properties(schema) if not name.startswith("settings.")}
    assert known - {"global"} == {
        key for key in keys(values) if not key.startswith(("resources.limits.", "resources.requests."))
    }
    settings = schema["properties"]["settings"]
    refused = settings["propertyNames"]["not"]["enum"]
    assert refused == sorted(setting.name for setting in attrs.fields(Settings) if not setting.repr)
    secret = {
        name: sorted(setting.name for setting in attrs.fields(kind) if not setting.repr)
        for name, kind in setting_tables().items()
    }
    expected = {name: {"propertyNames": {"not": {"enum": names}}} for name, names in secret.items() if names}
    assert settings["properties"] == expected


def test_the_chart_is_of_the_release() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)
    assert chart["kubeVersion"].startswith(f">={OLDEST}.")
    notes = (CHART / "templates" / "NOTES.txt").read_text()
    for line in notes.splitlines():
        if "-- understudy " in line:
            name, *words = line.partition("-- understudy ")[2].split()
            whole = click.Context(main)
            main.get_command(whole, name).make_context(name, words, parent=whole)
    assert (ROOT / "deploy" / "helm" / "understudy" / ".helmignore").exists()
