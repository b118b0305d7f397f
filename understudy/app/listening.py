"""Opens the sockets that a server listens on. The host `::` means all addresses of IPv6 and IPv4."""

import errno
import socket
from typing import Final

import trio

from understudy.app.settings import Settings

EVERY: Final = ("::", "0.0.0.0")  # noqa: S104 - the operator has asked for all
MISSING: Final = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, socket.EAI_ADDRFAMILY, socket.EAI_FAMILY)
"""Errors of a machine that has no addresses of one of the families."""


async def open_listeners(settings: Settings) -> list[trio.SocketListener]:
    """Listen on the server's addresses; port 0 takes a free port, the same for all addresses. Raises OSError."""
    opened: list[trio.SocketListener] = []
    port, missing = settings.port, None
    try:
        for host in EVERY if settings.host == "::" else (settings.host,):
            try:
                opened += await trio.open_tcp_listeners(port, host=host)
            except OSError as error:
                if host not in EVERY or error.errno not in MISSING:
                    raise
                missing = error
            port = opened[0].socket.getsockname()[1] if opened else port
    except BaseException:
        for listener in opened:
            listener.socket.close()
        raise
    if not opened and missing is not None:
        raise missing
    return opened
