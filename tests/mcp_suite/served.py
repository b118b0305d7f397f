"""An agent with the tools that MCP's conformance suite calls by name."""

from typing import Any

import trio
from attrs import evolve, frozen

from understudy import Agent, ToolContext, ToolError, tool

PNG = b"\x89PNG\r\n\x1a\n and no more"
WAV = b"RIFF\x2c\x00\x00\x00WAVE\x80"
NOTE_S = 0.15
"""Seconds between two notes of progress, of which one is shown each tenth of a second."""


@frozen
class Name:
    """What is your name?"""

    name: str


@frozen
class Color:
    """Which colour?"""

    color: str


@frozen
class Ok:
    """Is it right?"""

    ok: bool


async def save(context: ToolContext, name: str, media_type: str, content: bytes) -> str:
    """Store a file. Return its id."""
    return (await context.files.save(name, media_type, content)).id


@tool
async def test_simple_text() -> str:
    """Give a text."""
    return "A text."


@tool
async def test_error_handling() -> str:
    """Fail."""
    raise ToolError("tool_failed", "It fails on purpose.")


@tool
async def test_image_content(context: ToolContext) -> str:
    """Draw."""
    return await save(context, "dot.png", "image/png", PNG)


@tool
async def test_audio_content(context: ToolContext) -> str:
    """Beep."""
    return await save(context, "beep.wav", "audio/wav", WAV)


@tool
async def test_embedded_resource(context: ToolContext) -> str:
    """Write a note."""
    return await save(context, "note.txt", "text/plain", b"a note")


@tool
async def test_multiple_content_types(context: ToolContext) -> list[str]:
    """Draw and write."""
    png = await save(context, "dot.png", "image/png", PNG)
    return ["A dot and its data:", png, await save(context, "dot.json", "application/json", b'{"x": 1}')]


@tool
async def test_tool_with_progress(context: ToolContext) -> str:
    """Tell how far it is."""
    for done in (0, 50, 100):
        context.progress(done, 100, f"{done} of 100")
        await trio.sleep(NOTE_S)
    return "done"


@tool
async def test_input_required_result_elicitation(context: ToolContext) -> str:
    """Ask for a name."""
    return (await context.ask(Name)).name


@tool
async def test_input_required_result_request_state(context: ToolContext) -> str:
    """Ask whether it is right."""
    return f"state-ok {(await context.ask(Ok)).ok}"


@tool
async def test_input_required_result_multi_round(context: ToolContext) -> str:
    """Ask two questions."""
    return f"{(await context.ask(Name)).name} likes {(await context.ask(Color)).color}"


@tool
async def test_streaming_elicitation(context: ToolContext) -> str:
    """Tell how far it is, then ask."""
    context.progress(1, 2, "first")
    return str((await context.ask(Ok)).ok)


@tool(name="json_schema_2020_12_tool")
async def schema_tool(name: str = "") -> str:
    """Take what the schema says."""
    return name


@tool(name="test_x_mcp_header")
async def header_tool(region: str = "") -> str:
    """Take a parameter that stands in a header, too."""
    return region


STREET = {"type": "object", "properties": {"street": {"type": "string"}, "city": {"type": "string"}}}
SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$defs": {"address": {"$anchor": "addressDef", **STREET}},
    "type": "object",
    "properties": {"name": {"type": "string"}, "address": {"$ref": "#/$defs/address"}},
    "allOf": [{"anyOf": [{"required": ["name"]}, {"required": ["address"]}]}],
    "if": {"required": ["name"]},
    "then": {"required": ["name"]},
    "else": {"required": ["address"]},
    "additionalProperties": False,
}
HEADER = {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}

served = Agent(
    "served",
    tools=[
        test_simple_text,
        test_error_handling,
        test_image_content,
        test_audio_content,
        test_embedded_resource,
        test_multiple_content_types,
        test_tool_with_progress,
        test_input_required_result_elicitation,
        test_input_required_result_request_state,
        evolve(test_input_required_result_request_state, name="test_input_required_result_tampered_state"),
        test_input_required_result_multi_round,
        test_streaming_elicitation,
        evolve(test_simple_text, name="test_logging_tool"),
        evolve(schema_tool, parameters=SCHEMA),
        evolve(header_tool, parameters=HEADER),
    ],
)
