"""How long one turn of 200 pieces of text takes at each door, beside our own socket: `door_overhead_ms`.

door_overhead_ms_DOOR   milliseconds from the request to the last byte of the answer, with that of the socket as peer

The server has a process of its own. All doors are read by sockets that only look for
the end, so that what is measured is the server and not somebody's parser. Rounds take turns; medians.
"""

from __future__ import annotations

import json
import socket
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from statistics import median
from typing import Any, Final
from urllib.parse import urlsplit

import trio

from benchmarks.agents.killing import started
from benchmarks.agents.progress import Extent
from benchmarks.doors.server import READY
from benchmarks.figure import Figure, all_cores
from benchmarks.wire import client

ROUNDS: Final = 30
WARM: Final = 3
"""Rounds before those that count: the first ones import modules."""
TIMEOUT_S: Final = 60.0
AGENT: Final = "fast"


def _message() -> dict[str, Any]:
    return {"id": uuid.uuid4().hex, "role": "user"}


DOORS: Final[Mapping[str, tuple[str, Callable[[], dict[str, Any]]]]] = {
    "responses": ("/v1/responses", lambda: {"model": AGENT, "input": "go", "stream": True}),
    "chat": (
        "/v1/chat/completions",
        lambda: {"model": AGENT, "messages": [{"role": "user", "content": "go"}], "stream": True},
    ),
    "agui": (
        f"/api/agui?agent={AGENT}",
        lambda: {"threadId": uuid.uuid4().hex, "runId": "r", "messages": [{**_message(), "content": "go"}]},
    ),
    "ui": (
        "/api/ui",
        lambda: {
            "id": uuid.uuid4().hex,
            "agent_type": AGENT,
            "messages": [{**_message(), "parts": [{"type": "text", "text": "go"}]}],
        },
    ),
}
"""The doors by name: the path, and what makes the body of a request for one turn."""


def figures(extent: Extent) -> Iterator[Figure]:
    """Measure every door beside the socket."""
    measured = trio.run(_measure, 3 if extent.small else ROUNDS)
    beside = median(measured.pop("socket"))
    for name, each in measured.items():
        yield Figure(f"door_overhead_ms_{name}", "ms", median(each), {"socket": beside})


async def _measure(rounds: int) -> dict[str, list[float]]:
    measured: dict[str, list[float]] = {name: [] for name in ("socket", *DOORS)}
    with tempfile.TemporaryDirectory() as folder, all_cores():
        async with started("benchmarks.doors.server", folder, ready=READY) as (_, address):
            await trio.to_thread.run_sync(_rounds, address, rounds, measured)
    return measured


def _rounds(address: str, rounds: int, measured: dict[str, list[float]]) -> None:
    # Each door has a user of its own: a socket is sent the events of all threads of its user.
    tokens = {name: _token(address) for name in measured}
    doors = {name: _connect(address) for name in DOORS}
    own = _connect(address)
    try:
        own.sendall(client.upgrade(f"/ws?session_token={tokens['socket']}"))
        _until(own, b'"welcome"')
        for number in range(WARM + rounds):
            found = {"socket": _timed(own, _said(), b'"final_response"')}
            for name, (path, body) in DOORS.items():
                found[name] = _timed(doors[name], _post(path, tokens[name], body()), b"\r\n0\r\n\r\n")
            for name, seconds in found.items():
                if number >= WARM:
                    measured[name].append(seconds * 1000)
    finally:
        for each in (own, *doors.values()):
            each.close()


def _said() -> bytes:
    names = {"thread_id": uuid.uuid4().hex, "agent_type": AGENT}
    return client.command("user_message", content="go", **names)


def _post(path: str, token: str, body: dict[str, Any]) -> bytes:
    content = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content


def _timed(connection: socket.socket, request: bytes, end: bytes) -> float:
    began = time.perf_counter()
    connection.sendall(request)
    head = _until(connection, end)
    seconds = time.perf_counter() - began
    if head.startswith(b"HTTP/1.1 ") and not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"the door refused: {head[:500].decode(errors='replace')}")
    return seconds


def _until(connection: socket.socket, end: bytes) -> bytes:
    """Read until this has come, and return the beginning of what was read."""
    head, tail = b"", b""
    while end not in tail:
        piece = connection.recv(65536)
        if not piece:
            raise RuntimeError(f"the server closed the connection after {head[:500].decode(errors='replace')}")
        head = head or piece
        tail = tail[-len(end) :] + piece
        if head.startswith(b"HTTP/1.1 4") or head.startswith(b"HTTP/1.1 5"):
            return head
    return head


def _connect(address: str) -> socket.socket:
    where = urlsplit(address)
    connection = socket.create_connection((where.hostname, where.port), timeout=TIMEOUT_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _token(address: str) -> str:
    with closing(_connect(address)) as connection:
        connection.sendall(b"POST /api/sessions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n")
        answer = b""
        while b"}" not in answer:
            answer += connection.recv(65536)
    return str(json.loads(answer[answer.index(b"{") :])["session_token"])
