"""The pages on REST, metrics, agents and tools against the code."""

import inspect
import re
from pathlib import Path

import attrs
import pytest
from markdown_it import MarkdownIt

from docs.tables import MARK, TABLES, as_markdown, filled
from tests.rigs.doc_tables import DOCS, ROOT, code, table
from understudy.agents.agent import Agent
from understudy.tools.tool import ToolContext, tool

AGENTS = "reference/agents-and-tools.md"
PAGES = sorted(str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md"))


def test_every_table_stands_in_one_page() -> None:
    marks = [mark for page in DOCS.rglob("*.md") for mark in MARK.findall(page.read_text())]
    assert sorted(marks) == sorted(TABLES)


@pytest.mark.parametrize("page", [page for page in PAGES if MARK.search((DOCS / page).read_text())])
def test_the_tables_of_a_page_are_current(page: str) -> None:
    text = (DOCS / page).read_text()
    assert filled(text) == text, "run `python -m docs.tables`, and commit what it changed"


def cells(table: str) -> list[list[str]]:
    """Return the text of each cell as a viewer of Markdown shows it, row by row."""
    rows: list[list[str]] = []
    for token in MarkdownIt("commonmark").enable("table").parse(table):
        if token.type == "tr_open":
            rows.append([])
        for part in token.children or ():
            assert part.type in {"text", "code_inline"} or part.content in {"<code>", "</code>"}, token.content
        if token.type == "inline":
            rows[-1].append("".join(part.content for part in token.children or () if part.type != "html_inline"))
    return rows


@pytest.mark.parametrize("name", sorted(TABLES))
def test_a_table_is_one_of_markdown(name: str) -> None:
    lines = TABLES[name]().splitlines()
    titles, *rows = cells("\n".join(lines))
    split = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    assert {len(row) for row in split} == {len(titles)}
    assert len(rows) == len(lines) - 2
    assert all(row[0] and (row[-1] or name == "routes") for row in rows)  # some refuse nothing


@pytest.mark.parametrize(
    "text",
    ["a | b", "`a|b` or `c`", "2 * 3 * 4", "a <b> c", "`<b>` and <i>", "`a` | `b|c`", "**not**", "snake_case_name"],
)
def test_a_cell_shows_its_text(text: str) -> None:
    ((_,), (shown,)) = cells(as_markdown(("title",), [(text,)]))
    assert shown == text.replace("`", "")


def test_metrics_of_the_alerts_are_listed() -> None:
    used = set(re.findall(r"\bunderstudy_[a-z_]+[a-z]", (ROOT / "deploy/prometheus/alerts.yml").read_text()))
    named = {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in used}
    assert named <= {row[0] for row in cells(TABLES["metrics"]())}


def test_options_of_a_tool_are_listed_with_their_defaults() -> None:
    options = {code(row["option"])[0]: row["default"] for row in table(AGENTS, "`tool`")}
    parameters = [param for param in inspect.signature(tool).parameters.values() if param.kind is param.KEYWORD_ONLY]
    assert list(options) == [param.name for param in parameters]
    assert [options[param.name] for param in parameters[1:]] == [f"`{param.default}`" for param in parameters[1:]]


def test_every_field_of_an_agent_and_of_a_call_is_named() -> None:
    """Their defaults and meanings are in the signatures, which are made from the code."""
    text = (DOCS / AGENTS).read_text()
    for heading, kind, hidden in (("`Agent`", Agent, ()), ("`ToolContext`", ToolContext, ("means",))):
        part = text.split(f"# {heading}\n", 1)[1].split("\n#", 1)[0].split("`:", 1)[0] + "`"
        assert code(part.replace("\n", " ")) == [
            field.name for field in attrs.fields(kind) if field.init and field.name not in hidden
        ]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and mkdocs make them."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    titles = re.findall(r"^#+ +(.*)$", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize(
    "page", [*(DOCS / page for page in PAGES), *ROOT.glob("*.md"), *ROOT.glob("packaging/*/README.md")], ids=str
)
def test_named_files_and_links_are_there(page: Path) -> None:
    text = page.read_text()
    prose = re.sub(r"`[^`\n]*`", "", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    named = re.findall(r"\b(?:understudy|transport|actors|sanitization|examples)/[\w/]+\.(?:py|mjs)\b", text)
    for name in named if page.is_relative_to(DOCS) else ():
        assert (ROOT / name).is_file() or (ROOT / "tests" / name).is_file(), name
    for target, anchor in re.findall(r"(?<!!)\[[^\]]*\]\((?![a-z]+:)([^)#]*)#?([^)]*)\)", prose):
        linked = page.parent / target if target else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), f"{target}#{anchor}"


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text()
    assert [page for page in PAGES if page not in navigation] == []
