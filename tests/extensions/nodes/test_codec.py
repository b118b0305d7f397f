"""The encoding of messages between nodes, and packets of other releases."""

import hashlib
import json
from typing import Any

import msgspec
import pytest
from attrs import define

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
from understudy.extensions.nodes.codec import UnreadablePacket
from understudy.extensions.nodes.messages import (
    Ephemeral,
    Events,
    ForwardingEnded,
    Item,
    RpcFault,
    RpcReply,
    RpcRequest,
    Snapshot,
    Subscribe,
    Unsubscribe,
    command_from_message,
    message_from_command,
)
from understudy.storage.errors import StorageUnavailable
from understudy.storage.records import Message
from understudy.wire.commands import Say
from understudy.wire.events import AgentProgress, Alert, ApprovalDecision, Envelope, SanitizationSummary

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
    """What an extension's part of a conversation handles."""

    run_id: str
    filtered: Sanitized
    roles: tuple[str, ...] = ()
    outbox: ActorRef | None = None


class Beckoning(ThreadPart):
    """Such a part."""

    messages = (Beckon,)


COMMANDS = [
    command_from_message(Beckon("r1", SCRUBBED, ("admin",))),
    command_from_message(chat.Accept(chat.RunOrder(SAY, ROUTE, ADA, "m0", "q", SUMMARY, ALERT), "r1", None)),
    command_from_message(
        chat.Accept(chat.RunOrder(SAY, ROUTE, ADA, again=chat.Again(MESSAGE, "r0", 3, continues=True)), "r2", None)
    ),
    command_from_message(chat.RateAnswer(MESSAGE, "up", "well said", None)),
    command_from_message(chat.CancelRun("r1")),
    command_from_message(chat.Decide("c1", ApprovalDecision.DENY, "too dear")),
    command_from_message(chat.Delete()),
    command_from_message(chat.Delete(12.5)),
    command_from_message(chat.EnsureRunning("r1")),
    Subscribe(),
    Snapshot(),
    Unsubscribe(),
]
ITEMS: list[Item] = [
    *(RpcRequest(f"q{number}", "ann", "t", 9.0, command) for number, command in enumerate(COMMANDS)),
    RpcReply("q1", "r1"),
    RpcReply("q2", fault=RpcFault("rejected", "Wait.", "busy", 5.0, {"message_id": "m1"})),
    Events("5f2c", 7, [b"{}", b"[]"]),
    Ephemeral("5f2c", 8, [b"{}", codec.encode_ephemeral(PIECE), codec.encode_ephemeral(PROGRESS)]),
    ForwardingEnded("5f2c", deleted=True),
]


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: type(getattr(item, "command", item)).__name__)
def test_each_item_comes_back_as_it_was(item: Item) -> None:
    packet = codec.decode_packet(codec.encode_packet("a", 3, [item]))
    decoded, unknown = codec.decode_items(packet)
    assert codec.encode_packet("a", 3, decoded) == codec.encode_packet("a", 3, [item])  # a list may be a tuple here
    assert ([type(each) for each in decoded], unknown) == ([type(item)], [])
    assert (packet.sender, packet.number) == ("a", 3)


@pytest.mark.parametrize("envelope", [PIECE, PROGRESS])
def test_passing_events_come_back_as_they_were(envelope: Envelope) -> None:
    assert codec.decode_ephemeral(codec.encode_ephemeral(envelope)) == envelope


@pytest.mark.parametrize(
    "news",
    [
        *(kind("ann", "t") for kind in (TypingIn, Changed, Deleted)), Active("ann", "t", 4), Read("ann", {"t": 4}),
        Read("ann"), Missed(1.5),
    ],
)  # fmt: skip
def test_news_come_back_as_they_were(news: News) -> None:
    packet = codec.decode_packet(codec.encode_news("a", 3, news, made_at=1.5))
    assert codec.decode_news(packet) == news
    assert (packet.sender, packet.number, packet.made_at) == ("a", 3, 1.5)


def test_a_repr_has_no_text_of_a_user() -> None:
    """A repr may get into a log."""
    shown = repr(ITEMS)
    assert "hello" not in shown.lower()
    assert "well said" not in shown


def test_a_packet_of_a_version_that_cannot_be_decoded_is_refused_by_its_head() -> None:
    """The ids of its requests can be decoded in every version. Before version 8 none said what can decode it."""
    packet = codec.decode_packet(codec.encode_packet("a", 1, ITEMS))
    for earlier in ({"version": codec.OLDEST - 1}, {"oldest": codec.Packet.__struct_defaults__[-1]}):
        with pytest.raises(UnreadablePacket):
            codec.decode_items(msgspec.structs.replace(packet, **earlier))
        with pytest.raises(UnreadablePacket):
            codec.decode_news(msgspec.structs.replace(packet, **earlier))
    version = codec.VERSION + 1
    later = msgspec.structs.replace(packet, version=version, oldest=version, body=b"\xc1 what nobody knows")
    read = codec.decode_packet(msgspec.msgpack.encode(later))
    assert read.asks == [f"q{number}" for number in range(len(COMMANDS))]
    with pytest.raises(UnreadablePacket, match=f"version {codec.VERSION + 1}"):
        codec.decode_items(read)


def test_what_a_later_version_added_is_left_out() -> None:
    packet = codec.decode_packet(codec.encode_packet("a", 1, [RpcReply("q1", "r1")]))
    request = {"type": "Request", "id": "q7", "owner": "ann", "thread_id": "t", "within_s": 9.0}
    items = [
        {"type": "Answer", "id": "q1", "value": "r1", "colour": "red"},
        {"type": "Dance", "steps": 3},
        {**request, "command": {"type": "Prophesy", "run_id": "r1"}},
        {**request, "id": "q8", "command": {"type": "CancelRun", "run_id": "r1", "gently": True}},
    ]
    later = msgspec.structs.replace(packet, version=codec.VERSION + 1, body=msgspec.msgpack.encode(items))
    longer = msgspec.msgpack.encode([*msgspec.structs.astuple(later), "a field that it has not"])
    known, unknown = codec.decode_items(codec.decode_packet(longer))
    cancel = RpcRequest("q8", "ann", "t", 9.0, command_from_message(chat.CancelRun("r1")))
    assert (known, unknown) == ([RpcReply("q1", "r1"), cancel], ["q7"])


def test_a_crowd_of_unknown_items_is_said_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    packet = codec.decode_packet(codec.encode_packet("a", 1, []))
    body = msgspec.msgpack.encode([{"type": "Dance"}] * codec.ITEMS_MAX)
    assert codec.decode_items(msgspec.structs.replace(packet, body=body)) == ([], [])
    (told,) = caplog.records
    assert told.__dict__["items"] == codec.ITEMS_MAX
    more = msgspec.msgpack.encode([{"type": "Dance"}] * (codec.ITEMS_MAX + 1))
    with pytest.raises(UnreadablePacket, match="2001 items"):
        codec.decode_items(msgspec.structs.replace(packet, body=more))


def test_a_request_deeper_than_any_of_a_client_is_refused() -> None:
    settings: dict[str, Any] = {}
    for _ in range(codec.DEPTH_MAX):
        settings = {"a": settings}
    cancel = RpcRequest("q1", "ann", "t", 9.0, command_from_message(chat.CancelRun("r1")))
    packet = codec.decode_packet(codec.encode_packet("a", 1, [cancel]))
    deep = {"type": "Request", "id": "q2", "owner": "ann", "thread_id": "t", "within_s": 9.0}
    command = msgspec.msgpack.decode(msgspec.msgpack.encode(COMMANDS[1]))
    command["order"]["say"]["settings"] = settings
    body = msgspec.msgpack.encode([cancel, {**deep, "command": command}])
    assert codec.decode_items(msgspec.structs.replace(packet, body=body)) == ([cancel], ["q2"])


@pytest.mark.parametrize("data", [b"", b"\xc1", b"{}", msgspec.msgpack.encode([1, "a"]), msgspec.msgpack.encode("x")])
def test_bytes_that_are_no_packet_are_refused(data: bytes) -> None:
    with pytest.raises(UnreadablePacket):
        codec.decode_packet(data)
    packet = codec.decode_packet(codec.encode_packet("a", 1, []))
    with pytest.raises(UnreadablePacket):
        codec.decode_news(msgspec.structs.replace(packet, body=data))


def test_what_does_not_fit_is_left_out() -> None:
    packet = codec.decode_packet(codec.encode_packet("a", 1, [RpcReply("q1", "r1")]))
    body = packet.body.replace(b"\xa2q1", b"\x07")
    assert codec.decode_items(msgspec.structs.replace(packet, body=body)) == ([], [])
    with pytest.raises(UnreadablePacket):
        codec.decode_items(msgspec.structs.replace(packet, body=b"\xc1"))


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
    shapes = bare(msgspec.json.schema_components([Item, News]))
    sum_of_shapes = hashlib.sha256(json.dumps(shapes, sort_keys=True).encode()).hexdigest()[:16]
    assert (codec.VERSION, sum_of_shapes) == (27, "0950605959189d4a")


def bare(shape: Any) -> Any:
    if isinstance(shape, dict):
        return {name: bare(each) for name, each in shape.items() if name != "description"}
    return [bare(each) for each in shape] if isinstance(shape, list | tuple) else shape


def test_a_message_of_an_extension_is_one_where_that_is_on() -> None:
    (request,), _ = codec.decode_items(codec.decode_packet(codec.encode_packet("a", 3, [ITEMS[0]])))
    assert isinstance(request, RpcRequest)
    message = message_from_command(request.command, [Beckoning])
    assert isinstance(message, Beckon)
    assert (message.run_id, message.roles, message.outbox) == ("r1", ("admin",), None)
    assert message.filtered == SCRUBBED
    with pytest.raises(CommandRejected) as refused:
        message_from_command(request.command)
    assert refused.value.code == "unknown_type"
