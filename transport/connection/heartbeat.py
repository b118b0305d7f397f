"""The heartbeat of a socket: pings keep proxies from closing it and detect dead clients."""

from attrs import frozen

from transport.server.socket import Socket


@frozen
class Heartbeat:
    """A ping is sent every `interval_s` seconds; a client that sends no byte for `silence_s` counts as dead.

    With the defaults a client may miss one ping.
    """

    interval_s: float = 25.0
    silence_s: float = 60.0

    def next_s(self, socket: Socket) -> float:
        """Return the seconds until the next `beat` is due."""
        return max(0.0, min(self.interval_s, self.silence_s - socket.silent_s))


async def beat(socket: Socket, heartbeat: Heartbeat) -> bool:
    """Ping a client, or close its socket with 4408 if it is silent. Return whether to go on pinging.

    Any frame resets the silence, so a client that answers pings may be idle for ever.
    """
    if not socket.open:
        return False
    if socket.silent_s < heartbeat.silence_s:
        socket.ping()
        return True
    await socket.close(4408, "idle")
    return False
