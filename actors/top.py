"""A view of a running system for a terminal: its tree, queue lengths, restarts, and tasks that held the loop.

`top` draws it in the program itself. `serve_top` offers it at a Unix socket, and `python -m actors.top PATH` draws it
in another terminal. Messages are named by their type only, and error texts are redacted as in `ActorSystem.tree`.

1. A reading takes one snapshot of the tree, only while the view is open: some 5 µs for each actor.
2. A reader that is slow or gone holds up its own task alone.
3. Nothing that is drawn moves the cursor but the view itself: an actor's name or error may hold control characters.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import socket
import stat
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import NamedTuple, TextIO

import trio
from attrs import asdict, frozen

from .events import Event, SlowHandler
from .lifecycle import State
from .system import ActorSystem
from .tree import TreeNode

EVERY_S = 1.0
"""Default of the seconds between two drawings."""
SLOW_KEPT = 5
"""Number of reports of a held loop that are shown: the latest ones."""
PIPED_ROWS = 1_000_000
"""Rows and columns of a file that is no terminal: every actor is drawn, in full."""
HOME = "\x1b[H"
"""Moves the cursor to the top left."""
REST_OF_LINE, REST_OF_SCREEN = "\x1b[K", "\x1b[J"
"""Clear from the cursor on: drawn so, a screen does not flicker."""


class Row(NamedTuple):  # a tuple, as Slow is: JSON takes it without a copy, and there may be thousands
    """One actor: `level` is its depth in the tree, `queued` counts the messages in all of its lanes."""

    level: int
    name: str
    type: str
    state: str
    queued: int
    restarts: int
    age_s: float
    error: str | None


class Slow(NamedTuple):
    """A task that held the loop for `held_s` seconds, `ago_s` seconds ago. `who`: the actor's path, or the task."""

    ago_s: float
    held_s: float
    who: str
    message_type: str | None


@frozen
class Reading:
    """A system at one moment. The rows are in the order of the tree, parents first."""

    dead_letters: int
    unhandled: int
    late_replies: int
    slow: Sequence[Slow]
    rows: Sequence[Row]

    def encode(self) -> bytes:
        """Return the reading as one line of JSON."""
        return json.dumps(asdict(self, recurse=False)).encode() + b"\n"

    @classmethod
    def decode(cls, line: bytes) -> Reading:
        """Return the reading in a line of JSON."""
        fields = json.loads(line)
        slow = [Slow(*report) for report in fields.pop("slow")]
        return cls(slow=slow, rows=[Row(*row) for row in fields.pop("rows")], **fields)


class SystemReader:
    """Reads one system, and remembers the last reports of a held loop from its start on."""

    def __init__(self, system: ActorSystem) -> None:
        self._system = system
        self._slow: deque[tuple[float, SlowHandler]] = deque(maxlen=SLOW_KEPT)

    def hear(self, event: Event) -> None:
        """Remember a report of a held loop."""
        if isinstance(event, SlowHandler):
            self._slow.append((self._system.timers.now(), event))

    def read(self) -> Reading:
        """Return the system as it is now."""
        system, now = self._system, self._system.timers.now()
        slow = [Slow(now - at_s, hold.held_s, hold.path or hold.task, hold.message_type) for at_s, hold in self._slow]
        counts = (system.dead_letters.count, system.unhandled, system.late_replies)
        return Reading(*counts, slow, [_row(node) for node in system.tree().walk()])


def _row(node: TreeNode) -> Row:
    error = node.last_error.splitlines()[0] if node.last_error else None
    names, queued = node.path.strip("/").split("/"), sum(node.depth.values())
    return Row(len(names) - 1, names[-1], node.type, node.state.value, queued, node.restarts, node.age_s, error)


@contextmanager
def _reading(system: ActorSystem) -> Iterator[SystemReader]:
    reader = SystemReader(system)
    stop = system.listen(reader.hear)
    try:
        yield reader
    finally:
        stop()


# Drawing


def draw(reading: Reading, rows: int, columns: int) -> str:
    """Return the reading as lines of text, each cut to `columns` characters.

    If there are more actors than fit into `rows` lines, those that do not run, or have most messages waiting, or most
    restarts, are drawn, and the actors above them.
    """
    lines = [_summary(reading), f"{'QUEUED':>7} {'RESTARTS':>8} {'AGE':>6}  {'STATE':<11}  ACTOR"]
    slow = [_slow_line(report) for report in reversed(reading.slow)]
    room = rows - len(lines) - len(slow)
    shown: Sequence[Row] = reading.rows
    if len(shown) > room:
        shown = _notable(shown, max(1, room - 1))
        slow.insert(0, f"… and {len(reading.rows) - len(shown)} quieter actors")
    return "".join(f"{_printable(line)[:columns]}\n" for line in (*lines, *map(_line, shown), *slow))


def _summary(reading: Reading) -> str:
    actors = reading.rows
    running = sum(row.state == State.RUNNING.value for row in actors)
    counts = {
        "queued": sum(row.queued for row in actors),
        "restarts": sum(row.restarts for row in actors),
        "dead letters": reading.dead_letters,
        "unhandled": reading.unhandled,
        "late replies": reading.late_replies,
    }
    return ", ".join([f"{running} of {len(actors)} actors run", *(f"{count} {name}" for name, count in counts.items())])


def _line(row: Row) -> str:
    label = f"{'  ' * row.level}{row.name} ({row.type})"
    numbers = f"{row.queued:>7} {row.restarts:>8} {_age(row.age_s):>6}"
    return f"{numbers}  {row.state:<11}  {label}{f'  {row.error}' if row.error else ''}"


def _slow_line(report: Slow) -> str:
    at = f" at {report.message_type}" if report.message_type else ""
    return f"held the loop for {report.held_s:.2f} s, {_age(report.ago_s)} ago: {report.who}{at}"


def _age(seconds: float) -> str:
    """Return a duration in the largest unit in which it is at least 2, as `90m`."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s"


def _printable(text: str) -> str:
    return text if text.isprintable() else "".join(sign if sign.isprintable() else "?" for sign in text)


def _notable(rows: Sequence[Row], room: int) -> list[Row]:
    """Return the rows to draw if only `room` fit, each with those above it, in the order of the tree."""
    above: list[int] = []
    parents: list[tuple[int, ...]] = []
    for index, row in enumerate(rows):
        del above[row.level :]
        parents.append(tuple(above))
        above.append(index)
    quiet = [(row.state == State.RUNNING.value, -row.queued, -row.restarts) for row in rows]
    chosen: set[int] = set()
    for index in sorted(range(len(rows)), key=quiet.__getitem__):
        added = {index, *parents[index]} - chosen
        if len(chosen) + len(added) <= room:
            chosen |= added
        if len(chosen) == room:
            break
    return [rows[index] for index in sorted(chosen)]


def _show(reading: Reading, file: TextIO) -> None:
    """Draw over the last drawing on a terminal; elsewhere write the lines below it."""
    if file.isatty():
        columns, rows = shutil.get_terminal_size()
        text = draw(reading, rows - 1, columns).replace("\n", f"{REST_OF_LINE}\n")
        file.write(f"{HOME}{text}{REST_OF_SCREEN}")
    else:
        file.write(draw(reading, PIPED_ROWS, PIPED_ROWS))
    file.flush()


# In the program


async def top(system: ActorSystem, file: TextIO | None = None, *, every_s: float = EVERY_S) -> None:
    """Draw the system on `file` (standard output) now and every `every_s` seconds, until the system has ended.

    On a terminal each drawing takes the place of the last one; elsewhere its lines follow. Writing waits for the
    terminal, as `print` does.
    """
    file = sys.stdout if file is None else file
    with _reading(system) as reader:
        while system.root.alive:
            _show(reader.read(), file)
            with trio.move_on_after(every_s):
                await system.root.wait_stopped()


async def serve_top(
    system: ActorSystem,
    path: str | os.PathLike[str],
    *,
    every_s: float = EVERY_S,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the view to `python -m actors.top PATH`, until the system has ended. Start it with `nursery.start`.

    `path` is that of a Unix socket that this user alone may open; one that an earlier process left behind is replaced.
    Each client gets a line of JSON, a `Reading`, now and every `every_s` seconds. Raises `OSError` if the socket cannot
    be made there.
    """
    with _reading(system) as reader:

        async def send(stream: trio.SocketStream) -> None:
            try:
                while True:
                    reading = reader.read()
                    await trio.lowlevel.checkpoint()  # with many actors each half holds the loop for long
                    await stream.send_all(reading.encode())
                    await trio.sleep(every_s)
            except trio.BrokenResourceError:
                return  # the client has left

        listener = _listen(path)
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(partial(trio.serve_listeners, send, [listener]))
                task_status.started()
                await system.root.wait_stopped()
                nursery.cancel_scope.cancel()
        finally:
            with suppress(FileNotFoundError):
                os.unlink(path)


def _listen(path: str | os.PathLike[str]) -> trio.SocketListener:
    """Return a listener at a Unix socket that this user alone may open: it listens only once that is so."""
    if os.path.exists(path) and stat.S_ISSOCK(os.stat(path).st_mode):
        os.unlink(path)
    with ExitStack() as undo:
        server = undo.enter_context(socket.socket(socket.AF_UNIX))
        server.bind(os.fspath(path))
        os.chmod(path, 0o600)
        server.listen()
        undo.pop_all()
        return trio.SocketListener(trio.socket.from_stdlib_socket(server))


# In another terminal


async def watch(path: str, file: TextIO, most: float = math.inf) -> None:
    """Draw at most `most` readings of the `serve_top` at `path`, until its program ends. Raises `OSError`."""
    async with await trio.open_unix_socket(path) as stream:
        buffer, drawn = b"", 0
        while drawn < most and (data := await stream.receive_some()):
            *lines, buffer = (buffer + data).split(b"\n")
            if lines:
                _show(Reading.decode(lines[-1]), file)
                drawn += 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command `python -m actors.top`. Return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m actors.top", description="Draw the actors of a running program.")
    parser.add_argument("path", help="the Unix socket that the program serves with actors.top.serve_top")
    parser.add_argument("--once", action="store_true", help="draw once and end")
    options = parser.parse_args(arguments)
    try:
        trio.run(watch, options.path, sys.stdout, 1 if options.once else math.inf)
    except (OSError, trio.BrokenResourceError) as error:
        sys.stderr.write(f"{options.path}: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
