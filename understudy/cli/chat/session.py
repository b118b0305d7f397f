"""One session of `understudy chat`: the messages sent, and the display of events.

A message is sent under one id until the server has accepted it, so it is one message however often the connection
drops.
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

import trio
from attrs import define, field, frozen

from transport.client import Client, Received
from transport.wire.errors import CommandRejected
from transport.wire.events import (
    AgentHandoff,
    AgentProgress,
    AgentThinking,
    Alert,
    ApprovalDecided,
    ApprovalDecision,
    ApprovalRequired,
    Drain,
    Error,
    FinalResponse,
    MessageAccepted,
    PartialResult,
    RunStatus,
    SanitizationSummary,
    ToolCompleted,
    ToolExecuting,
    ToolStatus,
    Welcome,
)
from understudy.cli.chat.console import ChatConsole, neutralise, one_line

MAX_REASON: Final = 1000
"""Characters of a decision's reason that a server accepts."""
HELP: Final = (
    "/agent NAME  talk to another agent",
    "/new         start a new conversation",
    "/quit        leave, as Ctrl-D does",
    "When a tool asks for your consent: y, or n, or n and why.",
    "Ctrl-C stops the answer that is being written, and leaves when there is none.",
)


class UnknownAgent(LookupError):
    """The server has no agent of that name; the text lists its agents."""


def find_agent(agents: Sequence[Mapping[str, Any]], name: str) -> Mapping[str, Any]:
    """Return the agent with this name, or of this pillar.

    Raises:
        UnknownAgent: There is none.
    """
    for agent in agents:
        if name and name in (agent.get("name"), agent.get("pillar")):
            return agent
    known = ", ".join(one_line(agent.get("pillar") or agent.get("name")) for agent in agents)
    raise UnknownAgent(f"there is no agent {one_line(name)!r} here; there are {known}")


_DECIDED: Final[Mapping[ApprovalDecision, str]] = {
    ApprovalDecision.ALLOW: "allowed",
    ApprovalDecision.DENY: "not allowed",
    ApprovalDecision.EXPIRED: "nobody answered in time",
}


@define(eq=False)
class PendingMessage:
    """A message without a complete answer. `shown` is the part of the answer on the screen."""

    run_id: str | None = None
    shown: str = ""
    unwanted: bool = False


@frozen
class PendingApproval:
    """A tool call that waits for approval."""

    tool_name: str
    message_id: str


@define(eq=False)
class ChatSession:
    """One session: the messages sent, and the display of events."""

    client: Client
    screen: ChatConsole
    agents: Sequence[Mapping[str, Any]]
    agent: Mapping[str, Any]
    thread_id: str = field(factory=lambda: uuid.uuid4().hex)
    pending: dict[str, PendingMessage] = field(factory=dict)
    approvals: dict[str, PendingApproval] = field(factory=dict)
    failed: bool = False
    online: bool = False
    ever_online: bool = False
    leaving: bool = False
    _deciding: bool = False
    _answered: trio.Event = field(factory=trio.Event)

    @property
    def name(self) -> str:
        """The current agent's name, fit for the prompt."""
        return one_line(self.agent.get("pillar") or self.agent.get("name"))[:40]

    async def send_message(self, content: str) -> None:
        """Send a message to the current agent, in the current conversation."""
        fields = {"thread_id": self.thread_id, "agent_type": self.agent["agent_type"]}
        if self.agent.get("pillar") is not None:
            fields["pillar"] = self.agent["pillar"]
        message_id = uuid.uuid4().hex
        self.pending[message_id] = PendingMessage()
        self._answered = trio.Event()
        try:
            await self.client.say(content, message_id=message_id, **fields)
        except trio.WouldBlock:
            self.screen.note("✗ too many messages wait for the server already", "red")
            self._end(message_id, failed=True)
            return
        except CommandRejected as error:
            self.screen.note(f"✗ {one_line(error)}", "red")
            self._end(message_id, failed=True)
            return
        if not self.online and self.ever_online:
            self.screen.note("kept; it is sent when the server is back", "yellow")
            self.screen.prompt(self.name)

    async def wait_answered(self) -> None:
        """Wait until no message is pending."""
        while self.pending:
            await self._answered.wait()

    async def run_slash_command(self, line: str) -> bool:
        """Run a command that starts with a slash. Return False for /quit."""
        word, _, rest = line.partition(" ")
        if word == "/quit":
            return False
        if word == "/new":
            self.thread_id = uuid.uuid4().hex
            self.screen.note("a new conversation")
        elif word == "/agent":
            try:
                self.agent = find_agent(self.agents, rest.strip())
                self.screen.note(f"now talking to {self.name}")
            except UnknownAgent as error:
                self.screen.note(str(error), "red")
        elif word == "/help":
            for each in HELP:
                self.screen.note(each)
        else:
            self.screen.note(f"there is no command {one_line(word)}; /help shows them", "red")
        self.screen.prompt(self.name)
        return True

    def show_disconnected(self) -> None:
        """Show that the connection ended or could not be made. The client reconnects by itself."""
        if self.online:
            self.screen.note("the connection is lost; trying again. You can go on writing.", "yellow")
            self.screen.prompt(self.name)
        self.online = False

    async def cancel_pending(self) -> bool:
        """Cancel all pending messages, for Ctrl-C. Return False if there are none, or they are being cancelled
        already."""
        if not self.pending or self.leaving:
            return False
        self.leaving = True
        self.screen.note("stopping; Ctrl-C again leaves", "yellow")
        for message_id, each in list(self.pending.items()):
            each.unwanted = True
            if each.run_id is not None:
                await self.client.cancel(each.run_id)
            else:
                await self.client.withdraw(message_id)
        return True

    async def show_event(self, received: Received) -> None:
        """Show one event of the server."""
        message_id = received.message_id or ""
        asked = self.pending.get(message_id)
        match received.event:
            case Welcome():
                if self.ever_online and not self.online:
                    self.screen.note("connected again", "green")
                    self._prompt()
                self.online = self.ever_online = True
            case Alert(message=message):
                self.screen.note(f"! {one_line(message)}", "yellow")
                self._prompt()
            case Drain():
                self.screen.note("! the server goes away for a moment", "yellow")
            case Error() as error if asked is not None:
                self._fault(message_id, error, repeated=received.repeated)
            case Error(code="not_found") if self._deciding and received.refusal and not message_id:
                self.screen.note("that was decided already", "yellow")
            case Error() as error if not message_id and received.thread_id is None:
                self._show_fault(error)
            case _ if asked is not None:
                await self._show_run_event(message_id, asked, received)

    async def _show_run_event(self, message_id: str, asked: PendingMessage, received: Received) -> None:
        note = self.screen.note
        match received.event:
            case MessageAccepted(run_id=run_id):
                asked.run_id = run_id
                if asked.unwanted:
                    await self.client.cancel(run_id)
            case AgentThinking(thought=thought):
                note(one_line(thought))
            case AgentHandoff(to_agent=to_agent, reason=reason):
                note(f"→ {one_line(to_agent)}: {one_line(reason)}", "magenta")
            case ToolExecuting(tool_name=tool_name, description=description):
                note(f"… {one_line(tool_name)} running  {one_line(description)}".rstrip())
            case ApprovalRequired() as question:
                await self._ask(message_id, question)
            case ApprovalDecided(call_id=call_id, decision=decision):
                note(_DECIDED[decision])
                self._settle(call_id)
            case ToolCompleted(call_id=call_id) as ended:
                good = ended.status is ToolStatus.OK
                line = f"{one_line(ended.tool_name)} {_elapsed(ended.duration_ms)}  {one_line(ended.result_summary)}"
                note(f"{'✓' if good else '✗'} {line.rstrip()}", "green" if good else "red")
                self._settle(call_id)
            case AgentProgress(note=words) if not self.approvals:
                note(one_line(words))
            case SanitizationSummary(direction=direction, counts=by_kind):
                counts = ", ".join(f"{count} {one_line(name)}" for name, count in by_kind.items())
                where = {"inbound": "your message", "outbound": "the answer"}.get(direction, "it")
                note(f"! taken out of {where}: {counts}", "yellow")
            case PartialResult(text=text, offset=offset):
                self._show(asked, text, offset)
            case FinalResponse(message=message, status=status):
                self._finish(asked, message)
                if status is RunStatus.CANCELLED:
                    note("stopped", "yellow")
                self._end(message_id)

    # Approvals

    async def _ask(self, message_id: str, question: ApprovalRequired) -> None:
        """Show all arguments of a tool call, and ask for approval. Deny it if there is no terminal to ask on."""
        self.screen.note(f"? {one_line(question.tool_name)} asks for your consent, to be called with", "yellow")
        shown = json.dumps(dict(question.parameters), ensure_ascii=False, indent=2, default=str)
        for line in shown.split("\n"):
            self.screen.note(neutralise(line))
        if not self.screen.prompts:
            self.screen.note("not allowed, as nobody can be asked", "yellow")
            await self.client.approve(question.call_id, False, note="Nobody was there to be asked.")
            return
        self.approvals[question.call_id] = PendingApproval(question.tool_name, message_id)
        self._prompt()

    async def decide(self, line: str) -> None:
        """Read a line as the decision about the oldest pending approval."""
        word, _, why = line.partition(" ")
        word = word.rstrip(",.:;!").lower()
        if word in ("y", "yes", "n", "no"):
            call_id = next(iter(self.approvals))
            del self.approvals[call_id]
            self._deciding = True
            await self.client.approve(call_id, word in ("y", "yes"), note=why.strip()[:MAX_REASON] or None)
        elif line:
            self.screen.note("please answer y or n first", "yellow")
        self._prompt()

    def _settle(self, call_id: str) -> None:
        if self.approvals.pop(call_id, None) is not None:
            self._prompt()

    def _prompt(self) -> None:
        """Prompt for an approval if one is pending, otherwise for a message if none is pending."""
        if self.approvals:
            tool_name = next(iter(self.approvals.values())).tool_name
            self.screen.prompt(f"allow {one_line(tool_name)[:40]}, y or n")
        elif not self.pending:
            self.screen.prompt(self.name)

    def _show(self, asked: PendingMessage, text: str, offset: int) -> None:
        """Show the part of this piece that is not on the screen yet. After a gap, wait for the whole answer."""
        piece = text[len(asked.shown) - offset :] if offset <= len(asked.shown) else ""
        asked.shown += piece
        self.screen.write(piece)

    def _finish(self, asked: PendingMessage, whole: str) -> None:
        if not whole.startswith(asked.shown):
            self.screen.end_line()
            asked.shown = ""
        self.screen.write(whole[len(asked.shown) :])
        self.screen.end_line()

    def _fault(self, message_id: str, error: Error, *, repeated: bool) -> None:
        """Show an error. `repeated`: the message was refused for the moment, and is sent again."""
        if repeated:
            self._show_fault(error, " Trying again.")
            return
        self._show_fault(error)
        self._end(message_id, failed=True)

    def _show_fault(self, error: Error, more: str = "") -> None:
        name = f" [{one_line(error.error_id)}]" if error.error_id else ""
        self.screen.note(f"✗ {one_line(error.message)}{more}{name}", "red")

    def _end(self, message_id: str, *, failed: bool = False) -> None:
        del self.pending[message_id]
        for call_id in [name for name, each in self.approvals.items() if each.message_id == message_id]:
            del self.approvals[call_id]
        self.failed |= failed
        if not self.pending:
            self.leaving = False
            self._answered.set()
            self._deciding = False
        self._prompt()


def _elapsed(ms: float) -> str:
    return f"{ms / 1000:.1f} s" if ms >= 1000 else f"{ms:.0f} ms"
