"""Listen before the server can answer: a client that connects while it starts waits for it instead of being refused.

A client whose server was killed comes back after growing pauses. If the port refuses it while the server starts, the
next pause is added to the start. If the port listens, the kernel holds the connection and the server takes it as soon
as it is ready.
"""

import gc
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import trio

from understudy.app.settings import Settings


async def listen(settings: Settings, early: Sequence[socket.socket] = ()) -> list[trio.SocketListener]:
    """Return the listeners of the server: around the sockets that listen already, else around new ones.

    Raises:
        OSError: The address cannot be listened on.
    """
    if early:
        return [trio.SocketListener(trio.socket.from_stdlib_socket(each)) for each in early]
    return await trio.open_tcp_listeners(settings.port, host=settings.host)


@contextmanager
def listening_early(settings: Settings) -> Iterator[list[socket.socket]]:
    """Listen early, and have the server loaded inside without the garbage collector, which takes a quarter of the time.

    `understudy.app.serve.tune_garbage_collector` turns the collector on once the server is ready. The sockets are
    closed at the end. Blocks; call it outside any event loop.
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
    """Listen at once. Return no socket if that should, or must, wait.

    A server that shares its database has others beside it, to which a balancer turns if this one refuses. An address
    in use may be free when the database is open, for which the end of another server is waited for; if it is not, the
    server says so then.
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
