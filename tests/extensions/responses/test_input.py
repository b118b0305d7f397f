"""Conversations that other makers' clients wrote: what is known is read, what is not is named."""

from typing import Any

import pytest

from transport.wire.errors import CommandRejected
from understudy.extensions.responses.input import read_items, read_messages

ASKED, MORE = {"role": "user", "content": "Weather?"}, {"role": "user", "content": "And now?"}
CALL = {"id": "c1", "name": "weather", "arguments": {"city": "Rome"}}
CALLED: list[Any] = [
    {"role": "user", "content": "Weather?"},
    {"role": "assistant", "content": "", "calls": [CALL]},
    {"role": "tool", "call_id": "c1", "content": "sunny"},
    {"role": "assistant", "content": "Sunny."},
]
TEXT = '{"city": "Rome"}'
OF_CHAT = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": TEXT}}
OF_CUSTOM = {"id": "c1", "type": "custom", "custom": {"name": "weather", "input": TEXT}}
OF_ANTHROPIC = {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Rome"}}
OF_BEDROCK = {"toolUseId": "c1", "name": "weather", "input": {"city": "Rome"}}
SUNNY = [{"type": "text", "text": "sunny"}]
DONE = {"role": "assistant", "content": "Sunny."}


@pytest.mark.parametrize(
    ("messages", "left_out"),
    [
        ([{"role": "assistant", "content": None, "tool_calls": [OF_CHAT]}, "c1"], []),
        ([{"role": "assistant", "tool_calls": [OF_CUSTOM, "what", {"type": "function"}]}, "c1"],
         ["str", "a call without a name"]),
        ([{"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}, OF_ANTHROPIC]},
          {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": SUNNY}]}],
         []),
        ([{"role": "assistant", "content": [OF_ANTHROPIC, {"type": "server_tool_use"}]}, "c1", {"role": "tool"}],
         ["server_tool_use", "a result without the id of its call"]),
        ([{"role": "model", "parts": [{"functionCall": {**CALL, "args": CALL["arguments"]}, "thoughtSignature": "x"}]},
          {"role": "function", "parts": [{"functionResponse": {"id": "c1", "response": "sunny"}}]}],
         []),
        ([{"role": "assistant", "content": [{"reasoningContent": {}}, {"toolUse": OF_BEDROCK}, {"cachePoint": {}}]},
          {"role": "user", "content": [{"toolResult": {"toolUseId": "c1", "content": [{"text": "sunny"}]}}]}],
         ["cache_point"]),
        ([{"role": "king", "content": "x"}, {"content": "?"}, {"role": "assistant", "content": [OF_ANTHROPIC]}, "c1"],
         ["role king", "role None"]),
    ],
)  # fmt: skip
def test_a_history_of_chat_completions_is_read_in_the_form_of_each_maker(
    messages: list[Any], left_out: list[str]
) -> None:
    result = {"role": "tool", "tool_call_id": "c1", "content": "sunny"}
    history = read_messages([ASKED, *(result if message == "c1" else message for message in messages), DONE, MORE])
    assert (list(history.history), history.text, list(history.left_out)) == (CALLED, "And now?", left_out)
    assert all(text in (history.instructions or "") for text in left_out)


@pytest.mark.parametrize("kind", ["function_call", "custom_tool_call"])
def test_a_history_of_responses_is_read_and_what_is_unknown_is_named(kind: str) -> None:
    question = {"role": "user", "content": [{"type": "input_text", "text": "Weather?"}, {"type": "hologram"}]}
    call = {"type": kind, "call_id": "c1", "name": "weather", "input" if "custom" in kind else "arguments": TEXT}
    result = {"type": f"{kind}_output", "call_id": "c1", "output": [{"type": "output_text", "text": "sunny"}]}
    items = [{"role": "developer", "content": "Be kind."}, question, {"type": "reasoning"}, {"type": "computer_call"}]
    history = read_items([*items, call, result, {"type": "message", **DONE}, {"type": 7}, MORE], None)
    assert (list(history.history), history.text) == (CALLED, "And now?")
    assert history.left_out == ("hologram", "computer_call", "7")
    assert (history.instructions or "").startswith("Be kind.\n\n(Left out of this conversation")


def test_texts_beside_the_content_are_read() -> None:
    messages = [
        {"role": "assistant", "content": None, "refusal": "I cannot."},
        {"role": "function", "name": "f", "content": "1"},
        {"role": "assistant", "content": None, "audio": {"transcript": "I said so."}},
        {"role": "user", "content": [{"type": "text", "text": {"value": "Well?", "annotations": []}}]},
    ]
    first = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}}
    history = read_messages([ASKED, messages[0], ASKED, first, *messages[1:], DONE, MORE]).history
    texts = [message["content"] for message in history]
    assert texts == ["Weather?", "I cannot.", "Weather?", "", "1", "I said so.", "Well?", "Sunny."]


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ({"temp": 21}, '{"temp": 21}'), (21, "21"), (None, "null"), ([], "[]"), (["a", 1], '["a", 1]'),
        ({"url": "https://a.example/b.png"}, '{"url": "https://a.example/b.png"}'),
        ({"text": "x", "lines": 1}, '{"text": "x", "lines": 1}'), ({"type": "car"}, '{"type": "car"}'),
        ([{"type": "text", "text": "x"}], "x"), ([{"text": "x"}, {"json": {"a": 1}}], 'x\n{"a": 1}'),
    ],
)  # fmt: skip
def test_a_result_that_is_no_text_is_its_json(result: Any, text: str) -> None:
    called = {"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]}
    of_chat = [ASKED, called, {"role": "tool", "tool_name": "f", "content": result}]
    of_responses = [{"type": "function_call", "name": "f"}, {"type": "function_call_output", "output": result}]
    assert read_messages(of_chat).outputs == {"f": text}
    assert read_items([{**response, "call_id": "c"} for response in of_responses], None).outputs == {"c": text}


def test_a_file_elsewhere_is_refused_in_the_new_message_and_left_out_of_the_history() -> None:
    elsewhere = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}]}
    assert read_messages([ASKED, elsewhere, DONE, MORE]).left_out == ("a file that is elsewhere",)
    with pytest.raises(CommandRejected, match=r"messages\[2\].content\[0\] must hold the file itself"):
        read_messages([ASKED, DONE, elsewhere])
    with pytest.raises(CommandRejected, match="hologram"):
        read_messages([{"role": "user", "content": [{"type": "hologram"}]}])
