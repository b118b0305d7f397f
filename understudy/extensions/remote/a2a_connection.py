"""The connection to an agent of another server by A2A: the SDK's client, bounded, with its errors as sentences.

1. The card must name an address of the configured server, so that the token is sent to no other.
2. A response is bounded as a whole and in each line, and may not be compressed; redirects are not followed.
"""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import trio
from a2a.client import A2AClientError, A2AClientTimeoutError, Client, ClientConfig, ClientFactory
from a2a.client.card_resolver import parse_agent_card
from a2a.types import a2a_pb2 as a2a
from a2a.utils.constants import AGENT_CARD_WELL_KNOWN_PATH, TransportProtocol
from a2a.utils.errors import A2AError, MethodNotFoundError, TaskNotFoundError, UnsupportedOperationError
from attrs import define, field
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError

from transport.auth.fetch import PORTS
from understudy.extensions.remote.remote import CONNECT_S, Remote
from understudy.extensions.remote.wording import (
    CUT,
    MAX_REFUSAL,
    MAX_RESPONSE,
    MAX_SENTENCE,
    TOO_MUCH,
    UNREACHABLE,
    refusal,
    words_of,
)
from understudy.models.model import ModelUnavailable

ANSWER_S: Final = 30.0
"""Timeout of a response that is no stream."""
MAX_CARD: Final = 256 * 1024
"""Limit of bytes of a card."""
MAX_LINE: Final = 32 * 1024 * 1024
"""Limit of bytes of one event, which may contain a file in base64."""
POLL_S: Final = (0.5, 1.0, 2.0, 4.0)
"""Delays in seconds between two polls of a task on a server without streams; the last one is repeated."""
BINDINGS: Final = [TransportProtocol.JSONRPC, TransportProtocol.HTTP_JSON]
NO_STREAM: Final = (MethodNotFoundError, TaskNotFoundError, UnsupportedOperationError)
LISTED: Final = 20
"""Number of the newest tasks of a conversation among which a lost task is looked up."""


class RemoteCut(Exception):
    """The connection ended, or could not be opened: the request may have arrived."""


class RemoteUnreachable(RemoteCut):
    """The connection could not be opened: the request has not arrived."""


class NoStream(ModelUnavailable):
    """The server has no stream of the task: it has no streams, or the task has ended or is unknown to it."""


class _TooLarge(httpx.ReadError):
    """A response exceeds the bounds."""


@define(eq=False)
class A2aServer:
    """An agent of another server. Its responses are plain JSON, as in the protocol.

    Each method raises `RemoteCut`, and `ModelUnavailable` with a sentence if the server refuses.
    """

    client: Client
    about: a2a.AgentCapabilities  # from its card, shared with the client: without streams a task is polled
    http: httpx.AsyncClient
    heard: bytearray  # the last bytes of the latest response, for the server's own words in an error

    async def send(self, message: Mapping[str, Any]) -> AsyncGenerator[dict[str, Any]]:
        """Send a message, and yield the responses: those of a stream, or without streams the task at each poll."""
        request = ParseDict({"message": dict(message)}, a2a.SendMessageRequest())
        last: dict[str, Any] = {}
        while True:
            request.configuration.return_immediately = not self.about.streaming
            try:
                async for last in _plain(self.client.send_message(request), self.heard):
                    yield last
                break
            except NoStream:  # the server has no streams, though its card says so; the message was not accepted
                if last or not self.about.streaming:
                    raise
                self.about.streaming = False
        if not self.about.streaming and "task" in last:
            async for event in self._poll(last["task"]["id"]):
                yield event

    async def follow(self, task_id: str) -> AsyncGenerator[dict[str, Any]]:
        """Yield the task as it is now, and then its changes."""
        yield await self.task(task_id)
        if self.about.streaming:
            try:
                opened = self.client.subscribe(a2a.SubscribeToTaskRequest(id=task_id))
                async for event in _plain(opened, self.heard):
                    yield event
            except NoStream:
                pass
            else:
                return
        async for event in self._poll(task_id):
            yield event

    async def task(self, task_id: str) -> dict[str, Any]:
        """Return the task as it is now, in the form of a response of a stream."""
        with _explained(self.heard):
            return {"task": _whole(MessageToDict(await self.client.get_task(a2a.GetTaskRequest(id=task_id))))}

    async def find(self, context_id: str, message_id: str) -> str | None:
        """Return the id of the task that a message has started, None if the server does not list it."""
        request = a2a.ListTasksRequest(context_id=context_id, page_size=LISTED, history_length=LISTED)
        try:
            with trio.fail_after(ANSWER_S), _explained(self.heard):
                listed = await self.client.list_tasks(request)
        except (ModelUnavailable, RemoteCut, trio.TooSlowError):
            return None  # the list is an optional part of the protocol
        started = (task.id for task in listed.tasks for message in task.history if message.message_id == message_id)
        return next(started, None)

    async def cancel(self, task_id: str) -> None:
        """Have the task cancelled."""
        with _explained(self.heard):
            await self.client.cancel_task(a2a.CancelTaskRequest(id=task_id))

    async def download(self, url: str, limit: int) -> bytes:
        """Return a file from the remote's own server. Raises ModelUnavailable if it has more than `limit` bytes."""
        content = b""
        with _explained(self.heard):
            async with self.http.stream("GET", url, timeout=ANSWER_S) as response:
                response.raise_for_status()
                async for piece in response.aiter_bytes():
                    content += piece
                    if len(content) > limit:
                        raise _TooLarge("the file is too large")
        return content

    async def _poll(self, task_id: str) -> AsyncGenerator[dict[str, Any]]:
        delays = iter(POLL_S)
        while True:
            await trio.sleep(next(delays, POLL_S[-1]))
            yield await self.task(task_id)


@asynccontextmanager
async def connect(remote: Remote) -> AsyncIterator[A2aServer]:
    """Read the card of an agent, and yield the connection. Raises `RemoteCut` and `ModelUnavailable`."""
    timeout = httpx.Timeout(CONNECT_S, read=remote.idle_s)
    headers = {"Accept-Encoding": "identity", **remote.headers}
    heard = bytearray()
    hooks: Any = {"response": [partial(_bound, heard)]}
    verify = await trio.to_thread.run_sync(httpx.create_ssl_context)  # in a thread: it takes some ten milliseconds
    async with httpx.AsyncClient(headers=headers, timeout=timeout, event_hooks=hooks, verify=verify) as http:
        with _explained(heard):
            card = await _card(http, remote.url)
        try:
            config = ClientConfig(httpx_client=http, supported_protocol_bindings=list(BINDINGS))
            client = ClientFactory(config).create(card)
        except ValueError as error:
            raise ModelUnavailable("The remote agent speaks no A2A that is known here.", retryable=False) from error
        yield A2aServer(client, card.capabilities, http, heard)


async def _card(http: httpx.AsyncClient, url: str) -> a2a.AgentCard:
    """Return the card of the agent at `url`: that below its own address, or else that of its server."""
    response: httpx.Response | None = None
    here = urlsplit(url)
    for base in dict.fromkeys((url.rstrip("/"), f"{here.scheme}://{here.netloc}")):
        response = await http.get(base + AGENT_CARD_WELL_KNOWN_PATH)
        if response.status_code != httpx.codes.NOT_FOUND:
            break
    assert response is not None  # noqa: S101 - for the type checker: there is an address
    response.raise_for_status()
    if len(response.content) > MAX_CARD:
        raise ModelUnavailable("The card of the remote agent is too large.", retryable=False)
    card = parse_agent_card(response.json())
    interfaces = [interface for interface in card.supported_interfaces if same_origin(url, interface.url)]
    if card.supported_interfaces and not interfaces:
        raise ModelUnavailable("The card of the remote agent names another server than its own.", retryable=False)
    del card.supported_interfaces[:]
    card.supported_interfaces.extend(interfaces)
    return card


def same_origin(url: str, other: str) -> bool:
    """Return whether two addresses are of one server: the remote's headers are sent to no other."""
    return _origin(url) == _origin(other)


def _origin(url: str) -> tuple[str, str | None, int | None] | None:
    try:
        where = urlsplit(url)
        return where.scheme, where.hostname, where.port or PORTS.get(where.scheme)
    except ValueError:
        return None


async def _bound(heard: bytearray, response: httpx.Response) -> None:
    """Make the read of a response fail if it exceeds the bounds, and copy its last bytes to `heard`."""
    heard.clear()
    if response.headers.get("content-encoding", "identity") != "identity":
        raise _TooLarge("it is compressed, which was not accepted")
    response.stream = _Bounded(response.stream, heard)


@define(eq=False)
class _Bounded(httpx.AsyncByteStream):
    stream: Any
    heard: bytearray
    total: int = field(default=0, init=False)
    line: int = field(default=0, init=False)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self.stream:
            self.total += len(piece)
            end = piece.rfind(b"\n")
            self.line = self.line + len(piece) if end < 0 else len(piece) - end - 1
            if self.total > MAX_RESPONSE or self.line > MAX_LINE:
                raise _TooLarge("it is too large")
            self.heard += piece
            del self.heard[:-MAX_REFUSAL]
            yield piece

    async def aclose(self) -> None:
        await self.stream.aclose()


async def _plain(responses: AsyncIterator[a2a.StreamResponse], heard: bytearray) -> AsyncGenerator[dict[str, Any]]:
    """Yield responses as JSON."""
    opened: Any = responses  # which is a generator
    with _explained(heard):
        async with aclosing(opened):
            async for response in opened:
                yield _whole(MessageToDict(response))


def _whole(value: Any) -> Any:
    """Return JSON with integers in place of integral floats: protobuf has only floats, so 4711 arrives as 4711.0."""
    if isinstance(value, dict):
        return {name: _whole(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    exact = isinstance(value, float) and value.is_integer() and abs(value) < 2**53
    return int(value) if exact else value


@contextmanager
def _explained(heard: bytearray) -> Generator[None]:
    """Convert the errors of the SDK, with the remote's own words from `heard`, which the SDK drops in part."""
    try:
        yield
    except (A2AError, httpx.HTTPError, ParseError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _explain(error, bytes(heard)) from error


def _explain(error: Exception, heard: bytes) -> Exception:
    """Return the error for the caller: `RemoteCut`, or `ModelUnavailable` with a sentence for the user."""
    words = words_of(re.split(rb"(?m)^data:", heard)[-1])
    cause = error if isinstance(error, httpx.HTTPError) else error.__cause__
    refused = f"The remote agent refused: {(words or str(error))[:MAX_SENTENCE]}"
    if isinstance(error, NO_STREAM):
        return NoStream(refused, False)
    if isinstance(cause, httpx.HTTPStatusError):
        return refusal(cause.response.status_code, words)
    if isinstance(cause, _TooLarge):
        return ModelUnavailable(TOO_MUCH, retryable=False)
    if isinstance(cause, httpx.ConnectError | httpx.ConnectTimeout):
        return RemoteUnreachable(UNREACHABLE)
    if isinstance(cause, httpx.TimeoutException) or isinstance(error, A2AClientTimeoutError):
        return RemoteCut("The remote agent was silent for too long.")
    if isinstance(cause, httpx.RequestError):
        return RemoteCut(CUT)
    if words or (isinstance(error, A2AError) and not isinstance(error, A2AClientError)):
        return ModelUnavailable(refused, retryable=False)
    return ModelUnavailable("The remote agent answered with something that is no A2A.", retryable=False)
