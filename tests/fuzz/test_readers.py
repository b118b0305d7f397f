"""Every reader of foreign JSON or table headers refuses hostile bodies with a message, in bounded time."""

import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from tests.rigs.cpu import cpu_seconds
from transport.wire.command_parser import decode
from transport.wire.errors import CommandRejected
from understudy.extensions.files.attachments import _columns
from understudy.extensions.notices.alert_routes import AlertRequest
from understudy.extensions.operations.observer_routes import KillRequest
from understudy.extensions.privacy.routes import EraseRequest
from understudy.extensions.providers.answer import read_call
from understudy.extensions.scrubbing.routes import SanitizeRequest
from understudy.extensions.shares.routes import ShareRequest
from understudy.models.model import ResultItem
from understudy.models.offline import _answer_of
from understudy.tools.arithmetic import find_expression
from understudy.web.api.threads import ThreadRequest
from understudy.web.context import decode_json

SIZE = 200_000
BODIES = {
    "nested lists": b"[" * SIZE,
    "nested objects": b'{"a":' * (SIZE // 5),
    "closed lists": b"[" * (SIZE // 2) + b"]" * (SIZE // 2),
    "a nested field": b'{"title":' + b"[" * (SIZE // 2) + b"]" * (SIZE // 2) + b"}",
    "a large integer": b"9" * SIZE,
    "a large field": b'{"title":' + b"9" * SIZE + b"}",
    "a large exponent": b'{"title":1e' + b"9" * SIZE + b"}",
    "a long fraction": b'{"title":0.' + b"1" * SIZE + b"}",
    "backslashes": b'{"title":"' + b"\\" * SIZE,
    "escapes": b'{"title":"' + b"\\ud800" * (SIZE // 6) + b'"}',
    "quotes": b'"' * SIZE,
    "blanks": b" " * SIZE,
    "line ends": b"\n" * SIZE,
    "separators": b"," * SIZE,
    "names": b'{"a":1,' * (SIZE // 7),
    "bytes that are no text": b"{"
    + b",".join(b'"%s":"\xff\xfe"' % name for name in (b"title", b"text", b"message", b"path", b"confirm"))
    + b"}",
    "half a character": b'{"title":"\xc3',
    "nulls": b"\0" * SIZE,
    "dates": b'{"title":"' + b"2024-13-45T99:99:99+99:99" * (SIZE // 25) + b'"}',
    "nothing": b"",
}


def text(read: Callable[[str], Any]) -> Callable[[bytes], Any]:
    """Adapt a reader of text to bytes; invalid bytes become lone surrogates, as a model's JSON may have."""
    return lambda body: read(body.decode("utf-8", "surrogateescape"))


def json_of(kind: type[Any]) -> Callable[[bytes], Any]:
    """Adapt the reader of request bodies to one type."""
    return lambda body: decode_json(body, kind, "JSON")


READERS: dict[str, Callable[[bytes], Any]] = {
    "command": decode,
    "title": json_of(ThreadRequest),
    "share": json_of(ShareRequest),
    "policy": json_of(SanitizeRequest),
    "actor": json_of(KillRequest),
    "alert": json_of(AlertRequest),
    "erasure": json_of(EraseRequest),
    "columns": _columns,
    "tool's result": text(lambda content: _answer_of(ResultItem("c", "tool", "ok", content))),
    "arithmetic": text(find_expression),
    "tool's arguments": text(lambda arguments: read_call("c", "tool", [arguments])),
}


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("reader", READERS)
def test_a_body_made_to_hurt_is_read_or_refused_in_no_time(reader: str, body: str) -> None:
    """The only error is `CommandRejected`; the bound is CPU time."""

    def read() -> None:
        with contextlib.suppress(CommandRejected):
            READERS[reader](BODIES[body])

    assert cpu_seconds(read, 0.2) < 0.2
