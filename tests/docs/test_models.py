"""The pages on models: their code runs, and what they name exists."""

import re
import sys
from types import ModuleType

import attrs
import pytest

import understudy
from tests.rigs.doc_tables import DOCS, code, table
from understudy.models import items, providers
from understudy.models.model import Model, ModelSettings, Reply, Turn
from understudy.testing import run_agent

OWN = "how-to/write-a-model.md"
PROVIDERS = "how-to/use-a-language-model.md"


def run_blocks(page: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Execute the Python blocks of a page, one after another. Return their module."""
    module = ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)
    for block in re.findall(r"```python.*?\n(.*?)```", (DOCS / page).read_text(), re.DOTALL):
        exec(compile(block, page, "exec"), vars(module))
    return module


async def test_the_model_of_the_page_answers_with_its_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    page = run_blocks(OWN, monkeypatch)
    model: Model = page.Parrot()
    assert model.name == "parrot"
    run = await run_agent(page.agent, "hello there")
    assert "HELLO THERE" in run.text
    assert [call.tool for call in run.calls] == ["shout"]


def test_the_page_has_every_item_and_names_fields_that_exist() -> None:
    rows = re.findall(r"^\| `(\w+Item)` \| (.*) \|$", (DOCS / OWN).read_text(), re.MULTILINE)
    listed = dict(rows)
    assert listed.keys() == {item.__name__ for item in items.Item.__args__}  # type: ignore[attr-defined]
    for name, fields in listed.items():
        for attribute in re.findall(r"(?:^|, (?:and the |and as a sentence )?)`(\w+)`", fields):
            assert hasattr(getattr(items, name), attribute), f"{name}.{attribute}"
    named = [field for row in table(OWN, "The turn") for field in code(row["field"])]
    assert len(named) > 10
    for member in named:
        assert hasattr(Turn, member.removeprefix("turn.")), member
    reply = re.search(r"`Reply\((.*?)\)`", (DOCS / OWN).read_text())
    assert reply is not None
    assert reply[1].split(", ") == [field.name for field in attrs.fields(Reply)]


def test_every_provider_and_every_setting_is_on_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    page = run_blocks(PROVIDERS, monkeypatch)
    assert isinstance(page.thinker, understudy.Agent)
    known = {model.partition(":")[0] for row in table(PROVIDERS, "Use a language model") for model in code(row["name"])}
    assert known == set(providers.BUILT_IN)
    settings = [setting for row in table(PROVIDERS, "One agent, another model") for setting in code(row["setting"])]
    assert settings == [field.name for field in attrs.fields(ModelSettings)]
