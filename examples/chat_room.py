"""A chat room over TCP. The first line of a connection is a name, each further one is said to everybody.

    python examples/chat_room.py

Connections are actors, the room is a topic. A taken name is refused; a reader who takes nothing is dropped and holds up
nobody; the room itself is killed in the midst of a talk, and those who are in it miss no line.
"""

from contextlib import suppress
from functools import partial

import trio

from actors import Actor, ActorRef, ChildSpec, Context, Exit, Restart, TooManyChildren, open_system
from actors.behaviours import DynamicSupervisor, NameTaken, Publish, Registry, StartFromTemplate, Subscribe, topic

LONGEST_BYTES = 4096
PATIENCE_S = 0.4  # so long may a member take to let one line through
FLOOD = [f"line {number} {'.' * 1000}" for number in range(1, 301)]  # more than the sockets between two sides hold


class Lines:
    """A connection, line by line. After the last line comes None."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream, self.rest = stream, b""

    async def next(self) -> str | None:
        while b"\n" not in self.rest:
            chunk = await self.stream.receive_some(LONGEST_BYTES)
            if not chunk or len(self.rest) > LONGEST_BYTES:
                return None
            self.rest += chunk
        line, _, self.rest = self.rest.partition(b"\n")
        return line.decode(errors="replace")


class Member(Actor):
    """One connection: what comes in by it goes to the room, what comes from the room goes out by it."""

    def __init__(self, stream: trio.SocketStream, room: ActorRef, names: Registry) -> None:
        self.lines, self.room, self.names, self.name = Lines(stream), room, names, ""

    async def on_start(self, context: Context) -> None:
        context.start_soon(self.listen, context)

    async def receive(self, message: object, context: Context) -> None:
        match message:
            case str(text):
                with trio.fail_after(PATIENCE_S):  # being slower than that is a crash, and the end of this actor
                    await self.lines.stream.send_all(f"{text}\n".encode())
            case _:
                context.unhandled(message)

    async def on_stop(self, context: Context, reason: Exit) -> None:
        self.room.tell(Publish(f"* {self.name} left: {reason}"))

    async def listen(self, context: Context) -> None:
        with suppress(trio.BrokenResourceError):  # hanging up without a word is fine, too
            while (line := await self.lines.next()) is not None:
                if self.name:
                    await self.room.send(Publish(f"{self.name}: {line}"))  # waits while the room is full
                else:
                    self.enter(line, context)
        context.stop()

    def enter(self, name: str, context: Context) -> None:
        try:
            self.names.register(name, context.ref)  # for as long as this actor lives
        except NameTaken:
            context.ref.tell(f"! {name} is taken, choose another name")
        else:
            self.name = name
            self.room.tell(Subscribe(context.ref))
            self.room.tell(Publish(f"* {name} is here"))


class Client(Lines):
    """Somebody with a terminal, at the other end."""

    async def say(self, *lines: str) -> None:
        await self.stream.send_all("".join(f"{line}\n" for line in lines).encode())

    async def hear(self, text: str) -> list[str]:
        """Read on to a line with this text in it, and return all that came."""
        heard = [""]
        while text not in heard[-1] and (line := await self.next()) is not None:
            heard.append(line)
        return heard[1:]


async def main() -> dict[str, object]:
    """What a second ann was told, how a slow reader ended, how many lines the others heard, and who was there then."""
    async with open_system("chat") as system, trio.open_nursery() as nursery:
        names = Registry(system)
        room = await system.spawn(ChildSpec("room", topic()))

        def member(stream: trio.SocketStream) -> ChildSpec:  # temporary: nobody can start a connection again
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
