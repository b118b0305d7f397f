"""What nodes say to each other. A thread goes by its owner and id where it may have to be begun, else by its name.

Requests are answered, events of a thread follow it, news are for whoever it concerns. Each is data: `understudy.
cluster.wire` makes bytes of them. A change of anything here, or of what it is made of, needs another `wire.VERSION`.
"""

from typing import TypeAlias

import msgspec

from sanitization import Finding, Sanitized
from transport.wire.commands import Say
from transport.wire.events import ApprovalDecision, AskedAgent, Block
from understudy.chat.routing import Route
from understudy.storage.rows import Message

# Requests to the node that has a thread


class Accept(msgspec.Struct, frozen=True, tag=True):
    """See `understudy.chat.messages.Accept`; the answer is the id of the run."""

    say: Say
    clean: Sanitized
    route: Route
    run_id: str
    message_id: str
    branch_of: str | None = None
    raw: bytes | None = None
    roles: tuple[str, ...] = ()
    beside: tuple[Finding, ...] = ()

    def __repr__(self) -> str:
        return f"Accept({self.message_id!r})"


class AnswerAgain(msgspec.Struct, frozen=True, tag=True):
    """See `understudy.chat.messages.AnswerAgain`; the answer is the id of the run."""

    message: Message
    route: Route
    run_id: str
    request_id: str | None = None
    roles: tuple[str, ...] = ()


class Rate(msgspec.Struct, frozen=True, tag="Rate"):
    """See `understudy.chat.messages.Rate`."""

    answer: Message
    rating: str | None
    note: str | None = None

    def __repr__(self) -> str:
        return f"Rate({self.rating!r})"


class CancelRun(msgspec.Struct, frozen=True, tag=True):
    """See `understudy.chat.messages.CancelRun`; the answer is whether it ran."""

    run_id: str


class Decide(msgspec.Struct, frozen=True, tag=True):
    """See `understudy.chat.messages.Decide`; the answer is whether the call waited."""

    call_id: str
    decision: ApprovalDecision
    note: str = ""

    def __repr__(self) -> str:
        return f"Decide({self.call_id!r}, {self.decision.value})"


class Delete(msgspec.Struct, frozen=True, tag=True):
    """See `understudy.chat.messages.Delete`; the answer is whether it was deleted."""

    unless_since: float | None = None


class Wake(msgspec.Struct, frozen=True, tag=True):
    """See `understudy.chat.messages.EnsureRunning`."""

    run_id: str


class Subscribe(msgspec.Struct, frozen=True, tag="Attend"):
    """The asking node wants the thread's events from now on, for a while: said again, it goes on.

    The answer is the number of the thread's last event, None where there is no such thread.
    """


class Snapshot(msgspec.Struct, frozen=True, tag=True):
    """The asking node lacks text of a running answer: send what there is of it."""


class Unsubscribe(msgspec.Struct, frozen=True, tag="Leave"):
    """The asking node wants no more of the thread."""


Command: TypeAlias = (
    Accept | AnswerAgain | Rate | CancelRun | Decide | Delete | Wake | Subscribe | Snapshot | Unsubscribe
)


class RpcRequest(msgspec.Struct, frozen=True, tag="Request"):
    """To the node that has a thread: do this. Nobody waits for it any more `within_s` after it was sent."""

    id: str
    owner: str
    thread_id: str
    within_s: float
    command: Command


class RpcFault(msgspec.Struct, frozen=True, tag="Fault"):
    """Why a request was not carried out: a `CommandRejected` by its code, or a `kind` of its own.

    `elsewhere`: the message came before in the thread that `text` names. `moved`: another node has the thread.
    `unavailable`: not now.
    """

    kind: str
    text: str = ""
    code: str = ""
    retry_after: float | None = None
    names: dict[str, str] = {}


class RpcReply(msgspec.Struct, frozen=True, tag="Answer"):
    """To the node that asked: what came of its request."""

    id: str
    value: bool | int | str | None = None
    fault: RpcFault | None = None


# To the nodes that follow a thread


class Events(msgspec.Struct, frozen=True, tag=True):
    """The next events of a thread, as the log has them but shown as its user is shown them; `first` is their number."""

    thread: str
    first: int
    bodies: list[bytes]

    def __repr__(self) -> str:
        return f"Events({self.thread!r}, {self.first}, {len(self.bodies)} of them)"


class TextPiece(msgspec.Struct, frozen=True, array_like=True):
    """A piece of running text: nine of ten events are one, and so they cost a tenth of what others do."""

    timestamp: float
    thread_id: str | None
    run_id: str | None
    message_id: str | None
    conversation_id: str | None
    agent_type: str | None
    pillar: str | None
    message: str
    offset: int
    text: str
    blocks: tuple[Block, ...]
    asked_agent: AskedAgent | None = None


class Ephemeral(msgspec.Struct, frozen=True, tag="Passing"):
    """Events without a number, which come after the one of number `head`. They are lost where they do not arrive.

    Pieces of text, and others as the log would have them.
    """

    thread: str
    head: int
    bodies: list[TextPiece | bytes]

    def __repr__(self) -> str:
        return f"Passing({self.thread!r}, {self.head}, {len(self.bodies)} of them)"


class ForwardingEnded(msgspec.Struct, frozen=True, tag="Ended"):
    """The node that had a thread works on it no more; `deleted`: nor does anybody else."""

    thread: str
    deleted: bool = False


Item: TypeAlias = RpcRequest | RpcReply | Events | ForwardingEnded | Ephemeral
