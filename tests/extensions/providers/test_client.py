"""Deadlines, refusals and broken streams, over the three APIs: each failure is a sentence without secrets."""

import traceback
from collections.abc import Iterable
from itertools import chain, count, repeat
from typing import Any

import pytest
import trio

from tests.rigs import messages_api
from tests.rigs import responses_api as responses
from tests.rigs.heard import Heard
from tests.rigs.model_apis import begun, fails, played, talking
from tests.rigs.model_provider import KEY, Provider, Script
from tests.rigs.model_turns import LOOKUP, OVER_SDK, a_turn
from understudy.models.model import ModelUnavailable, Usage

pytestmark = OVER_SDK

REFUSALS: list[tuple[int, str, str, bool]] = [
    (401, f"Incorrect API key provided: {KEY}", "refused this server's key", False),
    (403, "no", "refused this server's key", False),
    (404, "no such thing", "does not know the language model tiny", False),
    (400, "Your credit balance is too low", "used up", False),
    (400, "prompt is too long: 300000 tokens", "too long", False),
    (400, "Content Exists Risk", "content filter refused", False),
    (400, "nonsense", "did not accept", False),
    (429, "slow down", "busy", True),
    (529, "Overloaded", "overloaded", True),
    (500, "oops", "failed; try again", True),
    (502, "Bad gateway", "failed", True),
]


async def test_a_refusal_is_a_sentence_without_secrets(
    provider: Provider, heard: Heard, api: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with talking(provider, api) as model:
        for status, words, says, retryable in REFUSALS:
            error = {"type": "", "message": f"{words} {KEY}"}
            provider.scripts = [Script(status=status, error=error, headers={"retry-after": "7"})]
            with pytest.raises(ModelUnavailable, match=says) as caught:
                await model.respond(a_turn(), heard)
            failure = caught.value
            assert (failure.retryable, failure.retry_after_s) == (retryable, 7.0 if retryable else None), words
            assert (failure.__cause__, failure.__context__) == (None, None)
            assert ("openai-chat:tiny" in str(failure)) == ((api, status) == ("responses", 404))
            assert KEY not in "".join(traceback.format_exception(failure)) + failure.detail + caplog.text
            assert not any(leak in repr(failure) + repr(model) for leak in (KEY, provider.root, words))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        *(("0.5", 0.5), ("99999", 3600.0), ("-1", None), ("nan", None), ("soon", None), ("", None), ("7s", 7.0)),
        *(("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("Wed, 21 Oct 2215 07:28:00 GMT", 3600.0), ("21 Okt GMT", None)),
    ],
)
async def test_a_wish_is_read_from_a_refusal(
    provider: Provider, heard: Heard, header: str, seconds: float | None
) -> None:
    script = Script(status=429, error={}, headers={"retry-after": header})
    assert (await fails(provider, "chat", heard, script)).retry_after_s == seconds
    script.headers["retry-after-ms"] = "250"
    assert (await fails(provider, "chat", heard, script)).retry_after_s == 0.25


async def test_a_refused_connection_is_retryable(heard: Heard, api: str) -> None:
    with Provider() as gone:
        pass
    assert (await fails(gone, api, heard, Script(), "cannot be reached")).retryable


def failed(code: str) -> bytes:
    return responses.end("failed", error={"code": code, "message": f"no {KEY}"})


LASTING = ("did not accept", "content filter refused", "asked for more")
ALL = ("chat", "responses", "messages")
BROKEN: list[tuple[str | tuple[str, ...], Any, str]] = [
    (ALL, None, "connection to the language model was lost"),
    (ALL, [], "stopped in the middle"),
    (("chat", "responses"), [b"data: [DONE]\n\n"], "stopped in the middle"),
    (ALL, b"{nonsense", "unreadable"),
    (ALL, b"[" * 100_000, "unreadable"),
    (ALL, b"[1]", "unreadable"),
    (ALL, b"5", "unreadable"),
    (ALL, b"\xff\xfe", "unreadable"),
    ("chat", b'{"choices": [7]}', "unreadable"),
    ("chat", b'{"error": {"message": "overloaded"}}', "failed; try again"),
    ("responses", [failed("server_error")], "failed; try again"),
    ("responses", [failed("rate_limit_exceeded")], "busy"),
    ("responses", [failed("invalid_prompt")], "did not accept"),
    ("responses", [failed("image_content_policy_violation")], "content filter refused"),
    ("responses", [responses.event("response.failed", response=None)], "failed; try again"),
    ("responses", [responses.event("error", code="rate_limit_exceeded", message="no", param=None)], "busy"),
    ("responses", [responses.event("error", error={"code": "server_error", "message": KEY})], "failed; try again"),
    ("responses", [*(responses.call(n, "lookup", "{}") for n in range(65)), responses.end()], "asked for more"),
    ("messages", [messages_api.failure("overloaded_error", KEY)], "overloaded"),
    ("messages", [messages_api.event("content_block_delta", index=0, delta=7)], "unreadable"),
    ("messages", messages_api.end(None), "stopped in the middle"),
]


async def test_a_stream_that_breaks_is_a_failure(provider: Provider, api: str) -> None:
    """Its text so far has been heard. `None` drops the connection, bytes are the data of an event."""
    for end, says in (row for apis, *row in BROKEN if api in apis):
        heard = Heard()
        if isinstance(end, bytes):  # Anthropic's package reads only events with a known name
            end = [(b"event: content_block_delta\n" if api == "messages" else b"") + b"data: " + end + b"\n\n"]
        script = Script([*begun(api, "Hel"), *(end or ())], done=False, drop=end is None)
        error = await fails(provider, api, heard, script, says)
        assert (error.retryable, heard.text) == (says not in LASTING, "Hel"), (end, says)
        assert KEY not in "".join(traceback.format_exception(error)) + repr(error)


@pytest.mark.parametrize(("ids", "pieces"), [([f"c{n}" for n in range(65)], ["{}"]), ("c", ["x" * 600_000] * 2)])
async def test_more_calls_than_an_answer_may_have_are_not_made(
    provider: Provider, heard: Heard, api: str, ids: list[str], pieces: list[str]
) -> None:
    assert not (await fails(provider, api, heard, played(api, ids=ids, call=pieces), "asked for more")).retryable


@pytest.mark.parametrize("ending", [{"drop": True}, {"hang": True}])
async def test_the_goodbye_may_get_lost(provider: Provider, heard: Heard, api: str, ending: dict[str, Any]) -> None:
    """A connection that drops, or stays open, after the end of the answer does not lose it."""
    provider.scripts = [Script(played(api, "Whole.").chunks, **ending)]
    async with talking(provider, api, idle_s=0.2) as model:
        assert (await model.respond(a_turn(), heard)).text == "Whole."


def lively() -> Iterable[bytes]:
    yield responses.STARTED
    for number in count():
        yield responses.event("response.in_progress", response={}) if number % 2 else responses.event("keepalive")


EMPTY = messages_api.event("content_block_delta", index=0, delta={"type": "text_delta", "text": ""})
IDLE: dict[str, list[Iterable[Any]]] = {
    "chat": [repeat(b": still here\n\n"), [b": still here\n\n"]],
    "responses": [repeat(b": still here\n\n"), lively()],
    "messages": [repeat(messages_api.PING), chain(begun("messages", ""), repeat(EMPTY))],
}


async def test_a_provider_without_progress_is_left(provider: Provider, heard: Heard, api: str) -> None:
    """While it has not begun `first_token_s` counts, behind text `idle_s`; events that say nothing move neither."""
    for first_token_s, chunks in ((60.0, begun(api, "Hel")), *((0.6, part) for part in [(), begun(api), *IDLE[api]])):
        provider.left.clear()
        times: dict[str, Any] = {"first_token_s": first_token_s, "idle_s": 0.3}
        with trio.fail_after(30):
            await fails(provider, api, heard, Script(chunks, hang=True), "took too long", **times)
        assert await trio.to_thread.run_sync(provider.left.wait, 5)


@pytest.mark.parametrize(
    ("api", "texts", "more"),
    [
        ("chat", ["Hello."], {"thoughts": ["Hm", "so"]}),
        ("responses", ["Hello."], {"thoughts": ["Hm"]}),
        ("messages", ["Hello."], {"thoughts": ["Hm"]}),
        ("messages", [], {"call": ["{", "}"]}),
    ],
)
async def test_a_model_may_think_longer_than_it_may_pause(
    provider: Provider, heard: Heard, api: str, texts: list[str], more: dict[str, Any]
) -> None:
    """`idle_s` is between two pieces of text; before them, and within a call, `first_token_s` counts."""

    def slowly() -> Iterable[Any]:
        begin, then, *others = played(api, *texts, **more).chunks
        yield from (begin, then)
        provider.left.wait(0.5)
        yield from others

    provider.scripts = [Script(slowly(), done=False)]
    async with talking(provider, api, idle_s=0.2) as model:
        reply = await model.respond(a_turn(tools=(LOOKUP,)), heard)
    assert (reply.text, len(reply.calls)) == ("".join(texts), 1 - len(texts))


async def test_cancelling_closes_the_connection(provider: Provider, api: str, heard: Heard) -> None:
    provider.scripts = [Script(begun(api, "Hel"), hang=True)]
    async with talking(provider, api) as model, trio.open_nursery() as nursery:
        nursery.start_soon(model.respond, a_turn(), heard)
        assert await trio.to_thread.run_sync(provider.sent.wait, 5)
        nursery.cancel_scope.cancel()
    assert await trio.to_thread.run_sync(provider.left.wait, 5)


async def test_what_the_listener_raises_is_its_own(provider: Provider, api: str) -> None:
    async def broken(event: object) -> None:
        raise ValueError("the socket is gone")

    provider.scripts = [Script(begun(api, "Hel"), hang=True)]
    async with talking(provider, api) as model:
        with pytest.raises(ValueError, match="the socket is gone") as caught:
            await model.respond(a_turn(), broken)
        assert await trio.to_thread.run_sync(provider.left.wait, 5)
    del caught


async def test_what_a_broken_answer_has_used_is_known(provider: Provider, heard: Heard, api: str) -> None:
    begins = (
        [{**begun("chat", "")[0], "usage": {"prompt_tokens": 7, "completion_tokens": 1}}] if api == "chat" else None
    )
    for script, used in (
        (Script(begins or begun(api), drop=True), Usage(7, 1, 1) if api != "responses" else Usage(turns=1)),
        (Script(status=500, error={"message": "no"}), None),
        (Script([b"<html>"], kind="text/html"), None),
    ):
        assert (await fails(provider, api, heard, script)).used == used
