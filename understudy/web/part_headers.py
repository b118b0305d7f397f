"""A bound for the heads of a multipart body's parts: werkzeug's decoder has none, and would keep all of the body."""

from typing import Any, Final

from quart import formparser
from werkzeug.datastructures import Headers
from werkzeug.exceptions import RequestHeaderFieldsTooLarge
from werkzeug.sansio.multipart import Event, MultipartDecoder, NeedData, Preamble, State

MAX_HEADER_BYTES: Final = 16 * 1024
"""As much as a request's own head may have."""


class LimitedDecoder(MultipartDecoder):
    """Raises RequestHeaderFieldsTooLarge for the head of a part, or what comes before the first, beyond HEAD_BYTES."""

    def next_event(self) -> Event:
        """Decode on; what is kept while the end of a head is awaited is bounded."""
        event = super().next_event()
        awaited = isinstance(event, NeedData) and self.state in (State.PREAMBLE, State.PART)
        kept = self.buffer if awaited else event.data if isinstance(event, Preamble) else b""
        if len(kept) > MAX_HEADER_BYTES:
            raise RequestHeaderFieldsTooLarge
        return event

    def _parse_headers(self, data: bytes | bytearray) -> Headers:
        if len(data) > MAX_HEADER_BYTES:
            raise RequestHeaderFieldsTooLarge
        return super()._parse_headers(data)


def limit_part_headers() -> None:
    """Have quart's form parser use the bounded decoder: it names the class in its module and nowhere else."""
    module: Any = formparser
    module.MultipartDecoder = LimitedDecoder
