"""Builds the request of the chat completions API for a turn. Pure."""

import base64
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import msgspec
from attrs import asdict

from understudy.extensions.openai.chat_stream import STATE
from understudy.models.items import NO_TEXT, CallItem, ImagePart, Item, MessageItem, ReasoningItem, ResultItem, settled
from understudy.models.model import Turn
from understudy.models.prompt import CONTINUE, noted, offered_tools, system_text, tool_choice, tool_name, user_text

NO_REASONING: Final = " "
"""The reasoning that is sent for a reply whose reasoning is unknown: Kimi refuses an empty one."""
UNSIGNED: Final = {"extra_content": {"google": {"thought_signature": "skip_thought_signature_validator"}}}
"""Google's placeholder for the signature of a call that another model made."""
NO_ANSWER: Final = "(There was no answer.)"
"""A reply of the assistant that Mistral's API requires between a result and the next message of the user."""


def build_request(turn: Turn, model: str, wants: Collection[str] = ()) -> dict[str, Any]:
    """Return the body of the request: streaming, with usage, and with tools if there are any."""
    items = (*turn.items, *turn.notes)
    messages = build_messages(items, model, system_text(turn), wants)
    if turn.partial_text:
        messages += [{"role": "assistant", "content": turn.partial_text}, {"role": "user", "content": noted(CONTINUE)}]
    options = {"stream": True, "stream_options": {"include_usage": True}}
    body: dict[str, Any] = {"model": model, "messages": messages, **options}
    if tools := offered_tools(turn):
        body["tools"] = [{"type": "function", "function": asdict(tool, recurse=False)} for tool in tools]
    if (output := turn.output) is not None:
        form = {"name": output.name, "schema": dict(output.schema), "strict": output.strict}
        shape = {"type": "json_schema", "json_schema": form}
        body["response_format"] = shape if output.schema else {"type": "json_object"}
    return body | _options(turn, bool(tools))


def _options(turn: Turn, has_tools: bool) -> dict[str, Any]:
    """Return the fields for the agent's settings, without those that are left to the provider."""
    settings = turn.settings
    fields: dict[str, Any] = {
        "reasoning_effort": settings.effort,
        "temperature": settings.temperature,
        "max_completion_tokens": settings.max_output,
    }
    if has_tools:
        choice = tool_choice(turn)
        named = choice not in ("auto", "none", "required", None)
        fields["parallel_tool_calls"] = settings.parallel_calls
        fields["tool_choice"] = {"type": "function", "function": {"name": choice}} if named else choice
    return {name: value for name, value in fields.items() if value is not None}


def build_messages(
    items: Sequence[Item], model: str = "", system: str = "", wants: Collection[str] = ()
) -> list[dict[str, Any]]:
    """Return the conversation for the API, after a system message with the text `system`.

    The API rejects a call without a result and a result without a call; many servers also reject a system message that
    is not the first, a reply at the beginning, two messages of one role in a row, and a user's message after a result.
    So a note is put, marked, into the user's message beside it, or after the result before it: no data can imitate it.

    The state that the provider sent with a reply is sent back with it, if the model is the same. A server that `wants`
    reasoning or signatures with every reply gets the reasoning that was shown, and a placeholder for a signature.
    """
    built: list[dict[str, Any]] = []
    notes: list[str] = []
    state = _own(None, model, wants)
    for item in settled(items, STATE, model):
        match item:
            case ReasoningItem():
                state = _own(item, model, wants)
                continue
            case MessageItem(role="assistant", content=content):
                # Two replies in a row are those of two agents, or a text and its continuation.
                if built and built[-1]["role"] == "assistant" and "tool_calls" not in built[-1]:
                    _add_text(built[-1], content)
                    built[-1] |= state["message"]
                else:
                    built.append({"role": "assistant", "content": content, **state["message"]})
            case MessageItem(content=content, files=files, images=images):
                text = "\n\n".join(part for part in (*notes, user_text(content, files)) if part)
                notes.clear()
                if built and built[-1]["role"] == "user":  # the message before has no answer
                    if images:
                        built[-1]["content"] = _parts(built[-1]["content"], ()) + _parts(text, images)
                    else:
                        _add_text(built[-1], text)
                else:
                    if built and built[-1]["role"] == "tool":  # the run failed or was stopped, or this is a steer
                        built.append({"role": "assistant", "content": NO_ANSWER})
                    built.append({"role": "user", "content": _parts(text, images) if images else text})
            case CallItem(id=call_id, name=name, arguments=arguments):
                if not built or built[-1]["role"] != "assistant":
                    built.append({"role": "assistant", "content": None})
                built[-1] |= state["message"]
                function = {"name": tool_name(name), "arguments": msgspec.json.encode(arguments).decode()}
                calls = built[-1].setdefault("tool_calls", [])
                extra = state["calls"].get(str(len(calls)), {})
                if not (calls or extra) and "thought_signature" in wants:
                    extra = UNSIGNED
                calls.append({"id": call_id, "type": "function", "function": function, **extra})
                continue
            case ResultItem(call_id=call_id, content=content):
                built.append({"role": "tool", "tool_call_id": call_id, "content": content})
            case _ if built and built[-1]["role"] in ("user", "tool") and not notes:
                _add_text(built[-1], noted(item.content))
            case _:
                notes.append(noted(item.content))
        if not isinstance(item, MessageItem) or item.role == "user":
            state = _own(None, model, wants)
    if notes:
        built.append({"role": "user", "content": "\n\n".join(notes)})
    if built and built[0]["role"] == "assistant":
        built.insert(0, {"role": "user", "content": NO_TEXT})
    return [{"role": "system", "content": system}, *built] if system else built


def _own(item: ReasoningItem | None, model: str, wants: Collection[str]) -> dict[str, Any]:
    """Return from the state of `item` the members to add to a reply's `message`, and to its `calls` by their places."""
    value: Mapping[str, Any] = (item and item.own_state(STATE, model)) or {}
    message: dict[str, Any] = value.get("message", {})
    if "reasoning_content" in wants:
        reasoning = item.content if item is not None else ""
        message = {"reasoning_content": reasoning if reasoning.strip() else NO_REASONING} | message
    return {"message": message, "calls": value.get("calls", {})}


def _add_text(message: dict[str, Any], text: str) -> None:
    if isinstance(message["content"], list):
        message["content"].append({"type": "text", "text": text})
    else:
        message["content"] += f"\n\n{text}"


def _parts(text: str | list[dict[str, Any]], images: Sequence[ImagePart]) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    if text:
        parts = [{"type": "text", "text": text}] if isinstance(text, str) else text
    for image in images:
        address = f"data:{image.media_type};base64,{base64.b64encode(image.content).decode()}"
        parts.append({"type": "image_url", "image_url": {"url": address}})
    return parts
