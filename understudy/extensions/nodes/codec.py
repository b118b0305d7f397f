"""Encodes messages between nodes into packets and back. Pure; `redis_cipher` encrypts packets.

1. A node of any release can decode a packet's header: its sender, its number and the ids of its requests. So it can
   reply that it cannot decode the body.
2. Nodes of two releases understand each other, unless one of them says that it cannot (`OLDEST`): fields that a message
   has in a later release only are ignored, and an item of an unknown kind is left out. Such a request is refused.
3. What is known is decoded strictly: an item that does not match its type is left out too.
4. A packet of another size, of more items or of deeper values than nodes send is unreadable, whoever sealed it.
5. HTML from another node is sanitized here, before it is sent to a client.
"""

import logging
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final, TypeVar

import msgspec

from transport.wire.errors import CommandRejected
from transport.wire.events import PartialResult
from understudy.chat.messages import MessageInOtherThread
from understudy.chat.placement import Moved, News
from understudy.extensions.nodes.messages import Item, RpcFault, RpcReply, RpcRequest, TextPiece
from understudy.storage.errors import StorageUnavailable
from understudy.wire.codes import ERRORS
from understudy.wire.events import Envelope
from understudy.wire.vocabulary import from_log, to_log

log = logging.getLogger(__name__)
T = TypeVar("T")

VERSION: Final = 27
"""Increment with every change of a message's shape."""
OLDEST: Final = 27
"""The oldest version that can be decoded by this code, and whose code can decode the packets of this one. Raise it to
`VERSION` with a change that does more than to add kinds of items, or fields with a default: nodes refuse the packets of
versions before it."""


PACKET_MAX: Final = 16 * 1024 * 1024
"""Bytes of a packet. Its sender splits what is longer than `bus.PACKET_BYTES` by items, of which the longest, a message
with its context and files, has some megabytes."""
ITEMS_MAX: Final = 2_000
"""Items of a packet: its sender counts 200 bytes for each (`bus.ITEM_BYTES`), of 256 KiB."""
DEPTH_MAX: Final = 100
"""Levels of a request: those of a command's JSON (`transport.wire.command_parser.MAX_DEPTH`) and of what holds it."""


class UnreadablePacket(ValueError):
    """The bytes are not a packet, or a packet of another version."""


class Packet(msgspec.Struct, frozen=True, array_like=True):
    """A list of items, or news. `number` rises with each packet from `sender` to this receiver; a gap means loss.

    `asks` are the ids of the requests in the body; `refused` the ids of requests of the receiver that the sender could
    not decode, or whose replies it lost. `made_at` is the sender's time in Unix seconds. `oldest` is the sender's
    `OLDEST`; nodes before version 8 do not send it, and understand their own version only.
    """

    version: int
    sender: str
    number: int
    asks: list[str]
    refused: list[str]
    body: bytes
    made_at: float
    oldest: int = sys.maxsize


class _RequestId(msgspec.Struct, frozen=True, tag="Request"):
    """What of a request can be decoded if its command cannot."""

    id: str


_ENCODER: Final = msgspec.msgpack.Encoder()
_PACKETS: Final = msgspec.msgpack.Decoder(Packet)
_BODY: Final = msgspec.msgpack.Decoder(list[msgspec.Raw])
_ITEM: Final[msgspec.msgpack.Decoder[Item]] = msgspec.msgpack.Decoder(Item)
_ITEMS: Final = msgspec.msgpack.Decoder(list[Item])
_REQUEST_ID: Final = msgspec.msgpack.Decoder(_RequestId)
_NEWS: Final[msgspec.msgpack.Decoder[News]] = msgspec.msgpack.Decoder(News)


def encode_packet(
    sender: str, number: int, items: Sequence[Item], refused: Sequence[str] = (), *, made_at: float = 0.0
) -> bytes:
    """Return a packet with these items."""
    asks = [item.id for item in items if isinstance(item, RpcRequest)]
    body = _ENCODER.encode(items)
    return _ENCODER.encode(Packet(VERSION, sender, number, asks, list(refused), body, made_at, OLDEST))


def decode_packet(data: bytes) -> Packet:
    """Decode the header of a packet of any version. Raises UnreadablePacket."""
    if len(data) > PACKET_MAX:
        raise UnreadablePacket(f"{len(data)} bytes")
    try:
        return _PACKETS.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UnreadablePacket(str(error)) from None


def decode_items(packet: Packet) -> tuple[list[Item], list[str]]:
    """Decode the items of a packet. Return those that this release knows, and the ids of the other requests.

    Raises UnreadablePacket, also for a version that cannot be decoded.
    """
    _check_version(packet)
    if (count := _count(packet.body)) > ITEMS_MAX:
        raise UnreadablePacket(f"{count} items")
    with suppress(msgspec.DecodeError, RecursionError):
        items = _ITEMS.decode(packet.body)
        if not any(_is_deep(each) for each in items if isinstance(each, RpcRequest)):
            return items, []
    items, unknown, reasons = list[Item](), list[str](), list[str]()
    for raw in _decode_body(packet, _BODY):
        try:
            item = _ITEM.decode(raw)
        except (msgspec.DecodeError, RecursionError) as error:
            reasons.append(str(error))
            with suppress(msgspec.DecodeError, RecursionError):
                unknown.append(_REQUEST_ID.decode(raw).id)
            continue
        if isinstance(item, RpcRequest) and _is_deep(item):
            reasons.append(f"deeper than {DEPTH_MAX} levels")
            unknown.append(item.id)
        else:
            items.append(item)
    if reasons:
        extra = {"sender": packet.sender, "reason": reasons[0], "items": len(reasons)}
        log.warning("codec.unknown_item", extra=extra)
    return items, unknown


def _count(body: bytes) -> int:
    """Return the number of elements of a list in MessagePack, by its head; 0 if it is none."""
    first = body[0] if body else 0
    if first & 0xF0 == 0x90:
        return first & 0x0F
    size = {0xDC: 2, 0xDD: 4}.get(first, 0)
    return int.from_bytes(body[1 : 1 + size], "big")


def _is_deep(value: object) -> bool:
    level: list[object] = [value]
    for _ in range(DEPTH_MAX):
        level = [inner for each in level for inner in _parts(each) if not isinstance(inner, str | int | float | bytes)]
        if not level:
            return False
    return True


def _parts(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    if isinstance(value, list | tuple):
        return value
    if isinstance(value, msgspec.Struct):
        return [getattr(value, name) for name in value.__struct_fields__]
    return [getattr(value, each.name) for each in getattr(value, "__attrs_attrs__", ())]


def encode_news(sender: str, number: int, news: News, *, made_at: float = 0.0) -> bytes:
    """Return a packet with news."""
    return _ENCODER.encode(Packet(VERSION, sender, number, [], [], _ENCODER.encode(news), made_at, OLDEST))


def decode_news(packet: Packet) -> News:
    """Decode the news in a packet. Raises UnreadablePacket, also for an unknown kind, or another version."""
    _check_version(packet)
    return _decode_body(packet, _NEWS)


def _check_version(packet: Packet) -> None:
    if packet.version < OLDEST or packet.oldest > VERSION:
        raise UnreadablePacket(f"version {packet.version}, not {VERSION}")


def _decode_body(packet: Packet, decoder: msgspec.msgpack.Decoder[T]) -> T:
    try:
        return decoder.decode(packet.body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UnreadablePacket(str(error)) from None


def encode_ephemeral(envelope: Envelope) -> TextPiece | bytes:
    """Encode an ephemeral event; a text delta in its compact form."""
    event = envelope.event
    if not isinstance(event, PartialResult):
        return to_log(envelope)
    return TextPiece(
        envelope.timestamp,
        envelope.thread_id,
        envelope.run_id,
        envelope.message_id,
        envelope.conversation_id,
        envelope.agent_type,
        envelope.pillar,
        envelope.message,
        event.offset,
        event.text,
        envelope.asked_agent,
        envelope.text_epoch,
    )


def decode_ephemeral(body: TextPiece | bytes) -> Envelope:
    """Decode an ephemeral event. Raises UnreadableEvent."""
    return from_log(body) if isinstance(body, bytes) else _envelope_of_piece(body)


def _envelope_of_piece(body: TextPiece) -> Envelope:
    return Envelope(
        PartialResult(body.text, body.offset),
        body.timestamp,
        thread_id=body.thread_id,
        run_id=body.run_id,
        message_id=body.message_id,
        conversation_id=body.conversation_id,
        agent_type=body.agent_type,
        pillar=body.pillar,
        message=body.message,
        asked_agent=body.asked_agent,
        text_epoch=body.epoch,
    )


def fault_from_error(error: Exception) -> RpcFault:
    """Return the fault that represents an error on the wire."""
    match error:
        case CommandRejected():
            return RpcFault("rejected", error.message, error.code, error.retry_after, dict(error.names))
        case MessageInOtherThread():
            return RpcFault("elsewhere", error.thread_id)
        case Moved():
            return RpcFault("moved", str(error))
        case StorageUnavailable():
            return RpcFault("unavailable", error.reason)
    return RpcFault("unavailable", type(error).__name__)


def error_from_fault(fault: RpcFault) -> Exception:
    """Return the error that a fault represents."""
    match fault.kind:
        case "rejected":
            code = fault.code if fault.code in ERRORS else "internal"  # of a later release
            return CommandRejected(code, fault.text, fault.retry_after, names=fault.names)
        case "elsewhere":
            return MessageInOtherThread(fault.text)
        case "moved":
            return Moved(fault.text)
    return StorageUnavailable(f"on another server: {fault.text}")


def reply_value(answer: RpcReply) -> bool | int | str | None:
    """Return the value of a reply, or raise its error."""
    if answer.fault is not None:
        raise error_from_fault(answer.fault)
    return answer.value
