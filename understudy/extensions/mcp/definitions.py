"""Reads an MCP server's list of tools into bounded definitions. Pure.

1. A definition is pinned by a digest of all that the server sent about the tool; consent is given to one digest.
2. A server cannot affect others: our names of its tools begin with its name. Unusable tools are left out with a reason.
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
"""Limit of one server's tools; further ones are left out. Models choose badly among more."""
MAX_BYTES: Final = 32 * 1024
"""Limit in bytes of JSON of one tool's definition; a larger one is left out. Every turn of a model carries it."""
MAX_DESCRIPTION: Final = 4000
"""Limit of a description in characters; the rest is cut off."""
MAX_DEPTH: Final = 32
"""Limit of a schema's levels. A recursive schema refers to itself by name, and is not unfolded."""
MAX_URI: Final = 500
"""Limit in characters of a user interface's URI; a tool with a longer one has no user interface."""
WIDGET_TYPE: Final = "text/html;profile=mcp-app"
"""The type of a resource that is the user interface of a tool."""
MAX_LEFT_OUT: Final = 20
"""Limit of the left-out tools that are listed with their reason."""
_NAME_CHARACTERS: Final = 64
_UNUSUAL: Final = re.compile(r"[^A-Za-z0-9_-]")


@frozen
class Definition:
    """One tool as its server defines it. `name` is ours, `remote` the server's; `by_task`: callable as a task.

    `widget` is the URI of its user interface (MCP Apps), or empty. `for_model`: agents may call it; `for_widgets`: the
    server's own user interfaces may.
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
        """Return whether calls need consent: by the operator's setting, else by the server's hints."""
        if server.approval is not None:
            return server.approval
        return self.destructive and not self.read_only

    @property
    def retry_safe(self) -> bool:
        """Whether a call with an unknown effect may be made again."""
        return self.read_only or self.idempotent


@frozen
class LeftOut:
    """A tool that is not used, and the reason."""

    name: str
    why: str


def read_definitions(
    server: McpServer, listed: Iterable[Mapping[str, Any]]
) -> tuple[dict[str, Definition], list[LeftOut]]:
    """Return the definitions of the listed tools by our names, in the server's order, and the left-out tools."""
    definitions: dict[str, Definition] = {}
    left_out: list[LeftOut] = []
    for tool in listed:
        remote = str(tool.get("name") or "")
        if server.only is not None and remote not in server.only:
            continue
        try:
            if len(definitions) >= MAX_TOOLS:
                raise ValueError(f"a server may have {MAX_TOOLS} tools here")
            new = _read(server, remote, tool)
            if new.name in definitions:
                raise ValueError(f"another tool has the name {new.name} already")
        except ValueError as error:
            if len(left_out) < MAX_LEFT_OUT:
                left_out.append(LeftOut(remote[:_NAME_CHARACTERS], str(error)))
        else:
            definitions[new.name] = new
    for missing in sorted(set(server.only or ()) - {definition.remote for definition in definitions.values()}):
        if all(omitted.name != missing for omitted in left_out):
            left_out.append(LeftOut(missing, "the server has no such tool"))
    return definitions, left_out[:MAX_LEFT_OUT]


def tool_name(server: str, remote: str) -> str:
    """Return our name of a tool: the server's name and its own, within the characters and length of providers."""
    plain = f"{server}_{_UNUSUAL.sub('_', remote)}"
    if len(plain) <= _NAME_CHARACTERS:
        return plain
    digest = hashlib.sha256(remote.encode(errors="replace")).hexdigest()[:8]
    return f"{plain[: _NAME_CHARACTERS - 9]}_{digest}"


def _read(server: McpServer, remote: str, listed: Mapping[str, Any]) -> Definition:
    """Read one tool. Raises ValueError if it cannot be used."""
    if not remote:
        raise ValueError("it has no name")
    schema = listed.get("inputSchema") or {}
    schema = {} if schema is True else schema
    if not isinstance(schema, Mapping) or not takes_object(schema.get("type", "object")):
        raise ValueError("its arguments are no JSON object")
    _check_schema(schema, 0)
    try:
        encoded = msgspec.json.encode(listed, order="deterministic")
    except (TypeError, ValueError, RecursionError):
        raise ValueError("its definition is not plain JSON") from None
    if len(encoded) > MAX_BYTES:
        raise ValueError(f"its definition has {len(encoded):,} bytes, more than {MAX_BYTES:,}")
    parameters, choices = plain_parameters(schema)
    hints, execution = (_members(listed.get(name)) for name in ("annotations", "execution"))
    title = listed.get("title") or hints.get("title") or ""
    description = " ".join(str(listed.get("description") or title or remote).split())
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
        *_interface(listed),
    )


def _members(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _interface(listed: Mapping[str, Any]) -> tuple[str, bool, bool]:
    """Return the URI of a tool's user interface, and whether models and user interfaces may call it (MCP Apps). The URI
    is empty without one or with another scheme. Without a visibility both may call the tool."""
    interface = _members(listed.get("_meta")).get("ui")
    if not isinstance(interface, Mapping):
        return "", True, True
    uri, visibility = interface.get("resourceUri"), interface.get("visibility")
    if not isinstance(uri, str) or not uri.startswith("ui://") or len(uri) > MAX_URI:
        uri = ""
    if visibility is None:
        return uri, True, True
    callers = visibility if isinstance(visibility, list) else []
    return uri, "model" in callers, "app" in callers


def _check_schema(schema: Any, depth: int) -> None:
    """Refuse a schema that is nested too deep, or that refers to another document, because none is fetched."""
    if depth > MAX_DEPTH:
        raise ValueError(f"its schema is nested more than {MAX_DEPTH} levels deep")
    if isinstance(schema, Mapping):
        reference = schema.get("$ref")
        if isinstance(reference, str) and not reference.startswith("#"):
            raise ValueError("its schema refers to another document")
    parts = schema.values() if isinstance(schema, Mapping) else schema if isinstance(schema, list) else ()
    for part in parts:
        _check_schema(part, depth + 1)
