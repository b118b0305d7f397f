"""Answers that take a lexer or a parser seconds: the user sees the text, and other users' latency is unchanged."""

import json
import re
import time
from html import unescape
from typing import Any

import pytest

from tests.end_to_end.chat_client import connected
from tests.end_to_end.http import new_token, request
from tests.end_to_end.scripted_model import Say, scripted

CODE = "\n" * 8_000
LINE = '\\"' * 20_000
"""A line that the lexer of its language reads for seconds."""
ANSWER = f"Look:\n\n```perl\n{LINE}\n```\n\n```java\n{CODE}```\n\n```csv\na,b\n```\n\n```jsonl\n{{}}\n```\n\n*done*"
OWN_S = 2.0
"""CPU seconds for a run and two reads in this process. Highlighting the line alone would take longer."""


def text_of(html: str) -> str:
    """Return the text that a reader sees of HTML."""
    return unescape(re.sub(r"<[^>]*>", "", html))


async def test_a_hostile_answer_delays_no_other_user(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is read live, from the log, and from a restarted server with empty caches: the same HTML each time."""
    running = await serve(scripted(Say(ANSWER)))
    await running.html.warm_up()
    token = await new_token(running)
    began = time.process_time()
    async with connected(running.address, token) as client:
        await client.send({"type": "hello", "payload": {"html": True}})
        await client.say("go", agent_type="script", thread_id="t")
        final = await client.until_end()
    assert final["type"] == "final_response"
    html = final["data"]["html"]
    assert html.startswith("<p>Look:</p>\n")
    assert json.dumps(CODE) not in html
    assert html.endswith("<p><em>done</em></p>\n")
    assert CODE in text_of(html)
    assert LINE in text_of(html)
    running.html.cache.clear()
    _, _, history = await request(running.address, "GET", "/api/threads/t/messages", token=token, body=b"")
    assert history["messages"][1]["html"] == html
    running.html.cache.clear()
    async with connected(running.address, token) as client:
        await client.send({"type": "hello", "payload": {"html": True}})
        await client.send({"type": "resume", "payload": {"threads": {"t": 0}}})
        again = await client.until_end()
    assert again["data"]["html"] == html
    assert time.process_time() - began < OWN_S
