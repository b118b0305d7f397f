"""A receiver of requests for tests: a local HTTP server that checks and keeps what it is sent."""

import json
from functools import partial
from typing import Any

import h11
import trio
from attrs import define, field


@define
class Receiver:
    """A local HTTP server that answers with `statuses` in turn, and then `done`. `got` has the requests."""

    statuses: list[int] = field(factory=list)
    got: list[tuple[dict[str, str], Any]] = field(factory=list)
    port: int = 0
    done: int = 204

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.origin}/hooks/understudy"

    def read(self, head: dict[str, str], body: bytes) -> Any:
        """Return what is kept of a body. A subclass checks the request first."""
        return json.loads(body)

    def say(self) -> bytes:
        """Return the body of the next answer: none, unless a subclass has one."""
        return b""

    async def start(self, nursery: trio.Nursery) -> None:
        (listener,) = await nursery.start(partial(trio.serve_tcp, self.answer, 0, host="127.0.0.1"))
        self.port = listener.socket.getsockname()[1]

    async def answer(self, stream: trio.abc.Stream) -> None:
        server = h11.Connection(h11.SERVER)
        body, head = b"", None
        while not isinstance(event := server.next_event(), h11.EndOfMessage | h11.ConnectionClosed):
            if event is h11.NEED_DATA:
                server.receive_data(await stream.receive_some(65536))
            elif isinstance(event, h11.Request):
                head = {name.decode(): value.decode() for name, value in event.headers}
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
        if head is None:  # the client went before it had sent a request
            return
        self.got.append((head, self.read(head, body)))
        status, text = self.statuses.pop(0) if self.statuses else self.done, self.say()
        length = ("Content-Length", str(len(text)))
        await stream.send_all(server.send(h11.Response(status_code=status, headers=[length])) or b"")
        await stream.send_all(server.send(h11.Data(data=text)) or b"")

    async def until(self, count: int) -> None:
        with trio.fail_after(60):
            while len(self.got) < count:  # noqa: ASYNC110 - they come over a socket
                await trio.sleep(0.01)


WEBHOOK_SECRET = "a-secret-of-more-than-32-bytes-for-tests"
