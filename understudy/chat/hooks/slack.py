"""Requests in the form of Slack's Events API: their signature, what they ask for, and the answers. Pure.

1. A request is read only if it is signed: `v0=` and the HMAC-SHA256 of `v0:timestamp:body` in hexadecimal, with a time
   that differs by at most `WINDOW_S` from now. So a request that somebody has recorded is good for minutes, and within
   them it is the same message again, by its `event_id`.
2. What a program has written, which includes our own answers, starts no run: two of them would talk for ever.
"""

import hashlib
import hmac
import html
import re
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import msgspec
from attrs import frozen

WINDOW_S: Final = 300.0
SIGNATURE: Final = "X-Slack-Signature"
TIMESTAMP: Final = "X-Slack-Request-Timestamp"
MESSAGES: Final = ("message", "app_mention")
"""Types of the events that are messages."""
LONGEST_ID: Final = 200
MOST_TEXT: Final = 39_000
"""Characters of an answer; Slack cuts at 40,000."""
CUT: Final = " …"
_MENTION: Final = re.compile(r"^\s*<@[A-Z0-9]+(?:\|[^>]*)?>[\s,:]*")
_TIME: Final = re.compile(r"[0-9]{1,12}\Z")


@frozen
class Challenge:
    """Slack asks whether the address is ours: `challenge` is to be answered."""

    challenge: str


@frozen
class Said:
    """A message, in a channel, in the thread that began at `thread_ts`."""

    event_id: str
    channel: str
    thread_ts: str
    text: str


@frozen
class Ignored:
    """Something that starts no run."""


Asked: TypeAlias = Challenge | Said | Ignored


class BadRequest(ValueError):
    """A signed request that has not the form of an event."""


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """Return the signature of a body that is sent at a time (Unix seconds, as in the header)."""
    signed = f"v0:{timestamp}:".encode() + body
    return "v0=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


def is_signed(secret: str, timestamp: str | None, signature: str | None, body: bytes, now: float) -> bool:
    """Whether a request is signed with the secret, at most `WINDOW_S` ago or ahead."""
    if timestamp is None or signature is None or not _TIME.match(timestamp):
        return False
    same = hmac.compare_digest(sign(secret, timestamp, body).encode(), signature.encode("utf-8", "replace"))
    return same and abs(now - int(timestamp)) <= WINDOW_S


def read(body: bytes) -> Asked:
    """Return what a signed request asks for.

    Raises:
        BadRequest: It is no JSON object of the form of Slack's events.
    """
    try:
        given = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest("The body must be a JSON object.") from error
    if given.get("type") == "url_verification":
        return Challenge(_text(given, "challenge"))
    event = given.get("event")
    if given.get("type") != "event_callback" or not isinstance(event, Mapping):
        return Ignored()
    if event.get("type") not in MESSAGES or event.get("bot_id") or event.get("subtype") or event.get("hidden"):
        return Ignored()
    text = event.get("text")
    if not isinstance(text, str) or not (said := html.unescape(_MENTION.sub("", text)).strip()):
        return Ignored()
    began = _text(event, "thread_ts" if event.get("thread_ts") else "ts")
    return Said(_text(given, "event_id"), _text(event, "channel"), began, said)


def _text(given: Mapping[str, Any], name: str) -> str:
    value = given.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_ID or not value.isprintable():
        raise BadRequest(f"`{name}` must be a text of 1 to {LONGEST_ID} characters.")
    return value


def reply(channel: str, thread_ts: str, text: str) -> bytes:
    """Return the body of an answer, in the form of `chat.postMessage`."""
    shown = text if len(text) <= MOST_TEXT else text[:MOST_TEXT] + CUT
    return msgspec.json.encode({"channel": channel, "thread_ts": thread_ts, "text": html.escape(shown, quote=False)})


def refusal_in(body: bytes) -> str:
    """Return why an answer of 200 is a refusal all the same, as Slack's `{"ok": false, "error": "…"}`; else nothing."""
    try:
        given = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    if not isinstance(given, dict) or given.get("ok") is not False:
        return ""
    why = given.get("error")
    return why[:100] if isinstance(why, str) and why.isprintable() and why else "it is not ok"
