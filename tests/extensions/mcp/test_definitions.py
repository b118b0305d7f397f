"""What servers say of their tools."""

from typing import Any

import pytest

from understudy import mcp
from understudy.extensions.mcp.definitions import MAX_TOOLS, read_definitions, tool_name

SERVER = mcp("demo")
DEEP: dict[str, Any] = {"type": "object", "properties": {}}
for _ in range(100):
    DEEP = {"type": "object", "properties": {"a": DEEP}}
RECURSIVE = {"type": "OBJECT", "properties": {"a": {"$ref": "#"}}}


def entry(name: str, **more: Any) -> dict[str, Any]:
    """Return a tool as a server lists it."""
    return {"name": name, "description": "Does it.", "inputSchema": {"type": "object"}} | more


@pytest.mark.parametrize(
    ("hints", "needs", "retry_safe"),
    [
        ({}, True, False),
        ({"readOnlyHint": True}, False, True),
        ({"destructiveHint": False}, False, False),
        ({"destructiveHint": True, "idempotentHint": True}, True, True),
        ({"readOnlyHint": "yes"}, True, False),
    ],
)
def test_hints_decide_about_consent_and_repetition(hints: dict[str, Any], needs: bool, retry_safe: bool) -> None:
    definitions, _ = read_definitions(SERVER, [entry("do", annotations=hints)])
    tool = definitions["demo_do"]
    assert (tool.needs_approval(SERVER), tool.retry_safe) == (needs, retry_safe)
    assert tool.needs_approval(mcp("demo", approval=True))
    assert not tool.needs_approval(mcp("demo", approval=False))


@pytest.mark.parametrize(
    ("interface", "uri", "for_model", "for_widgets"),
    [
        (None, "", True, True),
        ("ui://a", "", True, True),
        ({"resourceUri": "ui://a"}, "ui://a", True, True),
        ({"resourceUri": "https://a", "visibility": ["model", "app"]}, "", True, True),
        ({"resourceUri": "ui://a", "visibility": ["model"]}, "ui://a", True, False),
        ({"visibility": ["app"]}, "", False, True),
        ({"visibility": []}, "", False, False),
        ({"visibility": "app"}, "", False, False),
        ({"visibility": ["all", 5]}, "", False, False),
    ],
)
def test_visibility_decides_who_may_call_a_tool(interface: Any, uri: str, for_model: bool, for_widgets: bool) -> None:
    definitions, _ = read_definitions(SERVER, [entry("do", _meta={"ui": interface})])
    tool = definitions["demo_do"]
    assert (tool.widget, tool.for_model, tool.for_widgets) == (uri, for_model, for_widgets)


def test_a_digest_stands_for_all_that_is_said() -> None:
    digests = [
        read_definitions(SERVER, [description])[0]["demo_do"].digest
        for description in (entry("do"), entry("do"), entry("do", description="Else."), entry("do", annotations={}))
    ]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


@pytest.mark.parametrize(
    ("listed", "why"),
    [
        (entry("x", inputSchema=DEEP), "nested"),
        (entry("x", description="y" * 40_000), "bytes"),
        (entry("x", inputSchema={"type": "object", "properties": {"a": {"$ref": "http://h/s"}}}), "another document"),
        (entry("x", inputSchema={"type": "array"}), "no JSON object"),
        (entry("x", inputSchema={"type": "object", "properties": [1]}), "malformed"),
        (entry("x", inputSchema={"type": "object", "required": "a"}), "malformed"),
        (entry(""), "no name"),
    ],
)
def test_a_tool_that_cannot_be_used_is_left_out_with_a_reason(listed: dict[str, Any], why: str) -> None:
    definitions, left_out = read_definitions(SERVER, [listed, entry("good", inputSchema=RECURSIVE)])
    assert list(definitions) == ["demo_good"]
    assert why in left_out[0].why


def test_names_and_numbers_are_bounded() -> None:
    definitions, left_out = read_definitions(SERVER, [entry(f"t{number}") for number in range(MAX_TOOLS + 50)])
    assert len(definitions) == MAX_TOOLS
    assert len(left_out) == 20
    assert tool_name("demo", "a b/ü") == "demo_a_b__"
    long = [tool_name("demo", "x" * 70 + end) for end in "ab"]
    assert [len(name) for name in long] == [64, 64]
    assert long[0] != long[1]
    _, left_out = read_definitions(SERVER, [entry("a b"), entry("a/b")])
    assert "has the name demo_a_b already" in left_out[0].why
    definitions, left_out = read_definitions(mcp("demo", tools=["a", "z"]), [entry("a"), entry("b")])
    assert (list(definitions), left_out[0].name) == (["demo_a"], "z")
