"""Accepting when no file descriptor is left: the client is told by a close, others are served, nothing spins."""

import logging
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
import trio

from tests.transport.servers import UPGRADE, open_server, raw_socket


@contextmanager
def no_descriptors_left() -> Iterator[None]:
    """Take all descriptors that the process may still open, for the time of the block."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, limits[0]), limits[1]))
    try:
        with suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        for each in taken:
            os.close(each)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.slow
@pytest.mark.promise("owasp.connections")
async def test_without_descriptors_clients_are_closed_and_later_ones_served(caplog: pytest.LogCaptureFixture) -> None:
    """Who is connected goes on; the log says it once, and a client that comes when there is room is served."""
    async with open_server() as port, raw_socket(port) as before:
        waiting = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
        steps = 0
        with no_descriptors_left():
            for each in waiting:
                each.setblocking(False)
                with trio.fail_after(5):
                    while True:
                        steps += 1
                        with suppress(BlockingIOError, ConnectionResetError):
                            assert each.recv(1) == b""
                            break
                        await trio.sleep(0.01)
            assert steps < 100
            before.protocol.send_text(b"still here")
            await before.flush()
            assert (await before.frame()).data == b"still here"
        for each in waiting:
            each.close()
        with trio.fail_after(2):
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                await stream.send_all(UPGRADE)
                assert (await stream.receive_some()).startswith(b"HTTP/1.1 101")
    said = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [record.getMessage() for record in said] == ["door.no_descriptors"]
