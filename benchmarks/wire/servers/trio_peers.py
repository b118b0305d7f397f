"""Echo servers on trio: `raw`, the websockets library's sans-IO protocol with as little around it as can be, and
`trio-websocket`."""

from __future__ import annotations

import sys
from contextlib import suppress

import trio
import trio_websocket
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from benchmarks.wire.servers.control import announce, freeze, listen, pin


async def raw(stream: trio.SocketStream) -> None:
    """One connection: what is received is sent back, in one write what came in one read."""
    protocol = ServerProtocol()
    with suppress(trio.BrokenResourceError):
        while data := await stream.receive_some(65_536):
            protocol.receive_data(data)
            for event in protocol.events_received():
                if isinstance(event, Request):
                    protocol.send_response(protocol.accept(event))
                elif isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                    protocol.send_text(event.data)
            await stream.send_all(b"".join(protocol.data_to_send()))


async def handle(request: trio_websocket.WebSocketRequest) -> None:
    """One connection of trio-websocket."""
    connection = await request.accept()
    try:
        while True:
            await connection.send_message(await connection.get_message())
    except trio_websocket.ConnectionClosed:
        return


async def serve(kind: str) -> None:
    """Serve until the process ends."""
    pin()
    listener = listen()
    freeze()
    announce(listener.getsockname()[1])
    listeners = [trio.SocketListener(trio.socket.from_stdlib_socket(listener))]
    if kind == "raw":
        await trio.serve_listeners(raw, listeners)
    else:
        await trio_websocket.WebSocketServer(handle, listeners).run()


if __name__ == "__main__":
    trio.run(serve, sys.argv[1])
