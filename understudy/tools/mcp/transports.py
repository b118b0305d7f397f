"""The ways to an MCP server for the SDK's client: a process over stdio, and streamable HTTP. Both are bounded.

1. A process has only the variables it is given, and ends with its group when the transport closes, within `STOP_S`.
2. No message is larger than `MAX_MESSAGE`: a server that sends more loses the connection, or the one request.
"""

import json
import logging
import os
import re
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
KEPT_S: Final = 4.0
"""Seconds for which a connection without a request is kept. Uvicorn and Node.js close theirs after five, and a request
that is sent at that moment is lost: whether it was served, nobody knows."""
MAX_LINE: Final = 500
"""Characters of a line of a process's standard error that are kept."""
LOGGED_PER_S: Final = 20
"""Lines of one server that are logged in a second; further ones of that second are dropped."""

UNREADABLE: Final = "the answer cannot be read"
"""Message of the JSON-RPC error that stands for such an answer of a process."""
MAX_ASKED: Final = 1000
"""Requests to a process that are known to wait for an answer; those that were given up are among them."""
_ID: Final = re.compile(rb'\s*\{(?:\s*"jsonrpc"\s*:\s*"2\.0"\s*,)?\s*"id"\s*:\s*(\d{1,15}|"[\w-]{1,64}")\s*,')
"""The beginning of an answer up to its id, which names its request also if the rest cannot be read."""

Streams = tuple[Any, Any]
TokenSource = Callable[[str | None], Awaitable[str]]
"""Returns an access token of a user; given one that was refused, another. Raises `SignedOut` and `OAuthError`."""
SIGNED_OUT: Final = -32099
"""Code of the JSON-RPC error that stands for an answer if the user is not signed in."""
LOST: Final = -32098
"""That of a request that did not reach the server, or whose answer did not come back."""
SESSION_GONE: Final = -32097
"""That of a request whose session the server does not know."""
THROTTLED: Final = -32096
"""That of a request that may be made again after the seconds in `data`."""
WAIT_S: Final = (1.0, 3600.0)
"""Seconds to wait for a server that does not say for how long, and those that are believed at most."""
END_S: Final = 1.0
"""Seconds for the end of a process that has closed its input or output, to say how it ended."""
MAX_REASON: Final = 300
"""Characters of a server's words beside the status of its response."""


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
    stopping, asked = False, dict[int | str, None]()

    def ended(why: str) -> None:
        if not stopping:
            on_end(why)

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_read, process, to_session, asked, ended)
            nursery.start_soon(_write, process, from_session, to_session, asked, ended)
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


async def _read(
    process: trio.Process, to_session: Any, asked: dict[int | str, None], on_end: Callable[[str], object]
) -> None:
    """Hand over the messages of the process, one a line, until its output ends or a message is too large.

    `asked` are the requests that wait for an answer.
    """
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
                        if line.strip():
                            await to_session.send(_message(line, asked))
                    pieces, size = others[-1:], len(others[-1])
                if size > MAX_MESSAGE:
                    why = f"it sent a message of more than {MAX_MESSAGE:,} bytes"
                    break
            on_end(await _end_of(process) or why)


async def _end_of(process: trio.Process) -> str:
    """Say how a process ended; empty if it has not in `END_S`."""
    with trio.move_on_after(END_S):
        code = await process.wait()
        return f"it ended with exit code {code}" if code >= 0 else f"signal {-code} ended it"
    return ""


def _message(line: bytes, asked: dict[int | str, None]) -> SessionMessage | Exception:
    """Return the message of a line, or an error for one that is none: programs print to their output, too.

    A line that cannot be read ends the request whose id it begins with. The server's word that it could not read one
    of ours, which names none, ends the only request that waits.
    """
    failed: Any
    try:
        message = mcp_types.jsonrpc_message_adapter.validate_json(line, by_name=False)
    except ValueError:
        number = _ID.match(line)
        if number is None:
            return ValueError("a line that is no message")
        failed, why = json.loads(number[1]), mcp_types.ErrorData(code=mcp_types.PARSE_ERROR, message=UNREADABLE)
    else:
        if isinstance(message, mcp_types.JSONRPCResponse | mcp_types.JSONRPCError) and message.id is not None:
            asked.pop(message.id, None)
        if not isinstance(message, mcp_types.JSONRPCError) or message.id is not None or len(asked) != 1:
            return SessionMessage(message)
        failed, why = next(iter(asked)), message.error
    if failed not in asked:
        return ValueError("an answer to nothing")
    del asked[failed]
    return SessionMessage(mcp_types.JSONRPCError(jsonrpc="2.0", id=failed, error=why))


async def _write(
    process: trio.Process,
    from_session: Any,
    to_session: Any,
    asked: dict[int | str, None],
    on_end: Callable[[str], object],
) -> None:
    assert process.stdin is not None  # noqa: S101 - for the type checker: it has a pipe
    try:
        async for message in from_session:
            if isinstance(message.message, mcp_types.JSONRPCRequest):
                asked[message.message.id] = None
                if len(asked) > MAX_ASKED:
                    del asked[next(iter(asked))]
            data = message.message.model_dump_json(by_alias=True, exclude_unset=True)
            await process.stdin.send_all(data.encode(errors="replace") + b"\n")
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        on_end(await _end_of(process) or "it closed its input")
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


class BoundedTransport(httpx2.AsyncHTTPTransport):
    """Bounds each response that is not a stream of events, which the SDK bounds event by event.

    A request that does not reach the server is answered with a JSON-RPC error, for the reason of `_BoundedStream`; so
    is one that is refused with a status, of which the SDK would tell nothing.
    """

    def __init__(self, verify: Any) -> None:
        super().__init__(verify=verify, limits=httpx2.Limits(keepalive_expiry=KEPT_S))

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request, and return its response, or an error in its place."""
        try:
            response = await super().handle_async_request(request)
        except httpx2.TransportError as error:
            return _failed(f"it cannot be reached: {str(error) or type(error).__name__}")
        if response.headers.get("content-encoding", "identity") != "identity":
            await response.aclose()
            return _failed("its response is compressed, which was not asked for")
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            response.stream = _BoundedStream(response.stream)
        if response.status_code >= 400 and request.method == "POST":
            return await _refusal(request, response)
        return response


async def _refusal(request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
    """Return a response of a status that says that a request failed as one with a JSON-RPC error.

    404 and 410 in a session mean that the server does not know it (MCP, 2025-11-25, session management), and so does
    400 of servers made with the example of the TypeScript SDK, whose words name the session.
    """
    status, body = response.status_code, b""
    with suppress(httpx2.StreamError):
        body = await response.aread()
    await response.aclose()
    said = _words(response, body)
    sentence = f"HTTP {status} {response.reason_phrase}".rstrip() + (f": {said}" if said else "")
    if "mcp-session-id" in request.headers and (
        status in (404, 410) or (status == 400 and "session" in body.decode(errors="replace").lower())
    ):
        return _failed(sentence, SESSION_GONE, status)
    seconds = response.headers.get("retry-after", "")
    if status == 429 or (status == 503 and seconds):
        wait_s = float(seconds) if seconds.isdecimal() else WAIT_S[0]
        return _failed(sentence, THROTTLED, status, min(wait_s, WAIT_S[1]))
    if response.headers.get("content-type", "").startswith("application/json"):
        with suppress(ValueError):
            if isinstance(mcp_types.jsonrpc_message_adapter.validate_json(body), mcp_types.JSONRPCError):
                return httpx2.Response(status, headers={"content-type": "application/json"}, content=body)
    return _failed(sentence, mcp_types.METHOD_NOT_FOUND if status == 404 else mcp_types.INTERNAL_ERROR, status)


def _words(response: httpx2.Response, body: bytes) -> str:
    """Return the reason that the body of a refusal gives, if it is for people to read."""
    kind = response.headers.get("content-type", "")
    if kind.startswith("text/plain"):
        return " ".join(body.decode(errors="replace").split())[:MAX_REASON]
    with suppress(ValueError, RecursionError):
        said = json.loads(body)
        for name in ("error", "error_description", "message", "detail"):
            if isinstance(said, dict) and name in said:
                said = said[name] if isinstance(said[name], dict | str) else said
        if isinstance(said, str):
            return " ".join(said.split())[:MAX_REASON]
    return ""


class _UserTransport(BoundedTransport):
    """Sends each request with the token of a user, and once more with a new one if that is refused."""

    def __init__(self, token: TokenSource, verify: Any) -> None:
        super().__init__(verify)
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


def _failed(why: str, code: int = LOST, status: int = 502, data: float | None = None) -> httpx2.Response:
    error = {"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": why, "data": data}}
    return httpx2.Response(status, json=error)


@asynccontextmanager
async def http(server: McpServer, token: TokenSource | None) -> AsyncIterator[Streams]:
    """Connect to an address. Redirects to other origins are refused, and proxies of the environment are not used."""
    timeout = httpx2.Timeout(CONNECT_S, read=READ_S)
    verify = await trio.to_thread.run_sync(httpx2.create_ssl_context)  # it takes up to a third of a second
    headers = {**server.headers, "Accept-Encoding": "identity"}
    transport = BoundedTransport(verify) if token is None else _UserTransport(token, verify)
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
