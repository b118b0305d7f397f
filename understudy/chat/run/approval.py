"""Consent: a tool call that waits for its user to allow or deny it.

1. What is shown is what runs: the arguments are copied before they are shown, shown whole, and given to the tool from
   that copy. What is too large to be shown whole is not asked about, and does not run.
2. A call is decided about once. The first decision counts; when the time is up before one came, it is `expired`.
3. Who decided is told so when that is in the log, and not before: a decision that is lost with its server is not taken.
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
"""Of JSON that a user is shown to decide about; nobody reads more, and it travels to every open tab."""
MAX_NOTE: Final = 1000
"""Characters of the note that may come with a decision."""


@define(eq=False)
class Approval:
    """One call's wait. `decision` is None until it is over."""

    decision: ApprovalDecision | None = field(default=None, init=False)
    note: str = field(default="", init=False, repr=False)
    _decided: trio.Event = field(factory=trio.Event, init=False, repr=False)
    _stored: bool = field(default=False, init=False, repr=False)
    _asks: list[Decide] = field(factory=list, init=False, repr=False)

    def accept_decision(self, ask: Decide) -> None:
        """Take a decision, which is answered by `stored`; another than the first one is refused."""
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
        """The decision is in the log."""
        self._stored = True
        for ask in self._asks:
            ask.reply(True)

    def fail_stored(self, error: Exception) -> None:
        """It is not, and the call that waited for it goes no further."""
        for ask in self._asks:
            ask.fail(error)

    async def wait_for_decision(self, deadline: float) -> ApprovalDecision:
        """Wait for the decision until `deadline`, on trio's clock; without one it is `expired`."""
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
    """Copy a call's arguments as JSON says them, to be shown and to be run.

    Raises:
        ToolError: `invalid_arguments`: they cannot be shown whole.
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
    """Give the note that came with a decision back if it can be kept.

    Raises:
        CommandRejected: `invalid_command`: it is too long, or no text that can be stored.
    """
    if len(note) > MAX_NOTE:
        raise CommandRejected("invalid_command", f"A note has at most {MAX_NOTE:,} characters.")
    try:
        note.encode()
    except UnicodeEncodeError:
        raise CommandRejected("invalid_command", "That text cannot be stored.") from None
    return note


def approval_arguments(tool: Tool, arguments: Mapping[str, Any]) -> dict[str, Any] | None:
    """Give the copy of the arguments that the user is to be asked about; None when the call needs no consent.

    Raises:
        ToolError: `invalid_arguments`: the tool does not take them, or they cannot be shown whole.
        Exception: What the tool's own `approval` raises.
    """
    if tool.approval is False:
        return None
    tool.check(arguments)
    copy = copy_arguments(arguments)
    asked = tool.approval if isinstance(tool.approval, bool) else tool.approval(copy_arguments(arguments))
    return copy if asked else None
