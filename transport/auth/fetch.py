"""Fetch one small document by GET, or send one by POST, on h11 and trio, as the product does not depend on `httpx`.

The response is bounded in size and time.
Redirects are not followed, and no connection is reused.
"""

import ssl
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from typing import Final
from urllib.parse import SplitResult, urlsplit

import h11
import trio

from transport.wire.errors import FetchFailed

_READ_BYTES: Final = 16 * 1024
_HEAD_BYTES: Final = 16 * 1024
PORTS: Final = {"http": 80, "https": 443}


def is_fetchable(url: str) -> bool:
    """Return whether `fetch` accepts this URL: http or https, a host, no user or password."""
    try:
        where = urlsplit(url)
        known = where.scheme in PORTS and bool(where.hostname) and where.port != 0 and "@" not in where.netloc
    except ValueError:
        return False
    return known and url.isascii() and url.isprintable() and " " not in url


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
    with _failing(where, within_s):
        with trio.fail_after(within_s):
            stream = await _connect(where)
            async with _closing(stream):
                status, body = await _exchange(stream, where, max_bytes)
        if status != 200:
            moved = "; redirects are not followed" if 300 <= status < 400 else ""
            raise FetchFailed(where.netloc, f"it answers {status}{moved}")
        return body


async def post(
    url: str, body: bytes, headers: Mapping[str, str], *, connect_to: tuple[str, int], within_s: float
) -> int:
    """Send JSON to `url` by POST, over a connection to this address and port. Return the status of the response.

    Raises:
        FetchFailed: There is no response within `within_s` seconds, or it is not HTTP.
    """
    where = urlsplit(url)
    with _failing(where, within_s), trio.fail_after(within_s):
        stream = await _connect(where, connect_to)
        async with _closing(stream):
            status, _ = await _exchange(stream, where, 0, body, headers)
    return status


@contextmanager
def _failing(where: SplitResult, within_s: float) -> Generator[None]:
    """Convert what goes wrong into `FetchFailed`."""
    try:
        yield
    except FetchFailed:
        raise
    except trio.TooSlowError:
        raise FetchFailed(where.netloc, f"no answer within {within_s:g} s") from None
    except h11.RemoteProtocolError:
        raise FetchFailed(where.netloc, "what it answers is not HTTP, or broke off") from None
    except trio.BrokenResourceError as error:
        raise FetchFailed(where.netloc, str(error.__cause__ or "the connection broke")) from None
    except OSError as error:
        raise FetchFailed(where.netloc, error.strerror or str(error)) from None


class _closing:
    """Closes a stream at once, without waiting for the closing handshake of TLS."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, *_: object) -> None:
        await trio.aclose_forcefully(self._stream)


async def _connect(where: SplitResult, connect_to: tuple[str, int] | None = None) -> trio.abc.Stream:
    host, port = where.hostname or "", where.port or PORTS[where.scheme]
    stream = await trio.open_tcp_stream(*((host, port) if connect_to is None else connect_to))
    if where.scheme == "http":
        return stream
    # In a thread: the system's certificates take some ten milliseconds to read.
    tls = await trio.to_thread.run_sync(ssl.create_default_context, abandon_on_cancel=True)
    return trio.SSLStream(stream, tls, server_hostname=host, https_compatible=True)


async def _exchange(
    stream: trio.abc.Stream,
    where: SplitResult,
    max_bytes: int,
    content: bytes | None = None,
    more: Mapping[str, str] | None = None,
) -> tuple[int, bytes]:
    """Send a GET, or a POST with `content`. Return the status; and the body of a GET, if the status is 200."""
    client = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_BYTES)
    headers = {
        "Host": where.netloc,
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "User-Agent": f"understudy/{version('understudy')}",
        "Connection": "close",
        **(more or {}),
    }
    if content is not None:
        headers |= {"Content-Type": "application/json", "Content-Length": str(len(content))}
    target = (where.path or "/") + (f"?{where.query}" if where.query else "")
    method = "GET" if content is None else "POST"
    request = client.send(h11.Request(method=method, target=target, headers=list(headers.items()))) or b""
    if content is not None:
        request += client.send(h11.Data(content)) or b""
    await stream.send_all(request + (client.send(h11.EndOfMessage()) or b""))
    body = bytearray()
    while True:
        event = client.next_event()
        if event is h11.NEED_DATA:
            client.receive_data(bytes(await stream.receive_some(_READ_BYTES)))
        elif isinstance(event, h11.Response):
            if content is not None or event.status_code != 200:
                return event.status_code, b""
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > max_bytes:
                raise FetchFailed(where.netloc, f"the answer has more than {max_bytes} bytes")
        elif isinstance(event, h11.EndOfMessage):
            return 200, bytes(body)
        elif not isinstance(event, h11.InformationalResponse):
            raise FetchFailed(where.netloc, "the connection broke off")
