"""Requests in the form of Slack's: which are signed, what they ask for, and what is answered."""

import json
from typing import Any

import pytest

from understudy.chat.hooks.slack import (
    MOST_TEXT,
    WINDOW_S,
    BadRequest,
    Challenge,
    Ignored,
    Said,
    is_signed,
    read,
    refusal_in,
    reply,
    sign,
)

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
NOW = 1_531_420_618.0


def test_the_signature_is_slacks() -> None:
    """The example of Slack's own page on verifying requests."""
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&"
        b"channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&"
        b"response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F"
        b"96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    signature = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
    assert sign(SECRET, "1531420618", body) == signature
    assert is_signed(SECRET, "1531420618", signature, body, NOW)
    assert not is_signed(SECRET, "1531420618", signature, body + b" ", NOW)
    assert not is_signed(SECRET + "x", "1531420618", signature, body, NOW)


@pytest.mark.parametrize(
    ("away_s", "good"),
    [(0, True), (WINDOW_S, True), (-WINDOW_S, True), (WINDOW_S + 1, False), (-WINDOW_S - 1, False), (1e9, False)],
)
def test_a_recorded_request_is_good_for_minutes(away_s: float, good: bool) -> None:
    signature = sign(SECRET, str(int(NOW)), b"{}")
    assert is_signed(SECRET, str(int(NOW)), signature, b"{}", NOW + away_s) is good


@pytest.mark.parametrize(
    ("timestamp", "signature"),
    [
        (None, "v0="), ("1531420618", None), ("", "v0="), ("now", "v0="), ("-1531420618", "v0="), ("1e9", "v0="),
        ("1531420618", ""), ("1531420618", "v0=\udcff"), ("9" * 400, "v0="), ("\u0661", "v0="), ("1531420618\n", "v0="),
    ],
)  # fmt: skip
def test_headers_that_are_none_sign_nothing(timestamp: str | None, signature: str | None) -> None:
    assert not is_signed(SECRET, timestamp, signature, b"{}", NOW)


def event(**changes: Any) -> bytes:
    """Return the body of a message, with these members of its event, or without those that are None."""
    given = {"type": "message", "channel": "C1", "user": "U1", "text": "hello", "ts": "1.5"} | changes
    whole = {"type": "event_callback", "event_id": "Ev1", "event": {n: v for n, v in given.items() if v is not None}}
    return json.dumps(whole).encode()


def test_a_message_is_read() -> None:
    """A thread is that of its first message; a mention of the bot and Slack's escapes are not part of the text."""
    assert read(event()) == Said("Ev1", "C1", "1.5", "hello")
    assert read(event(thread_ts="1.2")) == Said("Ev1", "C1", "1.2", "hello")
    assert read(event(type="app_mention", text="<@U0BOT>, is 1 &lt; 2 &amp;&amp; 3?")) == Said(
        "Ev1", "C1", "1.5", "is 1 < 2 && 3?"
    )
    assert read(b'{"type": "url_verification", "challenge": "abc"}') == Challenge("abc")


@pytest.mark.parametrize(
    "body",
    [
        event(bot_id="B1"), event(subtype="message_changed"), event(hidden=True), event(type="reaction_added"),
        event(text=None), event(text=" "), event(text="<@U0BOT> "), event(text=7), b'{"type": "app_rate_limited"}',
        b'{"type": "event_callback"}', b'{"type": "event_callback", "event": []}', b"{}",
    ],
)  # fmt: skip
def test_what_is_no_message_of_a_person_is_ignored(body: bytes) -> None:
    assert read(body) == Ignored()


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"type": "url_verification"}', event(channel=None),
        event(ts=None), event(channel="C" * 201), event(channel=7), event(thread_ts="1\n2"),
        b'{"type": "url_verification", "challenge": ["x"]}',
    ],
)  # fmt: skip
def test_what_is_no_event_is_refused_in_a_sentence(body: bytes) -> None:
    with pytest.raises(BadRequest, match="must be"):
        read(body)


def test_an_answer_has_slacks_form() -> None:
    """What Slack reads as a mention or a link is text, and a long answer is cut."""
    said = json.loads(reply("C1", "1.5", "a <!channel> & b"))
    assert said == {"channel": "C1", "thread_ts": "1.5", "text": "a &lt;!channel&gt; &amp; b"}
    long = json.loads(reply("C1", "1.5", "x" * (MOST_TEXT + 1)))["text"]
    assert (len(long), long[-1]) == (MOST_TEXT + 2, "…")


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"ok": false, "error": "channel_not_found"}', "channel_not_found"), (b'{"ok": false}', "it is not ok"),
        (b'{"ok": true}', ""), (b"ok", ""), (b"", ""), (b"[]", ""), (b'{"ok": false, "error": {}}', "it is not ok"),
        (b"\xff", ""),
    ],
)  # fmt: skip
def test_a_refusal_is_found_in_an_answer_of_200(body: bytes, why: str) -> None:
    assert refusal_in(body) == why
