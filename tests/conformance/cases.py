"""The cases of the Autobahn test suite for servers, groups 1 to 7 and 10, as data, under the suite's numbers.

Expectations follow the suite's descriptions in their strict reading: frames before a fault are answered, and the fault
is detected as early as possible.
"""

from collections.abc import Iterator

from attrs import frozen

from tests.conformance.texts import EXAMPLES, GREEK
from tests.rigs.raw_websocket import BINARY, CLOSE, CONT, PING, PONG, TEXT, close, fragments, frame

Answer = tuple[int, bytes]

CLEAN = frozenset({1000})
FAULT = frozenset({1002})
NOT_TEXT = frozenset({1007})


@frozen
class Pause:
    """The point at which the server must have sent `answers`, and nothing else."""

    answers: tuple[Answer, ...] = ()


@frozen
class Case:
    """One conversation: the bytes sent, in pieces of `chop` bytes or as given, the expected frames, and the close code.

    If the script has no close frame and the code is 1000, the client closes at the end.
    """

    name: str
    script: tuple[bytes | Pause, ...]
    answers: tuple[Answer, ...] = ()
    codes: frozenset[int | None] = CLEAN
    chop: int = 0


def every() -> Iterator[Case]:
    """Yield all cases, in the suite's order."""
    yield from framing()
    yield from pings()
    yield from reserved_bits()
    yield from opcodes()
    yield from fragmentation()
    yield from utf8()
    yield from closing()
    yield Case("10.1.1", (fragments(TEXT, b"*" * 65536, 1300),), ((TEXT, b"*" * 65536),))


def framing() -> Iterator[Case]:
    """Group 1: sizes around the borders of the length field, whole and in chops."""
    for group, opcode, byte in (("1.1", TEXT, b"*"), ("1.2", BINARY, b"\xfe")):
        for number, size in enumerate((0, 125, 126, 127, 128, 65535, 65536), 1):
            yield Case(f"{group}.{number}", (frame(opcode, byte * size),), ((opcode, byte * size),))
        yield Case(f"{group}.8", (frame(opcode, byte * 65536),), ((opcode, byte * 65536),), chop=997)


def pings() -> Iterator[Case]:
    """Group 2: a ping is answered with its payload, a pong is not answered."""
    binary = b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff"
    yield Case("2.1", (frame(PING),), ((PONG, b""),))
    yield Case("2.2", (frame(PING, b"Hello, world!"),), ((PONG, b"Hello, world!"),))
    yield Case("2.3", (frame(PING, binary),), ((PONG, binary),))
    yield Case("2.4", (frame(PING, b"\xfe" * 125),), ((PONG, b"\xfe" * 125),))
    yield Case("2.5", (frame(PING, b"\xfe" * 126),), codes=FAULT)
    yield Case("2.6", (frame(PING, b"\xfe" * 125),), ((PONG, b"\xfe" * 125),), chop=1)
    yield Case("2.7", (frame(PONG),))
    yield Case("2.8", (frame(PONG, b"unasked"),))
    yield Case("2.9", (frame(PONG, b"unasked") + frame(PING, b"asked"),), ((PONG, b"asked"),))
    ten = [b"payload-%d" % number for number in range(10)]
    script, answers = b"".join(frame(PING, payload) for payload in ten), tuple((PONG, payload) for payload in ten)
    yield Case("2.10", (script,), answers)
    yield Case("2.11", (script,), answers, chop=1)


def reserved_bits() -> Iterator[Case]:
    """Group 3: reserved bits. A message before them is still answered, a ping after them is not."""
    hello, answered = frame(TEXT, b"Hello"), ((TEXT, b"Hello"),)
    yield Case("3.1", (frame(TEXT, b"Hello", rsv=1),), codes=FAULT)
    yield Case("3.2", (hello + frame(TEXT, b"Hello", rsv=2) + frame(PING),), answered, FAULT)
    yield Case("3.3", (hello, frame(TEXT, b"Hello", rsv=3), frame(PING)), answered, FAULT)
    yield Case("3.4", (hello + frame(TEXT, b"Hello", rsv=4) + frame(PING),), answered, FAULT, chop=1)
    yield Case("3.5", (frame(BINARY, b"\x00\xff\xfe", rsv=5),), codes=FAULT)
    yield Case("3.6", (frame(PING, b"Hello", rsv=6),), codes=FAULT)
    yield Case("3.7", (frame(CLOSE, rsv=7),), codes=FAULT)


def opcodes() -> Iterator[Case]:
    """Group 4: undefined opcodes."""
    hello, answered = frame(TEXT, b"Hello"), ((TEXT, b"Hello"),)
    for group, first in (("4.1", 3), ("4.2", 11)):
        yield Case(f"{group}.1", (frame(first),), codes=FAULT)
        yield Case(f"{group}.2", (frame(first + 1, b"reserved"),), codes=FAULT)
        yield Case(f"{group}.3", (hello + frame(first + 2) + frame(PING),), answered, FAULT)
        yield Case(f"{group}.4", (hello + frame(first + 3, b"reserved") + frame(PING),), answered, FAULT)
        yield Case(f"{group}.5", (hello + frame(first + 4, b"reserved") + frame(PING),), answered, FAULT, chop=1)


def fragmentation() -> Iterator[Case]:
    """Group 5: fragments in every order, with control frames between them."""
    start, second = frame(TEXT, b"one", fin=False), frame(CONT, b"two")
    whole, ping, pong = ((TEXT, b"onetwo"),), frame(PING, b"ping"), (PONG, b"ping")
    stray, endless = frame(CONT, b"stray"), frame(CONT, b"stray", fin=False)
    text = frame(TEXT, b"text")
    yield Case("5.1", (frame(PING, b"a", fin=False) + frame(CONT, b"b"),), codes=FAULT)
    yield Case("5.2", (frame(PONG, b"a", fin=False) + frame(CONT, b"b"),), codes=FAULT)
    for number, (script, chop) in enumerate((((start + second,), 0), ((start, second), 0), ((start + second,), 1)), 3):
        yield Case(f"5.{number}", script, whole, chop=chop)
    for number, (script, chop) in enumerate(
        (((start + ping + second,), 0), ((start, ping, Pause((pong,)), second), 0), ((start + ping + second,), 1)), 6
    ):
        answers = whole if number == 7 else (pong, *whole)
        yield Case(f"5.{number}", script, answers, chop=chop)
    for first, odd in ((9, stray), (12, endless)):
        for number, (script, chop) in enumerate((((odd + text,), 0), ((odd, text), 0), ((odd + text,), 1)), first):
            yield Case(f"5.{number}", script, codes=FAULT, chop=chop)
    yield Case("5.15", (start + second + endless + text,), whole, FAULT)
    yield Case("5.16", ((endless + start + second) * 2,), codes=FAULT)
    yield Case("5.17", ((stray + start + second) * 2,), codes=FAULT)
    yield Case("5.18", (start + text,), codes=FAULT)
    parts = [frame(CONT, b"part", fin=last) for last in (False, False, False, True)]
    first_ping, second_ping = frame(PING, b"first"), frame(PING, b"second")
    answers = ((PONG, b"second"), (TEXT, b"one" + b"part" * 4))
    before, after = (start, parts[0], first_ping), (parts[1], parts[2], second_ping, parts[3])
    waits = Pause(((PONG, b"first"),))
    yield Case("5.19", (b"".join(before), waits, b"".join(after)), answers)
    yield Case("5.20", (*before, waits, *after), answers)


def utf8() -> Iterator[Case]:
    """Group 6: valid and invalid UTF-8, detected at the first byte that decides."""
    for number, parts in enumerate(([b""], [b"", b"", b""], [b"", b"middle frame payload", b""]), 1):
        yield Case(f"6.1.{number}", (in_fragments(parts),), ((TEXT, b"".join(parts)),))
    hello, greek = "Hello-µ@ßöäüàá-UTF-8!!".encode(), GREEK
    yield Case("6.2.1", (frame(TEXT, hello),), ((TEXT, hello),))
    cut = hello.index("ü".encode())
    yield Case("6.2.2", (in_fragments([hello[:cut], hello[cut:]]),), ((TEXT, hello),))
    yield Case("6.2.3", (fragments(TEXT, hello, 1),), ((TEXT, hello),))
    yield Case("6.2.4", (fragments(TEXT, greek, 1),), ((TEXT, greek),))
    surrogate = greek + b"\xed\xa0\x80edited"
    yield Case("6.3.1", (frame(TEXT, surrogate),), codes=NOT_TEXT)
    yield Case("6.3.2", (fragments(TEXT, surrogate, 1),), codes=NOT_TEXT)
    beyond = greek + b"\xf4\x90\x80\x80edited"
    for number, cut in ((1, len(greek)), (2, 12)):
        first = frame(TEXT, beyond[:cut], fin=False)
        second = frame(CONT, beyond[cut : 13 if number == 2 else 15], fin=False)
        yield Case(f"6.4.{number}", (first, Pause(), second), codes=NOT_TEXT)
    for number, (cut, end) in ((3, (len(greek), 15)), (4, (12, 13))):
        whole = frame(TEXT, beyond)
        head = len(whole) - len(beyond)
        yield Case(f"6.4.{number}", (whole[: head + cut], Pause(), whole[head + cut : head + end]), codes=NOT_TEXT)
    for group, texts in enumerate(EXAMPLES, 5):
        for number, text in enumerate(texts, 1):
            good = is_text(text)
            answers = ((TEXT, text),) if good else ()
            yield Case(f"6.{group}.{number}", (frame(TEXT, text),), answers, CLEAN if good else NOT_TEXT)


def in_fragments(parts: list[bytes]) -> bytes:
    """Return a text message in exactly these fragments."""
    last = len(parts) - 1
    return b"".join(frame(CONT if number else TEXT, part, fin=number == last) for number, part in enumerate(parts))


def is_text(text: bytes) -> bool:
    """Return whether the bytes are UTF-8."""
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def closing() -> Iterator[Case]:
    """Group 7: the closing handshake."""
    hello = frame(TEXT, b"Hello World!")
    yield Case("7.1.1", (hello, close()), ((TEXT, b"Hello World!"),))
    yield Case("7.1.2", (close() + frame(CLOSE),))
    yield Case("7.1.3", (close() + frame(PING),))
    yield Case("7.1.4", (close() + hello,))
    yield Case("7.1.5", (frame(TEXT, b"one", fin=False) + close() + frame(CONT, b"two"),))
    large = b"BAsd7&jh23" * 26215
    script = frame(TEXT, large) + hello + close() + frame(PING)
    yield Case("7.1.6", (script,), ((TEXT, large), (TEXT, b"Hello World!")))
    yield Case("7.3.1", (close(None),), codes=frozenset({None}))
    yield Case("7.3.2", (frame(CLOSE, b"a"),), codes=FAULT)
    yield Case("7.3.3", (close(),))
    yield Case("7.3.4", (close(1000, b"Hello World!"),))
    yield Case("7.3.5", (close(1000, b"*" * 123),))
    yield Case("7.3.6", (close(1000, b"*" * 124),), codes=FAULT)
    yield Case("7.5.1", (close(1000, GREEK + b"\xed\xa0\x80edited"),), codes=NOT_TEXT)
    good = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)
    for number, code in enumerate(good, 1):
        yield Case(f"7.7.{number}", (close(code),), codes=frozenset({code}))
    for number, code in enumerate((0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999), 1):
        yield Case(f"7.9.{number}", (close(code),), codes=FAULT)
    for number, code in enumerate(
        (5000, 65535), 1
    ):  # undefined by the specification; this server treats them as faults
        yield Case(f"7.13.{number}", (close(code),), codes=FAULT)
