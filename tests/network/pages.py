"""Tabs on the chat page's own client, in one Node process (`pages.mjs`)."""

import json
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import trio
from attrs import define, field

from tests.network.received import SentMessage
from tests.network.tab import Tab
from tests.servers.needed import found


@define(eq=False)
class Pages:
    """The Node process, and the tabs in it by name."""

    tabs: dict[str, "PageTab"] = field(factory=dict)
    _process: trio.Process | None = None
    _turn: trio.Lock = field(factory=trio.Lock)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run the process and hand its clients' events to the tabs, until cancelled."""
        node = found("node")
        assert node is not None
        command = [str(node), str(Path(__file__).with_suffix(".mjs"))]
        async with trio.open_nursery() as nursery:
            starting = partial(trio.run_process, command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            self._process = await nursery.start(starting)
            task_status.started()
            rest = b""
            assert self._process.stdout is not None
            async for piece in self._process.stdout:
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    report = json.loads(line)
                    self.tabs[report["tab"]].hear(report)

    async def order(self, **order: Any) -> None:
        """Send the process an order."""
        assert self._process is not None
        assert self._process.stdin is not None
        async with self._turn:
            deadline = trio.current_time() + 5
            with trio.CancelScope(shield=True, deadline=deadline):  # a cancelled write would leave half a line
                await self._process.stdin.send_all(json.dumps(order).encode() + b"\n")


@define(eq=False)
class PageTab(Tab):
    """A tab on the page's client. Reopened it starts from its storage, which may be behind the events it received."""

    pages: Pages = field(kw_only=True)
    _waiting: list[str] = field(factory=list)
    _opened: trio.Event = field(factory=trio.Event)

    async def _session(self) -> None:
        self.pages.tabs[self.name] = self
        url = self.address.replace("http", "ws", 1) + "/ws"
        await self.pages.order(do="open", tab=self.name, url=url, token=self.token, threads=self.threads)
        self._opened.set()
        try:
            await trio.sleep_forever()
        finally:
            self._opened = trio.Event()
            with trio.CancelScope(shield=True), suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await self.pages.order(do="close", tab=self.name)  # unless the soak and its process have ended

    def reload(self, away_s: float, *, afresh: bool) -> None:
        """Close the tab and reopen it from its storage, which holds the unsent messages."""
        super().reload(away_s, afresh=False)

    def hear(self, report: dict[str, Any]) -> None:
        """Record the events that the client received since the last call."""
        if "began" in report:
            self._start(report["began"])
            return
        if "notice" in report:
            self._notice(**report["notice"])
            return
        self.status = report.get("status", self.status)
        self._waiting = report["waiting"]
        for event in report["events"]:
            data = event.get("data", {})
            if event.get("seq") is not None:
                self.take(event)
            elif event["type"] == "local.rejected":
                self.fault(f"a message was refused: {data}")
            elif event["type"] == "partial_result":
                self.received.take_text(event["run_id"], data["offset"], data["text"])
            elif event["type"] == "resync":
                self.fault("it is beyond the end of the log")

    def _notice(self, code: str, message: str) -> None:
        self.ledger.counts[f"refused: {code}"] += 1
        if code not in ("not_found", "busy", "rate_limited"):
            self.fault(f"its user was told {code}: {message}")

    def _start(self, began: dict[str, int]) -> None:
        if all(seq == self.received.last(thread_id) for thread_id, seq in began.items()):
            return
        self.received.current = False
        self._begin()
        self.received.starts = began

    async def _order(self, **order: Any) -> None:
        await self._opened.wait()
        await self.pages.order(tab=self.name, **order)

    async def say(self, message: SentMessage) -> None:
        names = {"message_id": message.message_id, "thread_id": message.thread_id, "agent_type": "planned"}
        await self._order(do="say", said={"content": message.content, **names})

    async def stop_run(self, run_id: str) -> None:
        await self._order(do="cancel", run_id=run_id)

    async def follow(self, thread_id: str) -> None:
        await self._order(do="follow", thread_id=thread_id)

    @property
    def waiting(self) -> Sequence[str]:
        return self._waiting
