"""The analyst stands on what `understudy` and `understudy.sandbox` export, as any other distribution may."""

import ast
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import analyst
import understudy
import understudy.sandbox
from understudy.agents.registry import all_agents
from understudy.installed import installed

MODULES = sorted(Path(analyst.__file__).parent.glob("*.py"))
IN_THE_PROCESS = {
    "chart_data", "column_types", "confine", "duckdb_session", "probe", "profiling", "queries", "refusal",
    "table_analysis", "table_worker", "units",
}  # fmt: skip
EXPORTED = {"understudy": set(understudy.__all__), "understudy.sandbox": set(understudy.sandbox.__all__)}


def imported(module: Path) -> dict[str, set[str]]:
    """Return the names that a module imports from each module of `understudy`."""
    names: dict[str, set[str]] = {}
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == "understudy":
            names.setdefault(node.module, set()).update(name.name for name in node.names)
        elif isinstance(node, ast.Import):
            assert not any(name.name.startswith("understudy") for name in node.names), "import names from understudy"
    return names


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_a_module_imports_exported_names_only(module: Path) -> None:
    """Modules of a process import nothing of `understudy`: they would load the server."""
    for source, names in imported(module).items():
        assert source in EXPORTED
        assert names <= EXPORTED[source]
    assert not (module.stem in IN_THE_PROCESS and imported(module))


def test_the_server_finds_the_extension_by_its_entry_point() -> None:
    (entry_point,) = [point for point in entry_points(group="understudy.extensions") if point.name == "analyst"]
    assert entry_point.load() is analyst
    assert entry_point.dist is not None
    assert entry_point.dist.name == "understudy-analyst"
    assert installed()["analyst"] is analyst.EXTENSION
    assert "insights" in all_agents()
    assert "insights" not in all_agents(extensions=["-analyst"])


def test_duckdb_is_loaded_in_the_tables_process_only() -> None:
    program = "import sys, analyst; print('duckdb' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
