"""The kinds of actors that a server has, and the actors of a kind that run in it."""

from actors import ActorRef, TreeNode
from understudy.app.server import Running

# Path patterns below the root, by the kind of actor; "*" stands for a name made at run time.
KINDS = {
    "tool call": "conversations/*/*/*",
    "run": "conversations/*/*",
    "conversation": "conversations/*",
    "all conversations": "conversations",
    "outbox": "connections/*/outbox",
    "connection": "connections/*",
    "all connections": "connections",
    "store writer": "storage/writer",
    "storage": "storage",
    "recovery": "observe/recovery",
    "observe": "observe",
}


def find(running: Running, pattern: str) -> list[ActorRef]:
    """Return the running actors whose path fits a pattern of `KINDS`."""
    names = pattern.split("/")

    def fits(node: TreeNode) -> bool:
        parts = node.path.strip("/").split("/")[1:]
        return len(parts) == len(names) and all(n in ("*", p) for n, p in zip(names, parts, strict=True))

    actors = [running.system.find(node.path) for node in running.system.tree().walk() if fits(node)]
    return [ref for ref in actors if ref is not None]
