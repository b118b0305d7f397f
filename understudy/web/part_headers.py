"""A size limit for the headers of a multipart body's parts: werkzeug's decoder has none, and would buffer the whole
body."""

from typing import Any, Final

from quart import formparser
from werkzeug.datastructures import Headers
from werkzeug.exceptions import RequestHeaderFieldsTooLarge
from werkzeug.sansio.multipart import Event, MultipartDecoder, NeedData, Preamble, State

MAX_HEADER_BYTES: Final = 16 * 1024
"""The limit of a request's own headers applies to each part too."""


class LimitedDecoder(MultipartDecoder):
    """Raises RequestHeaderFieldsTooLarge if a part's headers, or the text before the first part, exceed
    MAX_HEADER_BYTES."""

    def next_event(self) -> Event:
        """Decode on. The buffer is limited while the end of a part's headers is awaited."""
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
    """Make quart's form parser use the limited decoder. It takes the class from its module, and from nowhere else."""
    module: Any = formparser
    module.MultipartDecoder = LimitedDecoder
