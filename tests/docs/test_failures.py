"""The failure table against the tests and alerts that it names."""

import re

import pytest
import yaml

from tests.docs.tables import DOCS, ROOT, code, table

PAGE = "reference/failures.md"
PARTS = ("In one node", "A whole node", "Shared stores", "Outside the nodes")


@pytest.mark.parametrize("part", PARTS)
def test_each_failure_is_shown_by_a_test_that_exists(part: str) -> None:
    """The file exists and has the test."""
    for row in table(PAGE, part):
        assert all(row.values()), row["failure"]
        named = code(row["shown by"])
        assert named, row["failure"]
        for each in named:
            path, _, name = each.partition("::")
            assert (ROOT / path).is_file(), each
            assert not name or re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE), each


def test_no_failure_is_without_a_test() -> None:
    """A row without a test would need an exception in this test."""
    assert (DOCS / PAGE).read_text().count("no test") == 0


def test_the_alerts_that_are_told_of_are_those_there_are() -> None:
    rules = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text())["groups"][0]["rules"]
    named = {code(row["alert"])[0] for row in table(PAGE, "What to do")}
    assert named <= {rule["alert"] for rule in rules}
