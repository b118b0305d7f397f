"""A client that reconnects by itself: one connection at a time, missed events are resumed, none is delivered twice.

    async with Client.open("ws://127.0.0.1:8002/ws", token=token, threads={"room": 0}) as client:
        await client.send("post", thread_id="room", message_id="m1", text="Hello")
        async for event in client:
            print(event.event)

Events come as objects of the program's `Vocabulary` in their envelopes, in order within each thread, without gaps and
without repeats, across reconnections. Where the server's log does not reach back far enough, a `Resync` says so. A
message that was neither accepted nor refused when a connection broke is sent again on the next, under the same
`message_id`, which makes it one message for the server. A refusal is an `Error` whose envelope names the `message_id`.
"""

try:
    import trio_websocket  # noqa: F401 - checks that it is installed
except ModuleNotFoundError as missing:
    text = "the Python client needs the extra client: pip install 'understudy-transport[client]'"
    raise ImportError(text) from missing

from transport.client.client import Client as Client
from transport.client.client import open_client as open_client
from transport.client.credentials import TokenSource as TokenSource
from transport.client.decoder import Received as Received
from transport.client.exchange import Exchange as Exchange
from transport.client.reconnect import Reconnect as Reconnect
from transport.client.state import State as State
from transport.client.state import States as States
from transport.client.state import Status as Status
from transport.client.store import FileOutbox as FileOutbox
from transport.client.store import OutboxStore as OutboxStore
from transport.wire.unknown_event import UnknownEvent as UnknownEvent

__all__ = [
    "Client",
    "Exchange",
    "FileOutbox",
    "OutboxStore",
    "Received",
    "Reconnect",
    "State",
    "States",
    "Status",
    "TokenSource",
    "UnknownEvent",
    "open_client",
]
