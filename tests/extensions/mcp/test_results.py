"""Results of servers as those of tools: what can be read is kept, and what cannot is named."""

from types import SimpleNamespace
from typing import Any

import pytest

from understudy.extensions.mcp.results import MAX_BLOCKS, MAX_FILES, to_tool_result
from understudy.tools.errors import ToolError

HI = {"type": "text", "text": "hi"}
PICTURE = {"type": "image", "data": "aGk=", "mimeType": "image/png"}
FILE = {"file": "id", "name": "t-1.png", "media_type": "image/png", "size": 2}


class OneFile:
    """The files of a user, all of which have the same id."""

    async def save(self, name: str, media_type: str, content: bytes) -> Any:
        return SimpleNamespace(id="id")


@pytest.mark.parametrize(
    ("result", "value"),
    [
        ({}, []),
        ({"content": None}, []),
        ({"content": [HI], "isError": "false"}, "hi"),
        ({"content": "hi"}, "hi"),
        ({"content": HI}, "hi"),
        ({"content": ["a", None, 5, {"text": "b"}, {"type": "text"}]}, ["a", "", "5", "b", ""]),
        ({"content": [{"type": "text", "text": {"a": 1}}]}, '{"a":1}'),
        ({"content": [{"type": "json", "json": 1, "name": "a"}, HI]}, [{"type": "json", "json": 1, "name": "a"}, "hi"]),
        ({"content": [{"type": "resource"}, {}]}, [{"type": "resource"}, {}]),
        ({"content": [{"type": "resource_link", "uri": "a:b", "_meta": {}}]}, {"uri": "a:b"}),
        ({"content": [{"type": "resource", "resource": {"uri": "a:b", "text": None}}]}, {"uri": "a:b"}),
        ({"content": [{**HI, "annotations": {"priority": "odd"}}], "_meta": 5}, "hi"),
        ({"content": [PICTURE]}, FILE),
        ({"content": [{**PICTURE, "data": "data:image/png;base64,aG\nk"}]}, FILE),
        ({"content": [{**PICTURE, "data": "?"}]}, {"left_out": "a file that is not base64", "media_type": "image/png"}),
        ({"structuredContent": {"n": None}}, {"n": None}),
        ({"structuredContent": [1], "content": [{"type": "text", "text": "[1]"}]}, [1]),
        ({"structuredContent": {"n": 1}, "content": [HI]}, {"result": {"n": 1}, "content": ["hi"]}),
        ({"toolResult": {"n": 1}, "resultType": "complete"}, {"toolResult": {"n": 1}}),
    ],
)
async def test_what_can_be_read_is_the_value(result: dict[str, Any], value: Any) -> None:
    assert (await to_tool_result(result, "t", OneFile())).value == value


@pytest.mark.parametrize(
    ("result", "why"),
    [
        ({}, "it gave no reason"),
        ({"content": [HI]}, "hi"),
        ({"content": [HI, PICTURE, {"type": "text", "text": "ho"}]}, "hi ho"),
        ({"content": [{"type": "resource", "resource": {"uri": "a:b", "text": "ask bob"}}]}, "ask bob"),
        ({"content": [{"type": "json", "json": 1}]}, '{"type":"json","json":1}'),
        ({"structuredContent": "words"}, "words"),
        ({"structuredContent": {"error": {"message": "words"}}}, "words"),
        ({"structuredContent": {"error": {"code": 7, "hint": "words"}}}, '{"code":7,"hint":"words"}'),
        ({"structuredContent": {"error": "words"}, "content": [HI]}, "hi words"),
        ({"structuredContent": {"result": "hi"}, "content": [HI]}, "hi"),
    ],
)
async def test_a_failed_call_has_the_reason_wherever_it_stands(result: dict[str, Any], why: str) -> None:
    with pytest.raises(ToolError) as caught:
        await to_tool_result({"isError": True, **result}, "t", OneFile())
    assert caught.value.message == f"t failed: {why}"


async def test_blocks_and_files_are_bounded() -> None:
    blocks = (await to_tool_result({"content": [PICTURE] * (MAX_BLOCKS + 5)}, "t", OneFile())).value
    assert (sum("file" in block for block in blocks), blocks[-1]) == (MAX_FILES, "5 more blocks are left out.")
