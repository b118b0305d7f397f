"""The process of one peer, as the benchmark sees it: an order in, a number out."""

from __future__ import annotations

import select
import subprocess
import tempfile
from contextlib import suppress
from types import TracebackType

from .catalogue import Peer
from .home import ROOT, Missing, command

START_S = 60.0
"""Longest time for a process to say what it is, in seconds: xoscar imports pandas, and Erlang compiles."""
ORDER_S = 600.0
"""Longest time for one measurement, in seconds."""


class PeerFailed(Exception):
    """A measurement raised, took too long, or ended its process; the text says which."""


class PeerProcess:
    """A peer in a process of its own, on the cores this process may use. It idles, reading, between two orders.

    Raises `Missing` when the peer cannot be had.
    """

    def __init__(self, peer: Peer) -> None:
        arguments = command(peer)
        self.peer = peer
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            bufsize=0,
            cwd=ROOT,
        )
        try:
            self.what, figures = self._line(START_S).split(" | ")
        except (PeerFailed, ValueError) as error:
            self.close()
            raise Missing(f"its process did not start: {error}") from error
        self.figures = figures.split()

    def __enter__(self) -> PeerProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def measure(self, figure: str, count: int) -> float:
        """One run of a figure, over `count` messages, actors or kills; raises `PeerFailed`."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{figure} {count}\n".encode())
        except BrokenPipeError as error:
            raise PeerFailed(self._last_words()) from error
        answer = self._line(ORDER_S)
        if answer.startswith("!"):
            raise PeerFailed(answer[1:].strip())
        return float(answer)

    def close(self) -> None:
        """End the process: it ends by itself when its input does, and is killed when it does not."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._log.close()

    def _line(self, seconds: float) -> str:
        """The next line of its answers."""
        output = self._process.stdout
        assert output is not None
        if not select.select([output], [], [], seconds)[0]:
            self._process.kill()
            raise PeerFailed(f"no answer within {seconds:.0f} s")
        line = output.readline().decode().strip()
        if not line:
            raise PeerFailed(self._last_words())
        return line

    def _last_words(self) -> str:
        """The last line of its error output."""
        self._log.seek(0)
        lines = self._log.read().split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "it ended without a word")
