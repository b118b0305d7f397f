"""Listen before the server can answer, so that a client that connects during the start waits instead of being refused.

A client whose server was killed reconnects after growing pauses. If the port refuses it while the server starts, the
next pause is added to the start. If the port listens, the kernel holds the connection and the server accepts it as soon
as it is ready.
"""

import gc
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import trio

from understudy.app.settings import Settings


async def listen(settings: Settings, early: Sequence[socket.socket] = ()) -> list[trio.SocketListener]:
    """Return the server's listeners: around the sockets that listen already, if any, otherwise around new ones.

    Raises:
        OSError: The address cannot be listened on.
    """
    if early:
        return [trio.SocketListener(trio.socket.from_stdlib_socket(each)) for each in early]
    return await trio.open_tcp_listeners(settings.port, host=settings.host)


@contextmanager
def listening_early(settings: Settings) -> Iterator[list[socket.socket]]:
    """Listen early, and disable the garbage collector, which takes a quarter of the time to load the server.

    `understudy.app.serve.tune_garbage_collector` enables it once the server is ready. The sockets are closed on exit.
    Blocks; call it outside any event loop.
    """
    sockets = _open_early(settings)
    gc.disable()
    try:
        yield sockets
    finally:
        gc.enable()
        for each in sockets:
            each.close()


def _open_early(settings: Settings) -> list[socket.socket]:
    """Open the listening sockets. Return none if listening should, or must, wait.

    A server that shares its database has other servers beside it, to which a load balancer turns if this one refuses.
    An address in use may be free once the database is open, because opening waits for another server to end. If it is
    still in use then, the start fails with that error.
    """
    if settings.on_postgresql:
        return []
    try:
        return trio.run(_sockets, settings)
    except OSError:
        return []


async def _sockets(settings: Settings) -> list[socket.socket]:
    # detached: a socket of trio can be closed inside its event loop only, which ends here
    return [socket.socket(fileno=each.socket.detach()) for each in await listen(settings)]
