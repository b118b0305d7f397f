"""Whether pages of stock clients from npm join their run again, whatever dies at whichever event.

`agui` is `HttpAgent` of `@ag-ui/client`, `ui` the chat of `ai`. For each number of events, once the client's process
ends there, and another one with the same message joins the run; and once the server is killed there (SIGKILL) and
started again, and the same page joins the run with what it has. It must end with the texts, calls, results and thoughts
of a run that nothing has cut, each once; the note that the server was restarted may be among the thoughts.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx2
import trio

from benchmarks.agents.killing import started
from benchmarks.agents.progress import Extent, Progress
from benchmarks.doors.server import READY, WORDS
from benchmarks.figure import all_cores
from understudy.chat.run.agent_loop import RESUMED

FOLDER: Final = Path(__file__).parent
TESTS: Final = Path(__file__).resolve().parents[2] / "tests"
INSTALL_S, ANSWER_S = 120.0, 60.0


def install(client: str, folder: Path) -> Path:
    """Install a stock client in a folder, from the lock file of the tests. Return the page's program."""
    for name in ("package.json", "package-lock.json"):
        shutil.copy(TESTS / f"stock_{client}" / name, folder)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
    subprocess.run(command, cwd=folder, timeout=INSTALL_S, check=True, stdout=subprocess.DEVNULL)
    return Path(shutil.copy(FOLDER / f"{client}_client.mjs", folder))


@asynccontextmanager
async def _server(folder: str, token: str = "") -> AsyncIterator[tuple[trio.Process, str, str]]:
    """Start the server, and yield it with its address and the client's token."""
    async with started("benchmarks.doors.server", folder, ready=READY) as (process, address):
        if not token:
            async with httpx2.AsyncClient(base_url=address) as http:
                token = (await http.post("/api/sessions")).json()["session_token"]
        yield process, address, token


class Page:
    """A process with a page of the client."""

    def __init__(self, process: trio.Process) -> None:
        self._process, self._text = process, ""

    async def line(self) -> str:
        """Return the next line that it prints."""
        out: Any = self._process.stdout
        while "\n" not in self._text:
            piece = await out.receive_some()
            if not piece:
                raise RuntimeError("the client ended without a word")
            self._text += piece.decode()
        line, _, self._text = self._text.partition("\n")
        return line

    async def shown(self) -> Any:
        """Return what it shows at the end."""
        while (line := await self.line()) == "cut":
            pass
        told = json.loads(line)
        told["shown"]["thoughts"] = [thought for thought in told["shown"]["thoughts"] if thought != RESUMED]
        return told

    async def join(self, address: str) -> None:
        """Tell it of the next server."""
        pipe: Any = self._process.stdin
        await pipe.send_all(f"{address}\n".encode())


@asynccontextmanager
async def _page(program: Path, *words: str) -> AsyncIterator[Page]:
    async with trio.open_nursery() as nursery:
        run = partial(trio.run_process, ["node", str(program), *words], check=False, stderr=subprocess.DEVNULL)
        process = await nursery.start(partial(run, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        try:
            yield Page(process)
        finally:
            if process.returncode is None:
                process.kill()


async def measure(client: str, extent: Extent, progress: Progress) -> tuple[int, int]:
    """Return how many pages were right, of how many; the others are told to stderr."""
    right = 0

    def judge(cut: str, told: Any) -> None:
        nonlocal right
        fits = told is not None and told["shown"] == whole["shown"]
        right += fits
        if not fits:
            print(f"{client} {cut}: {told or 'no answer'}", file=sys.stderr)
        progress.done += 1
        progress.tell()

    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as beside, all_cores():
        program = await trio.to_thread.run_sync(install, client, Path(beside))
        async with _server(folder) as (_, address, token):
            async with _page(program, address, token, "whole", "no", "0") as page:
                whole = await page.shown()
            assert "".join(whole["shown"]["texts"]) == "".join(WORDS)
            moments = [whole["seen"] // 2] if extent.small else range(1, whole["seen"] + 1)
            progress.wanted = 2 * len(moments)
            for moment in moments:
                told, cut = None, f"client-{moment}"
                with trio.move_on_after(ANSWER_S):
                    async with _page(program, address, token, cut, "no", str(moment)) as page:
                        await page.line()
                    async with _page(program, address, token, cut, "no", "0") as page:
                        told = await page.shown()
                judge(cut, told)
        for moment in moments:
            if progress.over():
                break
            told, cut = None, f"server-{moment}"
            with trio.move_on_after(ANSWER_S):
                async with (
                    _server(folder, token) as (process, address, _),
                    _page(program, address, token, cut, "yes", str(moment)) as page,
                ):
                    await page.line()
                    process.kill()
                    await process.wait()
                    async with _server(folder, token) as (_, address, _):
                        await page.join(address)
                        told = await page.shown()
            judge(cut, told)
    return right, progress.done
