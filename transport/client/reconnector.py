"""Connects, and connects again, until that makes no sense any more."""

import ssl
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import msgspec
import trio
from trio_websocket import WebSocketConnection

from transport.client.connection import Line
from transport.client.credentials import RENEW_AGAIN_S, Credentials
from transport.client.decoder import Received
from transport.client.delivery import Delivery, resumes
from transport.client.dial import Address, HeardStream, NoLine, dial, leaves, shake_hands
from transport.client.reconnect import MAX_RETRY_AFTER_S, Ending, Reconnect
from transport.client.state import State, Status, Watched
from transport.client.unacked import Unsent, Unsettled
from transport.wire.errors import SocketClosed, TransportError, Unauthenticated
from transport.wire.events import Error, Welcome

JsonObject: TypeAlias = Mapping[str, Any]

_ACK_S: Final = 1.0
_SLOW: Final = "the server did not answer in time"


class Connecting:
    """One connection at a time. `line` is the one in use."""

    def __init__(
        self,
        address: Address,
        credentials: Credentials,
        how: Reconnect,
        chance: Callable[[], float],
        hello: JsonObject,
        unsent: Unsent,
        delivery: Delivery,
        *,
        tls: ssl.SSLContext | None,
        ack: bool,
    ) -> None:
        self.line: Line | None = None
        self.state = Watched()
        self._address = address
        self._credentials = credentials
        self._how = how
        self._chance = chance
        self._hello = {"type": "hello", "payload": hello}
        self._unsent = unsent
        self._delivery = delivery
        self._tls = tls
        self._ack = ack
        self._steady_at = float("inf")
        self._token_refused = False
        self._expired = trio.Event()
        self._put_off: list[Unsettled] = []  # refused for the token's age alone
        self._refreshed_at = -float("inf")  # when a newer token was shown on this connection
        self._on_the_way: set[Unsettled] = set()  # what the server may have judged by the token before it

    async def run(self) -> None:
        """Hold a connection for as long as the server has this client."""
        failures = 0
        while True:
            self.state.set(State(Status.CONNECTING))
            ending = await self._connect()
            steady = trio.current_time() >= self._steady_at
            failures = 0 if steady else failures + 1
            failure = self._failure(ending, failures)
            if failure is not None:
                self.state.set(State(Status.REFUSED, str(failure)))
                self._delivery.end(failure)
                return
            wait_s = 0.0 if ending.drained and steady else self._how.delay_s(max(failures - 1, 0), self._chance())
            wait_s = max(wait_s, min(ending.not_before_s or 0.0, MAX_RETRY_AFTER_S))
            self.state.set(State(Status.OFFLINE, ending.reason, trio.current_time() + wait_s))
            await trio.sleep(wait_s)

    def close(self) -> None:
        """The client is closed: nothing more comes."""
        self.state.set(State(Status.CLOSED))
        self._delivery.end(None)

    def _failure(self, ending: Ending, failures: int) -> TransportError | None:
        if ending.token and self._credentials.source is not None and not self._token_refused:
            self._token_refused = True  # the source may have a better one; two refusals in a row are one too many
            return None
        if ending.failure is None and failures >= self._how.attempts:
            return SocketClosed(1006, f"the server cannot be reached: {ending.reason}")
        return ending.failure

    async def _connect(self) -> Ending:
        """Hold one connection to its end."""
        self._steady_at = float("inf")
        try:
            token = await self._credentials.fresh()
        except Unauthenticated as error:
            return Ending(str(error), error)
        except (OSError, TransportError, trio.TooSlowError):
            return Ending("no session token could be got")
        deadline = trio.current_time() + self._how.connect_s
        try:
            with trio.fail_at(deadline):
                stream = await dial(self._address, self._tls)
        except NoLine as no:
            return no.ending
        except trio.TooSlowError:
            return Ending(_SLOW)
        return await self._hold(stream, token, deadline)

    async def _hold(self, stream: HeardStream, token: str | None, deadline: float) -> Ending:
        ending = Ending("")
        try:
            async with trio.open_nursery() as nursery:
                with trio.fail_at(deadline):
                    socket = await shake_hands(nursery, stream, self._address, token)
                ending = await self._use(socket, stream)
                nursery.cancel_scope.cancel()
        except* trio.TooSlowError:
            ending = Ending(_SLOW)
        except* NoLine as group:
            ending = next(each.ending for each in leaves(group) if isinstance(each, NoLine))
        finally:
            await trio.aclose_forcefully(stream)
        return ending

    async def _use(self, socket: WebSocketConnection, stream: HeardStream) -> Ending:
        line = self.line = Line(socket, stream, self._how, self._unsent)
        first = [self._hello, *self._delivery.connected()]

        async def fill_holes() -> None:
            await self._fill_holes(line)

        async def renew() -> None:
            await self._renew(line)

        async def acknowledge() -> None:
            await self._acknowledge(line)

        beside = [fill_holes]
        if self._credentials.source is not None:
            beside.append(renew)
        if self._ack:
            beside.append(acknowledge)
        try:
            ending = await line.converse(first, self, beside)
        finally:
            self.line = None
            said = [each for each in self._unsent.messages if each in line.taken]
            self._delivery.lost(said, {} if line.welcome is None else line.welcome.threads)
            self._unsent.reconnected()
            self._put_off.clear()
            self._refreshed_at = -float("inf")
        return ending

    async def hear(self, event: Received, size: int) -> None:
        """Take an event of the connection's."""
        if self._steady_at == float("inf"):
            self._steady_at = trio.current_time() + self._how.steady_s
            self.state.set(State(Status.ONLINE))
        match event.event:
            case Welcome(session_token=token):
                self._credentials.token = token or self._credentials.token
                self._token_refused = False
            case Error(code=code) if event.refusal and self.line is not None and _of_token(event, code):
                if self._mends(event, code, self.line):
                    return
            case Error(retryable=True) as error if event.refusal and self.line is not None:
                repeated = self._repeats(event, error, self.line)
                if repeated and self.line.drained_at is not None:
                    return  # the next connection takes it along
                event = msgspec.structs.replace(event, repeated=repeated)
        await self._delivery.hear(event, size)

    def _repeats(self, event: Received, error: Error, line: Line) -> bool:
        """Send again later what was refused only for now. Return whether the caller is still to wait for it."""
        refused = self._unsent.refused(event)
        named = bool(refused) and event.message_id is not None
        if line.drained_at is not None:
            return named
        now, chance = trio.current_time(), self._chance()
        for each in refused:
            wait_s = self._how.pause_s(each.refusals, error.retry_after, chance)
            if now + wait_s > min(now, each.refused_at) + self._how.retry_s:
                return False
            each.put_off(now, wait_s)
        self._delivery.put_off(refused)
        line.say_again(refused)
        return named

    def _mends(self, event: Received, code: str, line: Line) -> bool:
        """Have a newer token shown, here or by a new connection, and say again what the token was too old for.

        Return whether that can be done: whether there is a newer token, or one was shown just now.
        """
        refused = self._unsent.get(("message", event.message_id or ""))
        if trio.current_time() - self._refreshed_at < RENEW_AGAIN_S:
            if refused is None or refused not in self._on_the_way:
                line.leave("the server refused the newer token")
            self._on_the_way.discard(refused)
            line.say_again([refused])
            return True
        if self._credentials.source is None or code != "token_expired":
            return False
        if refused is not None:
            self._put_off.append(refused)
        self._expired.set()
        return True

    def refreshed(self, line: Line) -> None:
        """A newer token is being shown on the connection in use."""
        self._refreshed_at = trio.current_time()
        self._on_the_way = line.taken.difference(self._put_off)

    async def _renew(self, line: Line) -> None:
        """Get a later token and show it: shortly before the old one runs out, and when the server asks for it."""
        while True:
            due_s = self._credentials.due_s()
            with trio.move_on_after(float("inf") if due_s is None else due_s):
                await self._expired.wait()
            before = self._credentials.token
            try:
                token = await self._credentials.fresh()
            except (OSError, TransportError, trio.TooSlowError):
                token = before
            self._expired = trio.Event()
            if token != before:
                self.refreshed(line)
                await line.send({"type": "refresh", "payload": {"session_token": token}})
                line.say_again(self._put_off)
                self._put_off.clear()
            if token == before or self._credentials.due_s() == 0:
                await trio.sleep(RENEW_AGAIN_S)

    async def _fill_holes(self, line: Line) -> None:
        """Resume the threads that miss events: at once, and again when nothing has come of it."""
        delivery, every_s = self._delivery, self._how.resume_s
        deadline = trio.current_time() + every_s
        while True:
            with trio.move_on_at(deadline) as waited:
                await delivery.hole.wait()
            delivery.hole = trio.Event()
            if waited.cancelled_caught:
                deadline = trio.current_time() + every_s
            for command in resumes(delivery.cursors.wanted(again=waited.cancelled_caught)):
                await line.send(command)

    async def _acknowledge(self, line: Line) -> None:
        """Say how far the caller has come, at most once a second."""
        said: dict[str, int] = {}
        while True:
            await trio.sleep(_ACK_S)
            news = {thread_id: seq for thread_id, seq in self._delivery.taken.items() if said.get(thread_id) != seq}
            for thread_id, seq in news.items():
                await line.send({"type": "ack", "payload": {"thread_id": thread_id, "seq": seq}})
            said |= news


def _of_token(event: Received, code: str) -> bool:
    """Whether a refusal may be about the token, be it that in use or a newer one that was shown."""
    return code == "token_expired" or (code in ("unauthenticated", "forbidden") and event.message_id is None)
