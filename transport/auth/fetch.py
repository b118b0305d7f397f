"""Fetch one small document by GET, on h11 and trio, as the product does not depend on `httpx`.

The response is bounded in size and time.
Redirects are not followed, and no connection is reused.
"""

import ssl
from functools import partial
from importlib.metadata import version
from typing import Final
from urllib.parse import SplitResult, urlsplit

import h11
import trio

from transport.wire.errors import FetchFailed

_READ_BYTES: Final = 16 * 1024
_HEAD_BYTES: Final = 16 * 1024
_PORTS: Final = {"http": 80, "https": 443}


def is_fetchable(url: str) -> bool:
    """Return whether `fetch` accepts this URL: http or https, a host, no user or password."""
    try:
        where = urlsplit(url)
        known = where.scheme in _PORTS and bool(where.hostname) and where.port != 0 and "@" not in where.netloc
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
    try:
        with trio.fail_after(within_s):
            stream = await _connect(where)
            async with _closing(stream):
                return await _get(stream, where, max_bytes)
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


async def _connect(where: SplitResult) -> trio.abc.Stream:
    host, port = where.hostname or "", where.port or _PORTS[where.scheme]
    if where.scheme == "http":
        return await trio.open_tcp_stream(host, port)
    # In a thread: the system's certificates take some ten milliseconds to read.
    tls = await trio.to_thread.run_sync(ssl.create_default_context, abandon_on_cancel=True)
    open_stream = partial(trio.open_ssl_over_tcp_stream, host, port, ssl_context=tls, https_compatible=True)
    return await open_stream()


async def _get(stream: trio.abc.Stream, where: SplitResult, max_bytes: int) -> bytes:
    client = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_BYTES)
    headers = {
        "Host": where.netloc,
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "User-Agent": f"understudy/{version('understudy')}",
        "Connection": "close",
    }
    target = (where.path or "/") + (f"?{where.query}" if where.query else "")
    request = h11.Request(method="GET", target=target, headers=list(headers.items()))
    await stream.send_all((client.send(request) or b"") + (client.send(h11.EndOfMessage()) or b""))
    body = bytearray()
    while True:
        event = client.next_event()
        if event is h11.NEED_DATA:
            client.receive_data(bytes(await stream.receive_some(_READ_BYTES)))
        elif isinstance(event, h11.Response):
            if event.status_code != 200:
                moved = "; redirects are not followed" if 300 <= event.status_code < 400 else ""
                raise FetchFailed(where.netloc, f"it answers {event.status_code}{moved}")
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > max_bytes:
                raise FetchFailed(where.netloc, f"the answer has more than {max_bytes} bytes")
        elif isinstance(event, h11.EndOfMessage):
            return bytes(body)
        elif not isinstance(event, h11.InformationalResponse):
            raise FetchFailed(where.netloc, "the connection broke off")
