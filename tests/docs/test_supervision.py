"""The promises of supervision and of the protocol against the tests that carry each of them."""

import ast
import inspect
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors import DeadLetter
from tests.rigs.doc_tables import ROOT, code, table

TESTS = ROOT / "tests"
Marked = dict[str, set[str]]
"""For each id, the tests that carry it, as `file::name`, the file relative to the folder of all tests."""


def listed() -> list[str]:
    promised = tomllib.loads((TESTS / "promises.toml").read_text())
    return [f"{about}.{name}" for about, names in promised.items() for name in names]


def promises(nodes: list[ast.expr]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.promise":
            yield from (ast.literal_eval(argument) for argument in node.args)


def marked(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the ids that a file's tests carry, with the test."""
    text = path.read_text()
    module = ast.parse(text if "mark.promise" in text else "")
    shared: list[ast.expr] = []
    for line in module.body:
        if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "pytestmark":
            shared = line.value.elts if isinstance(line.value, ast.List) else [line.value]
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            for id_ in promises([*node.decorator_list, *shared]):
                yield id_, f"{path.relative_to(TESTS)}::{node.name}"


@pytest.fixture(scope="module")
def carriers() -> Marked:
    tests_of: Marked = defaultdict(set)
    for path in TESTS.rglob("test_*.py"):
        for id_, test in marked(path):
            tests_of[id_].add(test)
    return tests_of


def test_every_promise_is_held_by_a_test_and_every_mark_is_a_promise(carriers: Marked) -> None:
    assert sorted(listed()) == sorted(carriers)


def test_an_id_says_where_it_stands() -> None:
    assert [id_ for id_ in listed() if not re.fullmatch(r"[a-z]+\.[a-z]+(-[a-z0-9]+)*", id_)] == []


@pytest.mark.promise("bitten.delivery-stated")
def test_every_reason_of_a_dead_letter_is_listed() -> None:
    documented = inspect.getdoc(DeadLetter) or ""
    reasons = re.findall(r"`([^`]+)`", documented.split("`why` is", 1)[1].split("`lane` is", 1)[0])
    records = [code(row["record"]) for row in table("reference/actors.md", "Delivery")]
    assert {record[1] for record in records if record[:1] == ["DeadLetter"]} == set(reasons) - {"history"}
