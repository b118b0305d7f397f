"""The heartbeat of a socket: pings keep proxies awake and find dead clients. A busy agent never times out by it."""

import trio
from attrs import frozen

from transport.socket import Socket


@frozen
class Heartbeat:
    """A ping every `interval_s` seconds; a client from which no byte came for `silence_s` is taken for dead.

    The defaults let a client miss one ping before the second one decides.
    """

    interval_s: float = 25.0
    silence_s: float = 60.0


async def keep_alive(socket: Socket, heartbeat: Heartbeat) -> None:
    """Ping until the socket is closed; close it with 4408 when its client has fallen silent.

    Any frame counts as a sign of life, so a client that answers pings may be idle for ever.
    """
    while socket.open:
        await trio.sleep(max(0.0, min(heartbeat.interval_s, heartbeat.silence_s - socket.silent_s)))
        if socket.silent_s >= heartbeat.silence_s:
            await socket.close(4408, "idle")
        else:
            await socket.ping()
