"""The ways to an MCP server for the SDK's client: a process over stdio, and streamable HTTP. Both are bounded.

1. A process has only the variables it is given, and ends with its group when the transport closes, within `STOP_S`.
2. No message is larger than `MAX_MESSAGE`: a server that sends more loses the connection, or the one request.
"""

import logging
import os
import signal
import subprocess
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Final

import anyio
import httpx2
import mcp_types
import trio
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.message import SessionMessage

from understudy.auth.oauth.errors import OAuthError
from understudy.storage.errors import StorageError
from understudy.tools.mcp.errors import SignedOut
from understudy.tools.mcp.server import McpServer

log = logging.getLogger(__name__)

MAX_MESSAGE: Final = 2 * 1024 * 1024
"""Bytes of one message from a server: eight times what a result may have, since images are encoded as text."""
STOP_S: Final = (1.5, 1.0, 1.0)
"""Seconds for a process to end after its input is closed, after SIGTERM, and after SIGKILL."""
CONNECT_S: Final = 10.0
READ_S: Final = 300.0
"""Seconds between two pieces of a response; a call has its own deadline."""
MAX_LINE: Final = 500
"""Characters of a line of a process's standard error that are kept."""
LOGGED_PER_S: Final = 20
"""Lines of one server that are logged in a second; further ones of that second are dropped."""

Streams = tuple[Any, Any]
TokenSource = Callable[[str | None], Awaitable[str]]
"""Returns an access token of a user; given one that was refused, another. Raises `SignedOut` and `OAuthError`."""
SIGNED_OUT: Final = -32099
"""Code of the JSON-RPC error that stands for an answer if the user is not signed in."""


class BadBody(httpx2.StreamError):
    """The body of a response is too large, or was cut."""


class LogPace:
    """Says which lines of a server are logged, at most `LOGGED_PER_S` in a second."""

    def __init__(self) -> None:
        self._second, self._number = 0, 0

    def allows(self) -> bool:
        """Count a line. Return whether it is logged."""
        now = int(trio.current_time())
        self._number = self._number + 1 if now == self._second else 1
        self._second = now
        return self._number <= LOGGED_PER_S


@asynccontextmanager
async def stdio(server: McpServer, said: deque[str], on_end: Callable[[str], object]) -> AsyncIterator[Streams]:
    """Start the server's process. `said` gets the last lines of its standard error, `on_end` why its output ended.

    Raises OSError if it cannot be started, ValueError if a variable that it is to be given is not set.
    """
    process = await trio.lowlevel.open_process(
        list(server.command),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=server.environment(),
        cwd=server.cwd,
        start_new_session=True,
    )
    to_session, from_process = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    to_process, from_session = anyio.create_memory_object_stream[SessionMessage](0)
    stopping = False

    def ended(why: str) -> None:
        if not stopping:
            on_end(why)

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_read, process, to_session, ended)
            nursery.start_soon(_write, process, from_session, to_session)
            nursery.start_soon(_log_errors, process, server.name, said)
            try:
                yield from_process, to_process
            finally:
                stopping = True
                with trio.CancelScope(shield=True):
                    await _stop(process)
                nursery.cancel_scope.cancel()
    finally:
        for stream in (to_session, from_process, to_process, from_session):
            stream.close()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                with trio.CancelScope(shield=True):
                    await pipe.aclose()


async def _read(process: trio.Process, to_session: Any, on_end: Callable[[str], object]) -> None:
    """Hand over the messages of the process, one a line, until its output ends or a message is too large."""
    why, pieces, size = "it closed its output", list[bytes](), 0
    assert process.stdout is not None  # noqa: S101 - for the type checker: it has a pipe
    async with to_session:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError, anyio.BrokenResourceError):
            async for chunk in process.stdout:
                first, *others = bytes(chunk).split(b"\n")
                pieces.append(first)
                size += len(first)
                if others and size <= MAX_MESSAGE:
                    for line in (b"".join(pieces), *others[:-1]):
                        await _hand_over(line, to_session)
                    pieces, size = others[-1:], len(others[-1])
                if size > MAX_MESSAGE:
                    why = f"it sent a message of more than {MAX_MESSAGE:,} bytes"
                    break
            on_end(why)


async def _hand_over(line: bytes, to_session: Any) -> None:
    if not line.strip():
        return
    message: SessionMessage | Exception
    try:
        message = SessionMessage(mcp_types.jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError:
        message = ValueError("a line that is no message")  # programs print to their output, too
    await to_session.send(message)


async def _write(process: trio.Process, from_session: Any, to_session: Any) -> None:
    assert process.stdin is not None  # noqa: S101 - for the type checker: it has a pipe
    try:
        async for message in from_session:
            data = message.message.model_dump_json(by_alias=True, exclude_unset=True)
            await process.stdin.send_all(data.encode(errors="replace") + b"\n")
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        to_session.close()  # the session learns of it as of the end of its input


async def _log_errors(process: trio.Process, name: str, said: deque[str]) -> None:
    """Log what the process writes to its standard error, a bounded part of each line."""
    rest, pace = b"", LogPace()
    assert process.stderr is not None  # noqa: S101 - for the type checker: it has a pipe
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        async for chunk in process.stderr:
            *lines, rest = (rest + bytes(chunk)).split(b"\n")
            rest = rest[:MAX_LINE]
            for line in lines:
                if text := line[:MAX_LINE].decode(errors="replace").strip():
                    said.append(text)
                    if pace.allows():
                        log.info("mcp.stderr", extra={"server": name, "line": text})


async def _stop(process: trio.Process) -> None:
    """Close the input of the process, and end it and its group if it does not end by itself."""
    if process.stdin is not None:
        await process.stdin.aclose()
    for wait_s, number in zip(STOP_S, (signal.SIGTERM, signal.SIGKILL, None), strict=True):
        with trio.move_on_after(wait_s):
            await process.wait()
        if process.returncode is not None:
            number = signal.SIGKILL  # for those that it has started
        if number is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, number)
        if process.returncode is not None:
            return
    log.error("mcp.process_left", extra={"pid": process.pid})


class _BoundedStream(httpx2.AsyncByteStream):
    """A response's body that ends with `BadBody` beyond `MAX_MESSAGE` bytes, or if it is cut.

    The SDK answers the one request with that error. Any other one would end the connection, with all its requests.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        try:
            async for chunk in self._stream:
                size += len(chunk)
                if size > MAX_MESSAGE:
                    raise BadBody(f"the response has more than {MAX_MESSAGE:,} bytes")
                yield chunk
        except httpx2.TransportError as error:
            raise BadBody(f"the response was cut: {type(error).__name__}") from error

    async def aclose(self) -> None:
        await self._stream.aclose()


class _BoundedTransport(httpx2.AsyncHTTPTransport):
    """Bounds each response that is not a stream of events, which the SDK bounds event by event.

    A request that does not reach the server is answered with a JSON-RPC error, for the reason of `_BoundedStream`.
    """

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        try:
            response = await super().handle_async_request(request)
        except httpx2.TransportError as error:
            return _failed(f"it cannot be reached: {str(error) or type(error).__name__}")
        if response.headers.get("content-encoding", "identity") != "identity":
            await response.aclose()
            return _failed("its response is compressed, which was not asked for")
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            response.stream = _BoundedStream(response.stream)
        return response


class _UserTransport(_BoundedTransport):
    """Sends each request with the token of a user, and once more with a new one if that is refused."""

    def __init__(self, token: TokenSource, verify: Any) -> None:
        super().__init__(verify=verify)
        self._token = token

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        refused: str | None = None
        for _ in range(2):
            try:
                token = await self._token(refused)
            except SignedOut:
                return _failed("you are not signed in", SIGNED_OUT)
            except (OAuthError, StorageError) as error:
                return _failed(f"your sign-in cannot be refreshed now ({error})", mcp_types.INTERNAL_ERROR)
            request.headers["Authorization"] = f"Bearer {token}"
            response = await super().handle_async_request(request)
            if response.status_code != 401:
                return response
            await response.aclose()
            refused = token
        return _failed("it does not accept your sign-in", mcp_types.INTERNAL_ERROR)


def _failed(why: str, code: int = mcp_types.CONNECTION_CLOSED) -> httpx2.Response:
    error = {"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": why}}
    return httpx2.Response(502, json=error)


@asynccontextmanager
async def http(server: McpServer, token: TokenSource | None) -> AsyncIterator[Streams]:
    """Connect to an address. Redirects to other origins are refused, and proxies of the environment are not used."""
    timeout = httpx2.Timeout(CONNECT_S, read=READ_S)
    verify = await trio.to_thread.run_sync(httpx2.create_ssl_context)  # it takes up to a third of a second
    headers = {**server.headers, "Accept-Encoding": "identity"}
    transport = _BoundedTransport(verify=verify) if token is None else _UserTransport(token, verify)
    async with (
        httpx2.AsyncClient(headers=headers, timeout=timeout, transport=transport, trust_env=False) as client,
        streamable_http_client(server.url, http_client=client, max_sse_event_size=MAX_MESSAGE) as streams,
    ):
        yield streams


def open_transport(
    server: McpServer, said: deque[str], on_end: Callable[[str], object], token: TokenSource | None = None
) -> Any:
    """Return the context manager of the streams to a server; `token` is of the user whose connection it is."""
    return partial(stdio, server, said, on_end)() if server.command else http(server, token)
