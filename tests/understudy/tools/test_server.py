"""`system_health` and `supervision_tree`."""

from collections.abc import Callable
from typing import Any

import pytest

from understudy.tools import ToolContext, ToolError
from understudy.tools.server import supervision_tree, system_health


async def test_health_is_passed_on(attach: Callable[..., ToolContext]) -> None:
    result = await system_health.call({}, attach())
    assert result.value["connections"] == 3
    assert result.summary == "The server is ok: 3 connections, up for 12 s"


async def test_the_tree_is_drawn(attach: Callable[..., ToolContext]) -> None:
    result = await supervision_tree.call({}, attach())
    assert result.value["actors"] == 4
    assert result.value["restarts"] == 4
    assert [line.split(" ")[:3] for line in result.value["text"].splitlines()] == [
        ["/", "(Thing,", "running,"],
        ["", "", "a"],
        ["", "", ""],
        ["", "", "c"],
    ]
    assert result.value["truncated"] is False


async def test_a_large_tree_is_pruned_and_says_so(attach: Callable[..., ToolContext]) -> None:
    class Crowd:
        def health(self) -> dict[str, Any]:
            return {}

        def tree(self) -> dict[str, Any]:
            leaves = [{"path": f"/a/{n}", "type": "T", "state": "running", "children": []} for n in range(5_000)]
            branch = {"path": "/a", "type": "T", "state": "running", "children": leaves}
            return {"path": "/", "type": "T", "state": "running", "children": [branch]}

    result = await supervision_tree.call({}, attach(server=Crowd()))
    assert result.value["actors"] == 5_002
    assert result.value["truncated"] is True
    assert result.value["tree"]["children"][0]["hidden"] == 5_000 - 198
    assert len(result.value["text"].splitlines()) == 201
    assert (await supervision_tree.call({"depth": 1}, attach())).value["tree"]["children"][0]["hidden"] == 1
    with pytest.raises(ToolError, match="between 1 and 12"):
        await supervision_tree.call({"depth": 0}, attach())
