"""Frames to payloads, as the client wants them."""

import gzip

from transport.wire.chunks import CHUNK_BYTES
from transport.wire.payloads import GZIP_BYTES, Binary, ClientCapabilities, pack

SMALL = [b'{"a":1}', b'{"b":2}']


def test_plain_frames_stay_as_they_are() -> None:
    """Without a hello, an event is a frame."""
    assert pack(SMALL, ClientCapabilities()) == SMALL


def test_a_batch_is_an_array() -> None:
    """What waits together is one frame; one alone stays alone."""
    assert pack(SMALL, ClientCapabilities(batch=True)) == [b'[{"a":1},{"b":2}]']
    assert pack(SMALL[:1], ClientCapabilities(batch=True)) == SMALL[:1]
    assert pack([], ClientCapabilities(batch=True)) == []


def test_batches_for_clients_that_want_parts_are_no_larger_than_parts() -> None:
    """Who wants large frames cut does not want large batches."""
    frames = [b'"%s"' % (b"x" * 5000)] * 7
    packed = pack(frames, ClientCapabilities(batch=True, chunk=True))
    assert all(len(payload) <= CHUNK_BYTES + 10 for payload in packed)
    assert len(packed) == 4
    assert b",".join(payload.strip(b"[]") for payload in packed) == b",".join(frames)


def test_large_frames_are_compressed() -> None:
    """Over a KiB, as gzip in a binary frame; below, as text."""
    large = b'"%s"' % (b"word " * 400)
    first, second = pack([SMALL[0], large], ClientCapabilities(gzip=True))
    assert first == SMALL[0]
    assert not isinstance(first, Binary)
    assert isinstance(second, Binary)
    assert len(second) < len(large) / 5
    assert gzip.decompress(second) == large
    assert not isinstance(pack([b"x" * GZIP_BYTES], ClientCapabilities(gzip=True))[0], Binary)


def test_batches_are_compressed_as_a_whole() -> None:
    """The array is the frame."""
    (payload,) = pack([SMALL[0]] * 300, ClientCapabilities(batch=True, gzip=True))
    assert isinstance(payload, Binary)
    assert gzip.decompress(payload) == b"[" + b",".join([SMALL[0]] * 300) + b"]"
