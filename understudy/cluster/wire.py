"""Messages between nodes as bytes, in packets, and back. Pure.

1. Whatever release a node is of, it reads a packet's head: who sent it, in which order, and which requests want an
   answer. So it can say politely that it does not understand the rest.
2. What it does understand it reads strictly: nothing is guessed, and what does not fit is `Unreadable`.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from transport.codec import from_log, to_log
from transport.errors import CommandRejected
from transport.events import Envelope, PartialResult
from understudy.chat.messages import SaidElsewhere
from understudy.cluster.messages import Answer, Fault, Item, News, Piece, Request
from understudy.storage.errors import StorageUnavailable

VERSION: Final = 2
"""Raised with every change of what is said, so that nodes of two releases do not misunderstand each other."""


class Unreadable(ValueError):
    """These bytes are no packet, or not one of this version."""


class Moved(LookupError):
    """The node that was asked does not have the thread."""


class Packet(msgspec.Struct, frozen=True, array_like=True):
    """Several items in one. `number` counts the packets from `sender` to this receiver: one is lost where one lacks.

    `asks` are the ids of the requests inside; `refused` those of the receiver's own that the sender could not read.
    """

    version: int
    sender: str
    number: int
    asks: list[str]
    refused: list[str]
    body: bytes


_ENCODER: Final = msgspec.msgpack.Encoder()
_PACKETS: Final = msgspec.msgpack.Decoder(Packet)
_ITEMS: Final = msgspec.msgpack.Decoder(list[Item])
_NEWS: Final = msgspec.msgpack.Decoder(tuple[int, str, News])


def packed(sender: str, number: int, items: Sequence[Item], refused: Sequence[str] = ()) -> bytes:
    """A packet with these items."""
    asks = [item.id for item in items if isinstance(item, Request)]
    return _ENCODER.encode(Packet(VERSION, sender, number, asks, list(refused), _ENCODER.encode(items)))


def unpacked(data: bytes) -> Packet:
    """The packet that this is, of whatever version. Raises Unreadable."""
    try:
        return _PACKETS.decode(data)
    except msgspec.DecodeError as error:
        raise Unreadable(str(error)) from None


def items_of(packet: Packet) -> list[Item]:
    """What a packet holds. Raises Unreadable for one of another version."""
    if packet.version != VERSION:
        raise Unreadable(f"version {packet.version}, not {VERSION}")
    try:
        return _ITEMS.decode(packet.body)
    except msgspec.DecodeError as error:
        raise Unreadable(str(error)) from None


def news_bytes(sender: str, news: News) -> bytes:
    """News as bytes."""
    return _ENCODER.encode((VERSION, sender, news))


def news_of(data: bytes) -> tuple[str, News]:
    """Who sent these news, and what they are. Raises Unreadable."""
    try:
        version, sender, news = _NEWS.decode(data)
    except msgspec.DecodeError as error:
        raise Unreadable(str(error)) from None
    if version != VERSION:
        raise Unreadable(f"version {version}, not {VERSION}")
    return sender, news


def body_of(envelope: Envelope) -> Piece | bytes:
    """A passing event as it is sent."""
    event = envelope.event
    if not isinstance(event, PartialResult):
        return to_log(envelope)
    return Piece(
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
    )


def envelope_of(body: Piece | bytes) -> Envelope:
    """The event that was sent. Raises UnreadableEvent."""
    if isinstance(body, bytes):
        return from_log(body)
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
    )


def fault_of(error: Exception) -> Fault:
    """How an error is told to the node that asked."""
    match error:
        case CommandRejected():
            return Fault("rejected", error.message, error.code, error.retry_after, dict(error.names))
        case SaidElsewhere():
            return Fault("elsewhere", error.thread_id)
        case Moved():
            return Fault("moved", str(error))
        case StorageUnavailable():
            return Fault("unavailable", error.reason)
    return Fault("unavailable", type(error).__name__)


def error_of(fault: Fault) -> Exception:
    """The error that was told."""
    match fault.kind:
        case "rejected":
            return CommandRejected(fault.code, fault.text, fault.retry_after, names=fault.names)
        case "elsewhere":
            return SaidElsewhere(fault.text)
        case "moved":
            return Moved(fault.text)
    return StorageUnavailable(f"on another server: {fault.text}")


def value_of(answer: Answer) -> bool | int | str | None:
    """What was answered. Raises the error that was told."""
    if answer.fault is not None:
        raise error_of(answer.fault)
    return answer.value
