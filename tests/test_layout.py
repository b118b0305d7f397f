"""The layout of modules: allowed folders, and a test module of the same path for each."""

import ast
import re
import tomllib
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("actors", "transport", "sanitization", "understudy", "analyst")
ROOTS = {
    "actors": {
        "__init__", "actor", "ask", "backoff", "cell", "channels", "checks", "children", "context_propagation",
        "coordinated_shutdown", "ending", "errors", "events", "exit_reasons", "hooks", "inbox", "incidents", "lanes",
        "life", "lifecycle", "mailbox", "reaper", "redelivery", "ref", "runtime", "serving", "signals", "sleeping",
        "spec", "stash", "strategy", "supervisor", "system", "timers", "top", "tree", "wakeup", "watch", "watchdog",
    },
    "transport": {"__init__"},
    "sanitization": {
        "__init__", "at_exit", "code_points", "confusables", "detector", "detector_set", "findings", "late", "masking",
        "normalization", "pattern", "pipeline", "policy", "policy_file", "prefilter", "sanitizer",
    },
    "understudy": {"__init__", "__main__", "extension", "installed", "suggestion"},
    "analyst": {
        "__init__", "agent", "analysis", "chart_data", "charts", "column_types", "confine", "confinement",
        "duckdb_session", "probe", "profiling", "queries", "refusal", "table_analysis", "table_worker", "tables",
        "units",
    },
}  # fmt: skip
"""Modules that may stand in the root of each package. Any other belongs in one of its folders."""
TABLE = "covered_elsewhere.toml"
"""Under `tests/`: modules without a test module of their own name, each with the test module that runs it."""


def modules() -> list[Path]:
    """Return every product module's path in the repository, except packages' `__init__` and schema revisions."""
    paths = (path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return sorted(path for path in paths if path.name != "__init__.py" and "migrations" not in path.parts)


def folders() -> list[Path]:
    """Return every folder with modules in it."""
    return sorted({path.parent for package in PACKAGES for path in (ROOT / package).rglob("*.py")})


def own_test(module: Path) -> Path:
    """Return the path of the module's own test module; those of an extension are together, as it is."""
    parts = module.parent.parts[1:] if module.parts[:2] == ("understudy", "extensions") else module.parent.parts
    return Path("tests", *parts, f"test_{module.name}")


def table() -> dict[str, list[str]]:
    """Return the table: module → test path and reason."""
    return tomllib.loads((ROOT / "tests" / TABLE).read_text())


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_stands_outside_a_room(package: str) -> None:
    loose = {path.stem for path in (ROOT / package).glob("*.py")}
    assert loose - ROOTS[package] == set(), "these belong in a folder"
    assert ROOTS[package] - loose == set(), "these are gone: take them off the list"


@pytest.mark.parametrize("folder", folders(), ids=lambda folder: str(folder.relative_to(ROOT)))
def test_a_folder_says_what_may_stand_in_it(folder: Path) -> None:
    if folder.name == "versions":
        return  # Alembic's revisions: the folder above describes them, and they are loaded by path
    doc = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
    assert len(re.findall(r"\w[`)»\"']?[.:](?=\s|$)", doc)) >= 2, (
        "say in two sentences what may stand here and what not"
    )


def test_every_module_has_tests_of_its_own_name_or_a_line_in_the_table() -> None:
    without = {str(path) for path in modules() if not (ROOT / own_test(path)).exists()}
    lines = table().keys()
    assert without - lines == set(), f"write the test module, or a line in tests/{TABLE}"
    assert lines - without == set(), f"these have a test module or are gone: take them out of tests/{TABLE}"


def test_what_the_table_names_exists_and_is_sorted() -> None:
    text = (ROOT / "tests" / TABLE).read_text()
    named = [line.split(" = ")[0] for line in text.splitlines() if line.startswith('"')]
    assert named == sorted(named), "one line a module, sorted"
    for module, (test, why) in table().items():
        assert (ROOT / "tests" / test).is_file(), f"{module}: no tests/{test}"
        assert len(why.split()) >= 2, f"{module}: say why"


def imported(module: Path) -> set[str]:
    """Return the modules that a module imports or imports from, and those that it may import from a package."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = module.relative_to(ROOT).parts[: -node.level] if node.level else ()
            source = ".".join([*above, *filter(None, [node.module])])
            names |= {source} | {f"{source}.{alias.name}" for alias in node.names}
    return names


def test_no_module_imports_a_test_module() -> None:
    """What tests share is a rig: of `tests/rigs` if several folders use it, else a module of their folder."""
    test_modules = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in ROOT.glob("tests/**/test_*.py")}
    imports = {
        str(path.relative_to(ROOT)): wrong
        for path in sorted((ROOT / "tests").rglob("*.py"))
        if (wrong := imported(path) & test_modules)
    }
    assert imports == {}, "move what these import to tests/rigs"


def test_every_rig_says_what_it_is() -> None:
    silent = [
        f"{path.relative_to(ROOT)}: {getattr(node, 'name', 'the module')}"
        for path in sorted((ROOT / "tests" / "rigs").rglob("*.py"))
        for tree in [ast.parse(path.read_text())]
        for node in [tree, *tree.body]
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and not getattr(node, "name", "").startswith("_")
        and not ast.get_docstring(node)
    ]
    assert silent == [], "say what each makes or does"


def test_files_that_the_architecture_page_names_exist() -> None:
    page = (ROOT / "docs" / "explanation" / "architecture.md").read_text()
    named = re.findall(r"`((?:understudy|analyst|transport|sanitization|actors|tests)(?:/[\w./]+)?)`", page)
    assert len(named) > 30
    assert [name for name in named if not (ROOT / name).exists()] == [], "docs/explanation/architecture.md names these"


def test_no_files_of_understudy_import_each_other_in_a_circle() -> None:
    """What stays when files that import nothing that is left are taken away, again and again, stands in a circle."""
    graph = grimp.build_graph("understudy", exclude_type_checking_imports=True)
    left = {name: set(graph.find_modules_directly_imported_by(name)) for name in graph.modules}
    while free := {name for name, imported in left.items() if not imported & left.keys()}:
        left = {name: imported for name, imported in left.items() if name not in free}
    assert sorted(left) == []


def test_transport_has_no_word_of_the_chat() -> None:
    """Its events, commands and codes are the chat's own, and given to `transport` as any program's are."""
    chat = re.compile(r"pillar|liaison|steer|undo|schedule|understudy\.wire", re.IGNORECASE)
    words = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sorted((ROOT / "transport").rglob("*.py"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if chat.search(line)
    ]
    assert words == []
