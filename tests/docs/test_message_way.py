"""The way of a message on the architecture page is the one that a message takes."""

import ast
import json
import subprocess
import sys
from itertools import pairwise
from typing import Any

import pytest

from docs.message_way import MOST_FILES, STEPS, WALK
from tests.rigs.doc_tables import ROOT

ON_A_LINE = ("understudy/chat/", "transport/connection/", "understudy/storage/writer.py")
"""Of what a plain message passes, each file of these is in a step."""


@pytest.fixture(scope="module")
def walked() -> dict[str, Any]:
    """Return what a plain message passes: see `tests.docs.walked`."""
    command = [sys.executable, "-m", "tests.docs.walked"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    steps: dict[str, Any] = json.loads(done.stdout)
    return steps


def test_a_message_takes_the_steps_in_their_order(walked: dict[str, Any]) -> None:
    """A step that another task does comes after the one before it; so does the next one, but not after that task's."""
    order = walked["order"]
    names = [f"{step.file} {step.function}" for step in STEPS]
    assert [name for name in names if name not in order] == [], "no message passes these"
    places = [order.index(name) for name in names]
    on_path = [place for place, step in zip(places, STEPS, strict=True) if not step.apart]
    assert on_path == sorted(on_path), "a message passes them in another order"
    for before, after in pairwise(zip(places, STEPS, strict=True)):
        assert not after[1].apart or before[0] < after[0], after[1].what


def test_each_file_on_the_way_is_in_a_step(walked: dict[str, Any]) -> None:
    passed = {entry.partition(" ")[0] for entry in walked["order"]}
    named = {file for step in STEPS for file in (step.file, *step.others)}
    assert {file for file in passed if file.startswith(ON_A_LINE)} - named == set(), "in no step of docs/message_way.py"
    assert named - passed == set(), "no message passes these: take them out of docs/message_way.py"


def test_each_function_of_the_walk_leads_to_the_next(walked: dict[str, Any]) -> None:
    """It calls the next one by its name, asks it with a message that it matches, or finds it in a table."""
    calls = {tuple(pair) for pair in walked["calls"]}
    for place, after in pairwise(WALK):
        here, there = f"{place.file} {place.function}", f"{after.file} {after.function}"
        if place.message:
            assert (here, "actors/ref.py ActorRef.ask") in calls, here
            assert place.message in matched(after.file, after.function), f"{there} does not match {place.message}"
            assert there in walked["order"], there
            continue
        assert (here, there) in calls, f"{here} does not call {there}"
        name = place.table or after.function.rpartition(".")[2]
        assert name in named(place.file, place.function), f"{here} does not name {name}"


def test_the_walk_is_no_longer_than_it_is_kept() -> None:
    """From the socket to the commit: it may only get shorter."""
    assert len({place.file for place in WALK}) == MOST_FILES


def matched(file: str, function: str) -> set[str]:
    """Return the names of the classes that a function has a `case` for."""
    patterns = [node for node in ast.walk(body(file, function)) if isinstance(node, ast.MatchClass)]
    return {node.cls.id for node in patterns if isinstance(node.cls, ast.Name)}


def named(file: str, function: str) -> set[str]:
    """Return the names and attributes in a function."""
    nodes = ast.walk(body(file, function))
    return {node.attr if isinstance(node, ast.Attribute) else node.id for node in nodes
            if isinstance(node, ast.Attribute | ast.Name)}  # fmt: skip


def body(file: str, function: str) -> ast.AST:
    """Return the definition of a function by its qualified name."""
    node: ast.AST = ast.parse((ROOT / file).read_text())
    for part in function.split("."):
        node = next(child for child in ast.iter_child_nodes(node) if getattr(child, "name", None) == part)
    return node
