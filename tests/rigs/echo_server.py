"""An echo server on the product's own listener, for conformance suites and benchmarks.

`python -m tests.rigs.echo_server --port 9001` prints one line with its address when it is ready, and ends on SIGTERM or
SIGINT. Text is echoed as text, binary as binary; protocol errors are handled as in the product.
"""

import argparse
import gc
import signal
import ssl
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import trio
from attrs import evolve, frozen

from transport.server.listener import ServerLimits, Upgrade, serve
from transport.server.socket import Socket, SocketLimits
from transport.server.tls import server_context
from transport.wire.errors import UnusableCertificate
from transport.wire.payloads import Binary

MESSAGE_BYTES: Final = 64 * 1024 * 1024
"""Largest message that is echoed. Conformance suites send up to 16 MiB, one of our tests slightly more."""
LIMITS: Final = SocketLimits(message_bytes=MESSAGE_BYTES, bound_bytes=MESSAGE_BYTES)
_GRACE_S: Final = 2.0

_USE_A_SOCKET: Final = b"This server echoes over WebSocket.\n"


class EchoUpgrades:
    """Accepts every upgrade and echoes on its socket."""

    async def handle_upgrade(self, upgrade: Upgrade) -> "EchoSocket":
        """Accept."""
        return EchoSocket(await upgrade.accept())


@frozen
class EchoSocket:
    """Echoes every message, text as text and binary as binary, until the client closes."""

    socket: Socket

    async def serve_socket(self) -> None:
        """Echo until SocketClosed."""
        while True:
            message = await self.socket.receive()
            await self.socket.write([message.encode() if isinstance(message, str) else Binary(message)])


async def upgrade_required(scope: Any, _: Any, send: Any) -> None:
    """Answer every HTTP request with 426 Upgrade Required (ASGI application)."""
    if scope["type"] == "http":
        length = b"%d" % len(_USE_A_SOCKET)
        headers = [(b"content-type", b"text/plain"), (b"content-length", length), (b"upgrade", b"websocket")]
        await send({"type": "http.response.start", "status": 426, "headers": headers})
        await send({"type": "http.response.body", "body": _USE_A_SOCKET})


async def serve_echo(host: str, port: int, limits: ServerLimits, tls: ssl.SSLContext | None = None) -> None:
    """Echo on this address until SIGTERM or SIGINT. Raises OSError if the address cannot be bound."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            listeners = await trio.open_tcp_listeners(port, host=host)
            listen = partial(serve, asgi_app=upgrade_required, upgrade_handler=EchoUpgrades(), limits=limits, tls=tls)
            await nursery.start(listen, listeners)
            gc.collect()
            gc.freeze()  # as the server does
            name = f"[{host}]" if ":" in host else host
            scheme = "ws" if tls is None else "wss"
            print(f"echo is ready on {scheme}://{name}:{listeners[0].socket.getsockname()[1]}", flush=True)
            async for _ in signals:
                break
            nursery.cancel_scope.cancel()


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and serve. Return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.rigs.echo_server", description="Echo over WebSocket.")
    parser.add_argument("--port", type=int, default=9001, help="port to listen on [9001]; 0 takes a free one")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on [127.0.0.1]")
    parser.add_argument("--deflate", action="store_true", help="agree to permessage-deflate, and compress all text")
    parser.add_argument("--tls-cert", type=Path, metavar="FILE", help="certificate chain, PEM")
    parser.add_argument("--tls-key", type=Path, metavar="FILE", help="its private key, PEM")
    args = parser.parse_args(arguments)
    if (args.tls_cert is None) != (args.tls_key is None):
        parser.error("--tls-cert and --tls-key belong together")
    limits = ServerLimits(grace_s=_GRACE_S, socket=evolve(LIMITS, compression_from_bytes=0 if args.deflate else None))
    try:
        tls = server_context(args.tls_cert, args.tls_key) if args.tls_cert is not None else None
        trio.run(serve_echo, args.host, args.port, limits, tls)
    except (OSError, UnusableCertificate) as error:
        print(f"echo cannot serve: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
