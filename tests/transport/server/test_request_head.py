"""The head of a request, by itself."""

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import memory_stream_one_way_pair

from transport.server.request_head import RequestHead, Unreadable, read_request_head

LINES = st.lists(st.binary(max_size=30).filter(lambda line: line.strip(b"\r\n") == line and b"\n" not in line))


async def read(data: bytes, sizes: list[int], max_bytes: int = 500) -> RequestHead | Unreadable:
    """Read a head that comes in pieces of these sizes, in turn."""
    sender, receiver = memory_stream_one_way_pair()

    async def send() -> None:
        at, turn = 0, 0
        while at < len(data):
            size = sizes[turn % len(sizes)]
            await sender.send_all(data[at : at + size])
            await trio.lowlevel.checkpoint()
            at, turn = at + size, turn + 1
        await sender.aclose()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        head = await read_request_head(receiver, max_bytes, 10)  # type: ignore[arg-type]
        nursery.cancel_scope.cancel()
    return head


@given(st.binary(max_size=120), LINES, st.binary(max_size=20), st.lists(st.integers(1, 50), min_size=1))
async def test_the_pieces_it_comes_in_do_not_matter(
    first: bytes, lines: list[bytes], rest: bytes, sizes: list[int]
) -> None:
    """Whole, byte by byte, in any pieces: the same head, or the same refusal; the bytes after it are in `rest`."""
    data = b"\r\n".join([b"GET " + first.replace(b"\n", b""), *lines, b"", rest])
    whole, bytewise, pieces = [await read(data, sizes) for sizes in ([len(data)], [1], sizes)]
    if isinstance(whole, RequestHead):
        assert whole.raw + whole.rest == data
        assert isinstance(bytewise, RequestHead)
        assert isinstance(pieces, RequestHead)
        assert bytewise.raw == pieces.raw == whole.raw
    else:
        assert bytewise == pieces == whole


@given(st.binary(max_size=200))
async def test_any_bytes_have_an_answer(data: bytes) -> None:
    head = await read(data, [7], max_bytes=100)
    if isinstance(head, RequestHead):
        assert len(head.raw) <= 100
        assert head.refusal_status in (None, 400, 501, 505)
    else:
        assert head.status in (None, 431)


@pytest.mark.parametrize(
    ("raw", "upgrade", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", False, None),
        (b"GET / HTTP/1.1\r\nuPGRADE:websocket \r\n\r\n", True, None),
        (b"GET / HTTP/1.1\r\nX-Upgrade: websocket\r\n\r\n", False, None),
        (b"PRI * HTTP/2.0\r\n\r\n", False, 505),
        (b"GET / HTTP/1.1\r\ntransfer-encoding: chunked\r\nContent-Length : 3\r\n\r\n", False, 400),
        (b"GET / HTTP/1.1\r\nHost: example.org \r\n\r\n", False, 400),
        (b"BREW /pot HTTP/1.1\r\n\r\n", False, 501),
        (b"get / HTTP/1.1\r\n\r\n", False, 501),
        (b"hello there\r\n\r\n", False, None),
    ],
)
def test_heads_are_classified(raw: bytes, upgrade: bool, status: int | None) -> None:
    head = RequestHead(raw, b"")
    assert (head.upgrade, head.refusal_status) == (upgrade, status)
