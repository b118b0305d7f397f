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
from understudy.cli.chat.console import Screen, one_line
from understudy.cli.chat.session import Chat, NoSuchAgent, choose

ANSWER_S: Final = 10.0
"""Longest time for one answer over HTTP."""
LINE_BYTES: Final = 64 * 1024
STAY: Final = Reconnect(max_s=10.0, attempts=1_000_000)
"""Somebody who sits there decides when it is enough; a pipe gives up with the client's own patience."""


class CannotTalk(Exception):
    """There is no talking to this server; the text says why and what to do."""


@frozen
class Server:
    """Where the server is, and what is asked of it over HTTP."""

    secure: bool
    place: str
    folder: str

    @classmethod
    def at(cls, url: str) -> "Server":
        """Read an address: `http://host:port`, with or without the scheme; ws and wss are taken too.

        Raises:
            CannotTalk: It is none.
        """
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            known = parts.scheme in ("http", "https", "ws", "wss") and parts.hostname and parts.port != 0
        except ValueError:
            known = None
        if not known or "@" in parts.netloc or not url.isprintable():
            raise CannotTalk(f"{one_line(url)!r} is not an address; http://127.0.0.1:8002 is one")
        return cls(parts.scheme in ("https", "wss"), parts.netloc, parts.path.rstrip("/").removesuffix("/ws"))

    @property
    def socket(self) -> str:
        """The address of the WebSocket."""
        return f"{'wss' if self.secure else 'ws'}://{self.place}{self.folder}/ws"

    async def ask(self, method: str, path: str, token: str | None = None) -> dict[str, Any]:
        """One request.

        Raises:
            CannotTalk: It was refused, or nobody answered.
        """
        return await trio.to_thread.run_sync(partial(self._ask, method, path, token), abandon_on_cancel=True)

    def _ask(self, method: str, path: str, token: str | None) -> dict[str, Any]:
        kind = http.client.HTTPSConnection if self.secure else http.client.HTTPConnection
        headers = {"Content-Length": "0"} | ({"Authorization": f"Bearer {token}"} if token else {})
        connection = kind(self.place, timeout=ANSWER_S)
        try:
            connection.request(method, self.folder + path, headers=headers)
            answer = connection.getresponse()
            body = json.loads(answer.read())
            if not isinstance(body, dict):
                raise ValueError
        except OSError as error:
            self._no(f"there is no server at {self.place} ({error.strerror or error}); `understudy serve` starts one")
        except (http.client.HTTPException, ValueError):
            self._no(f"what answers at {self.place} is not an understudy server")
        finally:
            connection.close()
        if answer.status == 401:
            self._no("the server wants a valid session token: `understudy token --user NAME` makes one for --token")
        if answer.status >= 400:
            refusal = body.get("error")
            words = refusal.get("message", "") if isinstance(refusal, dict) else ""
            self._no(f"the server refused with {answer.status}: {one_line(words)}")
        return body

    def _no(self, sentence: str) -> NoReturn:
        raise CannotTalk(sentence) from None


def talk(url: str, session_token: str | None, agent: str) -> int:
    """Talk to the server at `url` as this process's streams allow; returns the exit code.

    Without a token an anonymous session is asked for. 1: the server cannot be reached, refuses, has no such agent, or
    (when lines come from a pipe) a question ended in an error.
    """
    source = sys.stdin.fileno() if sys.stdin is not None else os.open(os.devnull, os.O_RDONLY)
    screen = Screen.of_process()
    try:
        return trio.run(converse, url, session_token, agent, screen, source)
    except CannotTalk as error:
        screen.note(str(error), "red")
        return 1


async def converse(url: str, token: str | None, agent: str, screen: Screen, source: int) -> int:
    """One sitting: lines are read from the file descriptor `source`; returns the exit code.

    Raises:
        CannotTalk: There is no server, it refuses, or it has no such agent.
    """
    server = Server.at(url)
    token = token or str((await server.ask("POST", "/api/sessions"))["session_token"])
    agents = (await server.ask("GET", "/api/agents", token))["agents"]
    try:
        chosen = choose(agents, agent)
    except NoSuchAgent as error:
        raise CannotTalk(str(error)) from error
    failure: list[TransportError] = []
    reconnect = STAY if screen.prompts else Reconnect()
    session = Session(server, token)
    async with (
        open_client(server.socket, token=session.renewed, reconnect=reconnect) as client,
        trio.open_nursery() as nursery,
    ):
        chat = Chat(client, screen, agents, chosen)
        nursery.start_soon(_hear, chat, failure, nursery.cancel_scope)
        nursery.start_soon(_follow, chat)
        nursery.start_soon(_interrupts, chat, nursery.cancel_scope)
        await _read(chat, source)
        nursery.cancel_scope.cancel()
    screen.end_line()
    if failure:
        raise CannotTalk(f"the server cannot be talked to any more: {one_line(failure[0])}")
    return 1 if chat.failed and not screen.prompts else 0


async def _hear(chat: Chat, failure: list[TransportError], over: trio.CancelScope) -> None:
    try:
        async for event in chat.client:
            await chat.take(event)
    except TransportError as error:
        failure.append(error)
    over.cancel()


async def _follow(chat: Chat) -> None:
    async for state in chat.client.states():
        if state.status is Status.OFFLINE:
            chat.dropped()


async def _interrupts(chat: Chat, over: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGINT) as signals:
        async for _ in signals:
            if not await chat.interrupt():
                over.cancel()
                return


async def _read(chat: Chat, source: int) -> None:
    """Ask for what is typed, as it is typed; for what comes through a pipe, one line after the other."""
    chat.screen.prompt(chat.name)
    async with aclosing(_lines(source)) as lines:
        async for line in lines:
            chat.screen.typed()
            if chat.questions and not line.startswith("/"):
                await chat.decide(line)
            elif line.startswith("/"):
                if not await chat.obey(line):
                    return
            elif line:
                await chat.say(line)
            else:
                chat.screen.prompt(chat.name)
            if not chat.screen.prompts:
                await chat.answered()


async def _lines(source: int) -> AsyncGenerator[str]:
    """Lines without their ends, to the end of the input. Read in a thread that nobody waits for at the end."""
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
class Session:
    """The session of a sitting, kept alive for as long as the server renews it."""

    server: Server
    token: str
    _used: bool = False

    async def renewed(self) -> str:
        """A later token, from the second time on; the same one where the server gives none."""
        if self._used:
            try:
                body = await self.server.ask("POST", "/api/sessions/refresh", self.token)
                self.token = str(body.get("session_token") or self.token)
            except CannotTalk:
                return self.token  # the connection that is made with it will say what is wrong
        self._used = True
        return self.token
