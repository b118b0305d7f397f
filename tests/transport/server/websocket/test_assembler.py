"""Messages out of frames, whole and in parts."""

import pytest
from websockets.frames import Frame, Opcode

from transport.server.websocket.assembler import MessageAssembler
from transport.wire.errors import CommandRejected


def test_whole_messages_of_both_kinds() -> None:
    """Text as str, bytes as bytes; control frames are no messages."""
    assembly = MessageAssembler(100)
    assert assembly.add(Frame(Opcode.TEXT, "ünï".encode())) == "ünï"
    assert assembly.add(Frame(Opcode.PING, b"x")) is None
    assert assembly.add(Frame(Opcode.BINARY, b"\xff")) == b"\xff"
    assert not assembly.partial


def test_a_message_in_parts_keeps_its_kind() -> None:
    """A character may be cut in two, an empty part counts as begun, a ping may stand between."""
    assembly = MessageAssembler(100)
    assert assembly.add(Frame(Opcode.TEXT, b"", fin=False)) is None
    assert assembly.partial
    assert assembly.add(Frame(Opcode.CONT, b"\xc3", fin=False)) is None
    assert assembly.add(Frame(Opcode.PING, b"x")) is None
    assert assembly.partial
    assert assembly.add(Frame(Opcode.CONT, b"\xbc")) == "ü"
    assert not assembly.partial


@pytest.mark.parametrize("parts", [[b"x" * 11], [b"x" * 5, b"x" * 6], [b"x" * 11, b""]])
def test_what_is_too_large_is_refused_at_its_end(parts: list[bytes]) -> None:
    """Once, and the next message is taken; the bound itself is still allowed."""
    assembly = MessageAssembler(10)
    *first, last = [
        assembly.add(Frame(Opcode.CONT if number else Opcode.TEXT, part, fin=number == len(parts) - 1))
        for number, part in enumerate(parts)
    ]
    assert all(message is None for message in first)
    assert isinstance(last, CommandRejected)
    assert last.code == "message_too_large"
    assert assembly.add(Frame(Opcode.TEXT, b"x" * 10)) == "x" * 10


def test_text_that_is_none_is_an_error() -> None:
    """Only at the end, when all of it is there."""
    with pytest.raises(UnicodeDecodeError):
        MessageAssembler(10).add(Frame(Opcode.TEXT, b"\xff"))
