"""All clients lose their connections at once and come back: how long until each has the events that it lacks."""

from __future__ import annotations

import json
import math
import time

from attrs import define, field, frozen

from .client import CONNECT_S, Client, Crowd, command
from .product import Product, thread
from .server import ServerFailed

_SEQ = b'"seq":'


@frozen
class Storm:
    """`p99_s`: seconds from the loss of the connections until a client had all its events; infinite when one never had.

    `lost`: the events that did not come. `resumed`: the clients that got all.
    """

    p99_s: float
    lost: int
    resumed: int


@define
class _Return:
    """One client's way back: the seqs it has been sent, and when it had them all."""

    seqs: list[int] = field(factory=list)
    whole_at: float | None = None


def storm(product: Product, clients: int, within_s: float = CONNECT_S) -> Storm:
    """Connect, follow, be cut off, come back from the middle of the thread; each way within so many seconds.

    Raises ServerFailed for an event that is not the next one.
    """
    paths = [product.path(number) for number in range(clients)]
    with Crowd(product.server) as crowd:
        _come(crowd, paths, after=product.events - 1, last=product.events, at_once=100, within_s=within_s)
    began = time.perf_counter()
    with Crowd(product.server) as crowd:
        middle = product.events // 2
        returns = _come(crowd, paths, after=middle, last=product.events, at_once=clients, within_s=within_s)
    took = sorted(back.whole_at - began for back in returns if back.whole_at is not None)
    wanted = list(range(middle + 1, product.events + 1))
    lost = sum(len(set(wanted) - set(back.seqs)) for back in returns)
    p99_s = took[int(len(took) * 0.99)] if len(took) == clients else math.inf
    return Storm(p99_s, lost, len(took))


def _come(crowd: Crowd, paths: list[str], after: int, last: int, at_once: int, within_s: float) -> list[_Return]:
    """Connect all, follow each its thread from `after`, and wait until each has the events up to `last`."""
    returns = [_Return() for _ in paths]
    left = list(enumerate(paths))[::-1]
    opening, missing, deadline = 0, len(paths), time.monotonic() + within_s
    while missing and time.monotonic() < deadline:
        while left and opening < at_once:
            number, path = left.pop()
            crowd.begin(number, path)
            opening += 1
        for client in crowd.ready(min(1.0, within_s)):
            if not client.sent:
                crowd.ask(client, paths[client.number])
                continue
            data = client.receive()
            if not client.upgraded:
                if not client.pour(data):
                    continue
                opening -= 1
                client.socket.send(command("resume", threads={thread(client.number): after}))
                data = b""
            missing -= _take(client, data, returns[client.number], after, last)
    return returns


def _take(client: Client, data: bytes, back: _Return, after: int, last: int) -> bool:
    """Whether the client has now become whole."""
    for frame in client.frames(data):
        if _SEQ not in frame:
            continue
        event = json.loads(frame)
        expected = after + len(back.seqs) + 1
        if event["thread_id"] != thread(client.number) or event["seq"] != expected:
            raise ServerFailed(f"event {event['seq']} of {event['thread_id']} came where {expected} was due")
        back.seqs.append(expected)
        if expected == last:
            back.whole_at = time.perf_counter()
            return True
    return False
