"""The five distributions: each installs alone with its declared requirements, all install together, one may be
removed.
"""

import ast
import importlib.metadata
import re
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.packaging.environment import Environment, manifest, name_of, normal
from tests.packaging.wheels import ROOT, SOURCES, build_wheels

pytestmark = pytest.mark.proof("packaging")

NEEDS = {
    "actors": (),
    "transport": ("actors",),
    "sanitization": (),
    "understudy": ("actors", "transport", "sanitization"),
    "analyst": ("understudy",),
}
"""Each package and those of the others that its wheel requires."""
BESIDE = {
    package: others + tuple(below for each in others for below in NEEDS[each]) for package, others in NEEDS.items()
}
"""Each package and all others that are installed with it."""
BARE = ("actors", "transport", "sanitization", "understudy")
"""The packages of a bare server."""
TEST_TOOLS = {"pytest"}
"""Imported by modules for users' tests, whose environments have it."""
IMPORT_ALL = """
import importlib, pkgutil, sys

for name in sys.argv[1:]:
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, name + ".", onerror=lambda name: None):
        if module.name.rpartition(".")[2] in ("__main__", "plugin", "env") or ".versions" in module.name:
            continue
        try:
            importlib.import_module(module.name)
        except ImportError as error:
            print(module.name, error)
"""
NOT_INSTALLED = "understudy.extensions.frameworks.openai_agents No module named 'agents'\n"
"""What `IMPORT_ALL` says with every extra: that SDK wants an older websockets."""
WHERE = """
for name in sys.argv[1:]:
    if not sys.modules[name].__file__.startswith(sys.prefix):
        print(name, "is imported from", sys.modules[name].__file__)
"""


@pytest.fixture(scope="module")
def wheels(filled_once: Callable[[Callable[[Path], None]], Path]) -> Path:
    return filled_once(build_wheels)


@pytest.fixture
def environment(wheels: Path, tmp_path: Path) -> Environment:
    return Environment.create(tmp_path / "venv", wheels)


@pytest.fixture(scope="module")
def all_without_extras(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Return an environment with a bare server and the client's requirements, to be left as it is."""
    environment = Environment.create(tmp_path_factory.mktemp("all") / "venv", wheels)
    environment.install(*BARE, extras={"transport": ("client",)})
    return environment


@pytest.fixture(scope="module")
def all_with_extras(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Return an environment with the five packages and every extra, to be copied. Each of their modules imports."""
    environment = Environment.create(tmp_path_factory.mktemp("extras") / "venv", wheels)
    extras = (
        "a2a",
        "accounts",
        "agui",
        "postgres",
        "redis",
        "openai",
        "anthropic",
        "mcp",
        "langgraph",
        "pydantic-ai",
        "remote",
        "terminal",
        "traces",
    )
    environment.install(*SOURCES, extras={"understudy": extras, "transport": ("client",)})
    assert environment.run("-c", IMPORT_ALL, *SOURCES).stdout == NOT_INSTALLED
    return environment


@pytest.mark.parametrize("package", SOURCES)
def test_a_wheel_holds_its_package_and_nothing_else(wheels: Path, package: str) -> None:
    (path,) = wheels.glob(f"{name_of(package).replace('-', '_')}-[0-9]*.whl")
    with zipfile.ZipFile(path) as archive:
        held = {name.split("/")[0] for name in archive.namelist()}
        names = set(archive.namelist())
    assert {folder for folder in held if not folder.endswith(".dist-info")} == {package}
    files = {str(file.relative_to(ROOT)) for file in (ROOT / package).rglob("*.py")} | {f"{package}/py.typed"}
    assert files <= names


@pytest.mark.parametrize("package", SOURCES)
def test_a_manifest_declares_exactly_what_its_package_imports(package: str) -> None:
    project = manifest(package)
    lines = [*project["dependencies"]]
    for extra, needs in project.get("optional-dependencies", {}).items():
        if extra not in ("dev", "bench", "docs"):
            lines += needs
    declared = {normal(Requirement(line).name) for line in lines}
    top_level = importlib.metadata.packages_distributions()
    imported = set()
    for file in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = [node.module]
            imported |= {name.split(".")[0] for name in names} - sys.stdlib_module_names - {package}
    ours = {other: name_of(other) for other in SOURCES}
    optional = {"presidio_analyzer": "presidio-analyzer", "regex": "presidio-analyzer"}  # not installed in tests
    optional |= {"langgraph": "langgraph", "google": "protobuf"}  # which others of them share
    optional["opentelemetry"] = "opentelemetry-exporter-otlp-proto-http"  # a namespace of several
    optional |= {"agents": "openai-agents", "cohere": "pydantic-ai-slim"}  # not installed in tests
    needed = {
        normal(ours.get(name) or optional.get(name) or top_level[name][0]) for name in imported if name != "outcome"
    } - TEST_TOOLS  # outcome: trio's, named in an annotation
    if package == "understudy":
        declared -= {"understudy-sanitization"} - needed
        declared -= {"google-auth"}  # of a client that has it by name
    assert needed == declared


def test_all_have_one_version_and_require_each_other_by_it() -> None:
    versions = {package: manifest(package)["version"] for package in SOURCES}
    assert len(set(versions.values())) == 1, versions
    for package, others in NEEDS.items():
        required = {
            normal(need.name): str(need.specifier)
            for need in map(Requirement, manifest(package)["dependencies"])
            if need.name.startswith("understudy")
        }
        assert required == {name_of(other): f"=={versions[other]}" for other in others}


@pytest.mark.parametrize("package", SOURCES)
def test_a_package_asks_for_the_version_of_its_own_distribution(package: str) -> None:
    pattern = re.compile(r"""\bversion\(["']([\w-]+)["']\)""")
    names = {name for file in (ROOT / package).rglob("*.py") for name in pattern.findall(file.read_text())}
    assert names <= {name_of(package)}


@pytest.mark.parametrize("package", SOURCES)
def test_a_wheel_alone_imports_with_what_it_declares(environment: Environment, package: str) -> None:
    extras = {"transport": ("client",)} if "transport" in BESIDE[package] else {}
    environment.install(package, *BESIDE[package], extras=extras)
    done = environment.run("-c", IMPORT_ALL, package)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    modules = "ag_ui|agents|anyio|coredis|httpx|httpx2|jsonschema|langchain_core|langgraph|mcp|mcp_types|openai"
    modules += "|opentelemetry|psycopg|pydantic_ai|rich"
    of_extras = f"needs the extra|No module named '({modules})'"
    assert [line for line in lines if not re.search(of_extras, line)] == []
    assert [line for line in lines if line.startswith(("understudy.app", "understudy.chat", "understudy.web"))] == []
    for other in set(SOURCES) - {package, *BESIDE[package]}:
        assert environment.run("-c", f"import {other}").returncode != 0, other


@pytest.mark.parametrize(
    ("variables", "extra"),
    [
        ({"UNDERSTUDY_DATABASE_URL": "postgresql://me@127.0.0.1:1/x"}, "postgres"),
        ({"UNDERSTUDY_ACCOUNTS_ENABLED": "true"}, "accounts"),
        ({"UNDERSTUDY_OTLP_ENDPOINT": "http://127.0.0.1:1"}, "traces"),
        ({"UNDERSTUDY_MODEL": "openai:tiny", "OPENAI_API_KEY": "none"}, "openai"),
        ({"UNDERSTUDY_MODEL": "anthropic:tiny", "ANTHROPIC_API_KEY": "none"}, "anthropic"),
    ],
)
def test_a_setting_whose_extra_is_not_installed_is_refused_at_start(
    all_without_extras: Environment, tmp_path: Path, variables: dict[str, str], extra: str
) -> None:
    assignments = "".join(f"os.environ[{name!r}] = {value!r};" for name, value in variables.items())
    program = f"import os; {assignments} from understudy.cli.main import main; main()"
    done = all_without_extras.run("-c", program, "serve", "--port", "0", "--data-dir", str(tmp_path / "data"))
    assert done.returncode == 1
    assert f"needs the extra {extra}: pip install 'understudy-server[{extra}]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("removed", SOURCES)
def test_removing_one_leaves_the_others_whole(all_with_extras: Environment, tmp_path: Path, removed: str) -> None:
    environment = all_with_extras.copy(tmp_path / "venv")
    environment.uninstall(removed)
    assert environment.run("-c", f"import {removed}").returncode != 0
    rest = [package for package in SOURCES if package != removed and removed not in BESIDE[package]]
    done = environment.run("-c", IMPORT_ALL + WHERE, *rest)
    assert (done.returncode, done.stdout) == (0, NOT_INSTALLED if "understudy" in rest else ""), done.stderr
