"""Event streams that are not served yet."""

import trio

from transport.server.eventstream import EventStream, encode_comment


def a_stream(beat_s: float = 60.0, write_s: float = 60.0, head: bytes = b"") -> EventStream:
    return EventStream(lambda: encode_comment("beat"), beat_s=beat_s, write_s=write_s, head=head)


def end_of(stream: EventStream) -> trio.Event:
    ended = trio.Event()
    stream.on_end = ended.set
    return ended
