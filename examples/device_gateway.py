"""A gateway: devices hang up, fall silent and come back, and a database has the newest reading of each sensor.

    python examples/device_gateway.py

A device is a state machine (connecting, online, silent: an alarm) over a connection that is reopened after it is lost.
A thread writes to SQLite, slower than readings arrive, so newer readings replace waiting ones. One device is killed.
"""

import sqlite3
import time
from contextlib import suppress
from functools import partial
from tempfile import TemporaryDirectory

import trio

from actors import (
    ActorRef,
    ChildSpec,
    Context,
    Exit,
    MailboxSpec,
    Receive,
    Restart,
    StopMode,
    Supervision,
    conflate,
    open_system,
)
from actors.behaviours import DynamicSupervisor, Resource, StartFromTemplate, StateMachine, StateTimeout
from actors.interop import ThreadActor, ThreadContext, ThreadSpec

LAST, SILENCE_S = 40, 0.2  # devices count to 40, a step each 20 ms; silence for 0.2 s is an alarm


class Meter:
    """A device on loopback, with two sensors and a fault. A new connection gets the newest readings at once."""

    def __init__(self, name: str, hangs_up_at: int = 0, silent_at: int = 0) -> None:
        self.name, self.hangs_up_at, self.silent_at, self.value = name, hangs_up_at, silent_at, 1

    async def serve(self, stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            while self.value < LAST:
                await stream.send_all(f"{self.name}.heat {self.value}\n{self.name}.flow {self.value}\n".encode())
                await trio.sleep(0.5 if self.value == self.silent_at else 0.02)
                self.value += 1
                if self.value == self.hangs_up_at:
                    return
            await stream.send_all(f"{self.name}.heat {LAST}\n{self.name}.flow {LAST}\nover\n".encode())


class Device(StateMachine):
    """The state of a device. Its events are the lines that the device sends, and "down" for a lost connection."""

    supervision = Supervision()

    def __init__(self, port: int, archive: ActorRef) -> None:
        self.port, self.archive = port, archive

    async def initial(self, context: Context) -> Receive:
        connection = await Resource.start(context, "connection", partial(trio.open_tcp_stream, "127.0.0.1", self.port))
        context.start_soon(self.listen, connection, context.ref)
        return self.connecting

    async def listen(self, connection: Resource[trio.SocketStream], device: ActorRef) -> None:
        while True:
            with suppress(trio.BrokenResourceError):  # the connection is lost, and will be reopened
                async with connection.borrow(timeout_s=float("inf")) as stream:
                    buffer = b""
                    async for chunk in stream:
                        *lines, buffer = (buffer + chunk).split(b"\n")
                        for line in lines:
                            device.tell(line.decode())
                    raise trio.BrokenResourceError("the device hung up")
            device.tell("down")

    async def connecting(self, event: object, context: Context) -> None:
        self.postpone()  # the next state handles the event
        self.become(self.online)

    async def online(self, event: object, context: Context) -> None:
        match event:
            case "over":
                context.stop()
            case "down":
                self.become(self.connecting)
            case str(reading):
                self.archive.tell(reading)
                self.state_timeout(SILENCE_S)
            case StateTimeout():
                print("alarm:", context.path, "is silent")
                self.become(self.silent)

    async def silent(self, event: object, context: Context) -> None:
        print(context.path, "is back")
        await self.connecting(event, context)


class Archive(ThreadActor):
    """Stores the newest reading of each sensor on a slow disk. All its methods run in one thread."""

    thread = ThreadSpec(dedicated=True)
    mailbox = MailboxSpec(overflow=conflate(lambda reading: reading.split()[0]))

    def __init__(self, folder: str, report: dict[str, int]) -> None:
        self.folder, self.report = folder, report

    def start_in_thread(self, thread: ThreadContext) -> None:
        self.database = sqlite3.connect(f"{self.folder}/newest.db", isolation_level=None)
        self.database.execute("create table if not exists newest (sensor text primary key, value integer)")

    def handle(self, message: object, thread: ThreadContext) -> object:
        if not isinstance(message, str):
            return NotImplemented
        time.sleep(0.02)
        return self.database.execute("replace into newest values (?, ?)", message.split()).rowcount

    def stop_in_thread(self, thread: ThreadContext, reason: Exit) -> None:
        self.report.update(self.database.execute("select sensor, value from newest order by sensor"))
        self.database.close()


async def main() -> dict[str, object]:
    """Return the final content of the database, and how many readings were replaced before they were stored."""
    report: dict[str, int] = {}
    with TemporaryDirectory() as folder:
        async with open_system("gateway") as system, trio.open_nursery() as world:
            archive = await system.spawn(ChildSpec("archive", partial(Archive, folder, report), redeliver=1))

            def device(name: str, port: int) -> ChildSpec:
                return ChildSpec(name, partial(Device, port, archive), restart=Restart.TRANSIENT)

            devices = await system.spawn(ChildSpec("devices", partial(DynamicSupervisor, device)))
            refs = []
            for meter in (Meter("boiler", hangs_up_at=10), Meter("cellar", silent_at=15), Meter("roof")):
                (listener,) = await world.start(partial(trio.serve_tcp, meter.serve, 0, host="127.0.0.1"))
                refs.append(await devices.ask(StartFromTemplate(meter.name, listener.socket.getsockname()[1])))
            await trio.sleep(0.3)
            refs[-1].kill()
            await trio.sleep(0.2)
            print(system.tree().text())
            print(*[f"{ref.path} ended: {await ref.wait_stopped()}" for ref in refs], sep="\n")
            replaced = sum(lane.conflated for lane in archive.statistics().values())
            await archive.stop(StopMode.AFTER_DRAIN)  # waiting readings are written first
            world.cancel_scope.cancel()
    print(replaced, "readings were replaced by newer ones, and on the disk is", report)
    return {"report": report, "replaced": replaced}


if __name__ == "__main__":
    trio.run(main)
