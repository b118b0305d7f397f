"""Assembles the tool calls of a chat completions stream from their pieces. Pure.

A piece belongs to the call with its id, else with its index; but a name after a complete call begins a new one, because
some servers give each call the same index, others none. A piece of no call, or of two, raises `ModelUnavailable`.
"""

from collections.abc import Collection
from typing import Any

import msgspec
from attrs import define, field, frozen

from understudy.extensions.providers.answer import MAX_ARGUMENTS, MAX_CALLS, WrittenCall, oversized, unreadable
from understudy.extensions.providers.members import member, written


@define
class Call:
    """A tool call as it arrives. `kept` are members of its provider that must be sent back with the call.

    `again`: another call with the same name and index came after it.
    """

    index: int | None
    id: str
    name: str = ""
    pieces: list[str] = field(factory=list)
    kept: dict[str, Any] = field(factory=dict)
    again: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether its arguments are a complete JSON object, which nothing can continue."""
        if not (self.pieces and self.pieces[-1].rstrip().endswith("}")):
            return False
        try:
            return isinstance(msgspec.json.decode("".join(self.pieces)), dict)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return False


@frozen
class _Piece:
    """A piece of a call, as one delta of the stream holds it."""

    index: int | None
    id: str
    name: str
    arguments: str

    @classmethod
    def read(cls, delta: Any) -> "_Piece":
        """Read a member of `tool_calls`. Raises TypeError."""
        function, index = member(delta, "function") or delta, member(delta, "index")
        name, call_id = member(function, "name") or "", member(delta, "id")
        if not isinstance(name, str):
            raise TypeError
        index = index if isinstance(index, int) else None
        return cls(index, "" if call_id is None else str(call_id), name, written(member(function, "arguments")))


@define
class Calls:
    """The calls of one answer, in `begun` as they began. `tools` are the names that a call may have; `size` counts the
    characters of all arguments."""

    tools: Collection[str] = ()
    begun: list[Call] = field(factory=list)
    size: int = 0

    def add(self, delta: Any) -> Call:
        """Add a member of `tool_calls`, and return its call. Raises TypeError and `ModelUnavailable`."""
        piece = _Piece.read(delta)
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
        """Return the call to which a piece belongs; begin a new call if it belongs to none."""
        named = [call for call in self.begun if piece.id and call.id == piece.id]
        candidates = [call for call in self.begun if piece.index is None or call.index == piece.index]
        if piece.id:
            of_both = [call for call in candidates if call.id == piece.id]
            if of_both or (named and not piece.name):
                candidates = of_both or named
            elif piece.name and not (candidates and not candidates[-1].name):  # some servers give each piece its own id
                candidates = []
        elif piece.index is None and piece.name and candidates and candidates[-1].name not in ("", piece.name):
            candidates = []
        if candidates and self._may_go_on(candidates[-1], piece):
            return candidates[-1]
        for call in self.begun:
            call.again = call.again or (call.index, call.name) == (piece.index, piece.name)
        self.begun.append(Call(piece.index, piece.id))
        return self.begun[-1]

    def _may_go_on(self, call: Call, piece: _Piece) -> bool:
        """Return whether a piece with the id or the index of a call can continue it, or repeats it."""
        if not (piece.name and call.name):
            return True
        if call.is_whole:
            if (piece.id, piece.name) != (call.id, call.name):
                return False
            return not piece.arguments or bool(piece.id and "".join(call.pieces) in ("{}", piece.arguments))
        return piece.name == call.name or bool(call.pieces) or not {call.name, piece.name} <= set(self.tools)

    @property
    def ordered(self) -> list[Call]:
        """The calls by their indexes, or as they began unless each has an index of its own."""
        calls = [call for call in self.begun if call.name or call.pieces]
        indexes = {call.index for call in calls}
        if None in indexes or len(indexes) < len(calls):
            return calls
        return sorted(calls, key=lambda call: call.index or 0)

    def written(self) -> list[WrittenCall]:
        """Return the calls. Raises `ModelUnavailable` if the arguments of a call came as another call."""
        if any(call.again and not "".join(call.pieces).strip() for call in self.begun):
            raise unreadable("a call without its arguments")
        return [(call.id, call.name, call.pieces) for call in self.ordered]
