"""Random frames, mutated, in random pieces, against the protocol that parses them.

`python -m tests.fuzz.frames --seconds 60 --seed 1` runs for a minute from a seed and prints the number of
conversations. It exits with 1 and the seed of the first failing one: `--seed S --only` replays it.
"""

import argparse
import random
import sys
import time
from collections.abc import Sequence

from websockets.protocol import State

from tests.fuzz.oracle import TOO_LARGE, Verdict, judge
from tests.rigs.raw_websocket import fragments, frame
from transport.server.websocket import FRAMES_PER_FEED, ServerSideProtocol
from transport.wire.errors import CommandRejected

MESSAGE_BYTES, BOUND_BYTES, MOST_BYTES = 300, 1000, 5000
LENGTHS = (0, 1, 2, 3, 4, 8, 124, 125, 126, 127, 299, 300, 301, 999, 1000, 1001)
TEXTS = ("plain", "ünïcödé €", "κόσμε", "𤭢🙂", "\x00\x7f", "")
ALLOWED = {None, 1002, 1005, 1007, 1009, *range(1000, 1004), *range(1008, 1015), *range(3000, 5000)}


class Wrong(AssertionError):
    """The protocol and the oracle disagree, or a bound was exceeded."""


def play(seed: int) -> None:
    """Play one conversation. Raises Wrong, or any error that escapes from the protocol."""
    chance = random.Random(seed)
    data = _mutated(b"".join(_piece(chance) for _ in range(chance.randrange(1, 12))), chance)
    protocol = ServerSideProtocol(MESSAGE_BYTES, BOUND_BYTES)
    verdict = Verdict()
    for chunk in _chunks(data, chance):
        _take(protocol, chunk, verdict)
        while protocol.has_buffered:
            _take(protocol, b"", verdict)
    if protocol.state is not State.OPEN:
        verdict.code = protocol.close_sent.code if protocol.close_sent is not None else None
    expected = judge(data, MESSAGE_BYTES, BOUND_BYTES)
    if verdict != expected or verdict.code not in ALLOWED:
        raise Wrong(f"seed {seed}: {verdict} came of {data!r}, not {expected}")


def _take(protocol: ServerSideProtocol, chunk: bytes, verdict: Verdict) -> None:
    message = protocol.feed(chunk)
    if message is not None:
        verdict.messages.append(TOO_LARGE if isinstance(message, CommandRejected) else message)
    writes = [write for write in protocol.data_to_send() if write]
    if len(writes) > FRAMES_PER_FEED + 1:
        raise Wrong(f"{len(writes)} frames were written in a turn")
    verdict.pongs += [write[2:] for write in writes if write[0] == 0x8A]
    if len(protocol.reader.buffer) > BOUND_BYTES + 14 + MOST_BYTES:
        raise Wrong(f"{len(protocol.reader.buffer)} bytes were kept")


def _piece(chance: random.Random) -> bytes:
    """Return a frame or a fragmented message, mostly valid."""
    kind = chance.random()
    if kind < 0.35:
        return _message(chance)
    if kind < 0.5:
        return frame(chance.choice((9, 10)), chance.randbytes(chance.choice((0, 1, 4, 125, 125, 126))))
    if kind < 0.6:
        parts = [frame(0 if n else 1, b"" if n % 2 else b"x", fin=False) for n in range(chance.randrange(1, 100))]
        return b"".join(parts) + (frame(0, b"end") if chance.random() < 0.8 else b"")
    if kind < 0.65:
        code = chance.choice((1000, 1001, 1005, 1006, 1015, 999, 3000, 4999, 5000, 0))
        return frame(8, chance.choice((b"", b"\x03", code.to_bytes(2, "big"), code.to_bytes(2, "big") + b"why\xff")))
    odd = frame(
        chance.randrange(16),
        chance.randbytes(chance.choice(LENGTHS)),
        fin=chance.random() < 0.7,
        rsv=chance.choice((0, 0, 0, 0, 1, 2, 4, 7)),
        mask=None if chance.random() < 0.05 else chance.randbytes(4),
        length=chance.choice((-1, -1, -1, 5, 200, 2**16, 2**63)),
    )
    return odd if chance.random() < 0.4 else _message(chance)


def _message(chance: random.Random) -> bytes:
    text = "".join(chance.choice(TEXTS) for _ in range(chance.randrange(12))).encode()
    if chance.random() < 0.15:
        text += chance.choice((b"\xff", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc3", b"x" * 300, b"x" * 1000))
    opcode = chance.choice((1, 1, 2))
    return frame(opcode, text) if chance.random() < 0.5 else fragments(opcode, text, chance.choice((1, 2, 7, 50)))


def _mutated(data: bytes, chance: random.Random) -> bytes:
    """Return the data unchanged, or with a few bytes changed, dropped, doubled, or cut off."""
    changed = bytearray(data)
    for _ in range(chance.choice((0, 0, 0, 1, 2))):
        if not changed:
            break
        at = chance.randrange(len(changed))
        match chance.randrange(4):
            case 0:
                changed[at] ^= 1 << chance.randrange(8)
            case 1:
                del changed[at]
            case 2:
                changed[at:at] = changed[at : at + chance.randrange(20)]
            case _:
                del changed[at:]
    return bytes(changed)


def _chunks(data: bytes, chance: random.Random) -> Sequence[bytes]:
    most = chance.choice((1, 3, 20, MOST_BYTES))
    chunks, at = [], 0
    while at < len(data):
        size = chance.randrange(1, most + 1)
        chunks.append(data[at : at + size])
        at += size
    return chunks


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz for a time and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.frames", description="Fuzz the frame path.")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long to go on [10]")
    parser.add_argument("--seed", type=int, default=0, help="the first seed [0]")
    parser.add_argument("--only", action="store_true", help="play this seed alone")
    options = parser.parse_args(arguments)
    seed, until = options.seed, time.monotonic() + options.seconds
    while True:
        try:
            play(seed)
        except Exception as error:
            print(f"seed {seed} went wrong: {error!r}")
            return 1
        seed += 1
        if options.only or time.monotonic() >= until:
            print(f"{seed - options.seed} conversations, seeds {options.seed} to {seed - 1}, none went wrong")
            return 0


if __name__ == "__main__":
    sys.exit(main())
