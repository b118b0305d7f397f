"""A client that reconnects by itself: one connection at a time, missed events are resumed, none is delivered twice.

    async with open_client("ws://127.0.0.1:8002/ws", token=token) as client:
        print(await client.answer("How many rows has it?", thread_id="t"))
        await client.say("And how many columns?", thread_id="t")
        async for event in client:
            match event.event:
                case FinalResponse(message=text):
                    print(text)

Events come as objects of `understudy.wire.events`, or `transport.wire.events`, in their envelopes, in order within each
thread, without gaps and without repeats, across reconnections. If the server's log does not reach back far enough, a
`Resync` says so. A message that was neither accepted nor refused when a connection broke is sent again on the next one
with the same `message_id`, so it is one message for the server. A refusal is an `Error` whose envelope has the
`message_id`.
"""

from transport.client import FileOutbox as FileOutbox
from transport.client import OutboxStore as OutboxStore
from transport.client import Received as Received
from transport.client import Reconnect as Reconnect
from transport.client import State as State
from transport.client import States as States
from transport.client import Status as Status
from transport.client import TokenSource as TokenSource
from transport.client import UnknownEvent as UnknownEvent
from understudy.client.client import Client as Client
from understudy.client.client import open_client as open_client
from understudy.client.delivery import ChatExchange as ChatExchange
from understudy.client.errors import RunFailed as RunFailed

__all__ = [
    "ChatExchange",
    "Client",
    "FileOutbox",
    "OutboxStore",
    "Received",
    "Reconnect",
    "RunFailed",
    "State",
    "States",
    "Status",
    "TokenSource",
    "UnknownEvent",
    "open_client",
]
