"""Encodes messages between nodes into packets and back. Pure; `understudy.storage.redis_cipher` encrypts packets.

1. A node of any release can decode a packet's header: its sender, its number and the ids of its requests. So it can
   reply that it cannot decode the body.
2. Nodes of two releases understand each other, unless one of them says that it cannot (`OLDEST`): fields that a message
   has in a later release only are ignored, and an item of an unknown kind is left out. Such a request is refused.
3. What is known is decoded strictly: an item that does not match its type is left out too.
4. HTML from another node is sanitized here, before it is sent to a client.
"""

import logging
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, TypeVar

import msgspec
from attrs import evolve

from transport.wire.codec import from_log, to_log
from transport.wire.codes import ERRORS
from transport.wire.errors import CommandRejected
from transport.wire.events import AnswerPreview, Envelope, PartialResult
from understudy.chat.answer.markdown import clean_html
from understudy.chat.messages import MessageInOtherThread
from understudy.chat.placement import Moved, News
from understudy.cluster.messages import Item, RpcFault, RpcReply, RpcRequest, TextPiece
from understudy.storage.errors import StorageUnavailable

log = logging.getLogger(__name__)
T = TypeVar("T")

VERSION: Final = 20
"""Increment with every change of a message's shape."""
OLDEST: Final = 10
"""The oldest version that can be decoded by this code, and whose code can decode the packets of this one. Raise it to
`VERSION` with a change that does more than to add kinds of items, or fields with a default: nodes refuse the packets of
versions before it."""


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
    try:
        return _PACKETS.decode(data)
    except msgspec.DecodeError as error:
        raise UnreadablePacket(str(error)) from None


def decode_items(packet: Packet) -> tuple[list[Item], list[str]]:
    """Decode the items of a packet. Return those that this release knows, and the ids of the other requests.

    Raises UnreadablePacket, also for a version that cannot be decoded.
    """
    _check_version(packet)
    with suppress(msgspec.DecodeError):
        return _ITEMS.decode(packet.body), []
    items: list[Item] = []
    unknown: list[str] = []
    for raw in _decode_body(packet, _BODY):
        try:
            items.append(_ITEM.decode(raw))
        except msgspec.DecodeError as error:
            log.warning("codec.unknown_item", extra={"sender": packet.sender, "reason": str(error)})
            with suppress(msgspec.DecodeError):
                unknown.append(_REQUEST_ID.decode(raw).id)
    return items, unknown


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
    except msgspec.DecodeError as error:
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
        tuple(event.blocks),
        envelope.asked_agent,
        envelope.text_epoch,
    )


def decode_ephemeral(body: TextPiece | bytes) -> Envelope:
    """Decode an ephemeral event and sanitize its HTML. Raises UnreadableEvent."""
    envelope = from_log(body) if isinstance(body, bytes) else _envelope_of_piece(body)
    event = envelope.event
    if isinstance(event, AnswerPreview):
        return envelope.replace(event=evolve(event, html=clean_html(event.html)))
    if not isinstance(event, PartialResult) or not event.blocks:
        return envelope
    blocks = tuple(evolve(block, html=clean_html(block.html)) for block in event.blocks)
    return envelope.replace(event=evolve(event, blocks=blocks))


def html_length(body: TextPiece | bytes) -> int:
    """Return an upper bound of the HTML in an ephemeral event, in characters."""
    return len(body) if isinstance(body, bytes) else sum(len(block.html) for block in body.blocks)


def _envelope_of_piece(body: TextPiece) -> Envelope:
    return Envelope(
        PartialResult(body.text, body.offset, body.blocks),
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
