"""Agents of other frameworks go on after their server is killed, and do nothing again that was done."""

from collections import Counter
from pathlib import Path

import pytest

from tests.end_to_end.test_run_recovery import answered, asked, calling, survived

LANGGRAPH = "tests.end_to_end.langgraph_agent"


def noted(tmp_path: Path) -> Counter[str]:
    return Counter(line.split()[0] for line in (tmp_path / "calls").read_text().splitlines())


@pytest.mark.slow
async def test_a_graph_goes_on_in_its_second_tool(tmp_path: Path) -> None:
    """The first tool has run once, and so have the requests to the model that were answered."""
    served = {"served": f"{LANGGRAPH}:agent", "agent_type": "planner"}
    seen = await survived(tmp_path, "hang", answered("first"), calling("second"), pause_s=0.3, **served)
    assert "one of hang and two of hang." in seen.kinds("final_response")[0]["message"]
    assert [(each["tool_name"], each["status"]) for each in seen.kinds("tool_completed")] == [
        ("first", "ok"),
        ("second", "ok"),
    ]
    done = noted(tmp_path)
    assert done["first"] == 1
    assert done["model"] <= 4  # one may have been asked when the first server was killed


@pytest.mark.slow
async def test_consent_to_a_call_of_a_graph_outlives_the_server(tmp_path: Path) -> None:
    served = {"served": f"{LANGGRAPH}:careful", "agent_type": "careful"}
    seen = await survived(tmp_path, "hello", asked, **served)
    assert len(seen.kinds("approval_required")) == len(seen.kinds("approval_decided")) == 1
    assert [(each["tool_name"], each["status"]) for each in seen.kinds("tool_completed")] == [
        ("first", "ok"),
        ("second", "ok"),
    ]
    assert (noted(tmp_path)["first"], noted(tmp_path)["second"]) == (1, 1)
