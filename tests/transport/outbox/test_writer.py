"""From what waits to a client that takes one write at a time."""

import json
from collections.abc import Sequence

import pytest
import trio
from attrs import define, field

from transport.outbox.metrics import NoConnectionMetrics
from transport.outbox.send_queue import SendQueue
from transport.outbox.writer import OutboxWriter
from transport.wire.chunks import CHUNK_BYTES
from transport.wire.dialects import Dialect
from transport.wire.encoder import Encoder
from transport.wire.events import AgentThinking, Alert, Envelope
from transport.wire.payloads import ClientCapabilities


@define
class Narrow:
    """A sink that takes each write, and never all that there is at once."""

    open: bool = True
    writes: list[list[dict]] = field(factory=list)

    def write_now(self, payloads: Sequence[bytes]) -> bool:
        """Take it, as if the kernel had no more room."""
        self.writes.append([json.loads(payload) for payload in payloads])
        return False

    async def write(self, payloads: Sequence[bytes]) -> None:
        """Take it."""
        self.writes.append([json.loads(payload) for payload in payloads])
        await trio.lowlevel.checkpoint()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Nothing is left to be closed."""


def thought(seq: int, size: int) -> Envelope:
    """A durable event with so much text."""
    return Envelope(AgentThinking("a", "x" * size, 1.0), 1.0, seq=seq, thread_id="t")


@pytest.mark.promise("wire.alert")
@pytest.mark.promise("wire.hello-chunk")
async def test_what_is_urgent_goes_between_the_parts_of_a_large_event() -> None:
    """An alert does not wait for the last part; what follows the event in its thread does."""
    sink, pending = Narrow(), SendQueue(10**6, 100)
    encode = Encoder().encoder_for(Dialect.CANONICAL)
    outlet = OutboxWriter(sink, pending, encode, NoConnectionMetrics(), write_bytes=2 * CHUNK_BYTES)
    outlet.capabilities = ClientCapabilities(chunk=True)
    for envelope in (thought(1, 6 * CHUNK_BYTES), thought(2, 1)):
        pending.add_durable("t", [encode(envelope) or b""], [envelope])
    assert outlet.write_now() is False
    alert = Envelope(Alert("now"), 1.0)
    pending.add_ephemeral(alert, encode(alert) or b"")
    while outlet:
        await outlet.write()
    first, second, *rest = [[frame["type"] for frame in write] for write in sink.writes]
    assert set(first) == {"chunk"}
    assert second[0] == "alert"
    assert set(second[1:]) == {"chunk"}
    assert rest[-1][-1] == "agent_thinking"
    frames = [frame for write in sink.writes for frame in write]
    whole = "".join(frame["data"] for frame in frames if frame["type"] == "chunk")
    assert json.loads(whole)["data"]["thought"] == "x" * 6 * CHUNK_BYTES
    assert outlet.write_now() is True
