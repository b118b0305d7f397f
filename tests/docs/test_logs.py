"""The reference of log lines against the calls in the source."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rigs.doc_tables import DOCS, ROOT, code, table

PAGE = "reference/logs.md"
LEVELS = {"exception": "error"}
NAME = re.compile(r"[a-z_0-9]+\.[a-z_0-9]+")
PARTS = [(PAGE, part) for part in re.findall(r"^## (.+)$", (DOCS / PAGE).read_text(), re.MULTILINE)] + [
    (str(path.relative_to(DOCS)), "In logs")
    for path in (DOCS / "extensions").glob("*.md")
    if "\n## In logs\n" in path.read_text()
]
"""The tables of events: those of one page, and one in the page of an extension."""


@pytest.fixture(scope="module")
def logged() -> list[tuple[str, str, Path]]:
    """Return the name, the level and the module of each call that logs an event. `*` is a level that is computed."""
    return list(calls())


def calls() -> Iterator[tuple[str, str, Path]]:
    for package in ("actors", "transport", "sanitization", "understudy", "analyst"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                match node:
                    case ast.Call(
                        func=ast.Attribute(value=ast.Name("log"), attr="log"), args=[_, ast.Constant(str(text)), *_]
                    ) if NAME.match(text):
                        yield text.split()[0], "*", path
                    case ast.Call(
                        func=ast.Attribute(value=ast.Name("log"), attr=level), args=[ast.Constant(str(text)), *_]
                    ) if NAME.match(text):
                        yield text.split()[0], LEVELS.get(level, level), path


def documented() -> dict[str, dict[str, str]]:
    rows = {code(row["event"])[0]: row for page, part in PARTS for row in table(page, part)}
    assert len(rows) == sum(len(table(page, part)) for page, part in PARTS), "an event is listed twice"
    return rows


def test_every_event_is_listed_with_its_levels(logged: list[tuple[str, str, Path]]) -> None:
    """An event whose level is computed has those that the page says."""
    levels: defaultdict[str, set[str]] = defaultdict(set)
    for event, level, _ in logged:
        levels[event].add(level)
    rows = documented()
    assert sorted(levels) == sorted({*rows} - {"server.not_started"})  # which is written without a logger
    for event, used in levels.items():
        listed = set(rows[event]["level"].split(", "))
        assert used - {"*"} <= listed, event
        assert "*" in used or listed == used, event


def test_every_field_is_logged_by_a_module_of_its_event(logged: list[tuple[str, str, Path]]) -> None:
    sources: defaultdict[str, str] = defaultdict(str)
    for event, _, path in logged:
        sources[event] += path.read_text()
    sources["server.not_started"] = (ROOT / "understudy" / "observe" / "logs.py").read_text()
    for event, row in documented().items():
        for field in code(row["fields"]):
            assert re.search(rf'"{field}"|\b{field}=', sources[event]), f"{event}: {field}"
