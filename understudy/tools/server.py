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
    """How the server is: what works, what does not, and its counters."""
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
    return f"{lead}: {', '.join(numbers[:5])}" if numbers else lead


@tool(retry_safe=True, timeout_s=5.0)
async def supervision_tree(
    context: ToolContext,
    depth: Annotated[int, Param("How many levels below the root to show, 1 to 12.")] = 6,
) -> ToolResult:
    """Show the server's running actors as the tree in which they supervise each other, with states and restarts."""
    if not 1 <= depth <= MAX_DEPTH:
        raise ToolError("invalid_arguments", f"depth must be between 1 and {MAX_DEPTH}, not {depth:,}.")
    root = context.server.tree()
    actors = restarts = 0
    for node in _walk(root):
        actors += 1
        restarts += int(node.get("restarts") or 0)
    kept = [MAX_NODES]
    tree = _prune(root, depth, kept)
    value = {"actors": actors, "restarts": restarts, "text": "\n".join(_lines(tree)), "tree": tree}
    value["truncated"] = kept[0] <= 0 or any(node.get("hidden") for node in _walk(tree))
    count = f"{actors:,} actor{'' if actors == 1 else 's'}"
    return ToolResult(value, f"{count} running, {restarts:,} restart{'' if restarts == 1 else 's'} so far")


def _walk(root: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    waiting = [root]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(node.get("children") or ())


def _prune(root: Mapping[str, Any], depth: int, kept: list[int]) -> dict[str, Any]:
    """Return a copy with at most `depth` levels and `kept` nodes; ``hidden`` counts the omitted children of a node.

    Nodes are copied level by level, so that a crowded branch does not displace the others.
    """
    top = _fields(root)
    level = [(root, top)]
    kept[0] -= 1
    for _ in range(depth):
        following: list[tuple[Mapping[str, Any], dict[str, Any]]] = []
        for source, copy in level:
            for child in source.get("children") or ():
                if kept[0] <= 0:
                    break
                kept[0] -= 1
                shown = _fields(child)
                copy["children"].append(shown)
                following.append((child, shown))
        level = following
    _count_hidden(root, top)
    return top


def _count_hidden(source: Mapping[str, Any], copy: dict[str, Any]) -> None:
    children = list(source.get("children") or ())
    hidden = len(children) - len(copy["children"])
    if hidden:
        copy["hidden"] = hidden
    for child, shown in zip(children, copy["children"], strict=False):
        _count_hidden(child, shown)


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
