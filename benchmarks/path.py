"""How much one message takes, by what it uses: a warm server on SQLite, the offline model, one tool call, one client.

`python -m benchmarks path [--only KIND] [--list] [--keep]`. The plain message is "What is 15% of 80?" to an agent that
remembers nothing and has no budget of its own; beside it stand messages that use one feature each, of `KINDS`: what one
of them has more is the feature's price. (Until November 2026 the plain message asked the guide, which remembers.)

path_functions      our functions that run from the sending of the message to its final response, each time;
                    without those in place of a language model and the watchdog, and without comprehensions
path_files          the modules that they stand in
path_transactions   transactions of the database that are committed meanwhile
path_calls          calls of our functions, and resumptions of those that wait
path_instructions   instructions of Python's byte code in our functions
path_publishes      publications of events to the subscribers of the thread
path_scans          texts that are searched for what the scrubber's rules need
path_threads        trips to a worker thread
path_tasks          tasks that are started
path_steps          steps of the server's tasks: how often the loop resumes one

The server runs in this process, with its threads; the client is trio-websocket, which is none of ours. All are counts,
which do not depend on what else the machine does: time passes slowly meanwhile, or what waits for half a second would
join the path of a message that takes that long under load. Of several messages the smallest count is taken, as the
server's housekeeping falls into some of them. `path.json` has a line for each kind, with the counts that a change must
not exceed by more than a twentieth; `--keep` writes it. A plain message enters none of the modules of `OF_FEATURES`.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import trio
from attrs import define, field, frozen
from sqlalchemy import Connection, Engine, event
from trio.testing import MockClock
from trio_websocket import WebSocketConnection, open_websocket_url

from benchmarks.figure import Figure
from benchmarks.path_kinds import AGENT, KINDS, PLAIN, QUESTION, Collected, Kind, kinds
from understudy.app.server import Running, serve_app
from understudy.app.settings import Settings, with_values

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = tuple(f"{ROOT / package}/" for package in ("actors", "transport", "sanitization", "understudy"))
OFFLINE = tuple(str(ROOT / "understudy" / name) for name in ("models/offline.py", "tools/markdown.py"))
"""What chooses a call and writes an answer where there is no language model."""
WATCHDOG = str(ROOT / "actors" / "watchdog.py")
COMPREHENSIONS = {"<listcomp>", "<dictcomp>", "<setcomp>", "<genexpr>"}
OPTIONS = ("only", "list", "keep")
KEPT = Path(__file__).with_suffix(".json")
MARKED = {
    "publishes": ("understudy/chat/conversation/subscribers.py", "Subscribers.publish"),
    "scans": ("sanitization/prefilter.py", "build_prefilter.<locals>.find_active"),
    "threads": ("trio/_core/_thread_cache.py", "ThreadCache.start_thread_soon"),
    "tasks": ("trio/_core/_run.py", "Runner.spawn_impl"),
}
"""Figures that are calls of one function: the end of its file's path, and its qualified name."""
UNITS = {
    "functions": "functions",
    "files": "files",
    "transactions": "transactions",
    "calls": "calls",
    "instructions": "instructions",
    **dict.fromkeys(MARKED, "calls"),
    "steps": "steps",
}
"""The unit of each figure."""
CLIENT = ("benchmarks.path", "trio_websocket")
"""The beginnings of the names of the client's tasks."""
WARM = 3
"""Messages before those that are counted: what is loaded or cached at first use is then there."""
COUNTED = 5
"""Messages that are counted: what only some of them pass, as the server's housekeeping, is not on their path."""
TRACED = 3
"""Messages after those whose instructions are counted, which takes ten times as long."""
QUIET_S = 1.0
"""Pause before each counted message, in which the end of the one before it is worked off; writes may wait for 0.5 s."""
QUIET_RATE = 4.0
"""How fast time passes for the server in that pause."""
RATE = 0.01
"""How fast time passes for the server while a message is counted."""
TIMEOUT_S = 180.0


@define(eq=False)
class Recorder(trio.abc.Instrument):
    """What runs while `on`: calls by function, transactions that are committed, and steps of tasks.

    `counted` are these by message, `traced` are instructions by message. `edges` are pairs of a caller and what it
    called or awaited, of all messages.
    """

    on: bool = False
    tracing: bool = False
    calls: Counter[CodeType] = field(factory=Counter)
    transactions: int = 0
    steps: int = 0
    instructions: int = 0
    edges: set[tuple[CodeType, CodeType]] = field(factory=set)
    counted: list[tuple[Counter[CodeType], int, int]] = field(factory=list)
    traced: list[int] = field(factory=list)

    def start(self) -> None:
        """Start to count calls, transactions and steps."""
        self.on, self.calls, self.transactions, self.steps = True, Counter(), 0, 0

    def stop(self) -> None:
        """Keep the counts."""
        self.on = False
        self.counted.append((self.calls, self.transactions, self.steps))

    def start_trace(self) -> None:
        """Start to count instructions."""
        self.tracing, self.instructions = True, 0

    def stop_trace(self) -> None:
        """Keep the count."""
        self.tracing = False
        self.traced.append(self.instructions)

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Note a step of a task, unless it is one of the client's."""
        self.steps += self.on and not task.name.startswith(CLIENT)

    def call(self, frame: FrameType, what: str, _: Any) -> None:
        """Note the call of a function. A profile function of `sys.setprofile`."""
        if self.on and what == "call":
            self.calls[frame.f_code] += 1
            if frame.f_back is not None:
                self.edges.add((frame.f_back.f_code, frame.f_code))

    def trace(self, frame: FrameType, _: str, __: Any) -> Any:
        """Have the instructions of a function counted from here on. A trace function of `sys.settrace`."""
        if not self.tracing or not is_ours(frame.f_code):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self.step

    def step(self, _: FrameType, what: str, __: Any) -> Any:
        """Count an instruction."""
        if what == "opcode" and self.tracing:
            self.instructions += 1
        return self.step

    def commit(self, _: Connection) -> None:
        """Note a commit. A listener of SQLAlchemy's event `commit`."""
        self.transactions += self.on


@frozen
class Counted:
    """The counts of a kind of message by figure, and the functions on its way."""

    counts: dict[str, int]
    functions: frozenset[CodeType]


def figures(
    *,
    only: str | None = None,
    list: bool = False,  # noqa: A002 - the name of the option
    keep: bool = False,
) -> Iterator[Figure]:
    """Count once: code paths do not vary as times do. The plain message is ours, the kinds beside it are its peers.

    `only`: beside the plain message, count this kind alone. `list`: also print the functions by their modules, of each
    kind those that the plain message does without. `keep`: write the counts that must not grow.
    """
    if only not in (None, *KINDS):
        raise SystemExit(f"there is no kind {only!r}; there are {', '.join(KINDS)}")
    asked = [kind for kind in KINDS if only in (None, kind) or kind == PLAIN]
    counted = {kind: count(recorder) for kind, recorder in record(asked)}
    plain = counted[PLAIN]
    for figure, unit in UNITS.items():
        beside = {kind: count_of_kind.counts[figure] for kind, count_of_kind in counted.items() if kind != PLAIN}
        yield Figure(f"path_{figure}", unit, plain.counts[figure], beside)
    if keep:
        kept = json.loads(KEPT.read_text()) | {kind: count_of_kind.counts for kind, count_of_kind in counted.items()}
        lines = (f"  {json.dumps(kind)}: {json.dumps(kept[kind])}" for kind in KINDS)
        KEPT.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    if list:
        for kind, count_of_kind in counted.items():
            named = count_of_kind.functions if kind == PLAIN else count_of_kind.functions - plain.functions
            print(f"# {kind}: {len(named)} functions" + ("" if kind == PLAIN else " beside those of the plain message"))
            modules = Counter(code.co_filename for code in named)
            for module in sorted(modules):
                print(f"{Path(module).relative_to(ROOT)} {modules[module]}")
                for name in sorted(code.co_qualname for code in named if code.co_filename == module):
                    print(f"    {name}")


def count(recorder: Recorder) -> Counted:
    """Count what a recorder has seen."""
    own = [{code: n for code, n in calls.items() if is_ours(code)} for calls, *_ in recorder.counted]
    named = frozenset(code for code in set.intersection(*map(set, own)) if code.co_name not in COMPREHENSIONS)
    counts = {
        "functions": len(named),
        "files": len({code.co_filename for code in named}),
        "transactions": min(transactions for _, transactions, _ in recorder.counted),
        "calls": min(sum(calls.values()) for calls in own),
        "instructions": min(recorder.traced),
        **{
            figure: min(called(calls, file, function) for calls, *_ in recorder.counted)
            for figure, (file, function) in MARKED.items()
        },
        "steps": min(steps for *_, steps in recorder.counted),
    }
    return Counted(counts, named)


def record(names: Iterable[str], *, traced: int = TRACED) -> Iterator[tuple[str, Recorder]]:
    """Send messages of each kind to a server of its own. Yield the kind, and the recorder with what it saw of them.

    The functions of a message are in the order of their first call. It is one recorder for all: worker threads, which
    outlive their server, keep the one that they began with. Instructions are counted of `traced` messages.
    """
    recorder = Recorder()
    event.listen(Engine, "commit", recorder.commit)
    threading.settrace(recorder.trace if traced else None)  # type: ignore[arg-type]
    threading.setprofile(recorder.call)
    try:
        for name in names:
            recorder.counted, recorder.traced = [], []
            with tempfile.TemporaryDirectory() as folder:
                clock = MockClock(rate=1.0)
                trio.run(_measure, recorder, kinds(Path(folder))[name], Path(folder), clock, traced, clock=clock)
            yield name, recorder
    finally:
        sys.settrace(None)
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]
        threading.settrace(None)  # type: ignore[arg-type]
        event.remove(Engine, "commit", recorder.commit)


def is_ours(code: CodeType) -> bool:
    """Return whether a function is one of the product's, except those for a missing model and the watchdog's.

    The watchdog looks so many times a second, and at each turn of the loop: that depends on what the machine does.
    """
    return code.co_filename.startswith(PACKAGES) and not code.co_filename.startswith((*OFFLINE, WATCHDOG))


def called(calls: Counter[CodeType], file: str, function: str) -> int:
    """Return how often the function of that name was called."""
    return sum(n for code, n in calls.items() if code.co_qualname == function and code.co_filename.endswith(file))


async def _measure(recorder: Recorder, kind: Kind, folder: Path, clock: MockClock, traced: int) -> None:
    settings = with_values(
        Settings(), port=0, data_dir=folder, log_level="error", models_words_per_s=1e6, builtin_agents=[]
    )  # or pauses decide what is joined
    with trio.fail_after(TIMEOUT_S), _collector() if kind.traced else nullcontext() as endpoint:
        if endpoint is not None:
            settings = with_values(settings, otlp_endpoint=endpoint)
        async with trio.open_nursery() as nursery:
            running: Running = await nursery.start(partial(serve_app, settings, [kind.agent]))
            async with open_websocket_url(running.address.replace("http", "ws", 1) + "/ws") as socket:
                client = Client(socket, kind)
                for _ in range(WARM):
                    await client.ask("warm", kind.before)
                trio.lowlevel.add_instrument(recorder)
                sys.setprofile(recorder.call)
                for number in range(COUNTED):
                    await client.begin(f"counted-{number}", clock)
                    recorder.start()
                    clock.rate = RATE
                    await client.ask(f"counted-{number}")
                    clock.rate = 1.0
                    recorder.stop()
                trio.lowlevel.remove_instrument(recorder)
                sys.setprofile(None)
                sys.settrace(recorder.trace if traced else None)
                for number in range(traced):
                    await client.begin(f"traced-{number}", clock)
                    recorder.start_trace()
                    clock.rate = RATE
                    await client.ask(f"traced-{number}")
                    clock.rate = 1.0
                    recorder.stop_trace()
                sys.settrace(None)
            nursery.cancel_scope.cancel()


@contextmanager
def _collector() -> Iterator[str]:
    """Take traces in a thread. Yield the address for the setting `otlp.endpoint`."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Collected) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@frozen
class Client:
    """A client that sends messages of a kind."""

    socket: WebSocketConnection
    kind: Kind

    async def begin(self, thread_id: str, clock: MockClock) -> None:
        """Begin a thread, so that each message that is counted is the second one of its own."""
        await self.ask(thread_id)
        clock.rate = QUIET_RATE
        await trio.sleep(QUIET_S)
        clock.rate = 1.0

    async def ask(self, thread_id: str, content: str = QUESTION) -> None:
        """Send a message, and what the kind sends upon its events, until the final response."""
        payload = {"content": content, "thread_id": thread_id, "message_id": uuid.uuid4().hex, "agent_type": AGENT}
        await self.send({"type": "user_message", "payload": payload})
        while True:
            received = json.loads(await self.socket.get_message())
            if received["type"] == "error":
                raise RuntimeError(f"no answer: {received}")
            if received["type"] == "final_response":
                return
            if (answer := self.kind.answers.get(received["type"])) and (command := answer(received)) is not None:
                await self.send(command)

    async def send(self, command: Mapping[str, Any]) -> None:
        """Send a command."""
        await self.socket.send_message(json.dumps(command))
