"""The stream whose reader is in this process: it gets every event, and a writer is not far ahead of it."""

import trio
from trio.testing import MockClock

from understudy.chat.envelope_stream import EnvelopeStream
from understudy.wire.events import AgentThinking, Envelope
from understudy.wire.vocabulary import to_log

TOLD = [Envelope(AgentThinking("a", f"{seq}", 0.0), 1.5, seq, "t", "r") for seq in range(1, 6)]


def payloads(*envelopes: Envelope) -> list[bytes]:
    return [to_log(envelope) for envelope in envelopes]


async def test_a_writer_waits_for_a_slow_reader(autojump_clock: MockClock) -> None:
    stream, read = EnvelopeStream(), list[Envelope]()

    async def read_slowly() -> None:
        async for envelope in stream:
            read.append(envelope)
            await trio.sleep(10)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read_slowly)
        for number, envelope in enumerate(TOLD):
            await stream.write(payloads(envelope))
            assert len(read) >= number - 1
        assert trio.current_time() >= 30
        await stream.close()
    assert read == TOLD


async def test_envelopes_written_before_the_end_are_read(autojump_clock: MockClock) -> None:
    stream = EnvelopeStream()
    assert stream.write_now(payloads(*TOLD[:2]))
    assert not stream.write_now(payloads(TOLD[2]))
    stream.end(1001, "going away")
    assert stream.ready
    assert [envelope async for envelope in stream] == TOLD[:3]
    assert not stream.ready
