"""How much code one message passes: a warm server on SQLite, the offline model, one tool call, one client.

path_functions      our functions that run from the sending of "What is 15% of 80?" to its final response, each time;
                    without those of the offline model, and without comprehensions
path_files          the modules that they stand in
path_transactions   transactions of the database that are committed meanwhile, at least

The server runs in this process, with its threads; the client is trio-websocket, which is none of ours.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import trio
from attrs import define, field
from sqlalchemy import Connection, Engine, event
from trio_websocket import WebSocketConnection, open_websocket_url

from benchmarks.figure import Figure
from understudy.app.server import Running, serve_app
from understudy.app.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = tuple(f"{ROOT / package}/" for package in ("actors", "transport", "sanitization", "understudy"))
MODEL = f"{ROOT / 'understudy' / 'models' / 'offline'}/"
COMPREHENSIONS = {"<listcomp>", "<dictcomp>", "<setcomp>", "<genexpr>"}
QUESTION = "What is 15% of 80?"
OPTIONS = ("list",)
WARM = 3
"""Messages before those that are counted: what is loaded or cached at first use is then there."""
COUNTED = 5
"""Messages that are counted: what only some of them pass, as the server's housekeeping, is not on their path."""
QUIET_S = 0.5
"""Pause before each counted message, in which the end of the one before it is worked off."""
TIMEOUT_S = 60.0


@define
class Recorder:
    """What runs while `on`: our functions, and how many transactions are committed. `counted` are both by message."""

    on: bool = False
    functions: set[CodeType] = field(factory=set)
    transactions: int = 0
    counted: list[tuple[set[CodeType], int]] = field(factory=list)

    def start(self) -> None:
        """Start to count."""
        self.on, self.functions, self.transactions = True, set(), 0

    def stop(self) -> None:
        """Keep the counts."""
        self.on = False
        self.counted.append((self.functions, self.transactions))

    def call(self, frame: FrameType, what: str, _: Any) -> None:
        """Note the call of a function. A profile function of `sys.setprofile`."""
        if self.on and what == "call":
            code = frame.f_code
            if code.co_filename.startswith(PACKAGES) and not code.co_filename.startswith(MODEL):
                self.functions.add(code)

    def commit(self, _: Connection) -> None:
        """Note a commit. A listener of SQLAlchemy's event `commit`."""
        self.transactions += self.on


def figures(*, list: bool = False) -> Iterator[Figure]:  # noqa: A002 - the name of the option
    """Measure once: code paths do not vary as times do. `list`: also print the functions by their modules."""
    recorder = Recorder()
    event.listen(Engine, "commit", recorder.commit)
    threading.setprofile(recorder.call)
    sys.setprofile(recorder.call)
    try:
        with tempfile.TemporaryDirectory() as folder:
            trio.run(_measure, recorder, Path(folder))
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]
        event.remove(Engine, "commit", recorder.commit)
    always = set.intersection(*(functions for functions, _ in recorder.counted))
    named = {code for code in always if code.co_name not in COMPREHENSIONS}
    yield Figure("path_functions", "functions", len(named))
    yield Figure("path_files", "files", len({code.co_filename for code in named}))
    yield Figure("path_transactions", "transactions", min(transactions for _, transactions in recorder.counted))
    if list:
        modules = Counter(code.co_filename for code in named)
        for module in sorted(modules):
            print(f"{Path(module).relative_to(ROOT)} {modules[module]}")
            for name in sorted(code.co_qualname for code in named if code.co_filename == module):
                print(f"    {name}")


async def _measure(recorder: Recorder, folder: Path) -> None:
    settings = Settings(port=0, data_dir=folder, log_level="error")
    with trio.fail_after(TIMEOUT_S):
        async with trio.open_nursery() as nursery:
            running: Running = await nursery.start(partial(serve_app, settings))
            async with open_websocket_url(running.address.replace("http", "ws", 1) + "/ws") as socket:
                for number in range(WARM):
                    await _ask(socket, number)
                for number in range(WARM, WARM + COUNTED):
                    await trio.sleep(QUIET_S)
                    recorder.start()
                    await _ask(socket, number)
                    recorder.stop()
            nursery.cancel_scope.cancel()


async def _ask(socket: WebSocketConnection, number: int) -> None:
    payload = {"content": QUESTION, "thread_id": "path", "message_id": f"message-{number}"}
    await socket.send_message(json.dumps({"type": "user_message", "payload": payload}))
    while True:
        received = json.loads(await socket.get_message())
        if received["type"] == "error":
            raise RuntimeError(f"no answer: {received}")
        if received["type"] == "final_response":
            return
