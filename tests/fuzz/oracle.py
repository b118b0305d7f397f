"""The reaction of a server to a client's bytes, derived straight from RFC 6455: slow, plain, and independent of our
code.
"""

import codecs
from collections.abc import Callable, Iterator

from attrs import define, field

TOO_LARGE = "too large"
VALID_CODES = {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}


@define
class Verdict:
    """The messages in order (str, bytes, or TOO_LARGE), the payloads of the pongs, and the close code.

    `code` is None while the socket is open, 1005 for the answer to an empty close frame.
    """

    messages: list[str | bytes] = field(factory=list)
    pongs: list[bytes] = field(factory=list)
    code: int | None = None


class Fault(Exception):
    """The connection fails with this close code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def judge(data: bytes, message_bytes: int, bound_bytes: int) -> Verdict:
    """Return the reaction to these bytes if no more follow for now."""
    verdict = Verdict()
    try:
        _judge(data, verdict, message_bytes, bound_bytes)
    except Fault as fault:
        verdict.code = fault.code
    return verdict


def _judge(data: bytes, verdict: Verdict, message_bytes: int, bound_bytes: int) -> None:
    kind, parts = 0, b""  # of the message that was begun: its opcode and payload

    def room() -> int:
        return bound_bytes - len(parts)

    for opcode, fin, rsv, payload, length in _frames(data, room):
        if len(payload) < length:
            if not rsv and (opcode, kind) in ((1, 0), (0, 1)):
                _text(parts + payload, len(parts) + length, message_bytes, last=False)
            return
        if rsv:
            raise Fault(1002)
        if opcode >= 8:
            if length > 125 or not fin:
                raise Fault(1002)
            if opcode == 9:
                verdict.pongs.append(payload)
            if opcode == 8:
                raise Fault(_close_code(payload))
            continue
        if (opcode == 0) != bool(kind):
            raise Fault(1002)
        kind, parts = kind or opcode, parts + payload
        if kind == 1:
            _text(parts, len(parts), message_bytes, last=fin)
        if fin:
            large = len(parts) > message_bytes
            verdict.messages.append(TOO_LARGE if large else parts.decode() if kind == 1 else parts)
            kind, parts = 0, b""


def _frames(data: bytes, room: Callable[[], int]) -> Iterator[tuple[int, bool, int, bytes, int]]:
    """Yield opcode, fin, reserved bits, the payload so far, and its length. Raise the faults of a head."""
    at = 0
    while len(data) - at >= 2:
        first, second = data[at], data[at + 1]
        opcode, length, size = first & 15, second & 127, 2
        if opcode in (3, 4, 5, 6, 7) or opcode > 10 or not second & 128:
            raise Fault(1002)
        if length > 125:
            size = 4 if length == 126 else 10
            if len(data) - at < size:
                return
            length = int.from_bytes(data[at + 2 : at + size], "big")
        if length > room():
            raise Fault(1009)
        if len(data) - at < size + 4:
            return
        mask, body = data[at + size : at + size + 4], data[at + size + 4 : at + size + 4 + length]
        payload = bytes(byte ^ mask[place % 4] for place, byte in enumerate(body))
        yield opcode, bool(first & 128), first >> 4 & 7, payload, length
        at += size + 4 + length


def _text(text: bytes, length: int, message_bytes: int, *, last: bool) -> None:
    if length > message_bytes:
        return
    try:
        codecs.getincrementaldecoder("utf-8")().decode(text, last)
    except UnicodeDecodeError:
        raise Fault(1007) from None


def _close_code(payload: bytes) -> int:
    if not payload:
        return 1005
    code = int.from_bytes(payload[:2], "big")
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        return 1007
    return code if len(payload) > 1 and code in VALID_CODES else 1002
