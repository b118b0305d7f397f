"""`understudy chat`: talk to a running server in a terminal, or through pipes. Session tokens are never shown."""

import http.client
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit

import trio
from attrs import define, frozen

from transport.client import Reconnect, Status, open_client
from transport.wire.errors import TransportError
from understudy.cli.chat.console import ChatConsole, one_line
from understudy.cli.chat.session import ChatSession, UnknownAgent, find_agent

REQUEST_TIMEOUT_S: Final = 10.0
"""Seconds within which the server must answer an HTTP request."""
LINE_BYTES: Final = 64 * 1024
INTERACTIVE_RECONNECT: Final = Reconnect(max_s=10.0, attempts=1_000_000)
"""Reconnect for as long as the user stays."""


class ChatFailed(Exception):
    """The chat cannot start or go on; the text says why."""


@frozen
class ServerAddress:
    """A server's address, and plain HTTP requests to it."""

    secure: bool
    place: str
    folder: str

    @classmethod
    def parse(cls, url: str) -> "ServerAddress":
        """Parse an address: `http://host:port`, with or without the scheme; ws and wss are accepted too.

        Raises:
            ChatFailed: It is no address.
        """
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            known = parts.scheme in ("http", "https", "ws", "wss") and parts.hostname and parts.port != 0
        except ValueError:
            known = None
        if not known or "@" in parts.netloc or not url.isprintable():
            raise ChatFailed(f"{one_line(url)!r} is not an address; http://127.0.0.1:8002 is one")
        return cls(parts.scheme in ("https", "wss"), parts.netloc, parts.path.rstrip("/").removesuffix("/ws"))

    @property
    def socket(self) -> str:
        """The URL of the WebSocket."""
        return f"{'wss' if self.secure else 'ws'}://{self.place}{self.folder}/ws"

    async def ask(self, method: str, path: str, token: str | None = None) -> dict[str, Any]:
        """Send one request, and return the JSON object of its answer.

        Raises:
            ChatFailed: The server refused, or did not answer.
        """
        return await trio.to_thread.run_sync(partial(self._ask, method, path, token), abandon_on_cancel=True)

    def _ask(self, method: str, path: str, token: str | None) -> dict[str, Any]:
        kind = http.client.HTTPSConnection if self.secure else http.client.HTTPConnection
        headers = {"Content-Length": "0"} | ({"Authorization": f"Bearer {token}"} if token else {})
        connection = kind(self.place, timeout=REQUEST_TIMEOUT_S)
        try:
            connection.request(method, self.folder + path, headers=headers)
            answer = connection.getresponse()
            body = json.loads(answer.read())
            if not isinstance(body, dict):
                raise ValueError
        except OSError as error:
            self._fail(f"there is no server at {self.place} ({error.strerror or error}); `understudy serve` starts one")
        except (http.client.HTTPException, ValueError):
            self._fail(f"what answers at {self.place} is not an understudy server")
        finally:
            connection.close()
        if answer.status == 401:
            self._fail("the server wants a valid session token: `understudy token --user NAME` makes one for --token")
        if answer.status >= 400:
            refusal = body.get("error")
            words = refusal.get("message", "") if isinstance(refusal, dict) else ""
            self._fail(f"the server refused with {answer.status}: {one_line(words)}")
        return body

    def _fail(self, sentence: str) -> NoReturn:
        raise ChatFailed(sentence) from None


def run_chat(url: str, session_token: str | None, agent: str) -> int:
    """Chat with the server at `url` over this process's streams. Return the exit code.

    Without a token an anonymous session is requested. 1: the server cannot be reached, refuses, has no such agent, or
    (if lines come from a pipe) a question ended in an error.
    """
    source = sys.stdin.fileno() if sys.stdin is not None else os.open(os.devnull, os.O_RDONLY)
    screen = ChatConsole.of_process()
    try:
        return trio.run(chat_session, url, session_token, agent, screen, source)
    except ChatFailed as error:
        screen.note(str(error), "red")
        return 1


async def chat_session(url: str, token: str | None, agent: str, screen: ChatConsole, source: int) -> int:
    """Run one session: read lines from the file descriptor `source`. Return the exit code.

    Raises:
        ChatFailed: The server does not answer, refuses, or has no such agent.
    """
    server = ServerAddress.parse(url)
    token = token or str((await server.ask("POST", "/api/sessions"))["session_token"])
    agents = (await server.ask("GET", "/api/agents", token))["agents"]
    try:
        chosen = find_agent(agents, agent)
    except UnknownAgent as error:
        raise ChatFailed(str(error)) from error
    failure: list[TransportError] = []
    reconnect = INTERACTIVE_RECONNECT if screen.prompts else Reconnect()
    session = RenewingSession(server, token)
    async with (
        open_client(server.socket, token=session.renew_token, reconnect=reconnect) as client,
        trio.open_nursery() as nursery,
    ):
        chat = ChatSession(client, screen, agents, chosen)
        nursery.start_soon(_show_events, chat, failure, nursery.cancel_scope)
        nursery.start_soon(_watch_connection, chat)
        nursery.start_soon(_handle_interrupts, chat, nursery.cancel_scope)
        await _read_input(chat, source)
        nursery.cancel_scope.cancel()
    screen.end_line()
    if failure:
        raise ChatFailed(f"the server cannot be talked to any more: {one_line(failure[0])}")
    return 1 if chat.failed and not screen.prompts else 0


async def _show_events(chat: ChatSession, failure: list[TransportError], over: trio.CancelScope) -> None:
    try:
        async for event in chat.client:
            await chat.show_event(event)
    except TransportError as error:
        failure.append(error)
    over.cancel()


async def _watch_connection(chat: ChatSession) -> None:
    async for state in chat.client.states():
        if state.status is Status.OFFLINE:
            chat.show_disconnected()


async def _handle_interrupts(chat: ChatSession, over: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGINT) as signals:
        async for _ in signals:
            if not await chat.cancel_pending():
                over.cancel()
                return


async def _read_input(chat: ChatSession, source: int) -> None:
    """Send lines from a terminal as they are typed; from a pipe, each after the answer to the one before."""
    chat.screen.prompt(chat.name)
    async with aclosing(_read_lines(source)) as lines:
        async for line in lines:
            chat.screen.end_prompt()
            if chat.approvals and not line.startswith("/"):
                await chat.decide(line)
            elif line.startswith("/"):
                if not await chat.run_slash_command(line):
                    return
            elif line:
                await chat.send_message(line)
            else:
                chat.screen.prompt(chat.name)
            if not chat.screen.prompts:
                await chat.wait_answered()


async def _read_lines(source: int) -> AsyncGenerator[str]:
    """Yield lines without their ends, until the input ends. A thread reads, and is abandoned at the end."""
    rest = b""
    while True:
        try:
            piece = await trio.to_thread.run_sync(os.read, source, LINE_BYTES, abandon_on_cancel=True)
        except OSError:  # a terminal that was closed
            piece = b""
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines if piece else [rest]:
            yield line.decode(errors="replace").strip()
        if not piece:
            return


@define
class RenewingSession:
    """The token of a chat, renewed for as long as the server allows."""

    server: ServerAddress
    token: str
    _used: bool = False

    async def renew_token(self) -> str:
        """Return the token, renewed from the second call on; unchanged if the server does not renew it."""
        if self._used:
            try:
                body = await self.server.ask("POST", "/api/sessions/refresh", self.token)
                self.token = str(body.get("session_token") or self.token)
            except ChatFailed:
                return self.token  # the connection that is made with it will say what is wrong
        self._used = True
        return self.token
