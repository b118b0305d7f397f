"""The pages on REST, metrics, agents and tools against the code."""

import inspect
import re
from typing import Any

import attrs
import pytest

from tests.docs.tables import DOCS, ROOT, code, table
from understudy.agents.agent import Agent
from understudy.agents.registry import all_agents
from understudy.app.settings import Settings
from understudy.observe.metrics import Metrics
from understudy.tools.response import chat_response
from understudy.tools.tool import ToolContext, tool
from understudy.web.application import build_http_app
from understudy.web.context import WebContext

AGENTS = "reference/agents-and-tools.md"


def shown(rule: str) -> str:
    """Return a route as the page writes it: `<path:thread_id>` is `{id}`."""
    return re.sub(r"<(?:path:)?(?:thread_|file_)?(\w+)>", r"{\1}", rule)


def test_every_endpoint_is_listed(tmp_path: Any) -> None:
    """The table of requests is the application's own table of routes."""
    nothing: Any = None
    app = build_http_app(WebContext(Settings(data_dir=tmp_path), *[nothing] * (len(attrs.fields(WebContext)) - 1)))
    served = {
        f"{method} {shown(rule.rule)}"
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert {code(row["request"])[0] for row in table("reference/rest.md", "REST")} == served


def test_every_metric_is_listed() -> None:
    """Names, kinds and labels are the declared ones."""
    metrics = Metrics()
    metrics.observe_tree(lambda: None)
    metrics.observe_storage(int, int)
    metrics.describe_build("1.0")
    metrics.redis_up(False)
    labels = {
        each._name: sorted(each._labelnames)
        for each in (getattr(each, "_metric", each) for each in vars(metrics).values())
        if hasattr(each, "_labelnames")
    } | {"understudy_mailbox_depth_messages": ["lane", "path"], "understudy_actors": ["path"]}
    labels["understudy_build_info"] = ["python", "version"]
    collected = [each for each in metrics.registry.collect() if not each.name.startswith("process_")]
    declared = {each.name: (each.type, labels.get(each.name, [])) for each in collected}
    declared["understudy_build_info"] = ("info", labels["understudy_build_info"])
    del declared["understudy_build"]
    headings = ("The wire", "Runs", "Texts", "The house")
    rows = [row for heading in headings for row in table("reference/metrics.md", heading)]
    assert {code(r["metric"])[0]: (r["kind"], sorted(code(r["labels"]))) for r in rows} == declared


def test_every_built_in_agent_is_listed_with_its_tools() -> None:
    """Agents, their names on the wire and their tools are those of the registry."""
    listed = {
        code(row["agent"])[0]: (code(row["on the wire"]), code(row["tools"]))
        for row in table(AGENTS, "Built-in agents")
    }
    expected = {
        each.name: ([each.agent_type, *([each.pillar] if each.pillar else [])], [one.name for one in each.tools])
        for each in all_agents().values()
    }
    assert listed == expected


def test_every_built_in_tool_is_listed_with_its_parameters() -> None:
    """Tools and parameters of the built-in agents, and the one tool that only custom agents use."""
    tools = {each.name: each for agent in all_agents().values() for each in agent.tools}
    tools[chat_response.name] = chat_response
    listed = {code(row["tool"])[0]: code(row["parameters"]) for row in table(AGENTS, "Built-in tools")}
    assert listed == {name: list(each.parameters["properties"]) for name, each in tools.items()}


def test_fields_of_an_agent_are_listed_with_their_defaults() -> None:
    """The table of `Agent` is its attrs class."""
    listed = {code(row["field"])[0]: row["default"] for row in table(AGENTS, "`Agent`")}
    assert list(listed) == [each.name for each in attrs.fields(Agent)]
    for each in attrs.fields(Agent):
        made: Any = each.default.factory() if isinstance(each.default, type(attrs.Factory(dict))) else each.default
        default = "needed" if made is attrs.NOTHING else f"`{made!r}`".replace("'", '"')
        assert listed[each.name] == default


def test_options_of_a_tool_and_fields_of_its_context_are_listed() -> None:
    """The tables of `tool` and `ToolContext` name all of them."""
    options = {code(row["option"])[0]: row["default"] for row in table(AGENTS, "`tool`")}
    parameters = [each for each in inspect.signature(tool).parameters.values() if each.kind is each.KEYWORD_ONLY]
    assert list(options) == [each.name for each in parameters]
    assert [options[each.name] for each in parameters[1:]] == [f"`{each.default}`" for each in parameters[1:]]
    fields = [name for row in table(AGENTS, "`ToolContext`") for name in code(row["field"])]
    assert fields == [each.name for each in attrs.fields(ToolContext)]


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
    """Pages outside the navigation cannot be found by readers."""
    navigation = (ROOT / "mkdocs.yml").read_text()
    assert [page for page in PAGES if page not in navigation] == []
