"""What an MCP server says of its tools, read into bounded definitions. Pure.

1. A definition is pinned by its digest, over all that the server said of the tool: consent is given to one digest.
2. A server decides nothing for others: its names begin with its own, and what does not fit is left out, with a reason.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from attrs import field, frozen

from understudy.tools.mcp_server import McpServer
from understudy.tools.parameters import plain_parameters, takes_object

MAX_TOOLS: Final = 128
"""Tools of one server; further ones are left out. Models choose badly among more."""
MAX_BYTES: Final = 32 * 1024
"""Bytes as JSON of one tool's definition; a larger one is left out. Every turn of a model carries it."""
MAX_DESCRIPTION: Final = 4000
"""Characters of a description; the rest is cut off."""
MAX_DEPTH: Final = 32
"""Levels of a schema. A recursive one refers to itself by name, and is not unfolded."""
MAX_URI: Final = 500
"""Characters of the URI of a user interface; a tool with a longer one has none."""
WIDGET_TYPE: Final = "text/html;profile=mcp-app"
"""The type of a resource that is the user interface of a tool."""
MAX_LEFT_OUT: Final = 20
"""Tools whose reason for being left out is kept."""
_NAME_CHARACTERS: Final = 64
_UNUSUAL: Final = re.compile(r"[^A-Za-z0-9_-]")


@frozen
class Definition:
    """One tool as its server defines it. `name` is ours, `remote` the server's; `by_task`: callable as a task.

    `widget` is the URI of its user interface (MCP Apps), empty if it has none. `for_model` and `for_widgets` say who
    may call it: agents, and the server's own user interfaces.
    """

    name: str
    remote: str
    description: str = field(repr=False)
    parameters: Mapping[str, Any] = field(repr=False)
    digest: str
    title: str = ""
    read_only: bool = False
    destructive: bool = True
    idempotent: bool = False
    by_task: bool = False
    widget: str = ""
    for_model: bool = True
    for_widgets: bool = True

    def needs_approval(self, server: McpServer) -> bool:
        """Return whether calls need consent: what the operator says, else what the server hints at."""
        if server.approval is not None:
            return server.approval
        return self.destructive and not self.read_only

    @property
    def retry_safe(self) -> bool:
        """Whether a call may be made again if it is unknown what became of it."""
        return self.read_only or self.idempotent


@frozen
class LeftOut:
    """A tool that is not used, and why."""

    name: str
    why: str


def read_definitions(
    server: McpServer, listed: Iterable[Mapping[str, Any]]
) -> tuple[dict[str, Definition], list[LeftOut]]:
    """Return the definitions of the listed tools by our names, in the server's order, and those that are left out."""
    definitions: dict[str, Definition] = {}
    left_out: list[LeftOut] = []
    for tool in listed:
        remote = str(tool.get("name") or "")
        if server.only is not None and remote not in server.only:
            continue
        try:
            if len(definitions) >= MAX_TOOLS:
                raise ValueError(f"a server may have {MAX_TOOLS} tools here")
            made = _read(server, remote, tool)
            if made.name in definitions:
                raise ValueError(f"another tool has the name {made.name} already")
        except ValueError as error:
            if len(left_out) < MAX_LEFT_OUT:
                left_out.append(LeftOut(remote[:_NAME_CHARACTERS], str(error)))
        else:
            definitions[made.name] = made
    for missing in sorted(set(server.only or ()) - {definition.remote for definition in definitions.values()}):
        if all(omitted.name != missing for omitted in left_out):
            left_out.append(LeftOut(missing, "the server has no such tool"))
    return definitions, left_out[:MAX_LEFT_OUT]


def tool_name(server: str, remote: str) -> str:
    """Return our name of a tool: the server's name and its own, in the characters and the length of providers."""
    plain = f"{server}_{_UNUSUAL.sub('_', remote)}"
    if len(plain) <= _NAME_CHARACTERS:
        return plain
    digest = hashlib.sha256(remote.encode(errors="replace")).hexdigest()[:8]
    return f"{plain[: _NAME_CHARACTERS - 9]}_{digest}"


def _read(server: McpServer, remote: str, said: Mapping[str, Any]) -> Definition:
    """Read one tool. Raises ValueError if it cannot be used."""
    if not remote:
        raise ValueError("it has no name")
    schema = said.get("inputSchema") or {}
    schema = {} if schema is True else schema
    if not isinstance(schema, Mapping) or not takes_object(schema.get("type", "object")):
        raise ValueError("its arguments are no JSON object")
    _check_schema(schema, 0)
    try:
        encoded = msgspec.json.encode(said, order="deterministic")
    except (TypeError, ValueError, RecursionError):
        raise ValueError("its definition is no plain JSON") from None
    if len(encoded) > MAX_BYTES:
        raise ValueError(f"its definition has {len(encoded):,} bytes, more than {MAX_BYTES:,}")
    parameters, choices = plain_parameters(schema)
    hints, execution = (_members(said.get(name)) for name in ("annotations", "execution"))
    title = said.get("title") or hints.get("title") or ""
    description = " ".join(str(said.get("description") or title or remote).split())
    return Definition(
        tool_name(server.name, remote),
        remote,
        f"{description[:MAX_DESCRIPTION]} {choices}".rstrip(),
        parameters,
        hashlib.sha256(encoded).hexdigest(),
        str(title)[:200],
        hints.get("readOnlyHint") is True,
        hints.get("destructiveHint") is not False,
        hints.get("idempotentHint") is True,
        execution.get("taskSupport") in ("optional", "required"),
        *_interface(said),
    )


def _members(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _interface(said: Mapping[str, Any]) -> tuple[str, bool, bool]:
    """Return the URI of a tool's user interface, and whether models and user interfaces may call it (MCP Apps).

    The URI is empty if it names none, or one of another scheme. Both may call a tool that does not say who may.
    """
    interface = _members(said.get("_meta")).get("ui")
    if not isinstance(interface, Mapping):
        return "", True, True
    uri, visibility = interface.get("resourceUri"), interface.get("visibility")
    if not isinstance(uri, str) or not uri.startswith("ui://") or len(uri) > MAX_URI:
        uri = ""
    if visibility is None:
        return uri, True, True
    named = visibility if isinstance(visibility, list) else []
    return uri, "model" in named, "app" in named


def _check_schema(schema: Any, depth: int) -> None:
    """Refuse a schema that is nested too deep, or that refers to another document, which nobody would fetch."""
    if depth > MAX_DEPTH:
        raise ValueError(f"its schema is nested more than {MAX_DEPTH} levels deep")
    if isinstance(schema, Mapping):
        reference = schema.get("$ref")
        if isinstance(reference, str) and not reference.startswith("#"):
            raise ValueError("its schema refers to another document")
    parts = schema.values() if isinstance(schema, Mapping) else schema if isinstance(schema, list) else ()
    for part in parts:
        _check_schema(part, depth + 1)
