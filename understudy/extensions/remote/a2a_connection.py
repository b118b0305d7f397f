"""The connection to an agent of another server by A2A: the SDK's client, with bounds, and its errors in sentences.

1. The card must name an address of the server that was given: a token goes to no other.
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
"""Seconds for a response that is no stream."""
MAX_CARD: Final = 256 * 1024
MAX_LINE: Final = 32 * 1024 * 1024
"""Bytes of one event, which may hold a file in base64."""
POLL_S: Final = (0.5, 1.0, 2.0, 4.0)
"""Delays in seconds between two looks at a task of a server without streams; the last one is repeated."""
BINDINGS: Final = [TransportProtocol.JSONRPC, TransportProtocol.HTTP_JSON]
NO_STREAM: Final = (MethodNotFoundError, TaskNotFoundError, UnsupportedOperationError)
LISTED: Final = 20
"""Newest tasks of a conversation among which one is looked for."""


class RemoteCut(Exception):
    """The connection ended, or there was none: what was asked may have arrived."""


class RemoteUnreachable(RemoteCut):
    """There was no connection: nothing has arrived."""


class NoStream(ModelUnavailable):
    """There is no stream of the task: it has ended meanwhile, or the server has none of it, or does not know it."""


class _TooLarge(httpx.ReadError):
    """A response is beyond the bounds."""


@define(eq=False)
class A2aServer:
    """An agent of another server. Its responses are plain JSON, as in the protocol.

    Each method raises `RemoteCut`, and `ModelUnavailable` with a sentence if the server refuses.
    """

    client: Client
    about: a2a.AgentCapabilities  # of its card, which the client reads too: without streams a task is polled
    http: httpx.AsyncClient
    heard: bytearray

    async def send(self, message: Mapping[str, Any]) -> AsyncGenerator[dict[str, Any]]:
        """Send a message; yield the responses: those of a stream, or the task as often as it is polled."""
        request = ParseDict({"message": dict(message)}, a2a.SendMessageRequest())
        last: dict[str, Any] = {}
        while True:
            request.configuration.return_immediately = not self.about.streaming
            try:
                async for last in _plain(self.client.send_message(request), self.heard):
                    yield last
                break
            except NoStream:  # whatever its card says: the message was not taken
                if last or not self.about.streaming:
                    raise
                self.about.streaming = False
        if not self.about.streaming and "task" in last:
            async for event in self._poll(last["task"]["id"]):
                yield event

    async def follow(self, task_id: str) -> AsyncGenerator[dict[str, Any]]:
        """Yield the task as it is, and then what becomes of it."""
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
        """Return the task as it is, as a response of a stream."""
        with _explained(self.heard):
            return {"task": _whole(MessageToDict(await self.client.get_task(a2a.GetTaskRequest(id=task_id))))}

    async def find(self, context_id: str, message_id: str) -> str | None:
        """Return the id of the task that a message has started, if the server tells."""
        request = a2a.ListTasksRequest(context_id=context_id, page_size=LISTED, history_length=LISTED)
        try:
            with trio.fail_after(ANSWER_S), _explained(self.heard):
                listed = await self.client.list_tasks(request)
        except (ModelUnavailable, RemoteCut, trio.TooSlowError):
            return None  # it need not have a list
        started = (task.id for task in listed.tasks for message in task.history if message.message_id == message_id)
        return next(started, None)

    async def cancel(self, task_id: str) -> None:
        """Have the task cancelled."""
        with _explained(self.heard):
            await self.client.cancel_task(a2a.CancelTaskRequest(id=task_id))

    async def download(self, url: str, limit: int) -> bytes:
        """Return a file of the remote's own server. Raises ModelUnavailable, too, if it has more bytes than `limit`."""
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
    """Return the card of the agent at `url`: of its own, or else of its server."""
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
    """Whether two addresses are of one server: to no other are the remote's headers sent."""
    return _origin(url) == _origin(other)


def _origin(url: str) -> tuple[str, str | None, int | None] | None:
    try:
        where = urlsplit(url)
        return where.scheme, where.hostname, where.port or PORTS.get(where.scheme)
    except ValueError:
        return None


async def _bound(heard: bytearray, response: httpx.Response) -> None:
    """Have reading a response fail when it is beyond the bounds, and keep the last that was `heard` of it."""
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
    """Return JSON in which whole numbers are such: protobuf has floats alone, so 4711 comes as 4711.0."""
    if isinstance(value, dict):
        return {name: _whole(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    exact = isinstance(value, float) and value.is_integer() and abs(value) < 2**53
    return int(value) if exact else value


@contextmanager
def _explained(heard: bytearray) -> Generator[None]:
    """Convert the errors of the SDK, which drops some of what the remote says of them."""
    try:
        yield
    except (A2AError, httpx.HTTPError, ParseError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _explain(error, bytes(heard)) from error


def _explain(error: Exception, heard: bytes) -> Exception:
    """Return what an error of the SDK is for the caller: `RemoteCut`, or `ModelUnavailable` with a sentence."""
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
