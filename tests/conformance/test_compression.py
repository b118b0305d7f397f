"""Groups 12 and 13 of the Autobahn cases: permessage-deflate (RFC 7692), and the negotiation of its offers."""

import json
import random
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from tests.rigs.echo_server import LIMITS, EchoUpgrades
from tests.rigs.loopback_server import open_server
from tests.rigs.raw_websocket import BINARY, CONT, TEXT, RawWebSocket, close, frame, raw_websocket
from transport.server.socket import SocketLimits
from transport.server.websocket import MAX_BYTES

MESSAGES = 12
OFFER = "permessage-deflate"
AGREED = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
COMPRESSING = {"socket": SocketLimits(LIMITS.message_bytes, LIMITS.bound_bytes, compression_from_bytes=0)}


def _json() -> bytes:
    rows = [{"id": number, "name": f"row {number % 97}", "value": number * 1.5} for number in range(4000)]
    return json.dumps(rows).encode()


def _picture() -> bytes:
    return bytes((x * y // 64 + x // 3) & 0xFF for y in range(360) for x in range(360))


def _prose() -> bytes:
    words = ["Habe", "nun", "ach", "Philosophie", "Juristerei", "und", "Medizin", "mit", "heißem", "Bemühn", "studiert"]
    chance = random.Random(1)
    return " ".join(chance.choice(words) for _ in range(22_000)).encode("latin-1")


def _page() -> bytes:
    return b"".join(b"<tr><td class='n'>%d</td><td>%x</td></tr>\n" % (n, n * 7919) for n in range(4000))


def _noise() -> bytes:
    return random.Random(2).randbytes(132_000)


DATA = ((TEXT, _json()), (BINARY, _picture()), (BINARY, _prose()), (TEXT, _page()), (BINARY, _noise()))
# Sizes of messages, and of the fragments they are sent in; 0 for none.
SIZES = [(16, 0), (64, 0), (256, 0), (1024, 0), (4096, 0), (8192, 0), (16384, 0), (32768, 0), (65536, 0), (131072, 0)]
SIZES += [(size, 256) for size in (8192, 16384, 32768, 65536, 131072)]
SIZES += [(131072, size) for size in (1024, 4096, 32768)]


def compressed(opcode: int, payload: bytes, fragment: int = 0, bits: int = 15) -> bytes:
    """Return a compressed message without context takeover, in fragments of this many uncompressed bytes."""
    squeeze = zlib.compressobj(wbits=-bits)
    size = fragment or max(1, len(payload))
    parts = [payload[start : start + size] for start in range(0, len(payload), size)] or [b""]
    data = b""
    for number, part in enumerate(parts):
        small = squeeze.compress(part) + squeeze.flush(zlib.Z_SYNC_FLUSH)
        last = number == len(parts) - 1
        small = small.removesuffix(b"\x00\x00\xff\xff") if last else small
        data += frame(CONT if number else opcode, small, fin=last, rsv=0 if number else 4)
    return data


@asynccontextmanager
async def offering(offers: list[str]) -> AsyncIterator[RawWebSocket]:
    """Connect to an echo server that compresses, with these offers."""
    upgrades = EchoUpgrades().handle_upgrade
    async with open_server(upgrades, **COMPRESSING) as port, raw_websocket(port, offers=offers) as client:
        yield client


async def answer(client: RawWebSocket) -> tuple[int, bytes]:
    """Return the next message, inflated by itself if it is compressed."""
    came = await client.frame()
    assert came.rsv in (0, 4)
    return came.opcode, inflated(came.payload) if came.rsv else came.payload


def inflated(data: bytes, bits: int = 15) -> bytes:
    """Inflate a message by itself, with a window of at most this size."""
    return zlib.decompressobj(-bits).decompress(data + b"\x00\x00\xff\xff")


CASES = [
    pytest.param(opcode, data, size, fragment, id=f"12.{group}.{number}")
    for group, (opcode, data) in enumerate(DATA, 1)
    for number, (size, fragment) in enumerate(SIZES, 1)
]


@pytest.mark.parametrize(("opcode", "data", "size", "fragment"), CASES)
async def test_messages_of_a_size(opcode: int, data: bytes, size: int, fragment: int) -> None:
    with trio.fail_after(60):
        async with offering([OFFER]) as client:
            assert client.extensions == AGREED
            for number in range(MESSAGES):
                start = number * 997 % max(1, len(data) - size)
                payload = data[start : start + size]
                await client.send(compressed(opcode, payload, fragment))
                assert await answer(client) == (opcode, payload)
            await client.send(close())
            assert [frame.code for frame in await client.frames_to_the_end()] == [1000]


OFFERS = [
    ([OFFER], AGREED),
    ([f"{OFFER}; server_no_context_takeover"], AGREED),
    ([f"{OFFER}; server_max_window_bits=9"], f"{AGREED}; server_max_window_bits=9"),
    ([f"{OFFER}; server_max_window_bits=15"], f"{AGREED}; server_max_window_bits=15"),
    ([f"{OFFER}; server_no_context_takeover; server_max_window_bits=9"], f"{AGREED}; server_max_window_bits=9"),
    ([f"{OFFER}; client_no_context_takeover; client_max_window_bits"], AGREED),
    ([f"{OFFER}; server_max_window_bits=8, {OFFER}; server_no_context_takeover"], AGREED),
]


@pytest.mark.parametrize(("offers", "agreed"), OFFERS, ids=[f"13.{number}" for number in range(1, len(OFFERS) + 1)])
async def test_an_offer_that_is_agreed_to(offers: list[str], agreed: str) -> None:
    """The first acceptable one is, always without takeover; messages of all sizes are echoed within its window."""
    bits = 9 if "=9" in agreed else 15
    with trio.fail_after(60):
        async with offering(offers) as client:
            assert client.extensions == agreed
            for size, fragment in SIZES:
                payload = DATA[0][1][:size]
                await client.send(compressed(TEXT, payload, fragment))
                came = await client.frame()
                assert (inflated(came.payload, bits) if came.rsv else came.payload) == payload
                # 16 bytes do not shrink, and the largest message would block the loop.
                assert bool(came.rsv) == (16 < size <= MAX_BYTES)


@pytest.mark.parametrize(
    "offer",
    [
        f"{OFFER}; server_max_window_bits=16",
        f"{OFFER}; server_max_window_bits",
        f"{OFFER}; server_no_context_takeover=1",
        f"{OFFER}; server_no_context_takeover; server_no_context_takeover",
        f"{OFFER}; client_max_window_bits=7",
        f"{OFFER}; unheard_of",
        "permessage-bzip2",
    ],
)
async def test_an_offer_that_is_declined(offer: str) -> None:
    """Parameters that RFC 7692 section 7.1 does not allow: the socket opens without compression."""
    async with offering([offer]) as client:
        assert client.extensions == ""
        await client.send(frame(TEXT, b"plain"))
        assert await answer(client) == (TEXT, b"plain")


@pytest.mark.parametrize("data", [b"\xff\xff\xff\xff", b"\x06 the third kind of block"])
async def test_malformed_compressed_data_is_a_fault(data: bytes) -> None:
    """The close is 1002; compressed control and continuation frames are faults too."""
    for script in (
        frame(TEXT, data, rsv=4),
        frame(0x9, b"", rsv=4),
        frame(TEXT, b"", fin=False, rsv=4) + frame(CONT, b"", rsv=4),
    ):
        async with offering([OFFER]) as client:
            await client.send(script)
            assert [received.code for received in await client.frames_to_the_end()] == [1002]


async def test_text_is_judged_when_it_is_inflated() -> None:
    """Compressed bytes need not be UTF-8; an inflated text that is not UTF-8 is closed with 1007."""
    async with offering([OFFER]) as client:
        await client.send(compressed(TEXT, b"\xff\xfe"))
        assert [frame.code for frame in await client.frames_to_the_end()] == [1007]
