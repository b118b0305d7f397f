"""Subscribers of threads whose conversations are killed repeatedly: every open connection must get the whole log.

python -m tests.network.subscription_soak --rounds 10000 --seed 7

One server, in this process. In each round a user sends messages while conversations are killed and the user's socket is
reset. Then the log must be on every socket that stayed open or was opened since, without another command from its
client. Exit code 0 if that always holds.
"""

import argparse
import json
import logging
import struct
import sys
import tempfile
import time
from collections import Counter, deque
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random
from socket import SO_LINGER, SOL_SOCKET
from typing import Any, Final
from urllib.parse import urlsplit

import trio
import trio_websocket
from attrs import define, field
from typed_settings import SecretStr
from wsproto.utilities import ProtocolError

from actors import ActorRef
from tests.network.planned_agent import AGENTS
from tests.network.received import TERMINAL
from tests.network.server_harness import SECRET
from transport.auth.tokens import Tokens
from understudy.app.server import Running, serve_app
from understudy.app.settings import Settings
from understudy.storage.limits import Limits

USERS: Final = 24
WITHIN_S: Final = 25.0
"""Seconds a connection may lag behind the log: a command waits up to 10 s for a conversation that rests after kills,
and the commands of a connection wait for each other."""
AGAIN_S: Final = 0.2
"""Seconds until a client repeats a command after a retryable refusal."""
MOST_RESUMED: Final = 5
ENDED_S: Final = 120.0
"""Seconds until a run has ended. One that is killed at each of its attempts rests for 1, 4, 16 and 16 s, each a quarter
longer at worst, before and after it has finished its tool call: 93 s; its conversation rests, too."""
PART_EVERY_S: Final = 30.0
"""How often a supervisor or the writer is killed. More frequent kills would only add backoff."""
CONNECT_S: Final = 1.0
_LOST = (
    OSError, ProtocolError, trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError,
    trio_websocket.ConnectionClosed, trio_websocket.HandshakeError,
)  # fmt: skip


@define(eq=False)
class Screen:
    """One socket of a user at a time, and the last event of each thread received on it, in order.

    A minimal protocol client: on each connection it resumes the threads it knows, once more after a retryable refusal,
    and repeats messages that were not accepted.
    """

    name: str
    address: str
    token: str
    last: dict[str, int] = field(factory=dict)
    connections: int = 0
    faults: list[str] = field(factory=list)
    refused: list[str] = field(factory=list)
    outbox: dict[str, dict[str, Any]] = field(factory=dict)
    said: deque[str] = field(factory=lambda: deque(maxlen=60))
    _socket: Any = None
    _stream: trio.SocketStream | None = None
    _news: trio.Event = field(factory=trio.Event)

    async def run(self) -> None:
        """Connect and reconnect, until cancelled."""
        while True:
            try:
                await self._connection()
            except* _LOST:
                pass
            self._socket = None
            await trio.sleep(0.01)

    async def _connection(self) -> None:
        where = urlsplit(self.address)
        self._stream = stream = await trio.open_tcp_stream(where.hostname or "", where.port or 80)
        try:
            async with trio.open_nursery() as nursery:
                with trio.fail_after(CONNECT_S):
                    headers = [(b"Authorization", f"Bearer {self.token}".encode())]
                    socket = await trio_websocket.wrap_client_stream(
                        nursery, stream, where.netloc, "/ws", subprotocols=["understudy.v1"], extra_headers=headers
                    )
                self._socket = socket
                self.connections += 1
                self.said.append(f"{trio.current_time():.3f} connected")
                threads: set[str] = set()
                while True:
                    await self._hear(json.loads(await socket.get_message()), nursery, threads)
        finally:
            await trio.aclose_forcefully(stream)

    async def _hear(self, event: dict[str, Any], nursery: trio.Nursery, threads: set[str]) -> None:
        kind, seq, thread_id = event["type"], event.get("seq"), event.get("thread_id")
        self.said.append(f"{trio.current_time():.3f} < {kind} {thread_id} {seq} {event['data'].get('code', '')}")
        if kind == "welcome":
            if self.last:
                await self._resume()
                threads.update(self.last)
            for command in self.outbox.values():
                await self._send(command)
        elif seq is not None:
            if kind == "message_accepted":
                self.outbox.pop(event["message_id"], None)
            last = self.last.get(thread_id, 0)
            if seq == last + 1:
                self.last[thread_id] = seq
                self._news.set()
            elif seq > last and thread_id not in threads:
                threads.add(thread_id)
                await self._send({"type": "resume", "payload": {"threads": {thread_id: last}}})
        elif kind == "error":
            data = event["data"]
            self.refused.append(f"{data['code']} {event.get('message_id')}")
            del self.refused[:-5]
            if data["retryable"]:
                nursery.start_soon(self._again, event.get("message_id"))
            elif not (data["code"] == "not_found" and event.get("message_id") is None):
                self.faults.append(f"{self.name} was refused: {data}")

    async def _again(self, message_id: str | None) -> None:
        await trio.sleep(AGAIN_S)
        with suppress(*_LOST):
            if message_id in self.outbox:
                await self._send(self.outbox[message_id])
            elif message_id is None:
                await self._resume()

    async def _resume(self) -> None:
        latest = dict(list(self.last.items())[-MOST_RESUMED:])
        await self._send({"type": "resume", "payload": {"threads": latest}})

    async def _send(self, command: dict[str, Any]) -> None:
        with suppress(*_LOST):
            if self._socket is not None:
                self.said.append(f"{trio.current_time():.3f} > {json.dumps(command)[-150:]}")
                await self._socket.send_message(json.dumps(command))

    async def say(self, message_id: str, thread_id: str, content: str) -> None:
        """Send a message, now and on each connection until it is accepted."""
        payload = {"content": content, "thread_id": thread_id, "message_id": message_id, "agent_type": "planned"}
        self.outbox[message_id] = {"type": "user_message", "payload": payload}
        await self._send(self.outbox[message_id])

    def reset(self) -> None:
        """Abort the connection with a TCP reset."""
        if self._stream is not None:
            with suppress(OSError):
                self._stream.socket.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
                self._stream.socket.close()

    async def until(self, thread_id: str, last: int) -> bool:
        """Wait until this thread has arrived up to that event. Return False on timeout.

        A thread without events here, which began while this client was disconnected, is opened.
        """
        if thread_id not in self.last:
            self.last[thread_id] = 0
            await self._send({"type": "resume", "payload": {"threads": {thread_id: 0}}})
        with trio.move_on_after(WITHIN_S):
            while self.last.get(thread_id, 0) < last:
                self._news = trio.Event()
                await self._news.wait()
            return True
        return False


@define(eq=False)
class SubscriptionSoak:
    """Runs `rounds` with this seed. Violations are in `faults`, totals in `counts`."""

    rounds: int
    seed: int
    where: Path
    faults: list[str] = field(factory=list)
    counts: Counter[str] = field(factory=Counter)
    late_s: float = 0.0
    _left: int = 0
    _part_at: float = 0.0

    async def run(self) -> None:
        """Live through it."""
        most = 1_000_000
        limits = Limits(
            messages_per_minute=most,
            operations_per_minute=most,
            signals_per_minute=most,
            requests_per_minute=most,
            connections_per_user=100,
            runs_per_user=1000,
        )
        data_dir, secret = self.where / "data", SecretStr(SECRET)
        settings = Settings(port=0, data_dir=data_dir, secret=secret, limits=limits)
        self._left = self.rounds
        async with trio.open_nursery() as nursery:
            running: Running = await nursery.start(partial(serve_app, settings, AGENTS))
            tokens = Tokens(SECRET, time.time)
            async with trio.open_nursery() as users:
                for number in range(USERS):
                    users.start_soon(self._user, number, running, tokens.issue(f"u{number}", "s", ttl_s=86400))
            nursery.cancel_scope.cancel()

    async def _user(self, number: int, running: Running, token: str) -> None:
        chance = Random(f"{self.seed}/{number}")
        async with trio.open_nursery() as nursery:
            screens = [Screen(f"u{number}/{n}", running.address, token) for n in range(2)]
            for screen in screens:
                nursery.start_soon(screen.run)
            thread_id, count = "", 0
            while self._left > 0 and len(self.faults) < 200:
                self._left -= 1
                done = self.rounds - self._left
                if done % 250 == 0:
                    print(f"{done} rounds, {len(self.faults)} faults", file=sys.stderr)
                count += 1
                if not thread_id or chance.random() < 0.4:
                    thread_id = f"t{count}"
                await self._round(running, screens, thread_id, f"m{number}-{count}", chance)
            nursery.cancel_scope.cancel()
            self.faults += [fault for screen in screens for fault in screen.faults]

    async def _round(
        self, running: Running, screens: list[Screen], thread_id: str, message_id: str, chance: Random
    ) -> None:
        first = screens[0]
        tool = chance.choice((0, 1))
        content = f"words={chance.choice((1, 2, 6))} pace=400 tool={tool} fail=0 name={message_id}"
        await first.say(message_id, thread_id, content)
        for _ in range(chance.choice((1, 1, 2, 3))):
            await trio.sleep(chance.choice((0.0, 0.002, 0.01, 0.03, 0.06)) * chance.random() * 2)
            self._kill(running, chance)
            if chance.random() < 0.5:
                self.counts["reset"] += 1
                chance.choice(screens).reset()
        last = await self._ended(running, first, thread_id, message_id)
        began = trio.current_time()
        for screen in screens:
            connections = screen.connections
            if not await screen.until(thread_id, last):
                self.faults.append(
                    f"{message_id}: {screen.name} has {screen.last.get(thread_id, 0)} of {last} of {thread_id}, "
                    f"connected {connections} times, then {screen.connections}"
                )
                self.faults += [f"    {item}" for item in screen.said]
                screen.last[thread_id] = max(last, screen.last.get(thread_id, 0))
        self.late_s = max(self.late_s, trio.current_time() - began)

    def _kill(self, running: Running, chance: Random) -> None:
        kind = chance.choices(("conversation", "run", "nothing"), (8, 2, 2))[0]
        if trio.current_time() >= self._part_at:
            self._part_at = trio.current_time() + PART_EVERY_S
            kind = chance.choice(("conversations", "writer"))
        self.counts[f"killed: {kind}"] += 1
        victims: list[ActorRef] = []
        paths = [node.path for node in running.system.tree().walk()]
        if kind in ("conversation", "run"):
            depth = 4 if kind == "conversation" else 5
            processes = [
                path for path in paths if path.startswith("/system/conversations/") and path.count("/") == depth - 1
            ]
            victims = [
                ref for path in chance.sample(processes, min(len(processes), 4)) if (ref := running.system.find(path))
            ]
        elif kind == "conversations":
            victims = [ref for ref in [running.system.find("/system/conversations")] if ref is not None]
        elif kind == "writer":
            victims = [ref for ref in [running.system.find("/system/storage/writer")] if ref is not None]
        for victim in victims:
            victim.kill()

    async def _ended(self, running: Running, screen: Screen, thread_id: str, message_id: str) -> int:
        """Wait until the log has the end of the run. Return the number of its last event."""
        store = running.store
        user = screen.name.partition("/")[0]
        with trio.move_on_after(ENDED_S):
            while True:
                events = await store.events(user, thread_id, 0, 1000)
                mine = [item for item in events if item.type == "message_accepted" and message_id in item.body.decode()]
                if mine:
                    run_id = mine[0].run_id
                    if any(item.run_id == run_id and item.type in TERMINAL for item in events):
                        return events[-1].seq
                await trio.sleep(0.02)
        kinds = [item.type for item in await store.events(user, thread_id, 0, 1000)]
        self.faults.append(
            f"{message_id} has no end: {screen.outbox}, {screen.last.get(thread_id)}, {screen.refused}, {kinds}"
        )
        return 0


def main() -> int:
    """Run from the command line. Return 1 on violations."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        soak = SubscriptionSoak(options.rounds, options.seed, Path(folder))
        trio.run(soak.run)
    print("\n".join(soak.faults))
    print(dict(soak.counts), f"latest {soak.late_s:.2f} s")
    print(f"{options.rounds} rounds in {time.monotonic() - began:.0f} s: {len(soak.faults)} faults")
    return 1 if soak.faults else 0


if __name__ == "__main__":
    sys.exit(main())
