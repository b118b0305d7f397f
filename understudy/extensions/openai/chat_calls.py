"""Puts the calls of a chat completions API together from their pieces. Pure.

Calls are told apart by their ids, then by their indexes, then by where a whole one is followed by a name: some servers
give each call the same index, others none. What belongs to no call, or to two, is `ModelUnavailable`.
"""

from collections.abc import Collection
from typing import Any

import msgspec
from attrs import define, field, frozen

from understudy.extensions.providers.answer import MAX_ARGUMENTS, MAX_CALLS, WrittenCall, oversized, unreadable
from understudy.extensions.providers.members import member, written


@define
class Call:
    """A tool call as it arrives. `kept` is the provider's own, to be given back with the call.

    `again`: another call came with its name and index.
    """

    index: int | None
    id: str
    name: str = ""
    pieces: list[str] = field(factory=list)
    kept: dict[str, Any] = field(factory=dict)
    again: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether its arguments are a whole JSON object: nothing can follow them."""
        if not (self.pieces and self.pieces[-1].rstrip().endswith("}")):
            return False
        try:
            return isinstance(msgspec.json.decode("".join(self.pieces)), dict)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return False


@frozen
class _Piece:
    """A piece of a call: what a delta holds of it."""

    index: int | None
    id: str
    name: str
    arguments: str

    @classmethod
    def read(cls, given: Any) -> "_Piece":
        """Read a member of `tool_calls`. Raises TypeError."""
        function, index = member(given, "function") or given, member(given, "index")
        name, call_id = member(function, "name") or "", member(given, "id")
        if not isinstance(name, str):
            raise TypeError
        index = index if isinstance(index, int) else None
        return cls(index, "" if call_id is None else str(call_id), name, written(member(function, "arguments")))


@define
class Calls:
    """The calls of one answer. `tools` are the names that a call may have: one never begins with another whole one."""

    tools: Collection[str] = ()
    begun: list[Call] = field(factory=list)
    size: int = 0

    def add(self, given: Any) -> Call:
        """Add a member of `tool_calls`. Return its call. Raises TypeError, and `ModelUnavailable`."""
        piece = _Piece.read(given)
        call = self._call_of(piece)
        if piece.name and piece.name != call.name:
            if call.name and call.pieces:
                raise unreadable("two names of a call")
            call.name += piece.name
        call.id = call.id or piece.id
        call.pieces += [piece.arguments] if piece.arguments else []
        self.size += len(piece.arguments)
        if len(self.begun) > MAX_CALLS or self.size > MAX_ARGUMENTS:
            raise oversized()
        return call

    def _call_of(self, piece: _Piece) -> Call:
        """Return the call that a piece belongs to, which may begin with it."""
        named = [call for call in self.begun if piece.id and call.id == piece.id]
        same = [call for call in self.begun if piece.index is None or call.index == piece.index]
        if piece.id:
            of_both = [call for call in same if call.id == piece.id]
            if of_both or (named and not piece.name):
                same = of_both or named
            elif piece.name and not (same and not same[-1].name):  # some servers give each piece an id of its own
                same = []
        elif piece.index is None and piece.name and same and same[-1].name not in ("", piece.name):
            same = []
        if same and self._may_go_on(same[-1], piece):
            return same[-1]
        for call in self.begun:
            call.again = call.again or (call.index, call.name) == (piece.index, piece.name)
        self.begun.append(made := Call(piece.index, piece.id))
        return made

    def _may_go_on(self, call: Call, piece: _Piece) -> bool:
        """Return whether a piece that has the id or the index of a call can be one of it, or says it once more."""
        if not (piece.name and call.name):
            return True
        if call.is_whole:
            if (piece.id, piece.name) != (call.id, call.name):
                return False
            return not piece.arguments or bool(piece.id and "".join(call.pieces) in ("{}", piece.arguments))
        return piece.name == call.name or bool(call.pieces) or not {call.name, piece.name} <= set(self.tools)

    @property
    def ordered(self) -> list[Call]:
        """The calls by their indexes; as they began, if these do not tell them apart."""
        begun = [call for call in self.begun if call.name or call.pieces]  # an empty one is no call
        indexes = {call.index for call in begun}
        if None in indexes or len(indexes) < len(begun):
            return begun
        return sorted(begun, key=lambda call: call.index or 0)

    def written(self) -> list[WrittenCall]:
        """Return the calls. Raises `ModelUnavailable` for one whose arguments came in a call of their own."""
        if any(call.again and not "".join(call.pieces).strip() for call in self.begun):
            raise unreadable("a call without its arguments")
        return [(call.id, call.name, call.pieces) for call in self.ordered]
