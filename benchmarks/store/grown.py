"""A database that has grown: how long a thread takes to open, and how long to resume."""

from __future__ import annotations

import gc
import http.client
import json
import random
import socket
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

from benchmarks.wire.client import Client, command, upgrade
from benchmarks.wire.server import ServerFailed
from tests.rigs.million_events import OWNER, Built, build
from transport.auth.tokens import Tokens

from .servers import SECRET, Node

RESUMED = 1_000
"""The last events that a client lacks when it comes back."""
_WAIT_S = 20.0


@frozen
class Times:
    """The middle, and the slowest but one in a hundred, in ms."""

    p50_ms: float
    p99_ms: float

    @classmethod
    def of(cls, seconds: list[float]) -> Times:
        """Those of so many times in seconds."""
        ranked = sorted(seconds)
        return cls(1000 * statistics.median(ranked), 1000 * ranked[int(len(ranked) * 0.99)])


def read(place: str | Path, events: int, looks: int, folder: Path) -> tuple[Times, Times]:
    """Opening a thread, and resuming one, of a server whose database has so many events. Raises ServerFailed."""
    built = build(place, events)
    address = {"UNDERSTUDY_DATABASE_URL": str(place)} if isinstance(place, str) else {}
    token = Tokens(SECRET, time.time).issue(OWNER, "benchmark", ttl_s=3600)
    with Node(folder, **address) as node, _no_collector():
        return _opened(node, built, token, looks), _resumed(node, built, token, looks)


@contextmanager
def _no_collector() -> Iterator[None]:
    """Nothing of this process is collected: after building a database that takes longer than what is measured."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _opened(node: Node, built: Built, token: str, looks: int) -> Times:
    """Each time another thread: its last messages over REST, as the page asks for them."""
    took, chosen = [], random.Random(1)
    line = http.client.HTTPConnection("127.0.0.1", node.port, timeout=_WAIT_S)
    for _ in range(looks):
        thread = chosen.choice([*built.threads, built.long_thread])
        began = time.perf_counter()
        line.request("GET", f"/api/threads/{thread}/messages?limit=50", headers={"Authorization": f"Bearer {token}"})
        answer = line.getresponse()
        body = answer.read()
        took.append(time.perf_counter() - began)
        if answer.status != 200 or len(json.loads(body)["messages"]) < min(50, 2 * built.long_events // 25):
            raise node.failed(f"a thread was opened with {answer.status}: {body[:200]!r}")
    line.close()
    return Times.of(took[1:] or took)


def _resumed(node: Node, built: Built, token: str, looks: int) -> Times:
    """Each time another connection, that takes several events in a frame, and the last thousand events of a thread."""
    took, chosen = [], random.Random(2)
    for _ in range(looks):
        thread = chosen.choice([*built.threads, built.long_thread])
        last = built.long_events if thread == built.long_thread else built.events // max(1, len(built.threads))
        last = min(last, RESUMED) if thread != built.long_thread else last
        with _connected(node, token) as client:
            client.socket.sendall(command("hello", batch=True))
            began = time.perf_counter()
            client.socket.sendall(command("resume", threads={thread: max(0, last - RESUMED)}))
            _read_to(client, thread, max(0, last - RESUMED), last)
            took.append(time.perf_counter() - began)
    return Times.of(took[1:] or took)


@contextmanager
def _connected(node: Node, token: str) -> Iterator[Client]:
    with socket.create_connection(("127.0.0.1", node.port), timeout=_WAIT_S) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as browsers do: else a command may wait for 40 ms
        line.sendall(upgrade(f"/ws?session_token={token}"))
        client = Client(line)
        while not client.pour(client.receive()):
            pass
        yield client


def _read_to(client: Client, thread: str, after: int, last: int) -> None:
    """Read the events of a thread up to its last one, which must come in order."""
    data = b""
    while True:
        for frame in client.frames(data):
            value = json.loads(frame)
            for event in value if isinstance(value, list) else [value]:
                if event.get("thread_id") != thread or event.get("seq") is None:
                    continue
                if event["seq"] != after + 1:
                    raise ServerFailed(f"event {event['seq']} of {thread} came where {after + 1} was due")
                after += 1
        if after == last:
            return
        data = client.receive()
