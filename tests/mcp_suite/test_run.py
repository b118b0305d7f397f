"""What a run of the suite is judged by: reasons for checks that fail, and the page with the table."""

import json

from tests.mcp_suite.run import HERE, PAGE, Results, judge

CAUSES = [{"side": "server", "scenario": "prompts-.*", "why": "Not offered."}, {"check": "odd", "why": "Odd."}]
RESULTS: Results = {
    ("client", "tools"): {"2026-07-28": [{"id": "odd"}, {"id": "lost", "errorMessage": "no result"}]},
    ("server", "prompts-list"): {"2025-11-25": [{"id": "a"}], "2026-07-28": []},
}


def test_a_check_that_fails_without_a_cause_is_a_complaint() -> None:
    table, complaints = judge(RESULTS, CAUSES)
    assert complaints == ["client tools 2026-07-28 lost: no result"]
    assert "|client:`tools`||fails(2)|" in table
    assert "|server:`prompts-list`|(1)|passed|" in table
    assert "1. Not offered." in table


def test_a_cause_that_nothing_needs_is_a_complaint() -> None:
    _, complaints = judge({("server", "ping"): {"2025-11-25": []}}, CAUSES)
    assert complaints == ["nothing needs cause 1", "nothing needs cause 2"]


def test_the_page_names_the_version_that_is_pinned() -> None:
    pinned = json.loads((HERE / "package.json").read_text())["dependencies"]["@modelcontextprotocol/conformance"]
    page = PAGE.read_text()
    assert f"`@modelcontextprotocol/conformance` {pinned}," in page
    assert "fails" not in page.partition("<!-- results -->")[2]
