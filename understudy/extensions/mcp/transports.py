"""The transports of the SDK's client to an MCP server: a process over stdio, and streamable HTTP. Both are bounded.

1. A process gets only its configured variables, and is ended with its group when the transport closes, within `STOP_S`.
2. No message is larger than `MAX_MESSAGE`. The rest of a larger one is skipped, and only its request fails.
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
from typing import Any, Final

import anyio
import httpx2
import mcp_types
import trio
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.message import SessionMessage

from understudy.extensions.mcp.errors import RefusedToken, SignedOut
from understudy.extensions.mcp.oauth.discovery import parameter_of
from understudy.extensions.oauth.errors import OAuthError
from understudy.storage.errors import StorageError
from understudy.tools.mcp_server import McpServer

log = logging.getLogger(__name__)

MAX_MESSAGE: Final = 2 * 1024 * 1024
"""Limit in bytes of one message from a server: eight times that of a result, because images are encoded as text."""
STOP_S: Final = (1.5, 1.0, 1.0)
"""Seconds allowed for a process to end after its input is closed, after SIGTERM, and after SIGKILL."""
CONNECT_S: Final = 10.0
READ_S: Final = 300.0
"""Seconds between two pieces of a response; a call has its own deadline."""
KEPT_S: Final = 4.0
"""Seconds for which an idle connection is kept. Uvicorn and Node.js close theirs after five, and it is unknown whether
a request sent at that moment was served."""
MAX_LINE: Final = 500
"""Limit in characters of a line of a process's standard error; the rest is dropped."""
LOGGED_PER_S: Final = 20
"""Limit of one server's lines that are logged per second; further lines are dropped."""

MAX_PASSED: Final = 64 * 1024 * 1024
"""Limit in bytes of a message that is skipped. Beyond it the connection is ended, because the line may never end."""
UNREADABLE: Final = "the answer cannot be read"
TOO_LARGE: Final = f"the answer has more than {MAX_MESSAGE:,} bytes"
"""Messages of the JSON-RPC errors that replace such answers of a process."""
MAX_ASKED: Final = 1000
"""Limit of the pending requests to a process that are tracked, cancelled ones included; the oldest is dropped."""
_ID: Final = rb'"id"\s*:\s*(\d{1,15}|"[\w-]{1,64}")(?:\.0)?\s*'
_VERSION: Final = rb'"jsonrpc"\s*:\s*"2\.0"\s*'
_ID_FIRST: Final = re.compile(rb"\s*\{\s*(?:%s,\s*)?%s,\s*(?:%s,\s*)?\"[re]" % (_VERSION, _ID, _VERSION))
"""The beginning of an answer up to its id, which identifies the request even if the rest cannot be read."""
_ID_LAST: Final = re.compile(rb"[\]}\"]\s*,\s*(?:%s,\s*)?%s(?:,\s*%s)?\}\s*\Z" % (_VERSION, _ID, _VERSION))
_ANSWER: Final = re.compile(rb"\s*\{\s*(?:%s,\s*)?\"(?:result|error)\"" % _VERSION)
"""The id at the end of an answer, where the TypeScript SDK writes it, and the beginning of such an answer."""
_SURROGATES: Final = re.compile(
    rb"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)
"""JSON's escape of a backslash, of a pair of surrogates, or (the group) of a lone surrogate."""
_MESSAGE: Final = re.compile(rb"^((?:data:)? *)(\{.*\})[ \r]*$", re.MULTILINE)
"""A line with a message, also of a stream of events."""
_EDGE: Final = 256
"""Bytes at the beginning and at the end of a message in which its id is searched."""

Streams = tuple[Any, Any]
TokenSource = Callable[[RefusedToken | None], Awaitable[str]]
"""Returns an access token of a user. For a refused token it returns another one, or the same if there is no other.

Raises `SignedOut` and `OAuthError`."""
SIGNED_OUT: Final = -32099
"""Code of the JSON-RPC error for a request whose user is not signed in."""
LOST: Final = -32098
"""Code of the JSON-RPC error for a request that did not reach the server, or whose answer was lost."""
SESSION_GONE: Final = -32097
"""Code of the JSON-RPC error for a request whose session the server does not know."""
THROTTLED: Final = -32096
"""Code of the JSON-RPC error for a request that may be repeated after the seconds in `data`."""
ATTEMPTS: Final = 3
"""Attempts of a request with tokens of a user: the first, with a refreshed token, and with one for more scopes."""
CHALLENGE: Final = "www-authenticate"
WAIT_S: Final = (1.0, 3600.0)
"""Seconds to wait for a throttling server that does not say how long, and the longest wait that is accepted."""
END_S: Final = 1.0
"""Seconds to wait for the end of a process that has closed its input or output, to report its exit code."""
MAX_REASON: Final = 300
"""Limit in characters of a server's own words in a refusal."""


class BadBody(httpx2.StreamError):
    """The body of a response is too large, or was cut."""


class LogPace:
    """Limits the lines of a server that are logged to `LOGGED_PER_S` per second."""

    def __init__(self) -> None:
        self._second, self._number = 0, 0

    def allows(self) -> bool:
        """Count a line. Return whether to log it."""
        now = int(trio.current_time())
        self._number = self._number + 1 if now == self._second else 1
        self._second = now
        return self._number <= LOGGED_PER_S


@asynccontextmanager
async def stdio(server: McpServer, stderr: deque[str], on_end: Callable[[str], object]) -> AsyncIterator[Streams]:
    """Start the server's process. `stderr` receives the last lines of its standard error. `on_end` is called with the
    reason when its input or output ends.

    Raises OSError if it cannot be started, ValueError if one of its configured variables is not set.
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
    stopping, pending = False, dict[int | str, None]()  # ids of requests without an answer, the oldest first

    def ended(why: str) -> None:
        if not stopping:
            on_end(why)

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_read, process, to_session, pending, ended)
            nursery.start_soon(_write, process, from_session, to_session, pending, ended)
            nursery.start_soon(_log_errors, process, server.name, stderr)
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
    process: trio.Process, to_session: Any, pending: dict[int | str, None], on_end: Callable[[str], object]
) -> None:
    """Send the messages of the process, one per line, to the session, until its output ends or a line is endless.
    `pending` are the ids of the requests that wait for an answer."""
    why = "it closed its output"
    pieces, size = list[bytes](), 0  # of the unfinished line; of a too large one only the edges are kept
    assert process.stdout is not None  # noqa: S101 - for the type checker: it has a pipe
    async with to_session:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError, anyio.BrokenResourceError):
            async for chunk in process.stdout:
                first, *others = bytes(chunk).split(b"\n")
                pieces.append(first)
                size += len(first)
                if size > MAX_MESSAGE:
                    buffer = b"".join(pieces)
                    pieces = [buffer[:_EDGE], buffer[-_EDGE:]]
                for line in (b"".join(pieces), *others[:-1]) if others else ():
                    if size > MAX_MESSAGE:  # only the first line can be, as `size` is that of the line in `pieces`
                        await to_session.send(_too_large(line, pending))
                    elif line.strip():
                        await to_session.send(_message(line, pending))
                    size = 0
                if others:
                    pieces, size = others[-1:], len(others[-1])
                if size > MAX_PASSED:
                    why = f"it sent a message of more than {MAX_PASSED:,} bytes"
                    break
            on_end(await _end_of(process) or why)


async def _end_of(process: trio.Process) -> str:
    """Describe how a process ended; empty if it has not ended within `END_S`."""
    with trio.move_on_after(END_S):
        code = await process.wait()
        return f"it ended with exit code {code}" if code >= 0 else f"signal {-code} ended it"
    return ""


def _message(line: bytes, pending: dict[int | str, None]) -> SessionMessage | Exception:
    """Return the message in a line, or an error for another line, because programs print to their output too.

    An unreadable line with the id of a request fails that request. A server's error without an id, by which it refuses
    a message that it could not read, fails the only pending request, if there is just one.
    """
    try:
        message = mcp_types.jsonrpc_message_adapter.validate_json(mended(line), by_name=False)
    except ValueError:
        return _error_answer(_id_of(line), mcp_types.ErrorData(code=mcp_types.PARSE_ERROR, message=UNREADABLE), pending)
    if isinstance(message, mcp_types.JSONRPCResponse | mcp_types.JSONRPCError) and message.id is not None:
        pending.pop(message.id, None)
    if isinstance(message, mcp_types.JSONRPCError) and message.id is None and len(pending) == 1:
        return _error_answer(next(iter(pending)), message.error, pending)
    return SessionMessage(message)


def mended(data: bytes) -> bytes:
    """Return JSON with U+FFFD in place of lone surrogates and invalid UTF-8, which servers send when they cut texts. An
    error without a code or a message gets one, so that the SDK accepts it."""
    if b"\\ud" in data or b"\\uD" in data:
        data = _SURROGATES.sub(lambda match: b"\\ufffd" if match[1] else match[0], data)
    try:
        data.decode()
    except UnicodeDecodeError:
        data = data.decode(errors="replace").encode()
    return _MESSAGE.sub(_with_whole_error, data) if b'"error"' in data else data


def _with_whole_error(match: re.Match[bytes]) -> bytes:
    with suppress(ValueError, KeyError, TypeError, RecursionError):
        message = json.loads(match[2])
        if (error := message["error"]) is not None:
            fault = error if isinstance(error, dict) else {"message": error}
            code, words = fault.get("code"), fault.get("message")
            code = code if isinstance(code, int) else mcp_types.INTERNAL_ERROR
            words = words if isinstance(words, str) else json.dumps(error)
            return match[1] + json.dumps({**message, "error": {**fault, "code": code, "message": words}}).encode()
    return match[0]


def _too_large(edges: bytes, pending: dict[int | str, None]) -> SessionMessage | Exception:
    """Return the error that replaces a too large answer, of which only the `edges` are left."""
    request_id = _id_of(edges)
    if request_id is None and len(pending) == 1 and _ANSWER.match(edges):
        request_id = next(iter(pending))
    return _error_answer(request_id, mcp_types.ErrorData(code=mcp_types.PARSE_ERROR, message=TOO_LARGE), pending)


def _id_of(line: bytes) -> int | str | None:
    """Return the id at the beginning or at the end of an unreadable answer, or None."""
    match = _ID_FIRST.match(line) or (_ID_LAST.search(line[-_EDGE:]) if _ANSWER.match(line) else None)
    if match is None:
        return None
    number = match[1].strip(b'"').decode()
    return int(number) if number.isdecimal() else number  # some servers return our numbers as texts


def _error_answer(
    request_id: int | str | None, error: mcp_types.ErrorData, pending: dict[int | str, None]
) -> SessionMessage | Exception:
    """Return an error as the answer to a request, or a ValueError if the request is not pending."""
    if request_id is None or request_id not in pending:
        return ValueError("a line that is no message, or an answer to nothing")
    del pending[request_id]
    return SessionMessage(mcp_types.JSONRPCError(jsonrpc="2.0", id=request_id, error=error))


async def _write(
    process: trio.Process,
    from_session: Any,
    to_session: Any,
    pending: dict[int | str, None],
    on_end: Callable[[str], object],
) -> None:
    assert process.stdin is not None  # noqa: S101 - for the type checker: it has a pipe
    try:
        async for message in from_session:
            if isinstance(message.message, mcp_types.JSONRPCRequest):
                pending[message.message.id] = None
                if len(pending) > MAX_ASKED:
                    del pending[next(iter(pending))]
            data = message.message.model_dump_json(by_alias=True, exclude_unset=True)
            await process.stdin.send_all(data.encode(errors="replace") + b"\n")
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        on_end(await _end_of(process) or "it closed its input")
        to_session.close()  # for the session this is the end of its input


async def _log_errors(process: trio.Process, name: str, stderr: deque[str]) -> None:
    """Log the process's standard error line by line, each cut to `MAX_LINE`, and keep the last lines in `stderr`."""
    partial, pace = b"", LogPace()
    assert process.stderr is not None  # noqa: S101 - for the type checker: it has a pipe
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        async for chunk in process.stderr:
            *lines, partial = (partial + bytes(chunk)).split(b"\n")
            partial = partial[:MAX_LINE]
            for line in lines:
                if text := line[:MAX_LINE].decode(errors="replace").strip():
                    stderr.append(text)
                    if pace.allows():
                        log.info("mcp.stderr", extra={"server": name, "line": text})


async def _stop(process: trio.Process) -> None:
    """Close the input of the process, and kill it if it does not end by itself; in any case kill its group."""
    if process.stdin is not None:
        await process.stdin.aclose()
    for wait_s, number in zip(STOP_S, (signal.SIGTERM, signal.SIGKILL, None), strict=True):
        with trio.move_on_after(wait_s):
            await process.wait()
        if process.returncode is not None:
            number = signal.SIGKILL  # for the processes that it has started
        if number is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, number)
        if process.returncode is not None:
            return
    log.error("mcp.process_left", extra={"pid": process.pid})


class _BoundedStream(httpx2.AsyncByteStream):
    """A response's body, with `mended` JSON. It raises `BadBody` beyond `MAX_MESSAGE` bytes, or if it is cut.

    The SDK fails only the one request with this error; any other error would end the connection. A stream of `events`
    is passed on line by line, because the SDK limits each event itself.
    """

    def __init__(self, stream: Any, *, events: bool) -> None:
        self._stream, self._events = stream, events

    async def __aiter__(self) -> AsyncIterator[bytes]:
        pieces, size = list[bytes](), 0
        try:
            async for chunk in self._stream:
                lines, newline, rest = chunk.rpartition(b"\n") if self._events else (b"", b"", chunk)
                if newline:
                    yield mended(b"".join((*pieces, lines, newline)))
                    pieces, size = [], 0
                pieces.append(rest)
                size += len(rest)
                if size > MAX_MESSAGE:
                    if not self._events:
                        raise BadBody(TOO_LARGE)
                    yield b"".join(pieces)
                    pieces, size = [], 0
            yield mended(b"".join(pieces))
        except httpx2.TransportError as error:
            raise BadBody(f"the response was cut: {type(error).__name__}") from error

    async def aclose(self) -> None:
        await self._stream.aclose()


class BoundedTransport(httpx2.AsyncHTTPTransport):
    """Bounds and mends each response.

    A request that does not reach the server is answered with a JSON-RPC error, so that the connection lives on. A
    refusal by a status becomes such an error too, because the SDK would not report its reason.
    """

    def __init__(self, verify: Any) -> None:
        super().__init__(verify=verify, limits=httpx2.Limits(keepalive_expiry=KEPT_S))

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request. Return its response, or a response with a JSON-RPC error in its place."""
        try:
            response = await super().handle_async_request(request)
        except httpx2.TransportError as error:
            return _error_response(f"it cannot be reached: {str(error) or type(error).__name__}")
        if response.headers.get("content-encoding", "identity") != "identity":
            await response.aclose()
            return _error_response("its response is compressed, which was not asked for")
        events = response.headers.get("content-type", "").startswith("text/event-stream")
        response.stream = _BoundedStream(response.stream, events=events)
        if response.status_code >= 400 and request.method == "POST":
            return await _refusal(request, response)
        return response


async def _refusal(request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
    """Convert a response with an error status to one with a JSON-RPC error.

    404 and 410 in a session mean that the server does not know the session (MCP, 2025-11-25, session management). So
    does a 400 that mentions the session, which servers made after the example of the TypeScript SDK send.
    """
    status, body = response.status_code, b""
    with suppress(httpx2.StreamError):
        body = await response.aread()
    await response.aclose()
    words = _reason_in(response, body)
    sentence = f"HTTP {status} {response.reason_phrase}".rstrip() + (f": {words}" if words else "")
    if "mcp-session-id" in request.headers and (
        status in (404, 410) or (status == 400 and "session" in body.decode(errors="replace").lower())
    ):
        return _error_response(sentence, SESSION_GONE, status)
    seconds = response.headers.get("retry-after", "")
    if status == 429 or (status == 503 and seconds):
        wait_s = float(seconds) if seconds.isdecimal() else WAIT_S[0]
        return _error_response(sentence, THROTTLED, status, min(wait_s, WAIT_S[1]))
    if response.headers.get("content-type", "").startswith("application/json"):
        with suppress(ValueError):
            if isinstance(mcp_types.jsonrpc_message_adapter.validate_json(body), mcp_types.JSONRPCError):
                response.stream = httpx2.ByteStream(body)
                return response
    code = mcp_types.METHOD_NOT_FOUND if status == 404 else mcp_types.INTERNAL_ERROR
    return _error_response(sentence, code, status, challenge=response.headers.get(CHALLENGE, ""))


def _reason_in(response: httpx2.Response, body: bytes) -> str:
    """Return the reason in the body of a refusal, if it is a text for people; else an empty text."""
    kind = response.headers.get("content-type", "")
    if kind.startswith("text/plain"):
        return " ".join(body.decode(errors="replace").split())[:MAX_REASON]
    with suppress(ValueError, RecursionError):
        words = json.loads(body)
        for name in ("error", "error_description", "message", "detail"):
            if isinstance(words, dict) and name in words:
                words = words[name] if isinstance(words[name], dict | str) else words
        if isinstance(words, str):
            return " ".join(words.split())[:MAX_REASON]
    return ""


class _UserTransport(BoundedTransport):
    """Sends each request with a token of a user, and with another token if that is refused, up to `ATTEMPTS` times."""

    def __init__(self, token: TokenSource, verify: Any) -> None:
        super().__init__(verify)
        self._token = token

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        refused: RefusedToken | None = None
        for number in range(ATTEMPTS):
            try:
                token = await self._token(refused)
            except SignedOut:
                return _error_response("you are not signed in", SIGNED_OUT)
            except (OAuthError, StorageError) as error:
                return _error_response(f"your sign-in cannot be refreshed now ({error})", mcp_types.INTERNAL_ERROR)
            if refused is not None and token == refused.token:
                break
            request.headers["Authorization"] = f"Bearer {token}"
            response = await super().handle_async_request(request)
            challenge = response.headers.get(CHALLENGE, "")
            scope = parameter_of(challenge, "scope")
            if response.status_code == 403 and parameter_of(challenge, "error") == "insufficient_scope":
                refused = RefusedToken(token, scope or "", final=True)
            elif response.status_code == 401:
                refused = RefusedToken(token, scope, final=number > 0)
            else:
                return response
            await response.aclose()
        if response.status_code == 403:
            return response
        return _error_response("it does not accept your sign-in", mcp_types.INTERNAL_ERROR)


def _error_response(
    why: str, code: int = LOST, status: int = 502, data: float | None = None, challenge: str = ""
) -> httpx2.Response:
    """Return a response with a JSON-RPC error, in place of one that the SDK would not understand."""
    error = {"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": why, "data": data}}
    return httpx2.Response(status, json=error, headers={CHALLENGE: challenge} if challenge else None)


@asynccontextmanager
async def http(server: McpServer, token: TokenSource | None) -> AsyncIterator[Streams]:
    """Connect to the server's URL. Redirects to other origins are refused; proxies of the environment are not used."""
    timeout = httpx2.Timeout(CONNECT_S, read=READ_S)
    verify = await trio.to_thread.run_sync(httpx2.create_ssl_context)  # in a thread: it takes up to 0.3 s
    headers = {**server.headers, "Accept-Encoding": "identity"}
    transport = BoundedTransport(verify) if token is None else _UserTransport(token, verify)
    async with (
        httpx2.AsyncClient(headers=headers, timeout=timeout, transport=transport, trust_env=False) as client,
        streamable_http_client(server.url, http_client=client, max_sse_event_size=MAX_MESSAGE) as streams,
    ):
        yield streams
