"""The live tree in pages: some levels of a subtree with large branches cut, or the actors whose path matches a search.

The whole tree is never read in one step: with ten thousand connections that would block the loop for a tenth of a
second. A checkpoint follows every few actors; earlier parts of the answer may be outdated by then.
"""

from typing import Any, Final, TypeAlias

import trio
from attrs import frozen

from actors import ActorRef, ActorSystem, State
from understudy.observe.backoffs import Backoffs

Node: TypeAlias = dict[str, Any]
"""path, type, state, incarnation, restarts, age_s, depth (by lane), child_count, resting_below, children."""

MAX_NODES: Final = 1000
"""Actors in one answer, of some 250 bytes each; deeper ones are left out."""
NODES_PER_STEP: Final = 50
"""Actors read between two checkpoints: about half a millisecond."""
PATHS_PER_STEP: Final = 200
"""Actors between two checkpoints if only their paths are compared."""


@frozen
class TreeView:
    """Reads parts of the tree of `system`."""

    system: ActorSystem
    backoffs: Backoffs

    def node(self, path: str) -> Node | None:
        """Return one actor without its children, or None if there is none at this path."""
        ref, known = self.system.find(path), self.system.explain(path)
        if ref is None or known is None:
            return None
        return {
            "path": ref.path,
            "type": known.type,
            "state": known.state.value,
            "incarnation": known.incarnation,
            "restarts": known.restarts,
            "age_s": round(known.for_s, 3),
            "depth": {lane.name.lower(): each.depth for lane, each in ref.statistics().items()},
            "child_count": len(ref.children()),
            "resting_below": self.backoffs.count_below(ref.path),
            "children": [],
        }

    async def page(self, path: str, levels: int, limit: int, offset: int = 0) -> Node | None:
        """Return the actor at `path` and `levels` levels below it, at most `limit` children of each; None if there is
        none.

        `offset` skips children of the first. Reads level by level, so that at `MAX_NODES` the deepest levels are
        missing.
        """
        top = self.node(path)
        if top is None:
            return None
        level, room = [top], MAX_NODES - 1
        for _ in range(levels):
            following: list[Node] = []
            for parent in level:
                refs = self._children(parent["path"])[offset : offset + min(limit, room)]
                offset = 0
                parent["children"] = await self._nodes(refs)
                room -= len(parent["children"])
                following += parent["children"]
            level = following
        return top

    async def search(self, path: str, text: str, state: State | None, limit: int) -> tuple[Node | None, int, bool]:
        """Return the subtree of `path` reduced to the actors that match, with their ancestors; their number, at most
        `limit`; and whether there are more.

        An actor matches if its path below `path` contains `text` and it is in `state`.
        """
        top, text = self.node(path), text.lower()
        if top is None:
            return None, 0, False
        shown, found, looked_at = {top["path"]: top}, 0, 0
        waiting = self._children(path)[::-1]
        while waiting:
            looked_at += 1
            if looked_at % (PATHS_PER_STEP if state is None else NODES_PER_STEP) == 0:
                await trio.lowlevel.checkpoint()
            ref = waiting.pop()
            if self._matches(ref, len(top["path"]), text, state):
                if found == limit:
                    return top, found, True
                found += self._attach(ref.path, shown)
            waiting += ref.children()[::-1]
        await trio.lowlevel.checkpoint()
        return top, found, False

    def _matches(self, ref: ActorRef, below: int, text: str, state: State | None) -> bool:
        if text not in ref.path[below:].lower():
            return False
        if state is None:
            return True
        known = self.system.explain(ref.path)
        return known is not None and known.state is state

    def _attach(self, path: str, shown: dict[str, Node]) -> bool:
        """Add an actor and its ancestors to the result. Return False if one of them no longer exists."""
        if path in shown:
            return True
        above = path.rpartition("/")[0]
        if not self._attach(above, shown) or (node := self.node(path)) is None:
            return False
        shown[path] = node
        shown[above]["children"].append(node)
        return True

    def _children(self, path: str) -> list[ActorRef]:
        ref = self.system.find(path)
        return [] if ref is None else ref.children()

    async def _nodes(self, refs: list[ActorRef]) -> list[Node]:
        nodes = []
        for number, ref in enumerate(refs):
            if number % NODES_PER_STEP == 0:
                await trio.lowlevel.checkpoint()
            if (node := self.node(ref.path)) is not None:
                nodes.append(node)
        return nodes
