"""Conversations as a store returns them, made at random: the steps of runs that end in every way."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from attrs import asdict, define, evolve, field

from understudy.chat.run_state.records import RecordedResult
from understudy.chat.run_state.turns import encode_partial, encode_reply
from understudy.extensions.anthropic.request import encode_state
from understudy.models.model import Handoff, ProviderState, Reply, ToolRequest
from understudy.storage.records import AnsweredMessage, Message, StepRecord
from understudy.wire.events import Usage

AGENTS = ("guide", "insights", "operations")
TOOLS = ("lookup", "query_table", "send_mail")
BAD_NAMES = ("no such tool", "ünknown", "", "x" * 90, "(not shown)")
STATUSES = ("ok", "ok", "ok", "failed", "timed_out", "denied", "killed")


@define
class Maker:
    """Makes exchanges. `size` is about how many characters a result has; `bad` is the chance of each misfortune.

    `thinks`: most replies of models have thinking as Anthropic's do.
    """

    chance: random.Random
    size: int = 300
    bad: float = 0.1
    thinks: bool = False
    _made: int = field(default=0, init=False)

    def _id(self, prefix: str) -> str:
        self._made += 1
        return f"{prefix}{self._made:08x}{self.chance.getrandbits(64):016x}"

    def _ill(self) -> bool:
        return self.chance.random() < self.bad

    def text(self, size: int) -> str:
        """Return words, rarely none or only spaces."""
        if self._ill():
            return self.chance.choice(("", " ", "\n"))
        return " ".join(self.chance.choice(("order", "parcel", "Zürich", "数据", "42")) for _ in range(size // 6 + 1))

    def exchange(self, turns: int, *, ends: bool = True) -> AnsweredMessage:
        """Return a message with a run of up to `turns` turns with calls, then an answer if it `ends` well."""
        chance, run_id, message_id = self.chance, self._id("r"), self._id("m")
        asked = Message(
            "ann", message_id, "t", run_id, "user", self.text(60) or "?", chance.choice(AGENTS), None, "accepted", 1.0
        )
        steps: list[StepRecord] = []
        texts: list[str] = []
        status = "success"
        for _ in range(turns):
            text = self.text(40) if chance.random() < 0.4 else ""
            texts.append(text)
            steps += self.turn(run_id, len(steps) + 1, text)
            if self._ill():  # a steer
                result = {"steer_id": self._id("s"), "text": self.text(20)}
                steps.append(StepRecord(run_id, len(steps) + 1, "steer", "next", None, None, result, "ok", 1.0, 2.0))
            if self._ill():
                status = chance.choice(("cancelled", "failed", "interrupted"))
                break
        answer = None
        if status == "success" and ends:
            texts.append(self.text(120))
            steps.append(self.model_step(run_id, len(steps) + 1, Reply(texts[-1]), ()))
            content = "\n\n".join(text for text in texts if text)
            answer = Message(
                "ann", f"answer-{run_id}", "t", run_id, "assistant", content, asked.agent_type, None, "success", 2.0
            )
        elif self._ill():
            partial = encode_partial(self.text(30), ())
            steps.append(StepRecord(run_id, len(steps) + 1, "model", "m", None, None, partial, "started", 1.0))
        if self._ill() and steps:  # a damaged step
            at = chance.randrange(len(steps))
            steps[at] = StepRecord(run_id, at + 1, "model", "m", None, None, {"x": 1}, "ok", 1.0, 2.0)
        whole = not self._ill()
        return AnsweredMessage(asked, run_id, status, answer, tuple(steps) if whole else (), whole)

    def turn(self, run_id: str, number: int, text: str) -> list[StepRecord]:
        """Return the steps of a turn with calls, of which some have no result, or of a handoff."""
        chance = self.chance
        if self._ill():
            return [self.model_step(run_id, number, Reply(text, handoff=Handoff(chance.choice(AGENTS), "it can")), ())]
        names = [chance.choice(BAD_NAMES if self._ill() else TOOLS) for _ in range(chance.choice((1, 1, 1, 2, 4)))]
        calls = tuple(ToolRequest(f"c{n}", name, {"id": chance.randrange(99)}) for n, name in enumerate(names))
        state = self.state(len(calls))
        reasoning = "Let me see." if self._ill() else ""
        call_ids = [self._id("k") for _ in calls]
        reply = Reply(text, calls, usage=Usage(1, 1, 1), reasoning=reasoning, state=state if self._ill() else None)
        if self.thinks and chance.random() < 0.4:
            reply = evolve(reply, **self.thinking(text, len(calls)))
        steps = [self.model_step(run_id, number, reply, call_ids)]
        for call, call_id in zip(calls, call_ids, strict=True):
            if self._ill():
                continue  # not started
            at = number + len(steps)
            if self._ill():
                steps.append(StepRecord(run_id, at, "tool", call.name, call_id, {}, None, "started", 1.0))
                continue
            status = chance.choice(STATUSES)
            value = {"rows": self.text(chance.randrange(2 * self.size))}
            result: dict[str, Any] = asdict(RecordedResult(value, "Found it.", None, "", self._ill()))
            steps.append(StepRecord(run_id, at, "tool", call.name, call_id, {}, result, status, 1.0, 2.0))
        return steps

    def state(self, calls: int) -> ProviderState:
        """Return what a provider wants back with a reply: of the same one or another, in any order of its parts."""
        chance = self.chance
        model = chance.choice(("m", "m", "other"))
        if chance.random() < 0.5:
            return ProviderState("openai", model, {"message": {}, "calls": {}})
        outline: list[dict[str, Any]] = [{"type": "message", "phase": "commentary"}] if chance.random() < 0.5 else []
        outline += [{"type": "function_call"}] * calls
        for number in range(chance.randrange(3)):
            sealed = {"type": "reasoning", "id": f"rs_{number}", "summary": [], "encrypted_content": "gAAA"}
            outline.insert(chance.randrange(len(outline)), sealed)
        return ProviderState("openai-responses", model, outline)

    def thinking(self, text: str, calls: int) -> dict[str, Any]:
        """Return reasoning and state of a reply of Anthropic's, rarely with its text redacted."""
        chance, model = self.chance, self.chance.choice(("m", "m", "other"))
        blocks: list[dict[str, Any]] = [{"type": "tool_use"} for _ in range(calls)]
        if text:
            blocks.insert(chance.randrange(calls + 1) if self._ill() else 0, {"type": "text", "text": text})
        for _ in range(chance.choice((1, 1, 2, 3))):
            thinking = {"type": "thinking", "thinking": self.text(30), "signature": self._id("s")}
            redacted = {"type": "redacted_thinking", "data": self._id("d")}
            blocks.insert(chance.randrange(len(blocks) + 1), chance.choice((thinking, thinking, redacted)))
        reasoning = "".join(block.get("thinking", "") for block in blocks)
        return {"state": encode_state(blocks, model, ()), "reasoning": "(redacted)" if self._ill() else reasoning}

    def model_step(self, run_id: str, number: int, reply: Reply, call_ids: Sequence[str]) -> StepRecord:
        """Return a finished turn's step; rarely the content policy has blocked its text or a call."""
        calls = [None if self._ill() else call for call in reply.calls]
        result = encode_reply(reply, call_ids, "" if self._ill() else reply.text, calls, 0)
        return StepRecord(run_id, number, "model", "m", None, None, result, "ok", 1.0, 2.0)
