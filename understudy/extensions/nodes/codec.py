"""Encodes messages between nodes: letters as MessagePack, wakeups as lists of JSON. Pure.

1. Nodes of two releases understand each other if they have the same `VERSION`: fields that a message has in a later
   release only are ignored, and a request of an unknown kind is refused.
2. What is known is decoded strictly.
3. HTML from another node is sanitized here, before it is sent to a client.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from transport.wire.errors import CommandRejected
from transport.wire.events import PartialResult
from understudy.chat.messages import MessageInOtherThread
from understudy.chat.placement import Moved
from understudy.extensions.nodes.inbox import Letter
from understudy.extensions.nodes.messages import Advanced, Passing, RpcFault, RpcReply, RpcRequest, TextPiece, Told
from understudy.storage.errors import StorageUnavailable
from understudy.wire.codes import ERRORS
from understudy.wire.events import Envelope
from understudy.wire.vocabulary import from_log, to_log

VERSION: Final = 2
"""Increment with a change of a shape that does more than to add kinds of messages, or fields with a default."""
BODY_MAX: Final = 16 * 1024 * 1024
"""Bytes of a letter: the longest, a message with its context and files, has some megabytes."""
PARTS: Final = 64
"""Messages into which a long text is cut; what is longer is read from the log."""
TORN: Final = "it is torn"


class UnreadableLetter(ValueError):
    """The bytes are no message, or one of another version."""


_ENCODER: Final = msgspec.msgpack.Encoder()
_LETTER: Final[msgspec.msgpack.Decoder[RpcRequest | RpcReply]] = msgspec.msgpack.Decoder(RpcRequest | RpcReply)
_JSON: Final = msgspec.json.Encoder()
_TOLD: Final = msgspec.json.Decoder(list[Told])


def encode_letter(content: RpcRequest | RpcReply) -> bytes:
    """Return the body of a letter."""
    return _ENCODER.encode(content)


def is_readable(letter: Letter) -> bool:
    """Return whether a letter is of the version of this code."""
    return letter.version == VERSION


def decode_letter(letter: Letter) -> RpcRequest | RpcReply:
    """Decode the body of a letter. Raises UnreadableLetter."""
    if not is_readable(letter):
        raise UnreadableLetter(f"version {letter.version}, not {VERSION}")
    if len(letter.body) > BODY_MAX:
        raise UnreadableLetter(f"{len(letter.body)} bytes")
    try:
        content = _LETTER.decode(letter.body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UnreadableLetter(str(error)) from None
    if isinstance(content, RpcRequest) and content.id != letter.id:
        raise UnreadableLetter("it is another letter's")
    return content


def encode_passing(told: Told, largest: int) -> list[str]:
    """Return a message as parts of at most this size, without their brackets; none if that is not possible.

    A long piece of text is cut into several, each with its own offset.
    """
    parts: list[str] = []
    rest = [told]
    while rest and len(parts) + len(rest) <= PARTS:
        one = rest.pop(0)
        try:
            text = _JSON.encode(one)
        except ValueError:  # a half of a character that UTF-8 cannot hold
            return []
        if len(text) + 2 <= largest:
            parts.append(text.decode())
        elif isinstance(one, Passing) and isinstance(one.body, TextPiece) and len(one.body.text) > 1:
            rest[:0] = _halves(one, one.body)
        elif isinstance(one, Advanced) and one.frames:
            rest.insert(0, msgspec.structs.replace(one, frames=()))
        else:
            return []
    return [] if rest else parts


def _halves(told: Passing, piece: TextPiece) -> list[Told]:
    replace, half = msgspec.structs.replace, len(piece.text) // 2
    first = replace(piece, text=piece.text[:half])
    second = replace(piece, text=piece.text[half:], offset=piece.offset + half)
    return [replace(told, body=first), replace(told, body=second)]


def join_passing(parts: Sequence[str], largest: int) -> Iterator[str]:
    """Yield messages of at most this size, in UTF-8, each with as many of these parts as it holds."""
    together, size = list[str](), 2
    for part in parts:
        more = len(part.encode()) + 1
        if together and size + more > largest:
            yield f"[{','.join(together)}]"
            together, size = [], 2
        together.append(part)
        size += more
    if together:
        yield f"[{','.join(together)}]"


def decode_passing(text: str) -> list[Told]:
    """Decode a message. Raises UnreadableLetter."""
    try:
        return _TOLD.decode(text)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise UnreadableLetter(str(error)) from None


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
