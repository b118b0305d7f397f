"""Translates events of the Responses API into chunks of a chat completion, for clients that know only these. Pure.

Thoughts, and calls of the agent's own tools, become `reasoning_content`, which Open WebUI and LibreChat show.
"""

from collections.abc import Sequence
from typing import Any, Final

from attrs import define, field

from understudy.extensions.responses.objects import JsonValue

DONE: Final = b"data: [DONE]\n\n"
"""The last block of a stream of chunks."""


@define
class ChatTranslator:
    """Translates the events of one response. `include_usage`: add a last chunk with the usage and no choice."""

    include_usage: bool = False
    failed: bool = field(default=False, init=False)
    _about: JsonValue = field(factory=dict, init=False, repr=False)
    _calls: int = field(default=0, init=False)

    def translate(self, events: Sequence[JsonValue]) -> list[JsonValue]:
        """Return the chunks for these events; if the response fails, an object with only `error`."""
        return [chunk for event in events for chunk in self._translate(event)]

    def _translate(self, event: JsonValue) -> list[JsonValue]:
        match event["type"]:
            case "response.created":
                response = event["response"]
                self._about = {
                    "id": completion_id(response),
                    "object": "chat.completion.chunk",
                    "created": response["created_at"],
                    "model": response["model"],
                }
                return [self._chunk({"role": "assistant", "content": ""})]
            case "response.output_text.delta":
                return [self._chunk({"content": event["delta"]})]
            case "response.reasoning_summary_text.delta":
                return [self._chunk({"reasoning_content": event["delta"] + "\n"})]
            case "response.output_item.done" if event["item"]["type"] == "function_call":
                call = tool_call(event["item"]) | {"index": self._calls}
                self._calls += 1
                return [self._chunk({"tool_calls": [call]})]
            case "response.completed" | "response.incomplete":
                response = event["response"]
                chunks = [self._chunk({}, finish_reason(response))]
                if self.include_usage:
                    chunks.append({**self._about, "choices": [], "usage": usage_of(response)})
                return chunks
            case "response.failed":
                self.failed = True
                error = event["response"]["error"]
                return [{"error": {"message": error["message"], "type": "server_error", "code": error["code"]}}]
            case "error":
                self.failed = True
                return [{"error": {"message": event["message"], "type": "server_error", "code": event["code"]}}]
        return []

    def _chunk(self, delta: JsonValue, reason: str | None = None) -> JsonValue:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        chunk: JsonValue = {**self._about, "choices": [choice]}
        return chunk | {"usage": None} if self.include_usage else chunk


def completion(response: JsonValue) -> JsonValue:
    """Return a whole response as a chat completion."""
    output: list[JsonValue] = response["output"]
    text = "".join(part["text"] for item in output if item["type"] == "message" for part in item["content"])
    calls = [tool_call(item) for item in output if item["type"] == "function_call"]
    thoughts = [part["text"] for item in output if item["type"] == "reasoning" for part in item["summary"]]
    message: dict[str, Any] = {"role": "assistant", "content": text or (None if calls else ""), "refusal": None}
    if thoughts:
        message["reasoning_content"] = "\n".join(thoughts)
    if calls:
        message["tool_calls"] = calls
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason(response)}
    return {
        "id": completion_id(response),
        "object": "chat.completion",
        "created": response["created_at"],
        "model": response["model"],
        "choices": [choice],
        "usage": usage_of(response),
    }


def completion_id(response: JsonValue) -> str:
    """Return the id of a completion: that of its response, with the prefix of completions."""
    return f"chatcmpl-{response['id'].removeprefix('resp_')}"


def tool_call(item: JsonValue) -> JsonValue:
    """Return a call of a client's tool in the form of chat completions."""
    return {
        "id": item["call_id"],
        "type": "function",
        "function": {"name": item["name"], "arguments": item["arguments"]},
    }


def finish_reason(response: JsonValue) -> str:
    """Return the reason why the completion ended, as chat completions name it."""
    if any(item["type"] == "function_call" for item in response["output"]):
        return "tool_calls"
    return "length" if response["status"] == "incomplete" else "stop"


def usage_of(response: JsonValue) -> JsonValue:
    """Return the usage of a response, which must not have failed, in the form of chat completions."""
    used = response["usage"]
    return {
        "prompt_tokens": used["input_tokens"],
        "completion_tokens": used["output_tokens"],
        "total_tokens": used["total_tokens"],
        "prompt_tokens_details": {"cached_tokens": used["input_tokens_details"]["cached_tokens"]},
        "completion_tokens_details": {"reasoning_tokens": used["output_tokens_details"]["reasoning_tokens"]},
    }
