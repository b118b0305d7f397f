"""The guide for client authors against the real server: its traces are played, its table of codes is compared."""

import json
import re
import zlib
from collections import deque
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import define, field
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_client_stream

from tests.rigs.doc_tables import DOCS, code, table
from tests.rigs.documented_server import served
from transport.wire.codes import CLOSES
from understudy.app.server import Running

PAGE = "how-to/write-a-client.md"
TRACES = re.findall(r"^### (Trace \d+: .+)$", (DOCS / PAGE).read_text(), re.MULTILINE)
GZIP = 16 + zlib.MAX_WBITS
Frame = dict[str, Any]


@define
class Player:
    """Plays traces, one connection after another, and binds the `$names`."""

    running: Running
    trace: str = ""
    names: dict[str, Any] = field(factory=dict)
    waiting: deque[Frame] = field(factory=deque)
    parts: dict[str, list[str]] = field(factory=dict)

    async def play(self, rows: list[tuple[str, str]]) -> None:
        """Play the rows of one trace, each `cut` on a new connection."""
        self.names = {name: value for name, value in self.names.items() if name in ("$token", "$user")}
        while rows:
            at = next((at for at, (who, _) in enumerate(rows) if who == "cut"), len(rows))
            await self._connection(rows[:at])
            rows = rows[at + 1 :]

    async def _connection(self, rows: list[tuple[str, str]]) -> None:
        host, port = self.running.address.removeprefix("http://").split(":")
        token = self.names.get("$token")
        headers = [("Authorization", f"Bearer {token}")] if token else []
        self.waiting.clear()
        async with await trio.open_tcp_stream(host, int(port)) as stream, trio.open_nursery() as nursery:
            socket = await wrap_client_stream(
                nursery, stream, f"{host}:{port}", "/ws", subprotocols=["understudy.v1"], extra_headers=headers
            )
            optional: list[str] = []
            for who, text in rows:
                match who:
                    case "client":
                        await socket.send_message(self._named(text))
                    case "may come":
                        optional.append(text)
                    case "server":
                        await self._expect(socket, text, optional)
                        optional = []
                    case "closed":
                        with pytest.raises(ConnectionClosed):
                            await self._next(socket)
                        assert socket.closed is not None
                        assert socket.closed.code == int(text)
                    case "stop":
                        nursery.start_soon(self.running.stop)
                    case _:
                        raise AssertionError(f"nobody is called {who}")
            nursery.cancel_scope.cancel()

    async def _expect(self, socket: WebSocketConnection, text: str, optional: list[str]) -> None:
        wanted = json.loads(text)
        while True:
            frame = await self._next(socket)
            if self._fits(wanted, frame):
                return
            assert any(self._fits(json.loads(allowed), frame) for allowed in optional), (
                f"{self.trace}: not {text} but {frame}"
            )

    async def _next(self, socket: WebSocketConnection) -> Frame:
        while not self.waiting:
            self._unpack(await socket.get_message())
        return self.waiting.popleft()

    def _unpack(self, message: str | bytes) -> None:
        text = zlib.decompress(message, GZIP) if isinstance(message, bytes) else message
        value = json.loads(text)
        for frame in value if isinstance(value, list) else [value]:
            if frame["type"] != "chunk":
                self.waiting.append(frame)
                continue
            pieces = self.parts.setdefault(frame["id"], [])
            pieces.append(frame["data"])
            if len(pieces) == frame["count"]:
                self._unpack("".join(self.parts.pop(frame["id"])))

    def _named(self, text: str) -> str:
        return re.sub(r"\$\w+", lambda match: str(self.names[match[0]]), text)

    def _fits(self, wanted: Any, got: Any) -> bool:
        """Return whether an event matches the expected members. New names are bound only if it does."""
        learned: dict[str, Any] = {}
        if not self._agrees(wanted, got, learned):
            return False
        self.names |= learned
        return True

    def _agrees(self, wanted: Any, got: Any, learned: dict[str, Any]) -> bool:
        if wanted == "…":
            return got is not None
        if isinstance(wanted, str) and re.fullmatch(r"\$\w+", wanted):
            names = {**learned, **self.names}
            learned.setdefault(wanted, got)
            return bool(names.get(wanted, got) == got)
        if isinstance(wanted, dict) and isinstance(got, dict):
            return all(self._agrees(value, got.get(name), learned) for name, value in wanted.items())
        return bool((self._named(wanted) if isinstance(wanted, str) else wanted) == got)


def rows_of(trace: str) -> list[tuple[str, str]]:
    return [(row["who"], next(iter(code(row["frame"])), row["frame"])) for row in table(PAGE, trace)]


async def test_every_trace_is_what_the_server_does(tmp_path: Path) -> None:
    with trio.fail_after(60):
        async with served(tmp_path, models_words_per_s=2000.0) as running:
            player = Player(running)
            for trace in TRACES:
                player.trace = trace
                await player.play(rows_of(trace))
    assert len(TRACES) >= 10


def test_every_close_code_says_whether_to_come_back() -> None:
    rows = {int(row["code"]): row["reconnect"] == "yes" for row in table(PAGE, "When the socket closes")}
    assert rows.pop(1006) is True
    assert rows == {number: close.reconnect for number, close in CLOSES.items()}
