"""Messages between nodes as bytes, in packets, and back. Pure. They are encrypted by `understudy.storage.redis_cipher`.

1. Whatever release a node is of, it reads a packet's head: who sent it, in which order, and which requests want an
   answer. So it can say politely that it does not understand the rest.
2. What it does understand it reads strictly: nothing is guessed, and what does not fit is `Unreadable`.
3. HTML that another process made passes through the cleaner here, before a page has it.
"""

from collections.abc import Sequence
from typing import Final, TypeVar

import msgspec
from attrs import evolve

from transport.wire.codec import from_log, to_log
from transport.wire.errors import CommandRejected
from transport.wire.events import Envelope, PartialResult
from understudy.chat.answer.markdown import clean_html
from understudy.chat.messages import MessageInOtherThread
from understudy.chat.placement import Moved, News
from understudy.cluster.messages import Item, RpcFault, RpcReply, RpcRequest, TextPiece
from understudy.storage.errors import StorageUnavailable

T = TypeVar("T")

VERSION: Final = 3
"""Raised with every change of what is said, so that nodes of two releases do not misunderstand each other."""


class UnreadablePacket(ValueError):
    """These bytes are no packet, or not one of this version."""


class Packet(msgspec.Struct, frozen=True, array_like=True):
    """Several items in one, or news. `number` rises with each packet from `sender` to this receiver.

    In a stream one is lost where one lacks. `asks` are the ids of the requests inside; `refused` those of the
    receiver's own that the sender could not read. `made_at` is the sender's time, in Unix seconds.
    """

    version: int
    sender: str
    number: int
    asks: list[str]
    refused: list[str]
    body: bytes
    made_at: float


_ENCODER: Final = msgspec.msgpack.Encoder()
_PACKETS: Final = msgspec.msgpack.Decoder(Packet)
_ITEMS: Final = msgspec.msgpack.Decoder(list[Item])
_NEWS: Final[msgspec.msgpack.Decoder[News]] = msgspec.msgpack.Decoder(News)


def encode_packet(
    sender: str, number: int, items: Sequence[Item], refused: Sequence[str] = (), *, made_at: float = 0.0
) -> bytes:
    """Return a packet with these items."""
    asks = [item.id for item in items if isinstance(item, RpcRequest)]
    return _ENCODER.encode(Packet(VERSION, sender, number, asks, list(refused), _ENCODER.encode(items), made_at))


def decode_packet(data: bytes) -> Packet:
    """The packet that this is, of whatever version. Raises Unreadable."""
    try:
        return _PACKETS.decode(data)
    except msgspec.DecodeError as error:
        raise UnreadablePacket(str(error)) from None


def decode_items(packet: Packet) -> list[Item]:
    """What a packet holds. Raises Unreadable for one of another version."""
    return _decode_body(packet, _ITEMS)


def encode_news(sender: str, number: int, news: News, *, made_at: float = 0.0) -> bytes:
    """Return a packet with news."""
    return _ENCODER.encode(Packet(VERSION, sender, number, [], [], _ENCODER.encode(news), made_at))


def decode_news(packet: Packet) -> News:
    """Return the news in a packet. Raises Unreadable for one of another version."""
    return _decode_body(packet, _NEWS)


def _decode_body(packet: Packet, decoder: msgspec.msgpack.Decoder[T]) -> T:
    if packet.version != VERSION:
        raise UnreadablePacket(f"version {packet.version}, not {VERSION}")
    try:
        return decoder.decode(packet.body)
    except msgspec.DecodeError as error:
        raise UnreadablePacket(str(error)) from None


def encode_ephemeral(envelope: Envelope) -> TextPiece | bytes:
    """A passing event as it is sent."""
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
    )


def decode_ephemeral(body: TextPiece | bytes) -> Envelope:
    """Return the event that was sent, with its HTML cleaned. Raises UnreadableEvent."""
    envelope = from_log(body) if isinstance(body, bytes) else _envelope_of_piece(body)
    event = envelope.event
    if not isinstance(event, PartialResult) or not event.blocks:
        return envelope
    blocks = tuple(evolve(block, html=clean_html(block.html)) for block in event.blocks)
    return envelope.replace(event=evolve(event, blocks=blocks))


def html_length(body: TextPiece | bytes) -> int:
    """Return how many characters of HTML a passing event brings, at most."""
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
    )


def fault_from_error(error: Exception) -> RpcFault:
    """How an error is told to the node that asked."""
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
    """The error that was told."""
    match fault.kind:
        case "rejected":
            return CommandRejected(fault.code, fault.text, fault.retry_after, names=fault.names)
        case "elsewhere":
            return MessageInOtherThread(fault.text)
        case "moved":
            return Moved(fault.text)
    return StorageUnavailable(f"on another server: {fault.text}")


def reply_value(answer: RpcReply) -> bool | int | str | None:
    """What was answered. Raises the error that was told."""
    if answer.fault is not None:
        raise error_from_fault(answer.fault)
    return answer.value
