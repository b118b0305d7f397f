"""A server's membership in a process of its own, to be held: it appends to a thread all the while.

Prints `has FENCE` when it has the thread, `fenced` when a write is refused, and `lapsed ID` with the
id it took then.
"""

import sys
from functools import partial

import trio

from actors import Actor, ActorSystem, ChildSpec, Context, Supervisor
from understudy.chat.messages import OwnershipLost
from understudy.extensions.nodes import storage as nodes
from understudy.extensions.nodes.membership import Member, Membership, join, stop_conversations
from understudy.storage.changes import Change
from understudy.storage.errors import Fenced
from understudy.storage.postgresql import connect_database
from understudy.storage.records import Fence, LoggedEvent, Thread
from understudy.storage.store import Store
from understudy.storage.writer import StoreWriter


class Talker(Actor):
    """Appends events to its thread until a write is refused; reports OwnershipLost."""

    def __init__(self, store: Store, fence: Fence) -> None:
        self.store = store
        self.fence = fence
        self.seq = 0

    async def on_start(self, context: Context) -> None:
        context.ref.tell("append")

    async def receive(self, message: object, context: Context) -> None:
        if isinstance(message, OwnershipLost):
            print("stood down", flush=True)
            context.stop()
            return
        context.set_timer("append", 0.01, "append")
        thread = Thread("ann", "t1", "Title", "guide", None, 1.0, 1.0)
        event = LoggedEvent(self.seq + 1, "note", None, b"held")
        try:
            await self.store.commit(Change("ann", "t1", (event,), thread, fence=self.fence))
        except Fenced:
            print("fenced", flush=True)
        self.seq += 1


async def main(address: str, lease_s: float) -> None:
    database = connect_database(address)
    children = [
        ChildSpec("writer", lambda: StoreWriter(database)),
        ChildSpec("conversations", lambda: Supervisor([])),
    ]
    async with ActorSystem("s", children) as system:
        store = Store(database, partial(system.find, "/s/writer"))
        node = Member(store)
        await join(node, lease_s=lease_s)
        conversations = system.find("/s/conversations")
        fence = await nodes.claim(store, "ann", "t1", node.id)
        await system.spawn(ChildSpec("talker", lambda: Talker(store, fence)))
        talker = system.find("/s/talker")

        def on_lapse() -> None:
            talker.tell(OwnershipLost())
            stop_conversations(conversations)

        membership = partial(Membership, node, on_lapse, lease_s=lease_s, every_s=lease_s / 6)
        await system.spawn(ChildSpec("membership", membership))
        print(f"has {fence.node} {fence.token}", flush=True)
        while True:
            await trio.sleep(0.01)
            if node.lapses and node.joined:
                print(f"lapsed {node.id}", flush=True)
                await trio.sleep_forever()


if __name__ == "__main__":
    trio.run(main, sys.argv[1], float(sys.argv[2]))
