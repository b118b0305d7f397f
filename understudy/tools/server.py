"""`system_health` and `supervision_tree`: the state of this server."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final

from understudy.tools.errors import ToolError
from understudy.tools.result import ToolResult
from understudy.tools.schema import Param
from understudy.tools.tool import ToolContext, tool

MAX_NODES: Final = 200
"""Actors in one result: a server may have ten thousand, and a result must stay readable."""
MAX_DEPTH: Final = 12
_FIELDS: Final = ("path", "type", "state", "depth", "restarts", "age_s")
_COUNTED: Final = {"uptime_s": "up for {:,.0f} s", "memory_mb": "{:,.0f} MB of memory"}


@tool(retry_safe=True, timeout_s=5.0)
async def system_health(context: ToolContext) -> ToolResult:
    """Tell how this server is doing: its checks, uptime, memory and load."""
    health = dict(context.server.health())
    return ToolResult(health, _health_sentence(health))


def _health_sentence(health: Mapping[str, Any]) -> str:
    status = health.get("status")
    lead = f"The server is {status}" if isinstance(status, str) else "The server answers"
    numbers = []
    for key, value in health.items():
        if type(value) in (int, float):
            template = _COUNTED.get(key, f"{{:,}} {key.replace('_', ' ')}")
            numbers.append(template.format(value))
    checks = health.get("checks")
    if isinstance(checks, Mapping) and checks:
        failed = [name for name, check in checks.items() if isinstance(check, Mapping) and check.get("status") != "ok"]
        numbers.insert(0, f"not ok: {', '.join(failed)}" if failed else f"all {len(checks)} checks are ok")
    return f"{lead}: {', '.join(numbers[:6])}" if numbers else lead


@tool(retry_safe=True, timeout_s=5.0)
async def supervision_tree(
    context: ToolContext, depth: Annotated[int, Param("How many levels below the root to show, 1 to 12.")] = 6
) -> ToolResult:
    """Show the server's running actors as the tree in which they supervise each other, with states and restarts."""
    if not 1 <= depth <= MAX_DEPTH:
        raise ToolError("invalid_arguments", f"depth must be between 1 and {MAX_DEPTH}, not {depth:,}.")
    root = context.server.tree()
    actors = restarts = 0
    for node in _walk(root):
        actors += 1
        restarts += int(node.get("restarts") or 0)
    tree = _prune(root, depth)
    value = {"actors": actors, "restarts": restarts, "text": "\n".join(_lines(tree)), "tree": tree}
    value["truncated"] = any(node.get("hidden") for node in _walk(tree))
    count = f"{actors:,} actor{'' if actors == 1 else 's'}"
    return ToolResult(value, f"{count} running, {restarts:,} restart{'' if restarts == 1 else 's'} so far")


def _walk(root: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    waiting = [root]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(node.get("children") or ())


def _prune(root: Mapping[str, Any], depth: int) -> dict[str, Any]:
    """Return a copy with at most `depth` levels and `MAX_NODES` nodes; ``hidden`` counts a node's omitted children.
    Nodes are copied level by level, so that a crowded branch does not displace the others."""
    top, room = _fields(root), MAX_NODES - 1
    level = [(root, top)]
    for below in range(depth, -1, -1):
        following: list[tuple[Mapping[str, Any], dict[str, Any]]] = []
        for source, copy in level:
            children = list(source.get("children") or ())
            shown = [_fields(child) for child in children[: room if below else 0]]
            room -= len(shown)
            copy["children"] = shown
            if hidden := len(children) - len(shown):
                copy["hidden"] = hidden
            following += zip(children, shown, strict=False)
        level = following
    return top


def _fields(node: Mapping[str, Any]) -> dict[str, Any]:
    return {**{name: node[name] for name in _FIELDS if name in node}, "children": []}


def _lines(node: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    name = str(node.get("path", "?")).rstrip("/").rsplit("/", 1)[-1] or "/"
    restarts = node.get("restarts") or 0
    suffix = f", {restarts:,} restart{'' if restarts == 1 else 's'}" if restarts else ""
    yield f"{indent}{name} ({node.get('type', 'actor')}, {node.get('state', 'unknown')}{suffix})"
    for child in node["children"]:
        yield from _lines(child, indent + "  ")
    if node.get("hidden"):
        yield f"{indent}  … {node['hidden']:,} more"
