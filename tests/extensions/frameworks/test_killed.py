"""Agents of other frameworks go on after their server is killed, and do nothing again that was done."""

from pathlib import Path
from typing import Any

import pytest

from tests.extensions.frameworks.notes import noted
from tests.rigs.openai_agents_sdk import sdk
from tests.rigs.watcher import Watcher, asked, calling, survived

LANGGRAPH = "tests.extensions.frameworks.langgraph_agent"
PYDANTIC_AI = "tests.extensions.frameworks.pydantic_ai_agent"
OPENAI_AGENTS = "tests.extensions.frameworks.openai_agents_agent"
MODULES = ("langchain.agents", "langgraph.prebuilt", "openai.types.responses", "pydantic_ai.models.function")
"""What takes long to load in each of the servers."""


def further(module: str) -> Path | None:
    return sdk() if module == OPENAI_AGENTS else None


@pytest.mark.parametrize("module", [LANGGRAPH, PYDANTIC_AI, OPENAI_AGENTS])
async def test_an_agent_goes_on_in_its_second_tool(module: str, tmp_path: Path) -> None:
    served: Any = {"served": f"{module}:agent", "agent_type": "planner", "python_path": further(module)}

    def in_second(watcher: Watcher) -> bool:
        return calling("second")(watcher) and "second" in noted(tmp_path / "calls")

    survivor = await survived(tmp_path, "hang", in_second, modules=MODULES, **served)
    answer = " ".join(survivor.kinds("final_response")[0]["message"].split())
    assert answer == "I call first. I call second. Message 1: one of hang and two of hang."
    assert [(kind["tool_name"], kind["status"]) for kind in survivor.kinds("tool_completed")] == [
        ("first", "ok"),
        ("second", "ok"),
    ]
    calls = noted(tmp_path / "calls")
    assert (calls.count("first"), calls.count("second")) == (1, 2)
    assert calls.count("model") <= 4  # one may have been asked when the first server was killed


@pytest.mark.parametrize("module", [LANGGRAPH, PYDANTIC_AI, OPENAI_AGENTS])
async def test_consent_to_a_call_outlives_the_server(module: str, tmp_path: Path) -> None:
    served: Any = {"served": f"{module}:careful", "agent_type": "careful", "python_path": further(module)}
    survivor = await survived(tmp_path, "hello", asked, modules=MODULES, **served)
    assert len(survivor.kinds("approval_required")) == len(survivor.kinds("approval_decided")) == 1
    assert [(kind["tool_name"], kind["status"]) for kind in survivor.kinds("tool_completed")] == [
        ("first", "ok"),
        ("second", "ok"),
    ]
    calls = noted(tmp_path / "calls")
    assert (calls.count("first"), calls.count("second")) == (1, 1)
