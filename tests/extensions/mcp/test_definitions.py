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


def said(name: str, **more: Any) -> dict[str, Any]:
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
    found, _ = read_definitions(SERVER, [said("do", annotations=hints)])
    made = found["demo_do"]
    assert (made.needs_approval(SERVER), made.retry_safe) == (needs, retry_safe)
    assert made.needs_approval(mcp("demo", approval=True))
    assert not made.needs_approval(mcp("demo", approval=False))


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
    found, _ = read_definitions(SERVER, [said("do", _meta={"ui": interface})])
    made = found["demo_do"]
    assert (made.widget, made.for_model, made.for_widgets) == (uri, for_model, for_widgets)


def test_a_digest_stands_for_all_that_is_said() -> None:
    digests = [
        read_definitions(SERVER, [description])[0]["demo_do"].digest
        for description in (said("do"), said("do"), said("do", description="Else."), said("do", annotations={}))
    ]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


@pytest.mark.parametrize(
    ("listed", "why"),
    [
        (said("x", inputSchema=DEEP), "nested"),
        (said("x", description="y" * 40_000), "bytes"),
        (said("x", inputSchema={"type": "object", "properties": {"a": {"$ref": "http://h/s"}}}), "another document"),
        (said("x", inputSchema={"type": "array"}), "no JSON object"),
        (said("x", inputSchema={"type": "object", "properties": [1]}), "malformed"),
        (said("x", inputSchema={"type": "object", "required": "a"}), "malformed"),
        (said(""), "no name"),
    ],
)
def test_a_tool_that_cannot_be_used_is_left_out_with_a_reason(listed: dict[str, Any], why: str) -> None:
    found, left_out = read_definitions(SERVER, [listed, said("good", inputSchema=RECURSIVE)])
    assert list(found) == ["demo_good"]
    assert why in left_out[0].why


def test_names_and_numbers_are_bounded() -> None:
    found, left_out = read_definitions(SERVER, [said(f"t{number}") for number in range(MAX_TOOLS + 50)])
    assert len(found) == MAX_TOOLS
    assert len(left_out) == 20
    assert tool_name("demo", "a b/ü") == "demo_a_b__"
    long = [tool_name("demo", "x" * 70 + end) for end in "ab"]
    assert [len(name) for name in long] == [64, 64]
    assert long[0] != long[1]
    _, left_out = read_definitions(SERVER, [said("a b"), said("a/b")])
    assert "has the name demo_a_b already" in left_out[0].why
    found, left_out = read_definitions(mcp("demo", tools=["a", "z"]), [said("a"), said("b")])
    assert (list(found), left_out[0].name) == (["demo_a"], "z")
