"""Approval: a tool call that waits for its user to allow or deny it.

1. The arguments that are shown are the arguments that run: they are copied once, shown whole, and given to the tool
   from that copy. A call whose arguments are too large to be shown whole fails without asking.
2. A call is decided once: the first decision counts. If none comes in time, the decision is `expired`.
3. A decision is acknowledged only after it was committed, so an acknowledged decision survives a crash of the server.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import trio
from attrs import define, field

from transport.wire.errors import CommandRejected
from transport.wire.events import ApprovalDecision
from understudy.chat.messages import Decide
from understudy.tools.errors import ToolError
from understudy.tools.tool import Tool

MAX_ARGUMENT_BYTES: Final = 64 * 1024
"""Bytes of JSON of the arguments that a user is shown, in every open tab; a call with more fails."""
MAX_NOTE: Final = 1000
"""Characters of the note with a decision; a longer one is refused."""


@define(eq=False)
class Approval:
    """A call's wait for its user. `decision` is None until it was made."""

    decision: ApprovalDecision | None = field(default=None, init=False)
    note: str = field(default="", init=False, repr=False)
    _decided: trio.Event = field(factory=trio.Event, init=False, repr=False)
    _stored: bool = field(default=False, init=False, repr=False)
    _asks: list[Decide] = field(factory=list, init=False, repr=False)

    def accept_decision(self, ask: Decide) -> None:
        """Accept the first decision; the request is answered by `confirm_stored`. Refuse a different one."""
        if self.decision is None:
            self.note = ask.note
            self._set_decision(ask.decision)
        if ask.decision is not self.decision:
            ask.reply(False)
        elif self._stored:
            ask.reply(True)
        else:
            self._asks.append(ask)

    def confirm_stored(self) -> None:
        """Acknowledge the decision: it was committed."""
        self._stored = True
        for ask in self._asks:
            ask.reply(True)

    def fail_stored(self, error: Exception) -> None:
        """Fail the requests: the decision could not be committed."""
        for ask in self._asks:
            ask.fail(error)

    async def wait_for_decision(self, deadline: float) -> ApprovalDecision:
        """Wait for the decision until `deadline` (trio's clock), then set it to `expired`."""
        with trio.move_on_at(deadline):
            await self._decided.wait()
        if self.decision is None:
            self._set_decision(ApprovalDecision.EXPIRED)
        assert self.decision is not None  # noqa: S101 - for the type checker: just decided
        return self.decision

    def _set_decision(self, decision: ApprovalDecision) -> None:
        self.decision = decision
        self._decided.set()


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


def needs_approval(tool: Tool, arguments: Mapping[str, Any]) -> bool:
    """Return whether a call needs its user's approval. The tool's own `approval` is given a copy of the arguments.

    Raises:
        ToolError: `invalid_arguments`: they do not fit the tool, or cannot be shown whole.
        Exception: Raised by the tool's own `approval`.
    """
    if tool.approval is False:
        return False
    tool.check(arguments)
    copy = copy_arguments(arguments)
    return tool.approval if isinstance(tool.approval, bool) else bool(tool.approval(copy))
