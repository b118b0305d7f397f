"""Selection of actors by reference, path, pattern or subtree."""

from __future__ import annotations

from fnmatch import fnmatchcase

from actors.ref import ActorRef


def path_of(target: ActorRef | str) -> str:
    """Return the path of a reference, or the text unchanged."""
    return target if isinstance(target, str) else target.path


def fits(path: str, target: ActorRef | str) -> bool:
    """Whether `path` is that of `target`: equal, or matched by it as a pattern with `*`, `?` and `[...]`."""
    wanted = path_of(target)
    return path == wanted or fnmatchcase(path, wanted)


def inside(path: str, subtree: str) -> bool:
    """Whether `path` is `subtree` or below it; everything is inside of `/`."""
    return path == subtree or path.startswith(subtree.rstrip("/") + "/")


def below(ref: ActorRef) -> list[ActorRef]:
    """Return all live actors below an actor, parents first, in start order."""
    return [other for child in ref.children() for other in (child, *below(child))]
