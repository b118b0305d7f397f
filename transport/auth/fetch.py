"""One small HTTP request at a time, on h11 and trio, as the product does not depend on `httpx`.

The response is bounded in size and time. Redirects are not followed, and no connection is reused.
"""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from importlib.metadata import version
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

import h11
import trio
from attrs import field, frozen

from transport.wire.errors import FetchFailed

_READ_BYTES: Final = 16 * 1024  # most bytes of one read
_HEAD_BYTES: Final = 16 * 1024  # largest head of a response; a larger one is FetchFailed
NEXT_S: Final = 1.5
"""Seconds after which the next address of a name is tried: the first one may be dead."""
MAX_ADDRESSES: Final = 4
"""Most addresses of a name that are tried."""
PORTS: Final = {"http": 80, "https": 443}


@frozen
class HttpResponse:
    """A response. The names of `headers` are in lower case; those of one name are joined."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


def is_fetchable(url: str) -> bool:
    """Return whether `fetch` accepts this URL: http or https, a host, no user or password."""
    try:
        where = urlsplit(url)
        valid = where.scheme in PORTS and bool(where.hostname) and where.port != 0 and "@" not in where.netloc
    except ValueError:
        return False
    return valid and url.isascii() and url.isprintable() and " " not in url


def is_base(url: str) -> bool:
    """Return whether `fetch` accepts this URL and a path can be added to it: it has no query and no fragment."""
    return is_fetchable(url) and "?" not in url and "#" not in url


async def fetch(url: str, *, max_bytes: int, within_s: float) -> bytes:
    """Fetch `url` by GET and return the body.

    Raises:
        FetchFailed: There is no response within `within_s` seconds, its status is not 200, or the body is
            larger than `max_bytes` or incomplete. The text names the host and the reason.
        ValueError: `is_fetchable` returns False.
    """
    if not is_fetchable(url):
        raise ValueError("only addresses with http or https, and without a user, can be fetched")
    where = urlsplit(url)
    with _failing(where, within_s), trio.fail_after(within_s):
        async with _exchange(where, "GET", {}) as (status, _, body):
            if status != 200:
                moved = "; redirects are not followed" if 300 <= status < 400 else ""
                raise FetchFailed(where.netloc, f"it answers {status}{moved}")
            return await body(max_bytes)


async def post(
    url: str, body: bytes, headers: Mapping[str, str], *, connect_to: Sequence[tuple[str, int]], within_s: float
) -> int:
    """Send JSON to `url` by POST, over a connection to the first of these addresses that answers. Return the status.

    Raises:
        FetchFailed: There is no response within `within_s` seconds, or it is not HTTP.
    """
    where, sent = urlsplit(url), {"Content-Type": "application/json", **headers}
    with _failing(where, within_s), trio.fail_after(within_s):
        async with _exchange(where, "POST", sent, body, connect_to) as (status, _, _):
            return status


async def request(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    body: bytes | None = None,
    connect_to: Sequence[tuple[str, int]],
    max_bytes: int,
    within_s: float,
) -> HttpResponse:
    """Make a request over a connection to the first of these addresses that answers. Return the response, whatever its
    status.

    Raises:
        FetchFailed: There is no response within `within_s` seconds, it is not HTTP, or its body is larger than
            `max_bytes` or incomplete.
    """
    where = urlsplit(url)
    with _failing(where, within_s), trio.fail_after(within_s):
        async with _exchange(where, method, headers, body, connect_to) as (status, received, read):
            return HttpResponse(status, received, await read(max_bytes))


@contextmanager
def _failing(where: SplitResult, within_s: float) -> Generator[None]:
    """Convert the errors of a request into `FetchFailed`."""
    try:
        yield
    except FetchFailed:
        raise
    except trio.TooSlowError:
        raise FetchFailed(where.netloc, f"no answer within {within_s:g} s") from None
    except h11.RemoteProtocolError:
        raise FetchFailed(where.netloc, "its answer is not HTTP, or broke off") from None
    except trio.BrokenResourceError as error:
        raise FetchFailed(where.netloc, str(error.__cause__ or "the connection broke")) from None
    except OSError as error:
        raise FetchFailed(where.netloc, error.strerror or str(error)) from None


async def _connect(where: SplitResult, connect_to: Sequence[tuple[str, int]] = ()) -> trio.abc.Stream:
    host, port = where.hostname or "", where.port or PORTS[where.scheme]
    stream = await _open_one(connect_to) if connect_to else await trio.open_tcp_stream(host, port)
    if where.scheme == "http":
        return stream
    # In a thread: the system's certificates take some ten milliseconds to read.
    tls = await trio.to_thread.run_sync(ssl.create_default_context, abandon_on_cancel=True)
    return trio.SSLStream(stream, tls, server_hostname=host, https_compatible=True)


async def _open_one(addresses: Sequence[tuple[str, int]]) -> trio.SocketStream:
    """Connect to the first of these addresses that answers; each but the last has `NEXT_S`. Raises OSError."""
    *others, last = addresses[:MAX_ADDRESSES]
    for address in others:
        with suppress(OSError), trio.move_on_after(NEXT_S):
            return await trio.open_tcp_stream(*address)
    return await trio.open_tcp_stream(*last)


_ReadBody = Callable[[int], Awaitable[bytes]]


@asynccontextmanager
async def _exchange(
    where: SplitResult,
    method: str,
    headers: Mapping[str, str],
    content: bytes | None = None,
    connect_to: Sequence[tuple[str, int]] = (),
) -> AsyncIterator[tuple[int, dict[str, str], _ReadBody]]:
    """Send a request over a new connection. Yield the status, the headers, and a function that reads the body."""
    client = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_BYTES)
    sent = {
        "Host": where.netloc,
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "User-Agent": f"understudy/{version('understudy-transport')}",
        "Connection": "close",
        **headers,
    }
    if content is not None:
        sent["Content-Length"] = str(len(content))
    target = (where.path or "/") + (f"?{where.query}" if where.query else "")
    data = client.send(h11.Request(method=method, target=target, headers=list(sent.items()))) or b""
    if content is not None:
        data += client.send(h11.Data(content)) or b""
    stream = await _connect(where, connect_to)
    try:
        await stream.send_all(data + (client.send(h11.EndOfMessage()) or b""))
        while not isinstance(event := await _next_event(client, stream, where), h11.Response):
            pass
        received: dict[str, str] = {}
        for name, value in event.headers:
            key, text = name.decode("latin-1").lower(), value.decode("latin-1")
            received[key] = f"{received[key]}, {text}" if key in received else text
        yield event.status_code, received, partial(_read_body, client, stream, where)
    finally:
        await trio.aclose_forcefully(stream)  # at once, without waiting for the closing handshake of TLS


async def _read_body(client: h11.Connection, stream: trio.abc.Stream, where: SplitResult, max_bytes: int) -> bytes:
    body = bytearray()
    while not isinstance(event := await _next_event(client, stream, where), h11.EndOfMessage):
        body += event.data
        if len(body) > max_bytes:
            raise FetchFailed(where.netloc, f"the answer has more than {max_bytes} bytes")
    return bytes(body)


async def _next_event(client: h11.Connection, stream: trio.abc.Stream, where: SplitResult) -> Any:
    """Return the next part of the response: its head, an informational one, data, or its end."""
    while (event := client.next_event()) is h11.NEED_DATA:
        client.receive_data(bytes(await stream.receive_some(_READ_BYTES)))
    if not isinstance(event, h11.Response | h11.InformationalResponse | h11.Data | h11.EndOfMessage):
        raise FetchFailed(where.netloc, "the connection broke off")
    return event
