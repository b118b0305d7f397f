"""A load balancer before several servers: round robin over the servers that are ready; its connections can be cut."""

from collections.abc import Iterator, Sequence
from itertools import count

import trio
from attrs import define, field

from tests.cluster.node import Node
from tests.network.proxy import HOST, Proxy

CHECK_S = 0.5
"""Seconds between readiness checks of a server."""


@define(eq=False)
class Balancer(Proxy):
    """Forwards connections to `nodes`. The network has no faults of its own; `cut` causes them."""

    nodes: Sequence[Node] = ()
    calm: bool = True
    well: set[int] = field(factory=set)
    _turns: Iterator[int] = field(factory=count)

    async def watch(self) -> None:
        """Poll the readiness of the servers, until cancelled."""
        async with trio.open_nursery() as nursery:
            for node in self.nodes:
                nursery.start_soon(self._watch, node)

    async def wait_for(self, node: Node) -> None:
        while True:
            if node.port in self.well:
                return
            await trio.sleep(CHECK_S / 10)

    async def _watch(self, node: Node) -> None:
        while True:
            (self.well.add if node.ready and await node.answers() else self.well.discard)(node.port)
            await trio.sleep(CHECK_S)

    async def _server(self) -> trio.SocketStream:
        first = next(self._turns)
        in_turn = [self.nodes[(first + n) % len(self.nodes)] for n in range(len(self.nodes))]
        for node in in_turn:
            if node.port in self.well:
                try:
                    return await trio.open_tcp_stream(HOST, node.port)
                except OSError:
                    self.well.discard(node.port)  # until the next readiness check
        raise OSError("no server answers")
