"""Gemini, Bedrock's Converse and Cohere in the shapes that they send, over a socket, by their own SDKs.

Not run by `make test`, as the SDKs are large: `python -m tests.extensions.frameworks.cloud_models FOLDER` does.
"""

import gc
import json
import os
import struct
import subprocess
import sys
from binascii import crc32
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import evolve

from tests.rigs.heard import Heard
from tests.rigs.heard import heard as heard
from tests.rigs.heard import provider as provider
from tests.rigs.model_provider import KEY, Provider, Script
from tests.rigs.model_turns import LOOKUP, a_turn, closing
from understudy.models.items import MessageItem, ReasoningItem
from understudy.models.model import ModelUnavailable, tool_result
from understudy.models.providers import ModelProvider

ROOT = Path(__file__).parents[3]
SECRET = "a-secret-in-a-text"
ASKED = MessageItem("user", "Where is order 1?")

pytestmark = [
    pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning"),
    pytest.mark.blocking("the SDKs and Pydantic AI build what they need at the first request"),
]


def gemini(*parts: dict[str, Any], end: str = "") -> bytes:
    candidate = {"content": {"role": "model", "parts": list(parts)}, "index": 0} | (
        {"finishReason": end} if end else {}
    )
    usage = {"promptTokenCount": 10, "candidatesTokenCount": 2, "thoughtsTokenCount": 5, "totalTokenCount": 17}
    chunk = {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "m", "responseId": "r"}
    return f"data: {json.dumps(chunk)}\r\n\r\n".encode()


def cohere(kind: str, index: int = 0, **message: Any) -> bytes:
    return (
        f"event: {kind}\ndata: {json.dumps({'type': kind, 'index': index, 'delta': {'message': message}})}\n\n".encode()
    )


def cohere_end(reason: str) -> bytes:
    delta = {"finish_reason": reason, "usage": {"tokens": {"input_tokens": 10, "output_tokens": 7}}}
    return (
        f"event: message-end\ndata: {json.dumps({'type': 'message-end', 'delta': delta})}\n\ndata: [DONE]\n\n".encode()
    )


def converse(kind: str, **payload: Any) -> bytes:
    """Return a frame of AWS's event stream: prelude, headers, body, each with its checksum."""
    named = ((":event-type", kind), (":content-type", "application/json"), (":message-type", "event"))
    headers = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
        for name, value in named
    )
    body = json.dumps(payload).encode()
    prelude = struct.pack(">II", 16 + len(headers) + len(body), len(headers))
    frame = prelude + struct.pack(">I", crc32(prelude)) + headers + body
    return frame + struct.pack(">I", crc32(frame))


def delta(index: int, **members: Any) -> bytes:
    return converse("contentBlockDelta", contentBlockIndex=index, delta=members)


ARGUMENTS = '{"order_id":"1"}'
USED = converse("metadata", usage={"inputTokens": 10, "outputTokens": 7, "totalTokens": 17}, metrics={"latencyMs": 1})
ANSWERS: dict[str, tuple[list[bytes], list[bytes]]] = {
    "gemini": (
        [
            gemini({"text": f"hm {SECRET}", "thought": True}),
            gemini({"text": "I "}),
            gemini({"text": "look"}),
            gemini({"functionCall": {"name": "lookup", "args": {"order_id": "1"}}, "thoughtSignature": "c2lnbmVk"}),
            gemini({"text": ""}, end="STOP"),
        ],
        [gemini({"text": "Sent."}, end="STOP")],
    ),
    "cohere": (
        [
            cohere("message-start", role="assistant", content=[], tool_plan="", tool_calls=[], citations=[]),
            cohere("content-start", content={"type": "thinking", "thinking": ""}),
            cohere("content-delta", content={"thinking": f"hm {SECRET}"}),
            cohere("content-start", 1, content={"type": "text", "text": ""}),
            cohere("content-delta", 1, content={"text": "I "}),
            cohere("content-delta", 1, content={"text": "look"}),
            cohere(
                "tool-call-start",
                tool_calls={"id": "c1", "type": "function", "function": {"name": "lookup", "arguments": ""}},
            ),
            cohere("tool-call-delta", tool_calls={"function": {"arguments": ARGUMENTS}}),
            cohere("tool-call-end"),
            cohere_end("TOOL_CALL"),
        ],
        [
            cohere("message-start", role="assistant"),
            cohere("content-delta", content={"text": "Sent."}),
            cohere_end("COMPLETE"),
        ],
    ),
    "converse": (
        [
            converse("messageStart", role="assistant"),
            delta(0, reasoningContent={"text": f"hm {SECRET}"}),
            delta(0, reasoningContent={"signature": "c2lnbmVk"}),
            delta(1, text="I "),
            delta(1, text="look"),
            converse(
                "contentBlockStart", contentBlockIndex=2, start={"toolUse": {"toolUseId": "c1", "name": "lookup"}}
            ),
            delta(2, toolUse={"input": ARGUMENTS}),
            converse("messageStop", stopReason="tool_use"),
            USED,
        ],
        [
            converse("messageStart", role="assistant"),
            delta(0, text="Sent."),
            converse("messageStop", stopReason="end_turn"),
            USED,
        ],
    ),
}
"""A reply with a call, and one without, of each API."""
SIGNED = {
    "gemini": {"thoughtSignature": "c2lnbmVk"},
    "cohere": {},
    "converse": {"reasoningContent": {"reasoningText": {"text": f"hm {SECRET}", "signature": "c2lnbmVk"}}},
}
"""What is in the next request that only the provider can have made."""


@pytest.fixture(params=sorted(ANSWERS))
def api(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, KEY)
    chosen: str = request.param
    return chosen


def opened(api: str, url: str, **times: float) -> Any:
    """Return a model of an API. Converse takes no key over http, and signs with the machine's credentials."""
    key, region = ("", "eu-west-1") if api == "converse" else (KEY, "")
    name = "anthropic.claude-sonnet-5" if api == "converse" else "m"
    model_provider = ModelProvider("p", url=url, key=key, api=api, region=region)
    return model_provider.open(name, None, {"first_token_s": 5.0, "idle_s": 5.0, **times})


def script(api: str, chunks: list[bytes], **more: Any) -> Script:
    kind = "application/vnd.amazon.eventstream" if api == "converse" else "text/event-stream"
    return Script(chunks, done=False, kind=kind, **more)


async def test_text_thinking_calls_and_results(api: str, provider: Provider, heard: Heard) -> None:
    provider.scripts = [script(api, answer) for answer in ANSWERS[api]]
    async with closing(opened(api, provider.root)) as model:
        turn = a_turn(ASKED, tools=(LOOKUP,))
        reply = await model.respond(turn, heard)
        assert (reply.text, reply.reasoning, heard.text) == ("I look", f"hm {SECRET}", "I look")
        assert [(call.name, call.arguments) for call in reply.calls] == [("lookup", {"order_id": "1"})]
        assert (reply.usage.input, reply.usage.output, reply.usage.turns) == (10, 7, 1)
        assert SECRET not in str(reply.state and reply.state.value)
        texts = (
            ReasoningItem(reply.reasoning, reply.state),
            MessageItem("assistant", reply.text),
            reply.calls[0].item(),
        )
        turn = evolve(turn, items=(ASKED, *texts, tool_result(reply.calls[0], "ok", "shipped")))
        assert (await model.respond(turn, heard)).text == "Sent."
    again = json.dumps(provider.requests[1])
    assert json.dumps(SIGNED[api])[1:-1] in again
    assert "shipped" in again


@pytest.mark.parametrize(("status", "sentence"), [(401, "key"), (404, "know"), (429, "busy"), (500, "failed")])
async def test_a_fault_is_a_sentence_after_one_request(
    api: str, provider: Provider, heard: Heard, status: int, sentence: str
) -> None:
    provider.scripts = [Script(status=status, error={"code": status, "message": f"no {KEY}"})]
    async with closing(opened(api, provider.root)) as model:
        with pytest.raises(ModelUnavailable, match=sentence) as caught:
            await model.respond(a_turn(), heard)
    assert KEY not in f"{caught.value!r} {caught.value.__cause__} {caught.value.__context__}"
    gc.collect()  # boto3 leaves the connection of a refusal to it


@pytest.mark.parametrize("hang", [True, False])
async def test_an_answer_without_its_end_is_none(api: str, provider: Provider, heard: Heard, hang: bool) -> None:
    provider.scripts = [script(api, [gemini({"text": "Sen"})] if api == "gemini" else ANSWERS[api][1][:2], hang=hang)]
    async with closing(opened(api, provider.root, idle_s=0.5, first_token_s=0.5)) as model:
        with pytest.raises(ModelUnavailable, match="too long" if hang else "in the middle"):
            await model.respond(a_turn(), heard)
    assert not hang or await trio.to_thread.run_sync(provider.left.wait, 5)


def main(folder: str) -> int:
    """Install the SDKs into a folder and run the tests with them. Return pytest's exit code."""
    wanted = f"pydantic-ai-slim[bedrock,cohere,google]=={version('pydantic-ai-slim')}"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", folder, wanted]
    subprocess.run(pip, check=True)
    tests = [sys.executable, "-m", "pytest", "--quiet", str(Path(__file__))]
    return subprocess.run(tests, env=os.environ | {"PYTHONPATH": folder}, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
