"""Approval: a tool call that waits for its user to allow or deny it.

1. The arguments that are shown are the arguments that run: they are copied once, shown whole, and given to the tool
   from that copy. A call whose arguments are too large to be shown whole fails without asking.
   The user may change them: then what runs is what the user wrote, checked against the tool, and the log has it.
2. A call is decided once: the first decision that fits counts. If none comes in time, the decision is `expired`.
3. A decision is acknowledged only after it was committed, so an acknowledged decision survives a crash of the server.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec
import trio
from attrs import define, field

from transport.wire.commands import JsonObject
from transport.wire.errors import CommandRejected
from understudy.chat.messages import Decide
from understudy.tools.errors import ToolError
from understudy.tools.tool import Tool
from understudy.wire.events import ApprovalDecided, ApprovalDecision

MAX_ARGUMENT_BYTES: Final = 64 * 1024
"""Bytes of JSON of the arguments that a user is shown, in every open tab; a call with more fails."""
MAX_NOTE: Final = 1000
"""Characters of the note with a decision; a longer one is refused."""


@define(eq=False)
class Approval:
    """A call's wait for its user. `decision` is None until it was made.

    The user's decisions wait in `_pending` until the call waits for one, and while changed parameters are checked.
    """

    decided: ApprovalDecided | None = field(default=None, init=False, repr=False)
    _pending: deque[Decide] = field(factory=deque, init=False, repr=False)
    _news: trio.Event = field(factory=trio.Event, init=False, repr=False)
    _stored: bool = field(default=False, init=False, repr=False)
    _asks: list[Decide] = field(factory=list, init=False, repr=False)

    def accept_decision(self, ask: Decide) -> None:
        """Accept a decision, which counts if it is the first that fits; else it is refused, unless it is the same.

        The request is answered by `confirm_stored`.
        """
        if self.decided is None:
            self._pending.append(ask)
            self._news.set()
        elif (ask.decision, ask.parameters) != (self.decision, self.decided.parameters):
            ask.reply(False)
        elif self._stored:
            ask.reply(True)
        else:
            self._asks.append(ask)

    @property
    def decision(self) -> ApprovalDecision | None:
        """The decision; None until it was made."""
        return None if self.decided is None else self.decided.decision

    def confirm_stored(self) -> None:
        """Acknowledge the decision: it was committed."""
        self._stored = True
        for ask in self._asks:
            ask.reply(True)

    def fail_stored(self, error: Exception) -> None:
        """Fail the requests: the decision could not be committed."""
        for ask in self._asks:
            ask.fail(error)

    async def wait_for_decision(
        self, call_id: str, deadline: float, check: Callable[[JsonObject], Awaitable[object]]
    ) -> ApprovalDecided:
        """Wait for the decision about the call until `deadline` (trio's clock); then it is `expired`.

        `check` raises `ToolError` for parameters, as the user has changed them, that do not fit the tool.
        """
        decided = None
        with trio.move_on_at(deadline):
            while (decided := await self._next_decision(check)) is None:
                await self._news.wait()
        self.decided = decided or ApprovalDecided(call_id, ApprovalDecision.EXPIRED)
        while self._pending:
            self.accept_decision(self._pending.popleft())
        return self.decided

    async def _next_decision(self, check: Callable[[JsonObject], Awaitable[object]]) -> ApprovalDecided | None:
        """Return the first decision that fits; None if none does."""
        while self._pending:
            ask = self._pending[0]
            if ask.parameters is not None:
                try:
                    await check(ask.parameters)
                except ToolError as error:
                    ask.fail(CommandRejected("invalid_command", error.message))
                    self._pending.popleft()
                    continue
            return ApprovalDecided(
                ask.call_id, ask.decision, ask.note or None, ask.parameters, ask.remember or None, ask.by, ask.door
            )
        self._news = trio.Event()
        return None


def copy_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Copy a call's arguments by way of JSON, to be shown and to run.

    Raises:
        ToolError: `invalid_arguments`: they are not JSON, or too large to be shown whole.
    """
    try:
        encoded = msgspec.json.encode(arguments)
    except (TypeError, ValueError, RecursionError):
        raise ToolError("invalid_arguments", "The arguments are not plain JSON.") from None
    if len(encoded) > MAX_ARGUMENT_BYTES:
        raise ToolError(
            "invalid_arguments",
            f"This needs the user's consent, and more than {MAX_ARGUMENT_BYTES:,} bytes cannot be shown for it.",
        )
    copy: dict[str, Any] = msgspec.json.decode(encoded)
    return copy


async def check_parameters(tool: Tool, owner: str, parameters: JsonObject) -> None:
    """Check the parameters to which the user `owner` changed a call's.

    Raises:
        ToolError: `invalid_arguments`: they do not fit the tool, or are too large; see `Tool.check_aside`.
    """
    copy_arguments(parameters)
    await tool.check_aside(parameters, owner)


def check_note(note: str) -> str:
    """Return the note of a decision if it can be stored.

    Raises:
        CommandRejected: `invalid_command`: it is too long, or cannot be encoded as UTF-8.
    """
    if len(note) > MAX_NOTE:
        raise CommandRejected("invalid_command", f"A note has at most {MAX_NOTE:,} characters.")
    try:
        note.encode()
    except UnicodeEncodeError:
        raise CommandRejected("invalid_command", "That text cannot be stored.") from None
    return note


async def needs_approval(tool: Tool, arguments: Mapping[str, Any], owner: str) -> bool:
    """Return whether a call needs its user's approval. The tool's own `approval` is given a copy of the arguments.

    Raises:
        ToolError: `invalid_arguments`: they do not fit the tool, or cannot be shown whole; see `Tool.check_aside`.
        Exception: Raised by the tool's own `approval`.
    """
    if tool.approval is False:
        return False
    await tool.check_aside(arguments, owner)
    return await tool.needs_approval(copy_arguments(arguments), owner)
