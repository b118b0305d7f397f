"""Consent: a tool call that waits for its user to allow or deny it, and who is to be told of a decision.

1. What is shown is what runs: the arguments are copied before they are shown, shown whole, and given to the tool from
   that copy. What is too large to be shown whole is not asked about, and does not run.
2. A call is decided about once. The first decision counts; when the time is up before one came, it is `expired`.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import trio
from attrs import define, field

from actors import ActorRef
from transport.errors import CommandRejected
from transport.events import ApprovalDecision
from understudy.tools.errors import ToolError
from understudy.tools.tool import Tool

SHOWN_BYTES: Final = 64 * 1024
"""Of JSON that a user is shown to decide about; nobody reads more, and it travels to every open tab."""
BACK_S: Final = 5.0
"""Longest time that a decision waits for a run that is coming back; its user sees the question all the while."""
NOTE: Final = 1000
"""Characters of the note that may come with a decision."""


@define(eq=False)
class Consent:
    """One call's wait. `decision` is None until it is over."""

    owner: str
    call_id: str
    tool_name: str
    run: ActorRef
    decision: ApprovalDecision | None = field(default=None, init=False)
    note: str = field(default="", init=False, repr=False)
    _decided: trio.Event = field(factory=trio.Event, init=False, repr=False)

    def decide(self, decision: ApprovalDecision, note: str = "") -> bool:
        """Take a decision; False when there is one already, which stays."""
        if self.decision is not None:
            return False
        self.decision, self.note = decision, note
        self._decided.set()
        return True

    async def wait(self, deadline: float) -> ApprovalDecision:
        """Wait for the decision until `deadline`, on trio's clock; without one it is `expired`."""
        with trio.move_on_at(deadline):
            await self._decided.wait()
        self.decide(ApprovalDecision.EXPIRED)
        assert self.decision is not None  # noqa: S101 - for the type checker: just decided
        return self.decision


@define(eq=False)
class Consents:
    """The calls of all users that wait, by their ids, so that a decision finds its run from any connection."""

    _waiting: dict[str, Consent] = field(factory=dict, init=False)
    _returning: dict[str, trio.Event] = field(factory=dict, init=False)

    def add(self, consent: Consent) -> None:
        """A call begins to wait."""
        self._waiting[consent.call_id] = consent
        self.give_up(consent.call_id)

    def expect(self, call_id: str) -> None:
        """A call will wait again, as soon as its run is back, which lost its server; or `give_up` is called."""
        self._returning.setdefault(call_id, trio.Event())

    def give_up(self, call_id: str) -> None:
        """A call is not expected any more."""
        if (returning := self._returning.pop(call_id, None)) is not None:
            returning.set()

    async def back(self, call_id: str) -> None:
        """Return when a call that is expected waits again, or does not come back; after `BACK_S` at the latest."""
        if (returning := self._returning.get(call_id)) is not None:
            with trio.move_on_after(BACK_S):
                await returning.wait()

    def discard(self, consent: Consent) -> None:
        """A call waits no more."""
        self._waiting.pop(consent.call_id, None)

    def run_of(self, owner: str, call_id: str) -> ActorRef | None:
        """Give the run of a call that waits for this user; None for another user's, and for one that does not wait."""
        consent = self._waiting.get(call_id)
        return consent.run if consent is not None and consent.owner == owner else None


def plain_copy(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Copy a call's arguments as JSON says them, to be shown and to be run.

    Raises:
        ToolError: `invalid_arguments`: they cannot be shown whole.
    """
    try:
        encoded = msgspec.json.encode(arguments)
    except (TypeError, ValueError, RecursionError):
        raise ToolError("invalid_arguments", "The arguments are not plain JSON.") from None
    if len(encoded) > SHOWN_BYTES:
        raise ToolError(
            "invalid_arguments",
            f"This needs the user's consent, and more than {SHOWN_BYTES:,} bytes cannot be shown for it.",
        )
    copy: dict[str, Any] = msgspec.json.decode(encoded)
    return copy


def check_note(note: str) -> str:
    """Give the note that came with a decision back if it can be kept.

    Raises:
        CommandRejected: `invalid_command`: it is too long, or no text that can be stored.
    """
    if len(note) > NOTE:
        raise CommandRejected("invalid_command", f"A note has at most {NOTE:,} characters.")
    try:
        note.encode()
    except UnicodeEncodeError:
        raise CommandRejected("invalid_command", "That text cannot be stored.") from None
    return note


def needed(tool: Tool, arguments: Mapping[str, Any]) -> dict[str, Any] | None:
    """Give the copy of the arguments that the user is to be asked about; None when the call needs no consent.

    Raises:
        ToolError: `invalid_arguments`: the tool does not take them, or they cannot be shown whole.
        Exception: What the tool's own `approval` raises.
    """
    if tool.approval is False:
        return None
    tool.check(arguments)
    copy = plain_copy(arguments)
    asked = tool.approval if isinstance(tool.approval, bool) else tool.approval(plain_copy(arguments))
    return copy if asked else None
