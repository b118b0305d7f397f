"""The failure table against the tests and alerts that it names."""

import re

import pytest
import yaml

from tests.rigs.doc_tables import DOCS, ROOT, code, table

PAGE = "reference/failures.md"
RUNBOOK = "how-to/act-on-alerts.md"
PARTS = ("In one node", "A whole node", "Shared stores", "Outside the nodes")


@pytest.mark.parametrize("part", PARTS)
def test_each_failure_is_shown_by_a_test_that_exists(part: str) -> None:
    for row in table(PAGE, part):
        assert all(row.values()), row["failure"]
        named = code(row["shown by"])
        assert named, row["failure"]
        for test in named:
            path, _, name = test.partition("::")
            assert (ROOT / path).is_file(), test
            assert not name or re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE), test


def test_no_failure_is_without_a_test() -> None:
    assert (DOCS / PAGE).read_text().count("no test") == 0


def test_every_alert_has_its_section_of_the_runbook() -> None:
    rules = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text())["groups"][0]["rules"]
    text = (DOCS / RUNBOOK).read_text()
    sections = re.findall(r"^### (\w+)$", text, re.MULTILINE)
    assert sorted(sections) == sorted(rule["alert"] for rule in rules)


def test_the_runbook_names_only_what_the_log_has() -> None:
    source = "\n".join(path.read_text() for part in ("understudy", "actors") for path in (ROOT / part).rglob("*.py"))
    named = set(re.findall(r"`([a-z]+\.[a-z_]+)`", (DOCS / RUNBOOK).read_text()))
    assert named
    assert {name for name in named if f'"{name}' not in source} == set()
