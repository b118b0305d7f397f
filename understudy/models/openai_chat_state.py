"""Keeps what a server of chat completions wants back with its own reply, and will not go on without. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from attrs import define, field

from understudy.models.answer import MAX_STATE
from understudy.models.model import ProviderState

STATE: Final = "openai"
"""The provider of states of this API, by the name that it had when only this one of OpenAI's was spoken."""
REASONING: Final = ("reasoning_content", "reasoning", "thinking")
"""Fields of a message for its reasoning. Who sends one wants it back before calls (DeepSeek), or lets it be."""
OF_MESSAGE: Final = ("reasoning_details", "thinking_blocks")
OF_CALL: Final = ("extra_content",)
"""Fields of a message and of a call for what its provider has signed (OpenRouter, LiteLLM; Gemini)."""
_JOINED: Final = ("text", "thinking", "summary", "data", "signature")
"""Texts of a part that come in pieces."""


@define
class Kept:
    """What is to be given back with a reply: members of its message, by name. `size` is in bytes, with its calls'."""

    message: dict[str, Any] = field(factory=dict)
    size: int = 0

    def of_message(self, more: Mapping[str, Any]) -> None:
        """Keep what a delta has of the message. Raises TypeError."""
        self._keep(self.message, more, OF_MESSAGE)

    def of_call(self, kept: dict[str, Any], more: Mapping[str, Any]) -> None:
        """Keep, in `kept`, what a delta has of a call. Raises TypeError."""
        self._keep(kept, more, OF_CALL)

    def _keep(self, kept: dict[str, Any], more: Mapping[str, Any], names: Sequence[str]) -> None:
        for name in names:
            if (value := more.get(name)) is None or self.size > MAX_STATE:
                continue
            self.size += len(msgspec.json.encode(value))
            if isinstance(value, list):
                parts = kept.setdefault(name, [])
                for each in value:
                    _join(parts, each)
            else:
                kept[name] = value

    def state(
        self, model: str, calls: Sequence[Mapping[str, Any]], reasoning: Mapping[str, str]
    ) -> ProviderState | None:
        """Return the state of a reply, None if there is nothing to be given back, or too much.

        `calls` is what was kept of each, and `reasoning` the reasoning by the name of its field, which goes back
        unless the provider has it in a form of its own.
        """
        message = self.message or dict(reasoning)
        size = self.size + (0 if self.message else sum(len(each.encode()) for each in reasoning.values()))
        by_place = {str(n): kept for n, kept in enumerate(calls) if kept}
        if not (message or by_place) or size > MAX_STATE:
            return None
        return ProviderState(STATE, model, {"message": message, "calls": by_place})


def _join(parts: list[Any], piece: Any) -> None:
    """Add a piece to the part that it continues, or as a part of its own: a signature is only of a whole one."""
    begun = next((each for each in reversed(parts) if _continues(each, piece)), None)
    if begun is None:
        parts.append(dict(piece) if isinstance(piece, Mapping) else piece)
        return
    for name, value in piece.items():
        if name in _JOINED and isinstance(value, str) and isinstance(begun.get(name), str):
            begun[name] += value
        elif value is not None and (name in _JOINED or begun.get(name) is None):
            begun[name] = value


def _continues(part: Any, piece: Any) -> bool:
    if not (isinstance(part, dict) and isinstance(piece, Mapping)):
        return False
    if any(part.get(name) != piece.get(name) for name in ("type", "index")):
        return False
    if part.get("id") and piece.get("id") and part["id"] != piece["id"]:
        return False
    return part.get("index") is not None or not (part.get("signature") or part.get("data"))
