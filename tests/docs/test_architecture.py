"""The glossary, the names of classes, and the links to the architecture page (file names: tests/test_layout.py)."""

import ast
import json
import re
from collections import defaultdict

from tests.rigs.doc_tables import ROOT

PACKAGES = ("actors", "transport", "sanitization", "understudy", "analyst")
LIBRARY = "the library's name is the field's, and so is the product's"
SCRIPT = "a turn of a script that stands for a model, in tests of agents"
OF_CHAT = "transport's, and the chat's own of it"
SHARED = {
    "Call": SCRIPT,
    "Client": OF_CHAT,
    "Decision": LIBRARY,
    "Dialect": OF_CHAT,
    "Envelope": OF_CHAT,
    "Incident": LIBRARY,
    "Reply": "to a client on the wire, and of a model to a turn: both are the field's word",
    "Say": SCRIPT,
    "State": LIBRARY,
}
"""Class names that are defined more than once on purpose, each with the reason."""


def test_the_glossary_has_each_word_once_and_in_order() -> None:
    page = (ROOT / "docs" / "explanation" / "glossary.md").read_text()
    words = re.findall(r"^\| ([a-z][\w ]+) \|", page, re.MULTILINE)[1:]
    assert len(words) == len(set(words)) > 30
    assert words == sorted(words)


def test_readers_are_led_to_the_page() -> None:
    for file in ("README.md", "CONTRIBUTING.md"):
        assert "docs/explanation/architecture.md" in (ROOT / file).read_text(), file
    assert "explanation/architecture.md" in (ROOT / "mkdocs.yml").read_text()


def test_the_way_of_a_message_is_as_long_as_it_is_counted() -> None:
    """The page rounds what `python -m benchmarks path` counts, by 5 % at most."""
    page = (ROOT / "docs" / "explanation" / "architecture.md").read_text()
    counted = json.loads((ROOT / "benchmarks" / "path.json").read_text())["plain"]
    sentence = re.search(r"some (\d+) functions in (\d+) files", page)
    assert sentence is not None
    for number, name in zip(sentence.groups(), ("functions", "files"), strict=True):
        assert abs(int(number) - counted[name]) <= 0.05 * counted[name], name


def test_a_public_class_name_stands_for_one_class() -> None:
    defined: dict[str, list[str]] = defaultdict(list)
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    defined[node.name].append(str(file.relative_to(ROOT)))
    twice = {name: files for name, files in defined.items() if len(files) > 1}
    assert {name: files for name, files in twice.items() if name not in SHARED} == {}, "rename one, or say why not"
    assert SHARED.keys() - twice.keys() == set(), "these are unique by now: take them off the list"
