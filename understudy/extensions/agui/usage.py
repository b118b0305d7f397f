"""Counts a run's use of models for AG-UI's `usage`: an entry per model. Pure."""

from collections.abc import Mapping
from typing import Any

from attrs import define, field

from understudy.extensions.agui.vocabulary import AguiEvent
from understudy.wire.events import AgentCompleted, Envelope, SubagentCompleted, SubagentStarted, Usage

_NAMES = {
    "input": "inputTokens",
    "output": "outputTokens",
    "reasoning": "reasoningTokens",
    "cached": "cachedInputTokens",
}


@define
class UsageByModel:
    """The tokens of each model of a run. `models` maps the names of agents to the names of their models.

    An agent's usage includes that of its subagents, which may have other models, so theirs is subtracted from it.
    """

    models: Mapping[str, str] = field(factory=dict)
    _spent: dict[str, dict[str, int]] = field(factory=dict, init=False)
    _subagents: dict[str, str] = field(factory=dict, init=False)
    _within: list[Usage] = field(factory=list, init=False)

    def apply(self, envelope: Envelope) -> None:
        """Apply an event of the run."""
        match envelope.event:
            case SubagentStarted(agent_id=agent_id, agent=name):
                self._subagents[agent_id] = name
            case SubagentCompleted(agent_id=agent_id, usage=usage):
                self._add(self._subagents.get(agent_id, ""), usage)
                self._within.append(usage)
            case AgentCompleted(usage=usage):
                name = envelope.pillar or envelope.agent_type or ""
                self._add(name, usage)
                for part in self._within:
                    self._add(name, part, -1)
                self._within.clear()

    def entries(self, total: Usage | None = None) -> list[AguiEvent]:
        """Return the entries. Tokens in `total` that no agent has reported are added to the first model's."""
        spent = {model: dict(counts) for model, counts in self._spent.items()}
        if total is not None:
            first = spent.setdefault(next(iter(spent), next(iter(self.models.values()), "")), {})
            for name, count in _counts(total).items():
                first[name] = first.get(name, 0) + count - sum(counts.get(name, 0) for counts in self._spent.values())
        return [_entry(model, counts) for model, counts in spent.items() if any(counts.values())]

    def _add(self, agent: str, usage: Usage, sign: int = 1) -> None:
        counts = self._spent.setdefault(self.models.get(agent, ""), {})
        for name, count in _counts(usage).items():
            counts[name] = counts.get(name, 0) + sign * count


def _counts(usage: Usage) -> dict[str, int]:
    return {name: count for name in _NAMES if isinstance(count := getattr(usage, name), int)}


def _entry(model: str, counts: Mapping[str, int]) -> AguiEvent:
    """Return the entry of a model. `model` is `provider:model`, or the name alone; empty if it is unknown."""
    provider, colon, name = model.partition(":")
    entry: dict[str, Any] = {"provider": provider, "model": name} if colon else {"model": model} if model else {}
    tokens = {_NAMES[counter]: max(0, count) for counter, count in counts.items()}
    return entry | tokens | {"totalTokens": tokens.get("inputTokens", 0) + tokens.get("outputTokens", 0)}
