"""The bill of materials: everything that the wheels bring, with the pinned versions and licences, and nothing of the
machine.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.packaging.environment import Environment, closure, manifest, name_of, normal
from tests.packaging.wheels import ROOT, SOURCES, build_wheels

EXTRAS = ("postgres", "redis", "openai", "anthropic", "mcp", "a2a", "traces")
PINS = dict(
    line.split("==")
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if line and not line.startswith("#")
)
pytestmark = pytest.mark.proof("packaging")


def make(python: Path, output: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(ROOT / "packaging" / "sbom.py"), str(python), str(output)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def environment(
    filled_once: Callable[[Callable[[Path], None]], Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    installed = Environment.create(tmp_path_factory.mktemp("sbom") / "venv", filled_once(build_wheels))
    installed.install(*SOURCES, extras={"understudy": EXTRAS, "transport": ("client",)})
    return installed.home / "bin" / "python"


@pytest.fixture(scope="module")
def text(environment: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    output = tmp_path_factory.mktemp("bill") / "dist" / "understudy.cdx.json"
    done = make(environment, output)
    assert done.returncode == 0, done.stderr
    return output.read_text()


@pytest.fixture(scope="module")
def bill(text: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(text)
    return read


def test_it_lists_all_that_the_wheels_bring_with_pinned_versions_and_licences(bill: dict[str, Any]) -> None:
    requirements = [line for package in SOURCES for line in manifest(package)["dependencies"]]
    for package, extras in (("understudy", EXTRAS), ("transport", ("client",))):
        for extra in extras:
            requirements += manifest(package)["optional-dependencies"][extra]
    pins = {normal(name): version for name, version in PINS.items()}
    ours = {name_of(package): manifest(package)["version"] for package in SOURCES}
    listed = [bill["metadata"]["component"], *bill["components"]]
    of_python = {normal(part["name"]): part for part in listed if part["purl"].startswith("pkg:pypi/")}
    expected = closure(requirements)
    assert len(expected) > 60
    assert of_python.keys() == expected.keys() | ours.keys()
    for name, part in of_python.items():
        assert part["version"] == (ours.get(name) or pins[name])
        assert part["purl"] == f"pkg:pypi/{name}@{part['version']}"
        assert part["licenses"]
    assert bill["metadata"]["component"]["name"] == "understudy-server"
    (needs,) = [part["dependsOn"] for part in bill["dependencies"] if part["ref"].startswith("understudy-server==")]
    assert f"trio=={pins['trio']}" in needs


def test_it_lists_the_bundler_of_the_page_as_what_is_not_shipped(bill: dict[str, Any]) -> None:
    lock = json.loads((ROOT / "packaging" / "page" / "package-lock.json").read_text())["packages"]
    of_npm = {part["name"]: part for part in bill["components"] if part["purl"].startswith("pkg:npm/")}
    assert of_npm.keys() == {path.rpartition("node_modules/")[2] for path in lock if path}
    assert of_npm["esbuild"]["version"] == lock["node_modules/esbuild"]["version"]
    assert {part["scope"] for part in of_npm.values()} == {"excluded"}
    assert all(part["licenses"] for part in of_npm.values())


def test_it_is_valid_and_names_no_path_of_the_machine(text: str, bill: dict[str, Any], environment: Path) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    for path in (str(ROOT), sys.prefix, str(environment.parents[2]), tempfile.gettempdir(), os.path.expanduser("~")):
        assert path + "/" not in text, path
    assert "file:" not in text
    refs = [part["bom-ref"] for part in [bill["metadata"]["component"], *bill["components"]]]
    assert len(set(refs)) == len(refs)
    assert {part["ref"] for part in bill["dependencies"]} <= set(refs)


def test_it_is_the_same_each_time(environment: Path, text: str, tmp_path: Path) -> None:
    assert make(environment, tmp_path / "again.json").returncode == 0
    assert (tmp_path / "again.json").read_text() == text


def test_an_environment_without_the_product_is_refused(
    filled_once: Callable[[Callable[[Path], None]], Path], tmp_path: Path
) -> None:
    empty = Environment.create(tmp_path / "venv", filled_once(build_wheels))
    done = make(empty.home / "bin" / "python", tmp_path / "bill.json")
    assert done.returncode == 1
    assert done.stderr.strip() == f"understudy-server is not installed for {empty.home / 'bin' / 'python'}"
    assert not (tmp_path / "bill.json").exists()
