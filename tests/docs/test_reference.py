"""The pages on REST, metrics, agents and tools against the code."""

import inspect
import re

import pytest

from docs.tables import MARK, TABLES, on_page_markdown
from tests.docs.tables import DOCS, ROOT, code, table
from understudy.tools.tool import tool

AGENTS = "reference/agents-and-tools.md"


def test_every_table_of_a_page_is_made_and_every_one_that_is_made_has_a_page() -> None:
    marks = [mark for page in DOCS.rglob("*.md") for mark in MARK.findall(page.read_text())]
    assert sorted(marks) == sorted(TABLES)


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_one_of_markdown(name: str) -> None:
    page = on_page_markdown(f"Before.\n\n_Table, by `make docs`: {name}._\n\nAfter.\n")
    before, lines, after = page.split("\n\n")
    titles, line, *rows = [re.split(r"(?<!\\)\|", each)[1:-1] for each in lines.splitlines()]
    assert (before, after) == ("Before.", "After.\n")
    assert {len(line), *map(len, rows)} == {len(titles)}
    assert all(row[0].strip() and (row[-1].strip() or name == "routes") for row in rows)  # some refuse nothing


def test_what_the_code_has_is_in_its_table() -> None:
    routes, metrics = TABLES["routes"](), TABLES["metrics"]()
    assert "| `DELETE /api/threads/{thread_id}/consents/{tool_name}` | Take back" in routes
    assert "| `content` | `liaison`, pillar `content` | `sanitize_content`, " in TABLES["agents"]()
    assert "| `reduce_costs` | `percent`, `costs`, `limit_percent` | Find savings" in TABLES["tools"]()
    assert "| `timeout_s` | `None` | How long" in TABLES["fields of Agent"]()
    assert "| `call_id` | The call: " in TABLES["fields of ToolContext"]()
    assert "| `understudy_redis_calls` | counter | `outcome` | " in metrics
    assert "| `understudy_mailbox_depth_messages` | gauge | `path`, `lane` | " in metrics
    assert "| `understudy_build_info` | info | `version`, `python` | " in metrics
    used = set(re.findall(r"\bunderstudy_[a-z_]+[a-z]", (ROOT / "deploy/prometheus/alerts.yml").read_text()))
    named = {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in used}
    assert named <= set(re.findall(r"^\| `(\w+)`", metrics, re.MULTILINE))


def test_options_of_a_tool_are_listed_with_their_defaults() -> None:
    options = {code(row["option"])[0]: row["default"] for row in table(AGENTS, "`tool`")}
    parameters = [each for each in inspect.signature(tool).parameters.values() if each.kind is each.KEYWORD_ONLY]
    assert list(options) == [each.name for each in parameters]
    assert [options[each.name] for each in parameters[1:]] == [f"`{each.default}`" for each in parameters[1:]]


PAGES = sorted(str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md"))


@pytest.mark.parametrize("page", PAGES)
def test_named_files_and_links_are_there(page: str) -> None:
    text = (DOCS / page).read_text()
    prose = re.sub(r"`[^`\n]*`", "", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    named = re.findall(r"\b(?:understudy|transport|actors|sanitization|examples)/[\w/]+\.(?:py|mjs)\b", text)
    for name in named:
        assert (ROOT / name).is_file() or (ROOT / "tests" / name).is_file(), name
    for target in re.findall(r"(?<!!)\[[^\]]*\]\(([^)#:]+)(?:#[^)]*)?\)", prose):
        assert ((DOCS / page).parent / target).is_file(), target


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text()
    assert [page for page in PAGES if page not in navigation] == []
