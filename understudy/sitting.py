"""One sitting of `understudy chat`: what was asked, and what is shown of what comes back.

A message is offered under one id until the server has accepted it, so it is one message however often the line drops.
"""

import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import trio
from attrs import define, field

from transport.client import Client
from understudy.screen import Screen, one_line

RETRIES: Final = 5
"""How often a message is offered again that the server could not take just then."""
HELP: Final = (
    "/agent NAME  talk to another agent",
    "/new         start a new conversation",
    "/quit        leave, as Ctrl-D does",
    "Ctrl-C stops the answer that is being written, and leaves when there is none.",
)


class NoSuchAgent(LookupError):
    """The server has no agent of that name; the text names those it has."""


def choose(agents: Sequence[Mapping[str, Any]], name: str) -> Mapping[str, Any]:
    """The agent of this name, or of this pillar.

    Raises:
        NoSuchAgent: There is none.
    """
    for agent in agents:
        if name and name in (agent.get("name"), agent.get("pillar")):
            return agent
    known = ", ".join(one_line(agent.get("pillar") or agent.get("name")) for agent in agents)
    raise NoSuchAgent(f"there is no agent {one_line(name)!r} here; there are {known}")


@define(eq=False)
class Asked:
    """A message that has no answer yet. `shown` is the part of the answer that is on the screen."""

    content: str
    fields: dict[str, Any]
    run_id: str | None = None
    shown: str = ""
    tries: int = 0
    unwanted: bool = False


@define(eq=False)
class Chat:
    """One sitting: what was asked, and what is shown of what comes back."""

    client: Client
    screen: Screen
    agents: Sequence[Mapping[str, Any]]
    agent: Mapping[str, Any]
    nursery: trio.Nursery
    renew: Callable[[], Awaitable[bool]]
    thread_id: str = field(factory=lambda: uuid.uuid4().hex)
    asked: dict[str, Asked] = field(factory=dict)
    failed: bool = False
    online: bool = False
    ever_online: bool = False
    leaving: bool = False
    _answered: trio.Event = field(factory=trio.Event)

    @property
    def name(self) -> str:
        """The present agent's name, fit for the prompt."""
        return one_line(self.agent.get("pillar") or self.agent.get("name"))[:40]

    async def say(self, content: str) -> None:
        """Ask the present agent, in the present conversation."""
        fields = {"thread_id": self.thread_id, "agent_type": self.agent["agent_type"]}
        if self.agent.get("pillar") is not None:
            fields["pillar"] = self.agent["pillar"]
        message_id = uuid.uuid4().hex
        self.asked[message_id] = Asked(content, fields)
        self._answered = trio.Event()
        try:
            await self.client.say(content, message_id=message_id, **fields)
        except trio.WouldBlock:
            self.screen.note("✗ too many messages wait for the server already", "red")
            self._end(message_id, failed=True)
            return
        if not self.online and self.ever_online:
            self.screen.note("kept; it is sent when the server is back", "yellow")
            self.screen.prompt(self.name)

    async def answered(self) -> None:
        """Wait until nothing is unanswered."""
        while self.asked:
            await self._answered.wait()

    async def obey(self, line: str) -> bool:
        """Carry out a line that begins with a slash; whether it was not the last."""
        word, _, rest = line.partition(" ")
        if word == "/quit":
            return False
        if word == "/new":
            self.thread_id = uuid.uuid4().hex
            self.screen.note("a new conversation")
        elif word == "/agent":
            try:
                self.agent = choose(self.agents, rest.strip())
                self.screen.note(f"now talking to {self.name}")
            except NoSuchAgent as error:
                self.screen.note(str(error), "red")
        elif word == "/help":
            for each in HELP:
                self.screen.note(each)
        else:
            self.screen.note(f"there is no command {one_line(word)}; /help shows them", "red")
        self.screen.prompt(self.name)
        return True

    def dropped(self) -> None:
        """The connection ended, or could not be made; another is tried soon."""
        if self.online:
            self.screen.note("the connection is lost; trying again. You can go on writing.", "yellow")
            self.screen.prompt(self.name)
        self.online = False

    async def interrupt(self) -> bool:
        """Ctrl-C: stop what runs. Whether there was anything to stop that was not being stopped already."""
        if not self.asked or self.leaving:
            return False
        self.leaving = True
        self.screen.note("stopping; Ctrl-C again leaves", "yellow")
        for each in self.asked.values():
            each.unwanted = True
            if each.run_id is not None:
                await self.client.cancel(each.run_id)
        return True

    async def take(self, event: Mapping[str, Any]) -> None:
        """Show one event of the server's."""
        data, message_id = event.get("data") or {}, event.get("message_id")
        asked = self.asked.get(message_id or "")
        match event.get("type"):
            case "welcome":
                if self.ever_online and not self.online:
                    self.screen.note("connected again", "green")
                    if not self.asked:
                        self.screen.prompt(self.name)
                self.online = self.ever_online = True
            case "alert" | "drain" as kind:
                self.screen.note(f"! {one_line(data.get('message') or 'the server goes away for a moment')}", "yellow")
                if not self.asked and kind == "alert":
                    self.screen.prompt(self.name)
            case "error" if asked is not None and message_id is not None:
                await self._fault(message_id, asked, event, data)
            case "error" if message_id is None and data.get("code") == "token_expired":
                await self.renew()
            case "error" if message_id is None and event.get("thread_id") is None:
                self._show_fault(data)
            case str(kind) if asked is not None and message_id is not None:
                await self._work(kind, message_id, asked, event, data)

    async def _work(
        self, kind: str, message_id: str, asked: Asked, event: Mapping[str, Any], data: Mapping[str, Any]
    ) -> None:
        note = self.screen.note
        match kind:
            case "message_accepted":
                asked.run_id = data["run_id"]
                if asked.unwanted:
                    await self.client.cancel(asked.run_id)
            case "agent_thinking":
                note(one_line(data.get("thought")))
            case "agent_handoff":
                note(f"→ {one_line(data.get('to'))}: {one_line(data.get('reason'))}", "magenta")
            case "tool_executing":
                note(f"… {one_line(data.get('tool_name'))} running  {one_line(data.get('description'))}".rstrip())
            case "tool_completed":
                good = data.get("status") == "ok"
                took = _elapsed(data.get("duration_ms"))
                told = f"{one_line(data.get('tool_name'))} {took}  {one_line(data.get('result_summary'))}".rstrip()
                note(f"{'✓' if good else '✗'} {told}", "green" if good else "red")
            case "agent_progress":
                note(one_line(data.get("note")))
            case "sanitization_summary":
                counts = ", ".join(f"{count} {one_line(name)}" for name, count in (data.get("counts") or {}).items())
                where = {"inbound": "your message", "outbound": "the answer"}.get(str(data.get("direction")), "it")
                note(f"! taken out of {where}: {counts}", "yellow")
            case "partial_result":
                self._show(asked, str(data.get("text", "")), int(data.get("offset", 0)))
            case "final_response":
                self._finish(asked, str(data.get("message", "")))
                if data.get("status") == "cancelled":
                    note("stopped", "yellow")
                self._end(message_id)

    def _show(self, asked: Asked, text: str, offset: int) -> None:
        """A piece of the answer; what is on the screen already is left out, a hole waits for the end."""
        piece = text[len(asked.shown) - offset :] if offset <= len(asked.shown) else ""
        asked.shown += piece
        self.screen.write(piece)

    def _finish(self, asked: Asked, whole: str) -> None:
        if not whole.startswith(asked.shown):
            self.screen.end_line()
            asked.shown = ""
        self.screen.write(whole[len(asked.shown) :])
        self.screen.end_line()

    async def _fault(self, message_id: str, asked: Asked, event: Mapping[str, Any], data: Mapping[str, Any]) -> None:
        refused = event.get("seq") is None  # not taken in, as opposed to a run that failed
        expired = refused and data.get("code") == "token_expired"
        if refused and asked.tries < RETRIES and not asked.unwanted and (data.get("retryable") or expired):
            asked.tries += 1
            self.nursery.start_soon(self._again, message_id, asked, float(data.get("retry_after") or 1.0), expired)
            if not expired:
                self._show_fault(data, " Trying again.")
            return
        self._show_fault(data)
        self._end(message_id, failed=True)

    async def _again(self, message_id: str, asked: Asked, after_s: float, expired: bool) -> None:
        if expired:
            await self.renew()
        else:
            await trio.sleep(after_s)
        await self.client.say(asked.content, message_id=message_id, **asked.fields)

    def _show_fault(self, data: Mapping[str, Any], more: str = "") -> None:
        name = f" [{one_line(data['error_id'])}]" if data.get("error_id") else ""
        self.screen.note(f"✗ {one_line(data.get('message'))}{more}{name}", "red")

    def _end(self, message_id: str, *, failed: bool = False) -> None:
        del self.asked[message_id]
        self.failed |= failed
        if not self.asked:
            self.leaving = False
            self._answered.set()
            self.screen.prompt(self.name)


def _elapsed(duration_ms: Any) -> str:
    ms = duration_ms if isinstance(duration_ms, int | float) else 0
    return f"{ms / 1000:.1f} s" if ms >= 1000 else f"{ms:.0f} ms"
