"""The parent of workers, over programs that stand in for workers."""

import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
import trio
from attrs import define, field

from understudy.app import workers
from understudy.app.settings import Settings
from understudy.app.workers import GaveUp, Parent, reserve_port
from understudy.cluster import local_frames
from understudy.cluster.broker import TokensTaken
from understudy.cluster.local_frames import AskWorker, FrameStream, FromWorker, HeldElsewhere, Ready, WorkerWelcome
from understudy.cluster.local_link import WorkerLink, read_welcome
from understudy.storage.errors import BrokerRefused, BrokerUnavailable

READY: Final = msgspec.msgpack.encode(Ready("http://here"))
WORKER: Final = f"""
import os, socket, time
pair = socket.socket(fileno=int(os.environ["UNDERSTUDY_WORKER"]))
welcome = pair.recv(int.from_bytes(pair.recv(4), "big"))
pair.sendall({len(READY).to_bytes(4) + READY!r})
while pair.recv(65536):
    pass
"""
"""Says that it is ready, and lives as long as its parent. It imports none of the product, to start at once."""
PYTHON: Final = (sys.executable, "-S", "-E", "-c")


@define(eq=False)
class Kept:
    """A running parent, and the addresses that it announced."""

    parent: Parent
    announced: list[str] = field(factory=list)

    def pids(self) -> list[int]:
        return [each.worker.process.pid for each in self.parent.places if each.worker is not None]


@asynccontextmanager
async def kept(program: str, *, count: int = 2, ready_s: float = 60.0) -> AsyncIterator[Kept]:
    """A parent in a task of its own, once its workers are ready; stopped at the end."""
    settings = Settings(workers=count, port=0, grace_s=0.5)
    found = Kept(Parent(settings, [*PYTHON, program], [], ready_s=ready_s))
    ready = trio.Event()

    def announce(address: str) -> None:
        found.announced.append(address)
        ready.set()

    with trio.fail_after(120):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(found.parent.run, announce)
            await ready.wait()
            yield found
            nursery.cancel_scope.cancel()


async def until(holds: Any) -> None:
    with trio.fail_after(60):
        while not holds():  # noqa: ASYNC110
            await trio.sleep(0.02)


async def test_a_worker_that_dies_is_started_again_and_one_that_is_replaced_is_not_counted() -> None:
    async with kept(WORKER) as found:
        assert found.announced == ["http://here"]
        first, second = found.pids()
        found.parent.places[0].worker.process.kill()  # type: ignore[union-attr]
        await until(lambda: found.parent.places[0].worker is not None and found.pids()[0] != first)
        assert [each.restarts for each in found.parent.places] == [1, 0]
        before = found.pids()
        await found.parent.replace_all()
        assert not set(found.pids()) & {*before, first, second}
        assert [each.restarts for each in found.parent.places] == [1, 0]


async def test_a_worker_that_was_stopped_is_killed_when_too_much_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """What may not be dropped is bounded, too; the worker that takes its place gets frames again."""
    monkeypatch.setattr(local_frames, "STUCK_BYTES", 100_000)
    async with kept(WORKER) as found:
        stopped = found.parent.places[0].worker
        assert stopped is not None
        stopped.process.send_signal(signal.SIGSTOP)
        with trio.fail_after(60):
            while stopped.frames.post(HeldElsewhere({"runs": {"x" * 10_000: 1}})):
                assert len(stopped.frames._waiting) <= 120_000
                await trio.lowlevel.checkpoint()
        await until(lambda: found.parent.places[0].worker not in (stopped, None))
        assert stopped.process.returncode == -signal.SIGKILL
        assert found.parent.places[0].restarts == 1
        replacement = found.parent.places[0].worker
        assert replacement is not None
        assert replacement.frames.post(HeldElsewhere({}))


async def test_a_parent_that_does_not_read_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker then stops, as it does when its parent has died."""
    monkeypatch.setattr(local_frames, "STUCK_BYTES", 100_000)
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    stream, parent = (trio.SocketStream(trio.socket.from_stdlib_socket(each)) for each in (ours, theirs))
    asks = FrameStream(parent, FromWorker)
    link = WorkerLink(stream, WorkerWelcome(1, 2, True, "group", "00", []))
    link.metrics = lambda: "x" * 10_000
    changes: list[bool] = []
    link.on_change.append(changes.append)
    with trio.fail_after(60):
        async with parent, trio.open_nursery() as nursery:
            nursery.start_soon(asks.write)
            for number in range(100):  # each is answered by a tenth of what may wait
                asks.post(AskWorker(number, "metrics"))
            await link.run()
            nursery.cancel_scope.cancel()
    assert changes == [False]
    assert not link.up


async def test_all_are_stopped_when_one_dies_too_often(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The second worker ends as soon as it is ready; the first one lives, and is stopped."""
    monkeypatch.setattr(workers, "DEATHS", 1)
    dying = WORKER.replace("while ", "while b'number\\x02' not in welcome and ")
    parent = Parent(Settings(workers=2, port=0, grace_s=0.5), [*PYTHON, dying], [])
    with trio.fail_after(120), pytest.raises(GaveUp, match="worker 2 died"):
        await parent.run()
    assert all(each.worker is None or each.worker.process.returncode is not None for each in parent.places)
    assert [each.levelname for each in caplog.records if each.msg == "workers.gave_up"] == ["CRITICAL"]


async def test_a_worker_that_is_never_ready_is_killed_and_the_start_fails() -> None:
    parent = Parent(Settings(workers=2, port=0), [*PYTHON, "import time; time.sleep(60)"], [], ready_s=0.3)
    with trio.fail_after(60), pytest.raises(GaveUp, match="worker 1 was not ready"):
        await parent.run()


async def test_a_replacement_that_is_not_ready_leaves_the_old_worker(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = tmp_path / "broken"
    program = f"import os, sys\nif os.path.exists({str(broken)!r}): sys.exit(3)\n{WORKER}"
    async with kept(program) as found:
        before = found.pids()
        broken.touch()
        await found.parent.replace_all()
        assert found.pids() == before
        assert "workers.not_replaced" in [each.msg for each in caplog.records]


async def test_a_signal_stops_workers_that_do_not_heed_one() -> None:
    """They are killed after the grace."""
    deaf = f"import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n{WORKER}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workers, "STOP_EXTRA_S", 0.2)
        parent = Parent(Settings(workers=1, port=0, grace_s=0.2), [*PYTHON, deaf], [])
        with trio.fail_after(60):
            await parent.run(lambda _: signal.raise_signal(signal.SIGTERM))
    assert parent.places[0].worker is not None
    assert parent.places[0].worker.process.returncode == -signal.SIGKILL


def test_a_parent_loads_nothing_of_a_server() -> None:
    """It stays beside its workers, and has no database, no page and no client."""
    program = "import sys; from understudy.app.workers import run_parent; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in result.stdout.split()}
    assert loaded & {"sqlalchemy", "quart", "hypercorn", "h2", "cryptography", "prometheus_client"} == set()


def test_a_port_that_others_listen_on_is_refused_though_it_could_be_shared() -> None:
    """So two servers with workers never share a port by mistake."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(OSError, match="in use"):
            reserve_port(Settings(workers=2, port=other.getsockname()[1]))


def test_a_free_port_is_held_without_listening() -> None:
    bound = reserve_port(Settings(workers=2, port=0))
    port = bound[0].getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)
    for each in bound:
        each.close()


# the broker, over real sockets: the links are in this process, the parent's side is that of two workers


@define
class Pid:
    """Stands in for a process."""

    pid: int


@asynccontextmanager
async def linked(count: int = 2) -> AsyncIterator[list[WorkerLink]]:
    """Links to one parent, without processes."""
    parent = Parent(Settings(workers=count, port=0), [], [])
    async with trio.open_nursery() as nursery:
        links = []
        for number in range(1, count + 1):
            ours, theirs = socket.socketpair()
            worker = workers._Worker(number, Pid(number), workers._frames(ours))  # type: ignore[arg-type]
            parent._workers.append(worker)
            worker.frames.post(parent._welcome(number, first=number == 1))
            worker.welcomed = True
            nursery.start_soon(worker.frames.write)
            nursery.start_soon(parent._read, worker, nursery)
            await trio.testing.wait_all_tasks_blocked()
            welcome = read_welcome(theirs.recv)
            assert (welcome.number, welcome.workers, welcome.first) == (number, count, number == 1)
            theirs.setblocking(False)
            link = WorkerLink(trio.SocketStream(trio.socket.from_stdlib_socket(theirs)), welcome)
            links.append(link)
            nursery.start_soon(link.run)
        with trio.fail_after(60):
            yield links
        nursery.cancel_scope.cancel()
    for end in (*(each.frames for each in parent._workers), *(each._frames for each in links)):
        end.close()


async def test_a_waiting_read_gets_what_another_worker_sends() -> None:
    async with linked() as (a, b):
        await b.open_inbox("b")
        found: list[bytes] = []

        async def read() -> None:
            found.extend(each.data for each in await b.read_new("b", "b", wait=True))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert list(await a.send([("b", b"hello"), ("c", b"nobody")], [], {})) == [b"", None]
        assert found == [b"hello"]
        assert list(await b.read_new("b", "b")) == []
        with pytest.raises(BrokerRefused):
            await a.read_new("c", "a")
        nodes, _ = await a.inboxes()
        assert list(nodes) == ["b"]


async def test_a_channel_reaches_those_who_listen() -> None:
    async with linked() as (a, b):
        heard: list[tuple[str, bytes]] = []
        joined = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(b.listen, ["news"], lambda *given: heard.append(given), joined.set)
            await joined.wait()
            await a.send([], [("news", b"1"), ("other", b"2")], {})
            await b.inboxes()  # behind what was published
            nursery.cancel_scope.cancel()
        assert heard == [("news", b"1")]


async def test_counts_and_tokens_are_those_of_all_workers() -> None:
    async with linked() as (a, b):
        await a.renew_presence("a")
        await b.renew_presence("b")
        assert await a.count("ann", "a", 2, 3)
        assert not await b.count("ann", "b", 2, 3)
        await a.report_counts("a", {"ann": 1})
        assert await b.count("ann", "b", 2, 3)
        assert list(await a.take_tokens([TokensTaken("ann", 60, 10, 4)])) == [6.0]
        assert (await b.take_tokens([TokensTaken("ann", 60, 10, 4)]))[0] == pytest.approx(2.0, abs=1)


async def test_each_worker_knows_what_the_others_hold() -> None:
    async with linked(3) as (a, b, c):
        held = {"ann": 2}
        a.held["runs"] = lambda: held
        c.held["runs"] = lambda: {"ann": 1}
        a.note_held()
        c.note_held()
        await until(lambda: b.elsewhere.get("runs", {}) == {"ann": 3})
        assert a.elsewhere["runs"] == {"ann": 1}
        held.clear()
        a.note_held()
        await until(lambda: b.elsewhere["runs"] == {"ann": 1})


async def test_a_worker_has_the_metrics_of_the_others() -> None:
    async with linked() as (a, b):
        b.metrics = lambda: "figures of b"
        for each in a, b:
            each.say_ready("http://here")
        await a.inboxes()
        await b.inboxes()
        assert await a.gather_metrics() == {2: "figures of b"}


async def close_soon(end: socket.socket) -> None:
    await trio.testing.wait_all_tasks_blocked()
    end.close()


async def test_every_call_fails_at_once_when_the_parent_is_gone() -> None:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(theirs))
    link = WorkerLink(stream, None)  # type: ignore[arg-type]
    changes: list[bool] = []
    link.on_change.append(changes.append)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.run)
        nursery.start_soon(close_soon, ours)
        with (
            trio.fail_after(60),
            pytest.raises(BrokerUnavailable, match=r"^The other servers cannot be reached: .*parent"),
        ):
            await link.open_inbox("a")
        await link.parent_gone.wait()
    assert changes == [False]
    with pytest.raises(BrokerUnavailable):
        await link.inboxes()
    stream.socket.close()
