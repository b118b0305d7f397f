"""What runs ask the user of `understudy chat`: consents to calls, and questions. The oldest is prompted for."""

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from attrs import define, field, frozen

from understudy.cli.output import neutralise, one_line
from understudy.client import Client
from understudy.extensions.terminal.form import FormEntry, WrongEntry, fields_of
from understudy.wire.events import ApprovalRequired, QuestionAsked

if TYPE_CHECKING:
    from understudy.extensions.terminal.console import ChatConsole

MAX_REASON: Final = 1000
"""Limit of characters of a decision's reason, as servers accept it; the rest is cut off."""
MAX_PROMPT: Final = 200
"""Limit of characters of the prompt for a field of a form; the rest of its label is cut off."""


@frozen
class PendingApproval:
    """A tool call that waits for approval."""

    message_id: str
    question: ApprovalRequired


@frozen
class PendingAnswer:
    """A question of a run, or with `of_call` a change of a call's arguments, and the entry of the answer so far."""

    message_id: str
    entry: FormEntry
    of_call: bool = False


def as_line(values: Mapping[str, Any]) -> str:
    """Return the parameters of a call as a line."""
    return one_line(json.dumps(dict(values), ensure_ascii=False, default=str))


@define(eq=False)
class Decisions:
    """What the user has to decide, by the ids of calls and questions, the oldest first.

    `sent_answers` were sent, and are not confirmed yet. `prompt_message` is called if nothing is to be decided.
    `deciding` is set once a decision was sent.
    """

    client: Client
    screen: "ChatConsole"
    allow_always: bool
    prompt_message: Callable[[], None]
    approvals: dict[str, PendingApproval] = field(factory=dict, init=False)
    questions: dict[str, PendingAnswer] = field(factory=dict, init=False)
    sent_answers: dict[str, PendingAnswer] = field(factory=dict, init=False)
    deciding: bool = field(default=False, init=False)

    async def ask_consent(self, message_id: str, question: ApprovalRequired) -> None:
        """Show all arguments of a tool call, and ask for approval. Deny the call if there is no terminal."""
        self.screen.note(f"? {one_line(question.tool_name)} asks for your consent, to be called with", "yellow")
        shown = json.dumps(dict(question.parameters), ensure_ascii=False, indent=2, default=str)
        for line in shown.split("\n"):
            self.screen.note(neutralise(line))
        if not self.screen.prompts:
            self.screen.note("not allowed, as there is no terminal to ask on", "yellow")
            await self.client.approve(question.call_id, False, note="This client cannot ask its user.")
            return
        change = "c to change it, " if question.schema is not None else ""
        always = "a to allow it always in this conversation, " if self.allow_always else ""
        self.screen.note(f"y to allow it, {always}{change}n and why to refuse it")
        self.approvals[question.call_id] = PendingApproval(message_id, question)
        self.prompt()

    async def decide(self, line: str) -> None:
        """Read a line as the decision about the oldest pending approval."""
        word, _, why = line.partition(" ")
        word = word.rstrip(",.:;!").lower()
        call_id, pending = next(iter(self.approvals.items()))
        if word in ("y", "yes", "n", "no") or (self.allow_always and word in ("a", "always")):
            del self.approvals[call_id]
            self.deciding, note = True, why.strip()[:MAX_REASON] or None
            await self.client.approve(call_id, word[0] != "n", note=note, remember=word[0] == "a")
        elif word in ("c", "change") and pending.question.schema is not None:
            del self.approvals[call_id]
            entry = FormEntry(fields_of(pending.question.schema), pending.question.parameters)
            self.questions[call_id] = PendingAnswer(pending.message_id, entry, of_call=True)
        elif line:
            self.screen.note("please answer y or n first", "yellow")
        self.prompt()

    async def ask_question(
        self, message_id: str, question: QuestionAsked, parameters: Mapping[str, Any] | None
    ) -> None:
        """Show a question of a call with these `parameters`, and ask for its fields. Decline without a terminal."""
        self.screen.note(f"? {one_line(question.title)}", "yellow")
        for line in (question.text or "").split("\n"):
            self.screen.note(neutralise(line))
        if question.choices and parameters:
            self.screen.note(f"it was given {as_line(parameters)}")
        for choice in question.choices or ():
            self.screen.note(f"  {one_line(choice.get('value'))}: {one_line(choice.get('title'))}")
        if not self.screen.prompts:
            self.screen.note("not answered, as there is no terminal to ask on", "yellow")
            await self.client.answer_question(question.question_id, None)
            return
        if question.sign_in:
            self.screen.note("press Enter once you have signed in; /decline declines to")
        entry = FormEntry(fields_of(question.schema))
        self.questions[question.question_id] = PendingAnswer(message_id, entry)
        self.prompt()

    async def enter(self, line: str) -> None:
        """Read a line as the next field of the oldest question; the last one sends the answer."""
        question_id, pending = next(iter(self.questions.items()))
        try:
            pending.entry.enter(line)
        except WrongEntry as wrong:
            self.screen.note(str(wrong), "yellow")
        if pending.entry.current is None:
            self.sent_answers[question_id] = self.questions.pop(question_id)
            if pending.of_call:
                await self.client.approve(question_id, parameters=pending.entry.answer)
            else:
                await self.client.answer_question(question_id, pending.entry.answer)
        self.prompt()

    def enter_again(self) -> None:
        """Ask again for the sent answers, as the server has refused one."""
        for question_id, pending in self.sent_answers.items():
            pending.entry.restart()
            self.questions[question_id] = pending
        self.sent_answers.clear()
        self.prompt()

    def settle(self, name: str) -> None:
        """Forget the consent to a call, or the question, of this id: it was decided, answered, or has expired."""
        self.sent_answers.pop(name, None)
        settled = [waiting.pop(name, None) for waiting in (self.approvals, self.questions)]
        if any(settled):
            self.prompt()

    def forget(self, message_id: str) -> None:
        """Forget what the run of a message asks, as it has ended."""
        for waiting in (self.approvals, self.questions, self.sent_answers):
            for name in [name for name, asked in waiting.items() if asked.message_id == message_id]:
                del waiting[name]

    def prompt(self) -> None:
        """Prompt for an approval or an answer if one is pending, otherwise for a message if none is pending."""
        entry = None if self.approvals or not self.questions else next(iter(self.questions.values())).entry
        self.screen.hide_typing(entry is not None and entry.current is not None and entry.current.secret)
        if self.approvals:
            tool_name = next(iter(self.approvals.values())).question.tool_name
            self.screen.prompt(f"allow {one_line(tool_name)[:40]}, y or n")
        elif entry is not None:
            self.screen.prompt(one_line(entry.prompt)[:MAX_PROMPT])
        else:
            self.prompt_message()

    async def decline(self) -> None:
        """Decline to answer the oldest question."""
        question_id, pending = next(iter(self.questions.items()))
        self.sent_answers[question_id] = self.questions.pop(question_id)
        if pending.of_call:
            await self.client.approve(question_id, False)
        else:
            await self.client.answer_question(question_id, None)
        self.prompt()
