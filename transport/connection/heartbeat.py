"""The heartbeat of a socket: pings keep proxies awake and find dead clients. A busy agent never times out by it."""

from attrs import frozen

from transport.server.socket import Socket


@frozen
class Heartbeat:
    """A ping every `interval_s` seconds; a client from which no byte came for `silence_s` is taken for dead.

    The defaults let a client miss one ping before the second one decides.
    """

    interval_s: float = 25.0
    silence_s: float = 60.0

    def next_s(self, socket: Socket) -> float:
        """Seconds until the next `beat` is due."""
        return max(0.0, min(self.interval_s, self.silence_s - socket.silent_s))


async def beat(socket: Socket, heartbeat: Heartbeat) -> bool:
    """Ping a client, or close its socket with 4408 when it has fallen silent; whether it is pinged on.

    Any frame counts as a sign of life, so a client that answers pings may be idle for ever.
    """
    if not socket.open:
        return False
    if socket.silent_s < heartbeat.silence_s:
        socket.ping()
        return True
    await socket.close(4408, "idle")
    return False
