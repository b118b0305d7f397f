"""Encodes messages between nodes: letters as MessagePack, wakeups as JSON lists, events as in the log. Pure.

1. Nodes of two releases understand each other if they have the same `VERSION`: unknown fields are ignored, and a
   request of an unknown kind is refused.
2. The fields of a known kind are decoded strictly.
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
from understudy.extensions.nodes.messages import Advanced, RpcFault, RpcReply, RpcRequest, Told
from understudy.storage.errors import StorageUnavailable
from understudy.wire.codes import ERRORS
from understudy.wire.events import Envelope

VERSION: Final = 2
"""Increment it with each change of a shape, except new kinds of messages and new fields with a default."""
BODY_MAX: Final = 16 * 1024 * 1024
"""Bytes of the longest letter that is read; a message with its context and files has some megabytes."""
PIECE: Final = 1_000
"""Characters of streamed text in one message: as JSON each has six bytes at most, and a message of `NOTIFY` 7,999."""
PIECES: Final = 64
"""Messages into which a text is cut at most; a longer text is not sent, and is read from the log."""


class UnreadableLetter(ValueError):
    """The bytes are not a message, or they are a message of another version."""


_ENCODER: Final = msgspec.msgpack.Encoder()
_LETTER: Final[msgspec.msgpack.Decoder[RpcRequest | RpcReply]] = msgspec.msgpack.Decoder(RpcRequest | RpcReply)
_JSON: Final = msgspec.json.Encoder()
_TOLD: Final = msgspec.json.Decoder(list[Told])


def encode_letter(content: RpcRequest | RpcReply) -> bytes:
    """Return the body of a letter."""
    return _ENCODER.encode(content)


def decode_letter(letter: Letter) -> RpcRequest | RpcReply:
    """Decode the body of a letter. Raises UnreadableLetter, which says why."""
    if letter.version != VERSION:
        raise UnreadableLetter(f"it is of another release: {letter.version}, not {VERSION}")
    if len(letter.body) > BODY_MAX:
        raise UnreadableLetter(f"it has {len(letter.body)} bytes")
    try:
        content = _LETTER.decode(letter.body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UnreadableLetter(f"it is torn: {error}") from None
    if isinstance(content, RpcRequest) and content.id != letter.id:
        raise UnreadableLetter("it is another letter's")
    return content


def encode_passing(message: Told, largest: int) -> list[str]:
    """Encode a message as one element for `join_passing`; return none if it is over `largest` bytes with its
    brackets."""
    text = _JSON.encode(message)
    if len(text) + 2 > largest and isinstance(message, Advanced):
        text = _JSON.encode(msgspec.structs.replace(message, frames=()))
    return [text.decode()] if len(text) + 2 <= largest else []


def join_passing(parts: Sequence[str], largest: int) -> Iterator[str]:
    """Yield JSON lists of at most `largest` bytes in UTF-8, each of as many of these elements as fit."""
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
    """Decode the messages of a wakeup. Raises UnreadableLetter."""
    try:
        return _TOLD.decode(text)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise UnreadableLetter(str(error)) from None


def pieces_of(envelope: Envelope) -> Sequence[Envelope]:
    """Cut streamed text into pieces that fit into a wakeup, each with its own offset; none if more than `PIECES`."""
    event = envelope.event
    if not isinstance(event, PartialResult):
        return [envelope]
    starts = range(0, len(event.text) or 1, PIECE)
    cut = [PartialResult(event.text[at : at + PIECE], event.offset + at) for at in starts[: PIECES + 1]]
    return [envelope.replace(event=event) for event in cut] if len(cut) <= PIECES else []


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
            code = fault.code if fault.code in ERRORS else "internal"  # a later release may have more codes
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
