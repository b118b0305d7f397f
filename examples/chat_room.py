"""A chat room over TCP. The first line of a connection is a name, each further line is sent to all members.

    python examples/chat_room.py

Connections are actors, the room is a topic. A taken name is refused; a member who does not read is dropped and delays
no one; the room itself is killed while members talk, and none of them misses a line.
"""

from contextlib import suppress
from functools import partial

import trio

from actors import Actor, ActorRef, ChildSpec, Context, Exit, Restart, TooManyChildren, open_system
from actors.behaviours import DynamicSupervisor, NameTaken, Publish, Registry, StartFromTemplate, Subscribe, topic

LONGEST_BYTES = 4096
PATIENCE_S = 0.4  # time for a member to read one line
FLOOD = [f"line {number} {'.' * 1000}" for number in range(1, 301)]  # more than the buffers of a connection hold


class Lines:
    """Reads a connection line by line. `next` returns None after the last line."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream, self.buffer = stream, b""

    async def next(self) -> str | None:
        while b"\n" not in self.buffer:
            chunk = await self.stream.receive_some(LONGEST_BYTES)
            if not chunk or len(self.buffer) > LONGEST_BYTES:
                return None
            self.buffer += chunk
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.decode(errors="replace")


class Member(Actor):
    """One connection: sends its lines to the room, and the room's lines to its client."""

    def __init__(self, stream: trio.SocketStream, room: ActorRef, names: Registry) -> None:
        self.lines, self.room, self.names, self.name = Lines(stream), room, names, ""

    async def on_start(self, context: Context) -> None:
        context.start_soon(self.listen, context)

    async def receive(self, message: object, context: Context) -> None:
        match message:
            case str(text):
                with trio.fail_after(PATIENCE_S):  # a slower reader crashes this actor, which is not restarted
                    await self.lines.stream.send_all(f"{text}\n".encode())
            case _:
                context.unhandled(message)

    async def on_stop(self, context: Context, reason: Exit) -> None:
        self.room.tell(Publish(f"* {self.name} left: {reason}"))

    async def listen(self, context: Context) -> None:
        with suppress(trio.BrokenResourceError):  # the client may just hang up
            while (line := await self.lines.next()) is not None:
                if self.name:
                    await self.room.send(Publish(f"{self.name}: {line}"))  # waits while the room is full
                else:
                    self.enter(line, context)
        context.stop()

    def enter(self, name: str, context: Context) -> None:
        try:
            self.names.register(name, context.ref)  # until this actor ends
        except NameTaken:
            context.ref.tell(f"! {name} is taken, choose another name")
        else:
            self.name = name
            self.room.tell(Subscribe(context.ref))
            self.room.tell(Publish(f"* {name} is here"))


class Client(Lines):
    """A user's end of a connection."""

    async def say(self, *lines: str) -> None:
        await self.stream.send_all("".join(f"{line}\n" for line in lines).encode())

    async def hear(self, text: str) -> list[str]:
        """Read until a line contains `text`. Return all lines."""
        lines = [""]
        while text not in lines[-1] and (line := await self.next()) is not None:
            lines.append(line)
        return lines[1:]


async def main() -> dict[str, object]:
    """Return the refusal of a second ann, the end of a slow reader, the lines that others got, and the tree."""
    async with open_system("chat") as system, trio.open_nursery() as nursery:
        names = Registry(system)
        room = await system.spawn(ChildSpec("room", topic()))

        def member(stream: trio.SocketStream) -> ChildSpec:  # temporary, because a connection cannot be restarted
            return ChildSpec("member", lambda: Member(stream, room, names), restart=Restart.TEMPORARY)

        doors = partial(DynamicSupervisor, member, max_children=100, numbered=True)
        members = await system.spawn(ChildSpec("members", doors))

        async def let_in(stream: trio.SocketStream) -> None:
            with suppress(TooManyChildren):
                await (await members.ask(StartFromTemplate(stream))).wait_stopped()  # then the stream is closed

        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, let_in, [listener])
        ann, bob, cid, dave = [Client(await trio.open_tcp_stream(*listener.socket.getsockname())) for _ in range(4)]
        friends = {"ann": ann, "bob": bob, "cid": cid}
        for name, client in friends.items():
            await client.say(name)
            await client.hear(f"{name} is here")
        await dave.say("ann", "dave")
        refused = (await dave.hear("taken"))[-1]
        print("dave would like to be ann, and hears:", refused)

        counts: dict[str, int] = {}

        async def count(name: str, client: Client) -> None:
            counts[name] = sum(line.startswith("ann: line") for line in await client.hear("that was all"))

        slow = await names.wait_for("dave")
        async with trio.open_nursery() as readers:
            for name, client in friends.items():
                readers.start_soon(count, name, client)
            await ann.say(*FLOOD[:150])
            room.kill()
            await ann.say(*FLOOD[150:])
            dropped = str(await slow.wait_stopped())
            await ann.say("that was all")
        print("dave read nothing, and was dropped:", dropped)
        print("the room was killed in the midst of", len(FLOOD), "lines, and the others heard", counts)
        tree = system.tree()
        print(tree.text())
        for client in (*friends.values(), dave):
            await client.stream.aclose()
        await system.stop()
        nursery.cancel_scope.cancel()
    return {"refused": refused, "dropped": dropped, "counts": counts, "tree": tree}


if __name__ == "__main__":
    trio.run(main)
