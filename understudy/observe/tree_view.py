"""The live tree in pages: some levels of some subtree, with crowded branches folded, or those whose path fits.

The whole tree is never looked at in one go: with ten thousand connections that would hold the loop for a tenth of a
second. Every so many actors others get their turn; what was shown before may have changed by then.
"""

from typing import Any, Final, TypeAlias

import trio
from attrs import frozen

from actors import ActorRef, ActorSystem, State
from understudy.observe.backoffs import Backoffs

Node: TypeAlias = dict[str, Any]
"""path, type, state, incarnation, restarts, age_s, depth (by lane), child_count, resting_below, children."""

MAX_NODES: Final = 1000
"""Actors in one answer, some 250 bytes each."""
NODES_PER_STEP: Final = 50
"""Actors that are looked at until others get their turn: about half a millisecond."""
PATHS_PER_STEP: Final = 200
"""The same for those of which only the path is looked at."""


@frozen
class TreeView:
    """Shows parts of the tree of `system`."""

    system: ActorSystem
    backoffs: Backoffs

    def node(self, path: str) -> Node | None:
        """One actor, without its children; None when there is none at this path."""
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
        """The actor at `path` and `levels` levels below it, at most `limit` children of each; None without one.

        `offset` passes over so many children of the first. Level by level, so that when `MAX_NODES` are reached it is
        the deepest that are missing.
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
        """The subtree of `path` with only those whose path below it holds `text` and that are in `state`, and who leads
        there; how many those are, `limit` at most; and whether there are more.
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
        """Put an actor, and those above it, in their places; False if one of them is gone by now."""
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
