"""Heads of frames, and where frames end."""

import pytest

from transport.server.websocket.frames import frame_boundary, text_head


@pytest.mark.parametrize("length", [0, 125, 126, 65535, 65536, 70_000])
def test_frame_boundaries(length: int) -> None:
    """The head that is written is the head that is understood, at every size of its length field."""
    frames = b"".join(text_head(size) + b"p" * size for size in (3, length, 3))
    second = len(text_head(3)) + 3
    third = second + len(text_head(length)) + length
    assert frame_boundary(frames, 0) == 0
    assert frame_boundary(frames, 1) == second
    assert frame_boundary(frames, second) == second
    assert frame_boundary(frames, second + 1) == third
    assert frame_boundary(frames, len(frames)) == len(frames)
