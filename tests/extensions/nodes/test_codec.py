"""The encoding of messages between nodes, and packets of other releases."""

import hashlib
import json
from itertools import zip_longest
from typing import Any

import msgspec
import pytest
from attrs import define, evolve

from actors import ActorRef, Ask
from sanitization import Action, Category, Failure, Finding, Sanitized
from transport.auth.identity import Identity
from transport.wire.errors import CommandRejected
from transport.wire.events import PartialResult
from understudy.chat import messages as chat
from understudy.chat.conversation.thread_part import ThreadPart
from understudy.chat.messages import MessageInOtherThread
from understudy.chat.placement import Active, Changed, Deleted, Missed, Moved, News, Read, TypingIn
from understudy.chat.routing import Route
from understudy.extensions.nodes import codec
from understudy.extensions.nodes.inbox import Letter
from understudy.extensions.nodes.messages import (
    FORWARDED,
    Advanced,
    Heard,
    Passing,
    RpcFault,
    RpcReply,
    RpcRequest,
    Told,
    fields_of,
    message_of,
    shape_of,
)
from understudy.storage.errors import StorageUnavailable
from understudy.storage.records import Message
from understudy.wire.commands import Say
from understudy.wire.events import AgentProgress, Alert, ApprovalDecision, Envelope, SanitizationSummary
from understudy.wire.vocabulary import from_log, to_log

SUMMARY = SanitizationSummary("inbound", {"pii": 1}, [{"kind": "pii.email", "start": 3}], 1, {"pii.email": 1})
ALERT = Alert("Your message held a secret.", {"secret.github": 1}, True)
FINDING = Finding("pii.email", Category.PII, 3, 9, 0.9, "[email-1]", "email", Action.TOKENISE, ("its form",))
SCRUBBED = Sanitized("hello [email-1]", (FINDING,), 2, False, (Failure("own", "KeyError"),))
ROUTE = Route("guide", "guide", None, "t", "guide_s1")
MESSAGE = Message("ann", "m1", "t", "r1", "user", "Hello", "guide", None, "accepted", 1.5, ("f1",), {"mark": "bar"})
SAY = Say("hello [email-1]", "t", references=("f1",), context={"a": [1, None]})
ADA = Identity("ann", "s1", roles=("operator",), name="Ann")
PIECE = Envelope(PartialResult("ab", 7), 1.5, None, "t", "r", "m", "x", "", b"", "c", "liaison", "content")
PROGRESS = Envelope(AgentProgress(1.0, "half", 2.0), 2.5, None, "t", "r", "m", "half", "", b"", "c", "guide")


@define(eq=False)
class Beckon(Ask[bool]):
    """A message to a conversation that a part of an extension handles."""

    run_id: str
    filtered: Sanitized
    roles: tuple[str, ...] = ()
    outbox: ActorRef | None = None


class Beckoning(ThreadPart):
    """The part that handles `Beckon`."""

    messages = (Beckon,)


MESSAGES: list[Any] = [
    Beckon("r1", SCRUBBED, ("admin",)),
    chat.Accept(chat.RunOrder(SAY, ROUTE, ADA, "m0", "q", SUMMARY, ALERT), "r1", None),
    chat.Accept(chat.RunOrder(SAY, ROUTE, ADA, again=chat.Again(MESSAGE, "r0", 3, continues=True)), "r2", None),
    chat.RateAnswer(MESSAGE, "up", "well said", None),
    chat.CancelRun("r1"),
    chat.Decide("c1", ApprovalDecision.DENY, "too dear"),
    chat.AnswerQuestion("q1", {"size": 3}, "ann", "socket"),
    chat.Delete(),
    chat.Delete(12.5),
]
LETTERS: list[RpcRequest | RpcReply] = [
    *(
        RpcRequest(f"q{number}", "ann", "t", type(message).__name__, fields_of(message))
        for number, message in enumerate(MESSAGES)
    ),
    RpcReply("q1", "r1"),
    RpcReply("q2", fault=RpcFault("rejected", "Wait.", "busy", 5.0, {"message_id": "m1"})),
]


def letter(content: RpcRequest | RpcReply, **fields: Any) -> Letter:
    return evolve(Letter(content.id, "b", "a", codec.VERSION, codec.encode_letter(content), 9.0), **fields)


@pytest.mark.parametrize(("item", "sent"), [*zip_longest(LETTERS, MESSAGES)])
def test_each_letter_comes_back_as_it_was(item: RpcRequest | RpcReply, sent: Any) -> None:
    decoded, encode = codec.decode_letter(letter(item)), msgspec.msgpack.encode
    assert encode(decoded) == encode(item)  # a list may be a tuple here
    if isinstance(decoded, RpcRequest):
        message = message_of(decoded, [Beckoning])
        assert (type(message), encode(fields_of(message))) == (type(sent), encode(fields_of(sent)))
        assert getattr(message, "outbox", None) is None


@pytest.mark.parametrize("envelope", [PIECE, PROGRESS])
def test_passing_events_come_back_as_they_were(envelope: Envelope) -> None:
    passing = Passing("a", "ann", "t", 8, msgspec.Raw(to_log(envelope)), "2")
    (part,) = codec.encode_passing(passing, 7999)
    (back,) = codec.decode_passing(f"[{part}]")
    assert (back.head, back.epoch, from_log(bytes(back.body))) == (8, "2", envelope)


@pytest.mark.parametrize(
    "news",
    [
        *(kind("ann", "t") for kind in (TypingIn, Changed, Deleted)), Active("ann", "t", 4), Read("ann", {"t": 4}),
        Read("ann"), Missed(1.5),
    ],
)  # fmt: skip
def test_news_come_back_as_they_were(news: News) -> None:
    (text,) = codec.encode_passing(Heard("a", news), 7999)
    assert codec.decode_passing(f"[{text}]") == [Heard("a", news)]


def test_a_repr_has_no_text_of_a_user() -> None:
    """A repr may get into a log."""
    text = repr([*LETTERS, *map(letter, LETTERS), Passing("a", "ann", "t", 8, msgspec.Raw(b"well said"))])
    assert "hello" not in text.lower()
    assert "well said" not in text


@pytest.mark.parametrize(
    "fields",
    [
        *({"version": version} for version in (0, codec.VERSION + 1)),
        *({"body": body} for body in (b"", b"\xc1", b"\x91" * 5000, bytes(codec.BODY_MAX + 1))),
        {"body": codec.encode_letter(LETTERS[0])[:-4]},
        {"id": "another"},
    ],
)
def test_a_letter_that_is_torn_forged_or_of_another_release_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(codec.UnreadableLetter):
        codec.decode_letter(letter(LETTERS[0], **fields))


@pytest.mark.parametrize("text", ["", "[", "{}", '[{"type":"Nothing"}]', '[{"type":"Advanced","node":1}]', "[" * 5000])
def test_a_message_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(codec.UnreadableLetter):
        codec.decode_passing(text)


def test_messages_are_put_together_so_that_each_fits() -> None:
    """A payload of NOTIFY has 7,999 bytes in UTF-8."""
    items: list[Told] = [Advanced("a", "ännchen", f"{number}", number) for number in range(500)]
    parts = [part for message in items for part in codec.encode_passing(message, 7999)]
    messages = list(codec.join_passing(parts, 7999))
    assert max(len(message.encode()) for message in messages) <= 7999
    assert len(messages) < 10
    assert [decoded for message in messages for decoded in codec.decode_passing(message)] == items


def test_what_does_not_fit_is_left_out() -> None:
    """Rows that are left out are read from the log."""
    long = msgspec.Raw(b'"' + b"x" * 9_000 + b'"')
    assert codec.encode_passing(Passing("a", "ann", "t", 1, long), 7999) == []
    number = Advanced("a", "ann", "t", 1, 1.5)
    with_row = msgspec.structs.replace(number, frames=(long,))
    assert codec.encode_passing(with_row, 7999) == codec.encode_passing(number, 7999)


@pytest.mark.parametrize(
    "error",
    [
        CommandRejected("busy", "Too many wait.", 5.0, names={"message_id": "m1"}),
        CommandRejected("message_id_reused"),
        MessageInOtherThread("another thread"),
        Moved("the thread is another server's"),
        StorageUnavailable("the disk is full"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_of_another_node_equal_local_ones(error: Exception) -> None:
    received = codec.error_from_fault(codec.fault_from_error(error))
    assert type(received) is type(error)
    for name in ("code", "message", "retry_after", "names", "thread_id"):
        assert getattr(received, name, None) == getattr(error, name, None)


def test_a_refusal_with_a_code_of_a_later_release_is_an_internal_error() -> None:
    refused = codec.error_from_fault(RpcFault("rejected", "Not in the mood.", "moody"))
    assert isinstance(refused, CommandRejected)
    assert (refused.code, refused.message) == ("internal", "Not in the mood.")


def test_an_unexpected_error_is_sent_by_its_class_only() -> None:
    assert "secret" not in str(codec.error_from_fault(codec.fault_from_error(RuntimeError("a secret"))))


def test_the_version_is_raised_with_every_change_of_a_message() -> None:
    """The digest covers the message types; raise `codec.VERSION` if it changes by more than a class name."""
    forwarded = [shape_of(kind) for kind in FORWARDED]  # type: ignore[arg-type]
    shapes = bare(msgspec.json.schema_components([RpcRequest, RpcReply, Told, *forwarded]))
    sum_of_shapes = hashlib.sha256(json.dumps(shapes, sort_keys=True).encode()).hexdigest()[:16]
    assert (codec.VERSION, sum_of_shapes) == (2, "a0e651ad21de8208")


def bare(shape: Any) -> Any:
    if isinstance(shape, dict):
        return {name: bare(member) for name, member in shape.items() if name != "description"}
    return [bare(member) for member in shape] if isinstance(shape, list | tuple) else shape


def test_a_message_of_an_extension_is_none_where_that_is_off() -> None:
    request = codec.decode_letter(letter(LETTERS[0]))
    with pytest.raises(CommandRejected) as refused:
        message_of(request)
    assert refused.value.code == "unknown_type"
