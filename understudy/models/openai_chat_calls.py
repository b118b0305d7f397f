"""Puts the calls of a chat completions API together from their pieces. Pure.

1. Calls are told apart by their ids, then by their indexes, then by where a whole one ends: some servers give each call
   the same index, others none.
2. What contradicts itself is `ModelUnavailable`: no call is made of the parts of two, nor one without its arguments.
"""

from collections.abc import Collection, Mapping
from typing import Any

import msgspec
from attrs import define, field, frozen

from understudy.models.answer import MAX_ARGUMENTS, MAX_CALLS, oversized, read_call
from understudy.models.members import member, unreadable
from understudy.models.model import ToolRequest


@define
class Call:
    """A tool call as it arrives, in pieces. `kept` is the provider's own, to be given back with the call.

    `again`: another call came with its name and index.
    """

    index: int | None
    id: str
    name: str = ""
    arguments: str = ""
    kept: dict[str, Any] = field(factory=dict)
    again: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether its arguments are a whole JSON object: nothing can follow them."""
        if not self.arguments.rstrip().endswith("}"):
            return False
        try:
            return isinstance(msgspec.json.decode(self.arguments), dict)
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
        function, index = member(given, "function"), member(given, "index")
        name, arguments = member(function, "name") or "", member(function, "arguments")
        if isinstance(arguments, Mapping):
            arguments = msgspec.json.encode(arguments).decode()
        call_id = member(given, "id") or ""
        index = index if isinstance(index, int) else None
        if not isinstance(name, str) or not isinstance(arguments, str | None):
            raise TypeError
        return cls(index, str(call_id), name, arguments or "")

    def repeats(self, call: Call) -> bool:
        """Return whether it is a whole call once more, as some servers say at its end."""
        named = (self.id, self.name) == (call.id, call.name) if self.name else self.id in ("", call.id)
        return named and bool(self.id or not self.name) and self.arguments == call.arguments and call.is_whole


@define
class Calls:
    """The calls of one answer. `tools` are the names that a call may have: one never begins with another whole one."""

    tools: Collection[str] = ()
    begun: list[Call] = field(factory=list)

    def add(self, given: Any) -> Call:
        """Add a member of `tool_calls`. Return its call. Raises TypeError, and `ModelUnavailable`."""
        piece = _Piece.read(given)
        call = self._call_of(piece)
        if piece.repeats(call):
            return call
        if piece.name and piece.name != call.name:
            if call.name and call.arguments:
                raise unreadable("two names of a call")
            call.name += piece.name
        call.id = call.id or piece.id
        call.arguments += piece.arguments
        if len(self.begun) > MAX_CALLS or len(call.arguments) > MAX_ARGUMENTS:
            raise oversized()
        return call

    def _call_of(self, piece: _Piece) -> Call:
        """Return the call that a piece belongs to, which may begin with it."""
        named = [each for each in self.begun if piece.id and each.id == piece.id]
        same = [each for each in self.begun if piece.index is None or each.index == piece.index]
        if piece.id:
            of_both = [each for each in same if each.id == piece.id]
            if of_both or (named and not piece.name):
                same = of_both or named
            elif piece.name and not (same and not same[-1].name):  # some servers give each piece an id of its own
                same = []
        elif piece.index is None and piece.name and same and same[-1].name not in ("", piece.name):
            same = []
        call = same[-1] if same else None
        if call is not None and (piece.repeats(call) or not self._ends_before(call, piece)):
            return call
        for each in self.begun:
            each.again = each.again or (each.index, each.name) == (piece.index, piece.name)
        made = Call(piece.index, piece.id)
        self.begun.append(made)
        return made

    def _ends_before(self, call: Call, piece: _Piece) -> bool:
        """Return whether nothing of a call can be in a piece that has its id or index."""
        if not (piece.name and call.name):
            return piece.arguments.lstrip().startswith("{") and call.is_whole
        if call.is_whole:
            return bool(piece.arguments) or (piece.id, piece.name) != (call.id, call.name)  # or it is only named again
        return piece.name != call.name and call.name in self.tools and piece.name in self.tools and not call.arguments

    @property
    def ordered(self) -> list[Call]:
        """The calls by their indexes; as they began, if these do not tell them apart."""
        indexes = {each.index for each in self.begun}
        if None in indexes or len(indexes) < len(self.begun):
            return self.begun
        return sorted(self.begun, key=lambda each: each.index or 0)

    def requests(self) -> list[ToolRequest]:
        """Return the calls, each with an id of its own. Raises `ModelUnavailable`."""
        ids: set[str] = set()
        read = []
        for number, each in enumerate(self.ordered):
            if not each.name:
                raise unreadable("a call of nothing")
            if not each.arguments.strip() and each.again:
                raise unreadable("a call without its arguments")
            call_id = each.id or f"call-{number}"
            while call_id in ids:
                call_id = f"{call_id}-{number}"
            ids.add(call_id)
            read.append(read_call(call_id, each.name, each.arguments))
        return read
