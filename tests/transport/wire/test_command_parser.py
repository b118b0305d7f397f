import json

import pytest

from transport.wire.commands import Ack, ClientPing, Hello, Refresh, Resume
from transport.wire.errors import CommandRejected
from understudy.wire import commands
from understudy.wire.commands import (
    Approve,
    Cancel,
    Continue,
    Decision,
    Disallow,
    Edit,
    Feedback,
    Rating,
    Regenerate,
    Respond,
    Say,
    Steer,
    SteerMode,
    SwitchServer,
    Undo,
    Unsteer,
    UserTyping,
)
from understudy.wire.vocabulary import parse_frame

FORMS = [
    ({"type": "message", "content": "hi"}, Say("hi")),
    ({"type": "chat", "content": "hi"}, Say("hi")),
    ({"type": "agent_message", "content": "hi", "thread_id": "t"}, Say("hi", thread_id="t")),
    ({"type": "user_message", "payload": {"content": "hi"}}, Say("hi")),
    ({"type": "user_message", "content": "hi"}, Say("hi")),
    ({"type": "start_agent", "payload": {"content": "hi", "settings": {}, "context": {}, "references": []}}, Say("hi")),
    (
        {
            "type": "user_message",
            "payload": {
                "content": "hi",
                "thread_id": "t",
                "message_id": "m",
                "context": {"page": 3},
                "settings": {"tone": "dry"},
                "references": ["a", {"file_id": "b"}, {"id": "c"}, "a"],
                "agent_type": "liaison",
                "pillar": "insights",
            },
        },
        Say(
            "hi",
            thread_id="t",
            message_id="m",
            agent_type="liaison",
            pillar="insights",
            references=("a", "b", "c"),
            context={"page": 3},
            settings={"tone": "dry"},
        ),
    ),
    ({"agent_type": "guide", "message": "hi"}, Say("hi", agent_type="guide")),
    (
        {
            "agent_type": "liaison",
            "pillar": "insights",
            "message": "hi",
            "conversation_id": "c",
            "session_token": "s",
            "metadata": {"a": 1},
        },
        Say("hi", conversation_id="c", agent_type="liaison", pillar="insights", metadata={"a": 1}, session_token="s"),
    ),
    ({"agent_type": "oracle", "message": "hi"}, Say("hi", agent_type="oracle")),
    ({"message": "hi"}, Say("hi")),
    ({"message": "hi", "pillar": "insights", "agent_type": None}, Say("hi", pillar="insights")),
    (
        {"agent_type": "liaison", "pillar": "astrology", "message": "hi"},
        Say("hi", None, None, None, "liaison", "astrology"),
    ),
    ({"type": "resume", "payload": {"threads": {"t": 3, "u": 0}}}, Resume({"t": 3, "u": 0})),
    ({"type": "cancel", "payload": {"run_id": "r"}}, Cancel("r")),
    (
        {"type": "hello", "payload": {"batch": True, "html": True, "chunk": True, "gzip": False}},
        Hello(True, True),  # `html` of earlier clients has no effect
    ),
    ({"type": "hello"}, Hello()),
    ({"type": "steer", "run_id": "r", "content": "x"}, Steer("r", "x")),
    (
        {"type": "steer", "payload": {"run_id": "r", "content": "x", "mode": "now", "steer_id": "s"}},
        Steer("r", "x", SteerMode.NOW, "s"),
    ),
    ({"type": "unsteer", "run_id": "r", "steer_id": "s"}, Unsteer("r", "s")),
    ({"type": "approve", "payload": {"call_id": "c", "decision": "allow"}}, Approve("c", Decision.ALLOW)),
    (
        {"type": "approve", "call_id": "c", "decision": "allow", "parameters": {"a": 1}, "remember": True},
        Approve("c", Decision.ALLOW, parameters={"a": 1}, remember=True),
    ),
    ({"type": "disallow", "thread_id": "t", "tool_name": "pay"}, Disallow("t", "pay")),
    ({"type": "switch_server", "thread_id": "t", "server": "time", "on": False}, SwitchServer("t", "time", False)),
    ({"type": "answer", "payload": {"question_id": "q", "answer": {"a": 1}}}, Respond("q", {"a": 1})),
    ({"type": "answer", "question_id": "q", "decline": True}, Respond("q", decline=True)),
    ({"type": "undo", "payload": {"call_id": "c"}}, Undo("c")),
    ({"type": "undo", "run_id": "r"}, Undo(None, "r")),
    ({"type": "approve", "call_id": "c", "decision": "deny", "note": "no"}, Approve("c", Decision.DENY, "no")),
    ({"type": "edit", "payload": {"message_id": "m", "content": "hi"}}, Edit("m", "hi")),
    ({"type": "edit", "message_id": "m", "content": "hi", "new_message_id": "n"}, Edit("m", "hi", "n")),
    ({"type": "regenerate", "payload": {"message_id": "m", "request_id": "r"}}, Regenerate("m", "r")),
    ({"type": "continue", "payload": {"run_id": "r"}}, Continue("r")),
    ({"type": "regenerate", "payload": {"message_id": "m", "call_id": "c"}}, Regenerate("m", call_id="c")),
    (
        {"type": "feedback", "payload": {"message_id": "m", "rating": "up", "note": "yes"}},
        Feedback("m", Rating.UP, "yes"),
    ),
    ({"type": "feedback", "payload": {"message_id": "m", "rating": None}}, Feedback("m")),
    ({"type": "hello", "session_token": "s", "payload": {"batch": True}}, Hello(True, session_token="s")),
    ({"type": "ack", "payload": {"thread_id": "t", "seq": 4}}, Ack("t", 4)),
    ({"type": "refresh", "payload": {"session_token": "s"}}, Refresh("s")),
    ({"type": "refresh", "session_token": "s"}, Refresh("s")),
    ({"type": "typing", "payload": {"thread_id": "t"}}, UserTyping("t")),
    ({"type": "ping", "payload": {"nonce": "n"}}, ClientPing("n")),
    ({"type": "ping", "session_token": "s"}, ClientPing(session_token="s")),
]


@pytest.mark.parametrize(
    ("frame", "command"), FORMS, ids=lambda value: json.dumps(value) if isinstance(value, dict) else ""
)
def test_each_form_is_one_command(frame, command) -> None:
    """Every accepted form, as text and as bytes, is the one command it stands for."""
    assert parse_frame(json.dumps(frame)) == command
    assert parse_frame(json.dumps(frame).encode()) == command


def said(**payload: object) -> dict[str, object]:
    return {"type": "user_message", "payload": {"content": "x", **payload}}


def message(**fields: object) -> dict[str, object]:
    return {"type": "message", "content": "x", **fields}


def resumed(threads: object) -> dict[str, object]:
    return {"type": "resume", "payload": {"threads": threads}}


def approved(decision: object, **fields: object) -> dict[str, object]:
    return {"type": "approve", "call_id": "c", "decision": decision, **fields}


NOTE = {"type": "feedback", "payload": {"message_id": "m", "note": "n" * 2001}}
SENTENCES = [
    ({"type": "message"}, "The field `content` is missing."),
    (message(content=None), "The field `content` is missing."),
    (message(content={"a": 1}), "The field `content` must be text."),
    (message(content=5), "The field `content` must be text."),
    ({"content": "hi"}, "The field `type` is missing."),
    ({"message": 5}, "The field `message` must be text."),
    ({"agent_type": "guide"}, "The field `message` is missing."),
    ({"agent_type": "guide", "message": ["hi"]}, "The field `message` must be text."),
    ({"agent_type": None, "message": 1}, "The field `message` must be text."),
    ({"type": "user_message", "payload": 7}, "The field `payload` must be an object."),
    ({"type": "user_message", "payload": {}}, "The field `payload.content` is missing."),
    (said(context=[]), "The field `payload.context` must be an object."),
    (said(references="a"), "The field `payload.references` must be a list."),
    (said(references=["a", 1]), "The field `payload.references[1]` must be text."),
    (said(references=[{"file_id": 3}]), "The field `payload.references[0].file_id` must be text."),
    (said(references=[{"name": "a"}]), "The field `payload.references[0]` must have a `file_id` or an `id`."),
    (said(references=["a"] * 101), "The field `payload.references` may have at most 100 entries."),
    (said(thread_id="t" * 129), "The field `payload.thread_id` may have at most 128 characters."),
    (message(thread_id=" "), "The field `thread_id` must not be blank."),
    (message(message_id="a\x00b"), "The field `message_id` must not contain control characters."),
    (message(session_token="s" * 9000), "The field `session_token` may have at most 8192 characters."),
    (said() | {"session_token": 5}, "The field `session_token` must be text."),
    *(
        (resumed({"t": seq}), "The field `payload.threads.t` must be a whole number, 0 or more.")
        for seq in ("3", -1, True, 1.0)
    ),
    (resumed({"": 1}), "The field `payload.threads` must not be blank."),
    (resumed(["t"]), "The field `payload.threads` must be an object."),
    (resumed({f"t{n}": 0 for n in range(1001)}), "The field `payload.threads` may name at most 1000 threads."),
    ({"type": "resume"}, "The field `threads` is missing."),
    ({"type": "cancel", "payload": {"run_id": 1}}, "The field `payload.run_id` must be text."),
    ({"type": "hello", "payload": {"batch": "yes"}}, "The field `payload.batch` must be true or false."),
    ({"type": "ack", "payload": {"thread_id": "t"}}, "The field `payload.seq` is missing."),
    ({"type": "refresh"}, "The field `session_token` is missing."),
    ({"type": "answer", "question_id": "q"}, "The field `answer` is missing."),
    ({"type": "answer", "question_id": "q", "answer": "x"}, "The field `answer` must be an object."),
    (
        {"type": "answer", "question_id": "q", "answer": {}, "decline": True},
        "The field `answer` goes with no `decline`.",
    ),
    (approved("deny", remember=True), "The field `remember` goes with the decision `allow` only."),
    (approved("deny", parameters={"a": 1}), "The field `parameters` goes with the decision `allow` only."),
    ({"type": "approve", "call_id": "c"}, "The field `decision` is missing."),
    (approved("maybe"), "The field `decision` must be one of allow, deny."),
    (approved(True), "The field `decision` must be text."),
    ({"type": "feedback", "message_id": "m", "rating": "+1"}, "The field `rating` must be one of up, down."),
    (NOTE, "The field `payload.note` may have at most 2000 characters."),
    ({"type": 5}, "The field `type` must be text."),
]


@pytest.mark.parametrize(("frame", "sentence"), SENTENCES)
def test_the_sentence_names_the_field(frame, sentence) -> None:
    with pytest.raises(CommandRejected) as caught:
        parse_frame(json.dumps(frame))
    assert (caught.value.code, caught.value.message) == ("invalid_command", sentence)


def test_the_pillar_sentence_is_exact() -> None:
    with pytest.raises(CommandRejected) as caught:
        parse_frame('{"agent_type":"liaison","message":"hi"}')
    assert caught.value.message == "pillar is required for liaison agent"


def test_an_edit_needs_words() -> None:
    with pytest.raises(CommandRejected) as caught:
        parse_frame('{"type":"edit","payload":{"message_id":"m","content":" "}}')
    assert caught.value.code == "empty_message"


def test_an_unknown_type_is_repeated_harmlessly() -> None:
    """The sentence repeats the client's word, shortened and without control characters."""
    with pytest.raises(CommandRejected) as caught:
        parse_frame(json.dumps({"type": "da\x1b[2Jnce" + "!" * 500}))
    assert caught.value.message == "Unknown type: da?[2Jnce" + "!" * 31


def test_every_field_of_every_command_is_checked() -> None:
    """A new field of a command needs its check, or the module does not load; a check without a field is dead."""
    used = {field.name for kind in commands.COMMANDS.values() for field in kind.__attrs_attrs__}
    assert used == commands.CHECKS.keys()
