"""A client without a WebSocket: each thread is an event stream, and messages are sent by `POST /api/commands`."""

import json
from collections.abc import Sequence
from functools import partial
from typing import Any

import h11
import trio
from attrs import define, field

from tests.network.received import JsonObject, SentMessage
from tests.network.tab import LATE, Tab
from tests.rigs.http import request
from tests.rigs.sse import streaming

CONNECT_S = 5.0
_LOST = (OSError, trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError)
_CUT = (h11.RemoteProtocolError, h11.LocalProtocolError, EOFError, ValueError)  # ValueError: truncated JSON


@define(eq=False)
class StreamTab(Tab):
    """A tab on event streams. After `quiet_s` without data a stream is considered dead and requested again."""

    quiet_s: float = 6.0
    _outbox: dict[str, SentMessage] = field(factory=dict)
    _work: trio.Event = field(factory=trio.Event)

    @property
    def waiting(self) -> Sequence[str]:
        return list(self._outbox)

    async def say(self, message: SentMessage) -> None:
        self._outbox.setdefault(message.message_id, message)
        self._work.set()

    async def stop_run(self, run_id: str) -> None:
        """Send the cancel once; if it is lost, the run continues."""
        self.nursery.start_soon(self._post, {"type": "cancel", "payload": {"run_id": run_id}})

    async def order(self, kind: str, **payload: Any) -> None:
        """Send it once; if it is lost, that is that."""
        status, body = await self._post({"type": kind, "payload": payload})
        if status >= 400 and not body["error"]["retryable"] and body["error"]["code"] not in LATE:
            self.fault(f"a command {kind} was answered with {status}: {body}")

    async def _session(self) -> None:
        self._work.set()  # the outbox may hold unsent messages
        async with trio.open_nursery() as nursery:
            for thread_id in self.threads:
                nursery.start_soon(self._follow, thread_id)
            nursery.start_soon(self._speak)

    async def _follow(self, thread_id: str) -> None:
        path, failures = f"/api/threads/{thread_id}/stream", 0
        while True:
            heard = False
            try:
                heard = await self._read(thread_id, path)
            except* (*_LOST, *_CUT):
                pass
            failures = 0 if heard else failures + 1
            await trio.sleep(min(3.0, 0.3 * 2**failures) * self.chance.uniform(0.5, 1))

    async def _read(self, thread_id: str, path: str) -> bool:
        """Read one stream to its end. Return whether any event came."""
        headers = {"Last-Event-ID": str(self.received.last(thread_id))}
        opening = trio.CancelScope(deadline=trio.current_time() + CONNECT_S)
        with opening:
            async with streaming(self.address, path, self.token, headers=headers) as stream:
                if stream.status not in (200, 404, 429, 503):
                    self.fault(f"a stream was answered with {stream.status}")
                if stream.status != 200:
                    return False
                self.ledger.counts["event streams"] += 1
                while True:
                    opening.deadline = trio.current_time() + self.quiet_s
                    event = (await stream.read()).body
                    stream.seen.clear()
                    self._hear(thread_id, event)
                    if self.slow_s:
                        opening.deadline = float("inf")
                        await self.look()
        return True

    def _hear(self, thread_id: str, event: JsonObject) -> None:
        kind, seq = event["type"], event.get("seq")
        if seq is not None and event["thread_id"] != thread_id:
            self.fault("an event of another thread was in a stream")
        elif seq is not None and seq == self.received.last(thread_id) + 1:
            self.take(event)
        elif seq is not None:
            self.fault(f"event {seq} came after {self.received.last(thread_id)} in one stream")
        elif kind == "partial_result":
            data = event["data"]
            if not self.received.take_text(event["run_id"], data["offset"], data["text"]):
                self.fault(f"a piece of text of {event['run_id']} came after a hole")
        elif kind == "resync":
            self.fault("it is beyond the end of the log")

    async def _speak(self) -> None:
        while True:
            await self._work.wait()
            self._work = trio.Event()
            while self._outbox:
                await self._send(next(iter(self._outbox.values())))

    async def _send(self, message: SentMessage) -> None:
        fields = {"content": message.content, "thread_id": message.thread_id, "message_id": message.message_id}
        status, body = await self._post({"type": "user_message", "payload": {**fields, "agent_type": "planned"}})
        if status == 202:
            self.ledger.told.setdefault(message.message_id, set()).add(body["run_id"])
            self._outbox.pop(message.message_id, None)
            return
        if status and not body["error"]["retryable"]:
            self.fault(f"a message was answered with {status}: {body}")
        await trio.sleep(self.chance.uniform(0.3, 1.0))

    async def _post(self, command: JsonObject) -> tuple[int, Any]:
        """Send a command. Return the status and the body, status 0 if the connection was lost."""
        post = partial(request, self.address, "POST", "/api/commands", token=self.token)
        status, body = 0, None
        try:
            with trio.fail_after(CONNECT_S):
                status, _, body = await post(body=json.dumps(command).encode())
        except* (*_LOST, *_CUT):
            status = 0
        return status, body
