"""The session of `understudy chat`: talks to a running server in a terminal, or through pipes.

1. A message is sent under one id until the server has accepted it, so it is stored once however often the connection
   drops.
2. Session tokens are never shown.
"""

import json
import os
import signal
import sys
import time
import uuid
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import trio
from attrs import define, field, frozen
from msgspec import UnsetType

from transport.wire.errors import CommandRejected, TransportError
from transport.wire.events import Drain, Error, PartialResult, Welcome
from understudy.cli.chat_command import ChatCommand
from understudy.cli.output import one_line
from understudy.cli.server_address import ServerAddress, ServerFailed
from understudy.client import Client, Received, Reconnect, Status, open_client
from understudy.extensions.terminal.decisions import Decisions, as_line
from understudy.extensions.terminal.prompts import USAGE, list_prompts, read_prompt
from understudy.installed import brought, installed
from understudy.storage.errors import ExtraNotInstalled
from understudy.suggestion import did_you_mean
from understudy.wire.commands import SteerMode
from understudy.wire.events import (
    AgentHandoff,
    AgentProgress,
    AgentThinking,
    Alert,
    AnswerOutcome,
    ApprovalDecided,
    ApprovalDecision,
    ApprovalRequired,
    CallUndone,
    FinalResponse,
    MessageAccepted,
    QuestionAnswered,
    QuestionAsked,
    RunStatus,
    SanitizationSummary,
    SteerAccepted,
    SteerTaken,
    SteerWithdrawn,
    SubagentCompleted,
    SubagentStarted,
    ToolCompleted,
    ToolExecuting,
    ToolPartial,
    ToolStatus,
    UndoStarted,
    UndoStatus,
    Usage,
)

if TYPE_CHECKING:
    from understudy.extensions.terminal.console import ChatConsole

PARTIAL_CHARACTERS: Final = 200
"""Limit of characters of an item of a partial result on the screen; the rest is cut off."""
SHOWN_CALLS, FOLDED_CALLS = 6, 10
"""Number of a run's first tool calls with lines of their own, and of later successful calls that share one line."""
HELP: Final = (
    "/agent NAME  talk to another agent",
    "/new         start a new conversation",
    "/next TEXT   send a run at work a message, which it reads at its next step",
    "/now TEXT    the same, but the model is interrupted for it; its text stays",
    "/back        withdraw the last of these, if it was not read yet",
    "/continue    go on with the last answer, if it was cut",
    "/quit        leave, as Ctrl-D does",
    "/undo        list the calls that can be undone; /undo 2 undoes the second, /undo all all of them",
    "/prompts     prompts of MCP servers; /prompts SERVER:NAME argument=value sends one",
    "/decline     do not answer what a tool asks",
    "When a tool asks for your consent: y, or n, or n and why; c to change what it is given.",
    "Ctrl-C stops the answer that is being written, and leaves when there is none.",
)

HELP_ALWAYS: Final = (
    "/ask TOOL    have a tool ask again that you always allowed here",
    "a to a tool that asks for your consent allows it always in this conversation.",
)
"""Further lines of the help if the server remembers consents."""


@cache
def commands() -> Mapping[str, ChatCommand]:
    """Return the slash commands of all extensions, by their words."""
    listed = (command for extension in installed().values() for command in brought(extension.terminal).chat)
    return {command.word: command for command in listed}


@frozen
class UndoableCall:
    """A tool call that can be undone until `until` (Unix seconds); `line` says what it did."""

    run_id: str
    line: str
    until: float


class UnknownAgent(LookupError):
    """The server has no agent of that name; the text lists its agents."""


def find_agent(agents: Sequence[Mapping[str, Any]], name: str | None) -> Mapping[str, Any]:
    """Return the agent with this name or pillar; for None the default agent, which is the first.

    Raises:
        UnknownAgent: There is no such agent.
    """
    for agent in agents:
        if name is None or (name and name in (agent.get("name"), agent.get("pillar"))):
            return agent
    if name is None:
        raise UnknownAgent("there is no agent here for you")
    names = [one_line(agent.get("pillar") or agent.get("name")) for agent in agents]
    hint = did_you_mean(name, names)
    raise UnknownAgent(f"there is no agent {one_line(name)!r} here{hint}; there are {', '.join(names)}")


_ANSWERED: Final[Mapping[AnswerOutcome, str]] = {
    AnswerOutcome.ANSWERED: "answered",
    AnswerOutcome.DECLINED: "not answered",
    AnswerOutcome.EXPIRED: "there was no answer in time",
}
_DECIDED: Final[Mapping[ApprovalDecision, str]] = {
    ApprovalDecision.ALLOW: "allowed",
    ApprovalDecision.DENY: "not allowed",
    ApprovalDecision.EXPIRED: "there was no answer in time",
}


@define(eq=False)
class PendingMessage:
    """A message without a complete answer. `shown` is the part of the answer on the screen, `answers` the name of the
    answering agent. `calls` counts ended calls since the message or a read steer, `folded` the successful ones without
    a line, by tool. `progress` is the last progress on the screen; `undoable`: a call in it can be undone."""

    run_id: str | None = None
    shown: str = ""
    unwanted: bool = False
    answers: str = ""
    calls: int = 0
    folded: Counter[str] = field(factory=Counter)
    progress: str = ""
    undoable: bool = False


@frozen
class RunningCall:
    """A running call: its parameters, and the nesting depth of the agent that made it."""

    depth: int
    parameters: Mapping[str, Any] = field(repr=False)


@frozen
class CutAnswer:
    """An answer that can be continued: its run, message and agent, and its text on the screen, which stays."""

    run_id: str
    message_id: str
    answers: str
    shown: str = field(default="", repr=False)


@frozen
class WaitingSteer:
    """A message that its run has not read."""

    run_id: str
    content: str = field(repr=False)


@define(eq=False)
class ChatSession:
    """One session: the messages sent, and the display of events."""

    client: Client
    screen: "ChatConsole"
    agents: Sequence[Mapping[str, Any]]
    agent: Mapping[str, Any]
    session: "RenewingSession"
    currency: str = ""
    allow_always: bool = True
    thread_id: str = field(factory=lambda: uuid.uuid4().hex)
    pending: dict[str, PendingMessage] = field(factory=dict)
    undoable: dict[str, UndoableCall] = field(factory=dict)
    steers: dict[str, str] = field(factory=dict)  # texts of steers that are not accepted yet, by id
    depths: dict[str, int] = field(factory=dict)  # nesting depths of subagents at work, by id
    running: dict[str, RunningCall] = field(factory=dict)  # by id
    waiting_steers: dict[str, WaitingSteer] = field(factory=dict)  # by id
    cut: CutAnswer | None = None
    continuing: dict[str, str] = field(factory=dict)  # ids of messages, by the keys of requests to continue the answers
    failed: bool = False
    online: bool = False
    ever_online: bool = False
    leaving: bool = False
    decisions: Decisions = field(init=False)
    _answered: trio.Event = field(factory=trio.Event)

    def __attrs_post_init__(self) -> None:
        self.decisions = Decisions(self.client, self.screen, self.allow_always, self._prompt_message)

    @property
    def name(self) -> str:
        """The current agent's name, fit for the prompt."""
        return one_line(self.agent.get("pillar") or self.agent.get("name"))[:40]

    async def send_message(self, content: str) -> None:
        """Send a message to the current agent, in the current conversation."""
        fields = {"thread_id": self.thread_id, "agent_type": self.agent["agent_type"]}
        if self.agent.get("pillar") is not None:
            fields["pillar"] = self.agent["pillar"]
        self.cut = None
        message_id, working = uuid.uuid4().hex, any(sent.run_id and not sent.unwanted for sent in self.pending.values())
        self.pending[message_id] = PendingMessage(answers=str(self.agent.get("name")))
        self._answered = trio.Event()
        try:
            await self.client.say(content, message_id=message_id, **fields)
        except (trio.WouldBlock, CommandRejected) as error:
            full = isinstance(error, trio.WouldBlock)
            why = "too many messages wait for the server already" if full else one_line(error)
            self.screen.note(f"✗ {why}", "red")
            self._end(message_id, failed=True)
            return
        if not self.online and self.ever_online:
            self.screen.note("kept; it is sent when the server is back", "yellow")
            self.screen.prompt(self.name)
        elif working:
            self.screen.note("it is answered next; /next TEXT and /now TEXT reach the run at work")

    async def wait_answered(self) -> None:
        """Wait until no message is pending."""
        while self.pending:
            await self._answered.wait()

    async def run_slash_command(self, line: str) -> bool:
        """Run a slash command, and prompt, unless it has sent something to be answered. Return False for /quit."""
        word, _, arguments = line.partition(" ")
        if word == "/quit":
            return False
        try:
            if not await self._run(word, arguments.strip()):
                self.screen.prompt(self.name)
        except ServerFailed as error:
            self.screen.note(f"✗ {error}", "red")
            self.screen.prompt(self.name)
        return True

    async def _run(self, word: str, arguments: str) -> bool:
        """Run a command. Return whether it has sent something. Raises `ServerFailed`."""
        note = self.screen.note
        match word:
            case "/new":
                self.thread_id = uuid.uuid4().hex
                note("a new conversation")
            case "/agent":
                try:
                    self.agent = find_agent(self.agents, arguments)
                    note(f"now talking to {self.name}")
                except UnknownAgent as error:
                    note(str(error), "red")
            case "/ask" | "/next" | "/now" if not arguments:
                note(f"{word} takes the name of a tool" if word == "/ask" else f"{word} takes a text", "yellow")
            case "/ask" if self.allow_always:
                self.client.disallow(self.thread_id, arguments)
                note(f"{one_line(arguments)} asks again from now on")
            case "/next" | "/now":
                await self._steer(arguments, SteerMode(word[1:]))
                return True
            case "/back" if self.waiting_steers:
                steer_id, steer = next(reversed(self.waiting_steers.items()))
                await self.client.unsteer(steer.run_id, steer_id)
                return True
            case "/back":
                note("no message waits to be read", "yellow")
            case "/decline" if self.decisions.questions:
                await self.decisions.decline()
                return True
            case "/decline":
                note("nothing asks you for an answer", "yellow")
            case "/undo":
                await self._undo(arguments)
            case "/continue" if self.cut is not None:
                await self._continue(self.cut)
                return True
            case "/continue":
                note("the last answer was not cut", "yellow")
            case "/prompts":
                return await self._prompts(arguments)
            case "/help":
                about = [f"{name:<12} {command.about}" for name, command in commands().items()]
                for help_line in (*HELP, *(HELP_ALWAYS if self.allow_always else ()), *about):
                    note(help_line)
            case _ if word in commands():
                for text in await commands()[word].run(self.session.ask, str(self.agent.get("name")), arguments):
                    note(text)
            case _:
                note(f"there is no command {one_line(word)}; /help shows them", "red")
        return False

    async def _prompts(self, words: str) -> bool:
        """List the prompts of MCP servers, or send the prompt that these words name. Return whether one was sent."""
        if not words:
            for prompt in await list_prompts(self.session.ask, self.thread_id):
                self.screen.note(prompt)
            return False
        text = await read_prompt(self.session.ask, self.thread_id, words)
        if text is None:
            self.screen.note(USAGE, "yellow")
            return False
        await self.send_message(text)
        return True

    async def _continue(self, cut: CutAnswer) -> None:
        """Continue an answer that was cut. Its text on the screen is not shown again."""
        self.cut = None
        self.pending[cut.message_id] = PendingMessage(answers=cut.answers, shown=cut.shown)
        self._answered = trio.Event()
        try:
            self.continuing[await self.client.continue_answer(cut.run_id)] = cut.message_id
        except (trio.WouldBlock, CommandRejected) as error:
            self.screen.note(f"✗ {one_line(error)}", "red")
            self._end(cut.message_id, failed=True)

    def _note_cut(self, message_id: str, asked: PendingMessage, shown: str) -> None:
        """Remember that an answer was cut, and tell the user how to continue it."""
        if asked.run_id is not None:
            self.cut = CutAnswer(asked.run_id, message_id, asked.answers, shown)
            self.screen.note("/continue goes on with it")

    async def _steer(self, content: str, mode: SteerMode) -> None:
        """Send a message to the run at work; send an ordinary message if no run is at work."""
        working = [sent.run_id for sent in self.pending.values() if sent.run_id is not None and not sent.unwanted]
        if not working:
            await self.send_message(content)
            return
        steer_id = uuid.uuid4().hex
        self.steers[steer_id] = content
        try:
            await self.client.steer(working[0], content, mode=mode, steer_id=steer_id)
        except (trio.WouldBlock, CommandRejected) as error:
            del self.steers[steer_id]
            self.screen.note(f"✗ {one_line(error)}", "red")

    def show_disconnected(self) -> None:
        """Show that the connection ended or could not be made. The client reconnects by itself."""
        if self.online:
            self.screen.note("the connection is lost; trying again. You can go on writing.", "yellow")
            if self.decisions.approvals or self.decisions.questions:
                self.decisions.prompt()
            else:
                self.screen.prompt(self.name)
        self.online = False

    async def cancel_pending(self) -> bool:
        """Cancel all pending messages. Return False if there are none, or they are being cancelled already."""
        if not self.pending or self.leaving:
            return False
        self.leaving = True
        self.screen.note("stopping; Ctrl-C again leaves", "yellow")
        for message_id, message in list(self.pending.items()):
            message.unwanted = True
            if message.run_id is not None:
                await self.client.cancel(message.run_id)
            else:
                await self.client.withdraw(message_id)
        return True

    async def _undo(self, which: str) -> None:
        """List the calls that can be undone, oldest first, or undo one by its number, or all of them."""
        self.undoable = {name: call for name, call in self.undoable.items() if call.until > time.time()}
        calls = list(self.undoable.items())
        if not calls:
            self.screen.note("there is nothing to undo here", "yellow")
        elif which == "all":
            for run_id in dict.fromkeys(call.run_id for _, call in reversed(calls)):
                await self.client.undo(run_id=run_id)
        elif which.isdecimal() and 1 <= int(which) <= len(calls):
            await self.client.undo(call_id=calls[int(which) - 1][0])
        elif which:
            self.screen.note(f"/undo takes a number from 1 to {len(calls)}, or all", "yellow")
        else:
            for number, (_, call) in enumerate(calls, 1):
                soon = call.until - time.time() < 20 * 3600
                until = time.strftime("%H:%M" if soon else "%d %B", time.localtime(call.until))
                self.screen.note(f"{number}  {call.line}  until {until}")
            self.screen.note("/undo 1 undoes the first, /undo all all of them")

    async def show_event(self, received: Received) -> None:
        """Show one event of the server."""
        message_id = received.message_id or ""
        pending, decisions = self.pending.get(message_id), self.decisions
        refused = received.refusal and not message_id  # a decision or an answer, as only these have no message
        match received.event:
            case Welcome():
                if self.ever_online and not self.online:
                    self.screen.note("connected again", "green")
                    decisions.prompt()
                self.online = self.ever_online = True
            case Alert(message=message):
                self.screen.note(f"! {one_line(message)}", "yellow")
                decisions.prompt()
            case UndoStarted(call_ids=call_ids):
                self.screen.note(f"undoing {len(call_ids)} {'call' if len(call_ids) == 1 else 'calls'}")
            case CallUndone(status=UndoStatus.OK, call_id=call_id, tool_name=tool_name):
                undone = self.undoable.pop(call_id, None)
                self.screen.note(f"↶ undone: {undone.line if undone else one_line(tool_name)}", "green")
                decisions.prompt()
            case CallUndone(call_id=call_id, tool_name=tool_name, reason=reason, kept=kept):
                kept_call = self.undoable.get(call_id)
                line = kept_call.line if kept_call else one_line(tool_name)
                self.screen.note(f"✗ not undone: {line}: {one_line(reason or '')}", "red")
                if kept:
                    earlier = "1 call" if len(kept) == 1 else f"{len(kept)} calls"
                    self.screen.note(f"the undo stopped there, before {earlier}; /undo all tries again")
                decisions.prompt()
            case Drain():
                self.screen.note("! the server goes away for a moment", "yellow")
            case Error() as error if pending is not None:
                if received.run_id is not None:
                    self._note_cut(message_id, pending, pending.shown)
                self._fault(message_id, error, repeated=received.repeated)
            case Error() as error if message_id in self.continuing and received.refusal:
                self._fault(self.continuing.pop(message_id), error, repeated=received.repeated)
            case Error(code="not_found") if decisions.deciding and refused:
                self.screen.note("that was decided already", "yellow")
            case Error(code="invalid_command") as error if decisions.sent_answers and refused:
                self._show_fault(error)
                decisions.enter_again()
            case Error(code="run_ended") if message_id in self.steers:
                await self.send_message(self.steers.pop(message_id))
            case Error() as error if message_id in self.steers and not received.repeated:
                del self.steers[message_id]
                self._show_fault(error)
            case Error() as error if not message_id and received.thread_id is None:
                self._show_fault(error)
            case _ if pending is not None:
                await self._show_run_event(message_id, pending, received)

    def _indent(self, agent_id: str) -> str:
        """Return the indentation of an agent's lines; those of a subagent are indented below the call that asks it."""
        return "  " * self.depths.get(agent_id, 0)

    async def _show_run_event(self, message_id: str, asked: PendingMessage, received: Received) -> None:
        """Show an event of a run. Calls and thoughts do not end a line of folded calls; anything else does."""
        note, decisions = self.screen.note, self.decisions
        if not isinstance(received.event, (ToolExecuting, ToolCompleted, AgentThinking, AgentProgress)):
            self._unfold(asked)
        match received.event:
            case MessageAccepted(run_id=run_id):
                asked.run_id = run_id
                if asked.unwanted:
                    await self.client.cancel(run_id)
            case SubagentStarted(agent_id=agent_id, call_id=call_id, agent=agent):
                asking = self.running.get(call_id)
                self.depths[agent_id] = (asking.depth if asking else 0) + 1
                note(f"{self._indent(agent_id)}→ asks {one_line(agent)}", "magenta")
            case SubagentCompleted(agent_id=agent_id):
                self.depths.pop(agent_id, None)
            case AgentThinking(thought=thought, notice=str()):
                self._unfold(asked)
                note(one_line(thought), "yellow")
            case AgentThinking(agent_id=agent_id, thought=thought):
                if not thought.startswith("Next: "):  # such a thought announces calls, which have their own lines
                    self._unfold(asked)
                    note(f"{self._indent(agent_id)}{one_line(thought)}")
            case AgentHandoff(to_agent=to_agent, reason=reason):
                asked.answers = to_agent
                note(f"→ {one_line(to_agent)}: {one_line(reason)}", "magenta")
            case ToolExecuting(agent_id=agent_id, call_id=call_id, parameters=parameters) as begun:
                self.running[call_id] = RunningCall(self.depths.get(agent_id, 0), parameters)
                if asked.calls < SHOWN_CALLS:
                    line = (
                        f"{self._indent(agent_id)}… {one_line(begun.tool_name)} running  {one_line(begun.description)}"
                    )
                    note(line.rstrip())
            case ApprovalRequired() as question:
                await decisions.ask_consent(message_id, question)
            case ApprovalDecided(call_id=call_id, decision=decision, parameters=changed, remember=always):
                more = f", with {as_line(changed)}" if changed else ""
                note(f"{_DECIDED[decision]}{', always in this conversation' if always else ''}{more}")
                decisions.settle(call_id)
            case QuestionAsked() as question:
                call = self.running.get(question.call_id or "")
                await decisions.ask_question(message_id, question, None if call is None else call.parameters)
            case QuestionAnswered(question_id=question_id, outcome=outcome):
                note(_ANSWERED[outcome])
                decisions.settle(question_id)
            case SteerAccepted(steer_id=steer_id, content=content):
                self.steers.pop(steer_id, None)
                self.waiting_steers[steer_id] = WaitingSteer(asked.run_id or "", content)
                note(f"↪ waiting: {one_line(content)}")
            case SteerTaken(steer_id=steer_id):
                asked.calls = 0
                note(f"↪ read by the agent{self._steer_text(steer_id)}")
            case SteerWithdrawn(steer_id=steer_id, message_id=following):
                ending = "withdrawn" if following is None else "the run ended first; it is the next message"
                note(f"↪ {ending}{self._steer_text(steer_id)}")
                if following is not None:
                    self.pending.setdefault(following, PendingMessage())
            case ToolCompleted(call_id=call_id) as ended:
                self.running.pop(call_id, None)
                good = ended.status is ToolStatus.OK
                asked.calls += 1
                if good and ended.undo_until is None and asked.calls > SHOWN_CALLS:
                    decisions.settle(call_id)
                    asked.folded[one_line(ended.tool_name)] += 1
                    if asked.folded.total() == FOLDED_CALLS:
                        self._unfold(asked)
                    return
                self._unfold(asked)
                tool_name, summary, ms = one_line(ended.tool_name), one_line(ended.result_summary), ended.duration_ms
                took = f"{ms / 1000:.1f} s" if ms >= 1000 else f"{ms:.0f} ms"
                line = f"{self._indent(ended.agent_id)}{'✓' if good else '✗'} {tool_name} {took}  {summary}"
                note(line.rstrip(), "green" if good else "red")
                decisions.settle(call_id)
                if ended.undo_until is not None:
                    description_line = f"{tool_name}  {summary}".rstrip()
                    self.undoable[call_id] = UndoableCall(received.run_id or "", description_line, ended.undo_until)
                    asked.undoable = True
            case ToolPartial(offset=offset, items=items):
                for number, item in enumerate(items, offset + 1):
                    item_text = item if isinstance(item, str) else json.dumps(item, ensure_ascii=False, default=str)
                    note(f"  {number}: {one_line(item_text)[:PARTIAL_CHARACTERS]}")
            case AgentProgress(done=done, total=total, note=words) if not (decisions.approvals or decisions.questions):
                tenths = f"  {min(10, int(10 * done / total)) * 10} %" if total else ""
                if (progress := f"{one_line(words)}{tenths}") != asked.progress:
                    asked.progress = progress
                    note(progress)
            case SanitizationSummary(direction=direction, counts=by_kind, findings=findings, omitted=omitted):
                counts = ", ".join(f"{count} {one_line(name)}" for name, count in by_kind.items())
                where = {"inbound": "your message", "outbound": "the answer"}.get(direction, "it")
                stayed = not omitted and all(finding.get("action") == "flag" for finding in findings)
                note(f"! {'pointed out in' if stayed else 'taken out of'} {where}: {counts}", "yellow")
            case PartialResult(text=text, offset=offset):
                self._show(asked, text, offset)
            case FinalResponse(message=message, status=status, usage=usage, data=data):
                self._finish(asked, message)
                if status is RunStatus.CANCELLED:
                    note("stopped", "yellow")
                    self._note_cut(message_id, asked, message)
                elif {"budget", "cut"} & set(data or {}):
                    self._note_cut(message_id, asked, "")
                if asked.undoable:
                    note("/undo lists what can be undone")
                if spent := _spent(usage, self._model_of(asked.answers), self.currency):
                    note(spent)
                self._end(message_id)

    def _unfold(self, asked: PendingMessage) -> None:
        """Show the folded calls in one line."""
        if asked.folded:
            names = ", ".join(f"{count} {name}" for name, count in asked.folded.most_common())
            self.screen.note(f"✓ {asked.folded.total()} more calls: {names}", "green")
            asked.folded.clear()

    def _steer_text(self, steer_id: str) -> str:
        """Forget a waiting steer. Return its text as the end of a line, empty if it is not known."""
        steer = self.waiting_steers.pop(steer_id, None)
        return f": {one_line(steer.content)}" if steer else ""

    def _show(self, asked: PendingMessage, text: str, offset: int) -> None:
        """Show the part of a piece that is not on the screen yet; after a gap nothing, until the whole answer comes."""
        piece = text[len(asked.shown) - offset :] if offset <= len(asked.shown) else ""
        asked.shown += piece
        self.screen.write(piece)

    def _finish(self, asked: PendingMessage, whole: str) -> None:
        if not whole.startswith(asked.shown):
            self.screen.end_line()
            asked.shown = ""
        self.screen.write(whole[len(asked.shown) :])
        self.screen.end_line()

    def _model_of(self, agent: str) -> str:
        """Return the name of an agent's model, empty if the server does not say."""
        entry = next((row for row in self.agents if agent in (row.get("name"), row.get("pillar"))), {})
        return str((entry.get("model") or {}).get("name", ""))

    def _fault(self, message_id: str, error: Error, *, repeated: bool) -> None:
        """Show an error, and end the message. `repeated`: the refusal is temporary, and the client sends it again."""
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
        self.decisions.forget(message_id)
        self.failed |= failed
        if not self.pending:
            self.leaving = False
            self._answered.set()
            self.decisions.deciding = False
        self.decisions.prompt()

    def _prompt_message(self) -> None:
        """Prompt for a message if none is pending."""
        if not self.pending:
            self.screen.prompt(self.name)


def _spent(usage: Usage, model: str, currency: str) -> str:
    """Return the usage of an answer as a line, empty for the offline model, which counts words."""
    if model in ("", "offline") or not usage.input:
        return ""
    cached = "" if not usage.cached else f", {100 * usage.cached // usage.input} % cached"
    reasoning = "" if not usage.reasoning else f", {usage.reasoning:,} reasoning"
    cost = "" if isinstance(usage.cost, UnsetType) else f" · {usage.cost:.3g} {one_line(currency)}".rstrip()
    turns = f"{usage.turns} {'turn' if usage.turns == 1 else 'turns'}"
    return f"{turns} · {usage.input:,} tokens in{cached} · {usage.output:,} out{reasoning}{cost}"


LINE_BYTES: Final = 64 * 1024
INTERACTIVE_RECONNECT: Final = Reconnect(max_s=10.0, attempts=1_000_000)
"""Reconnects until the user leaves."""


def run_chat(url: str, session_token: str | None, agent: str | None) -> int:
    """Chat with the server at `url` over this process's streams. Return the exit code.

    Without a token an anonymous session is requested. The exit code is 1 if the server cannot be reached, refuses, or
    has no such agent, or if a message from a pipe ended in an error.
    """
    try:
        from understudy.extensions.terminal.console import ChatConsole
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] != "rich":
            raise
        raise ExtraNotInstalled("understudy chat", "terminal") from missing
    source = sys.stdin.fileno() if sys.stdin is not None else os.open(os.devnull, os.O_RDONLY)
    screen = ChatConsole.of_process()
    try:
        return trio.run(chat_session, url, session_token, agent, screen, source)
    except ServerFailed as error:
        screen.note(str(error), "red")
        return 1


async def chat_session(url: str, token: str | None, agent: str | None, screen: "ChatConsole", source: int) -> int:
    """Run one session: read lines from the file descriptor `source`. Return the exit code.

    Raises:
        ServerFailed: The server does not answer, refuses, or has no such agent.
    """
    server = ServerAddress.parse(url)
    token = token or str((await server.ask("POST", "/api/sessions"))["session_token"])
    listed = await server.ask("GET", "/api/agents", token)
    agents, currency = listed["agents"], str((listed.get("model") or {}).get("currency", ""))
    allow_always = listed.get("allow_always") is True
    try:
        chosen = find_agent(agents, agent)
    except UnknownAgent as error:
        raise ServerFailed(str(error)) from error
    failure: list[TransportError] = []
    reconnect = INTERACTIVE_RECONNECT if screen.prompts else Reconnect()
    session = RenewingSession(server, token)
    async with (
        open_client(server.socket, token=session.renew_token, reconnect=reconnect) as client,
        trio.open_nursery() as nursery,
    ):
        chat = ChatSession(client, screen, agents, chosen, session, currency, allow_always)
        nursery.start_soon(_show_events, chat, failure, nursery.cancel_scope)
        nursery.start_soon(_watch_connection, chat)
        nursery.start_soon(_handle_interrupts, chat, nursery.cancel_scope)
        try:
            await _read_input(chat, source)
        finally:
            screen.hide_typing(False)
        nursery.cancel_scope.cancel()
    screen.end_line()
    if failure:
        raise ServerFailed(f"the server cannot be talked to any more: {one_line(failure[0])}")
    return 1 if chat.failed and not screen.prompts else 0


async def _show_events(chat: ChatSession, failure: list[TransportError], over: trio.CancelScope) -> None:
    try:
        async for event in chat.client:
            await chat.show_event(event)
    except TransportError as error:
        failure.append(error)
    over.cancel()


async def _watch_connection(chat: ChatSession) -> None:
    async for state in chat.client.states():
        if state.status is Status.OFFLINE:
            chat.show_disconnected()


async def _handle_interrupts(chat: ChatSession, over: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGINT) as signals:
        async for _ in signals:
            if not await chat.cancel_pending():
                over.cancel()
                return


async def _read_input(chat: ChatSession, source: int) -> None:
    """Send lines from a terminal as they are typed; from a pipe, each after the answer to the previous line."""
    chat.screen.prompt(chat.name)
    async with aclosing(_read_lines(source)) as lines:
        async for line in lines:
            chat.screen.end_prompt()
            if chat.decisions.approvals and not line.startswith("/"):
                await chat.decisions.decide(line)
            elif chat.decisions.questions and not line.startswith("/"):
                await chat.decisions.enter(line)
            elif line.startswith("/"):
                if not await chat.run_slash_command(line):
                    return
            elif line:
                await chat.send_message(line)
            else:
                chat.screen.prompt(chat.name)
            if not chat.screen.prompts:
                await chat.wait_answered()


async def _read_lines(source: int) -> AsyncGenerator[str]:
    """Yield stripped lines until the input ends. A thread reads, and is abandoned when the caller leaves."""
    unfinished = b""
    while True:
        try:
            piece = await trio.to_thread.run_sync(os.read, source, LINE_BYTES, abandon_on_cancel=True)
        except OSError:  # the terminal was closed
            piece = b""
        *lines, unfinished = (unfinished + piece).split(b"\n")
        for line in lines if piece else [unfinished]:
            yield line.decode(errors="replace").strip()
        if not piece:
            return


@define
class RenewingSession:
    """The token of a chat, which is renewed for as long as the server allows."""

    server: ServerAddress
    token: str
    _used: bool = False

    async def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Send one request with the token. Raises `ServerFailed`."""
        return await self.server.ask(method, path, self.token, body)

    async def renew_token(self) -> str:
        """Return the token, renewed from the second call on; unchanged if the server does not renew it."""
        if self._used:
            try:
                body = await self.server.ask("POST", "/api/sessions/refresh", self.token)
                self.token = str(body.get("session_token") or self.token)
            except ServerFailed:
                return self.token  # the connection with it fails, and names the reason
        self._used = True
        return self.token
