"""Group 9 of the Autobahn cases: large messages, small fragments, small chops, many round trips.

The server runs in its own process because its steps are long here; it accepts messages of up to 64 MiB.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.conformance.echoing import echoing
from tests.rigs.raw_websocket import BINARY, TEXT, RawWebSocket, close, fragments, frame, raw_websocket

pytestmark = pytest.mark.blocking("the client builds and reads frames of many megabytes")

KIB, MIB = 1024, 1024 * 1024
KINDS = ((TEXT, b"*"), (BINARY, b"\xfe"))


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Yield the port of an echo process."""
    with echoing(tmp_path_factory.mktemp("echo") / "log") as port:
        yield port


async def roundtrip(client: RawWebSocket, data: bytes, chop: int = 0) -> tuple[int, bytes]:
    """Send the data and concurrently read the echoed frame, as neither side can buffer 16 MiB for the other."""
    answers: list[tuple[int, bytes]] = []

    async def read() -> None:
        answer = await client.frame()
        answers.append((answer.opcode, answer.payload))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await client.send(data, chop)
    return answers[0]


def cases(first_group: int, *sizes: int) -> Any:
    """Return a decorator with cases of both kinds, which have the numbers of Autobahn."""
    params = [
        pytest.param(opcode, byte, size, id=f"9.{group}.{number}")
        for group, (opcode, byte) in enumerate(KINDS, first_group)
        for number, size in enumerate(sizes, 1)
    ]
    return pytest.mark.parametrize(("opcode", "byte", "size"), params)


@cases(1, 64 * KIB, 256 * KIB, MIB, 4 * MIB, 8 * MIB, 16 * MIB)
async def test_large_messages(port: int, opcode: int, byte: bytes, size: int) -> None:
    with trio.fail_after(60):
        async with raw_websocket(port) as client:
            assert await roundtrip(client, frame(opcode, byte * size)) == (opcode, byte * size)


@cases(3, 64, 256, KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB, 4 * MIB)
async def test_large_messages_in_fragments(port: int, opcode: int, byte: bytes, size: int) -> None:
    with trio.fail_after(60):
        async with raw_websocket(port) as client:
            data = fragments(opcode, byte * (4 * MIB), size)
            assert await roundtrip(client, data) == (opcode, byte * (4 * MIB))


@cases(5, 64, 128, 256, 512, KIB, 2 * KIB)
async def test_large_messages_in_chops(port: int, opcode: int, byte: bytes, size: int) -> None:
    with trio.fail_after(60):
        async with raw_websocket(port) as client:
            assert await roundtrip(client, frame(opcode, byte * MIB), size) == (opcode, byte * MIB)


@cases(7, 0, 16, 64, 256, KIB, 4 * KIB)
async def test_many_round_trips(port: int, opcode: int, byte: bytes, size: int) -> None:
    data = frame(opcode, byte * size)
    with trio.fail_after(60):
        async with raw_websocket(port) as client:
            for _ in range(1000):
                await client.send(data)
                assert (await client.frame()).payload == byte * size
            await client.send(close())
            assert [received.code for received in await client.frames_to_the_end()] == [1000]


async def test_the_process_says_where_it_is_and_ends_when_told(tmp_path: Path) -> None:
    """It echoes binary as binary; on SIGTERM it closes with 1001 and exits with 0."""
    with echoing(tmp_path / "log") as port:
        async with raw_websocket(port) as client:
            assert await roundtrip(client, frame(BINARY, b"\xff\x00")) == (BINARY, b"\xff\x00")
            assert await roundtrip(client, frame(TEXT, "ü".encode())) == (TEXT, "ü".encode())
    assert (tmp_path / "log").read_text() == f"echo is ready on ws://127.0.0.1:{port}\n"
