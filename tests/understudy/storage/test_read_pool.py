"""Reads that wait go together: in one thread, one transaction, and none of them for another's fault."""

import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.pool import StaticPool

from actors import Backoff
from actors.behaviours import Breaker, CircuitSpec, CircuitState, FailureCount
from understudy.storage.errors import InvalidCursor, StorageUnavailable, Unstorable
from understudy.storage.read_pool import BUSY_S, TOGETHER, TRIAL_S, ReadPool


def busy(caplog: pytest.LogCaptureFixture) -> list[tuple[int, int, int]]:
    """Return the logged long waits as (threads, at work, waiting)."""
    warnings = [record for record in caplog.records if record.message == "storage.readers_busy"]
    return [(record.threads, record.at_work, record.waiting) for record in warnings]


async def test_how_long_reads_wait_is_told(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    waits: list[float] = []
    reader = ReadPool(engine, 1, 5.0, on_begin=lambda times, now: waits.extend(now - time for time in times))
    gate = Gate()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reader.read, gate)
        await trio.to_thread.run_sync(gate.entered.wait)
        assert len(waits) == 1
        for _ in range(TOGETHER + 5):
            nursery.start_soon(reader.read, number)
        await trio.testing.wait_all_tasks_blocked()  # all have asked
        await trio.sleep(1.2 * BUSY_S)
        gate.open.set()
    assert len(waits) == 1 + TOGETHER + 5
    assert waits[0] < BUSY_S < min(waits[1:])
    assert busy(caplog) == [(1, 1, 5)]


async def test_threads_that_hang_are_reported_and_not_waited_for(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    reader, gate = ReadPool(engine, 1, 2 * BUSY_S), Gate()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fail, reader, gate)
        await trio.to_thread.run_sync(gate.entered.wait)
        await fail(reader, number)
        assert busy(caplog) == [(1, 1, 0)]
    gate.open.set()
    with trio.fail_after(60):
        while reader.at_work:  # noqa: ASYNC110 - the thread comes back by itself
            await trio.sleep(0.01)
    assert (await reader.read(number))[0] == 7


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE numbers (number INTEGER)"))
        connection.execute(text("INSERT INTO numbers VALUES (7)"))
        driver: Any = connection.connection.dbapi_connection
    yield engine
    engine.dispose()
    driver.close()


class Gate:
    def __init__(self) -> None:
        self.entered = threading.Event()
        self.open = threading.Event()

    def __call__(self, connection: Connection) -> str:
        self.entered.set()
        assert self.open.wait(10)
        return "gate"


async def behind(reader: ReadPool, gate: Gate, *calls: Callable[[], Awaitable[object]]) -> None:
    """Have the one thread held by the gate while these are called; then open it."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reader.read, gate)
        await trio.to_thread.run_sync(gate.entered.wait)
        for call in calls:
            nursery.start_soon(call)
        await trio.testing.wait_all_tasks_blocked()
        gate.open.set()


async def answer(answers: list[Any], reader: ReadPool, query: Callable[..., object], *arguments: object) -> None:
    answers.append(await reader.read(query, *arguments))


async def fail(reader: ReadPool, query: Callable[[Connection], object]) -> None:
    with pytest.raises(StorageUnavailable):
        await reader.read(query)


def number(connection: Connection, plus: int = 0) -> tuple[int, int]:
    return connection.execute(text("SELECT number FROM numbers")).scalar_one() + plus, threading.get_ident()


async def test_reads_that_wait_for_a_thread_go_together(engine: Engine) -> None:
    reader, gate = ReadPool(engine, 1, 5.0), Gate()
    answers: list[tuple[int, int]] = []
    begun: list[int] = []

    def counted(connection: Connection, plus: int) -> tuple[int, int]:
        begun.append(id(connection))
        return number(connection, plus)

    await behind(reader, gate, *(partial(answer, answers, reader, counted, plus) for plus in range(TOGETHER + 1)))
    assert sorted(value for value, _ in answers) == list(range(7, 7 + TOGETHER + 1))
    assert len(set(begun)) <= 2
    assert begun[:TOGETHER] == begun[:1] * TOGETHER


async def test_reads_of_one_pass_of_the_loop_go_together(engine: Engine) -> None:
    reader = ReadPool(engine, 4, 5.0)
    begun: list[Connection] = []
    event.listen(engine, "begin", begun.append)
    async with trio.open_nursery() as nursery:
        for plus in range(TOGETHER):
            nursery.start_soon(reader.read, number, plus)
    assert len(begun) == 1
    assert (await reader.read(number))[0] == 7
    assert (reader.at_work, reader.waiting) == (0, 0)


async def test_each_has_its_own_fault(engine: Engine) -> None:
    reader, gate = ReadPool(engine, 1, 5.0), Gate()
    outcomes: dict[str, object] = {}

    async def ask(name: str, query: object) -> None:
        try:
            outcomes[name] = await reader.read(query)  # type: ignore[arg-type]
        except Exception as error:
            outcomes[name] = type(error)

    def overflow(connection: Connection) -> None:
        raise OverflowError("too large")

    def refused(connection: Connection) -> None:
        raise LookupError("not a cursor")

    queries = {"broken": broken, "overflow": overflow, "refused": refused, "well": number}
    await behind(reader, gate, *(partial(ask, *question) for question in queries.items()))
    assert outcomes["broken"] is StorageUnavailable
    assert outcomes["overflow"] is Unstorable
    assert outcomes["refused"] is LookupError
    assert isinstance(outcomes["well"], tuple)


async def test_a_cancelled_read_keeps_no_other_waiting(engine: Engine) -> None:
    reader, gate = ReadPool(engine, 1, 5.0), Gate()
    answers: list[int] = []

    async def ask(scope: trio.CancelScope) -> None:
        with scope:
            answers.append((await reader.read(number))[0])

    scopes = [trio.CancelScope() for _ in range(4)]
    leader = trio.CancelScope()

    async def lead() -> None:
        with leader:
            await reader.read(gate)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(lead)
        await trio.to_thread.run_sync(gate.entered.wait)
        for scope in scopes:
            nursery.start_soon(ask, scope)
        await trio.testing.wait_all_tasks_blocked()
        leader.cancel()
        scopes[0].cancel()
        await trio.testing.wait_all_tasks_blocked()
        gate.open.set()
    assert answers == [7, 7, 7]


async def test_reads_of_tasks_that_are_cancelled_take_no_thread_away(engine: Engine) -> None:
    reader = ReadPool(engine, 2, 5.0)
    for _ in range(5):
        with trio.CancelScope() as scope:
            scope.cancel()
            await reader.read(number)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reader.read, number)
            nursery.cancel_scope.cancel()
    with trio.fail_after(60):
        answers = [(await reader.read(number))[0] for _ in range(4)]
        while reader.at_work:
            await reader.read(number)
    assert answers == [7] * 4
    assert (reader.at_work, reader.waiting) == (0, 0)


async def test_whatever_a_thread_meets_its_place_comes_back(engine: Engine) -> None:
    class Broken:
        dialect = engine.dialect

        def begin(self) -> None:
            raise ValueError("not an engine")

    reader = ReadPool(Broken(), 1, 5.0)  # type: ignore[arg-type]
    for _ in range(3):
        with pytest.raises(ValueError, match="not an engine"):
            await reader.read(number)


async def test_the_same_question_is_asked_once_and_others_of_a_kind_together(engine: Engine) -> None:
    singly, jointly = list[int](), list[list[int]]()

    def square(connection: Connection, of: int) -> list[int]:
        singly.append(of)
        return [of * of]

    def cube(connection: Connection, of: int) -> int:
        singly.append(-of)
        return of**3

    def cubes(connection: Connection, questions: Sequence[tuple[int]]) -> list[int]:
        jointly.append([of for (of,) in questions])
        if 0 in jointly[-1]:
            raise ValueError("none of these")
        return [of**3 for (of,) in questions]

    reader, gate = ReadPool(engine, 1, 5.0, joined={cube: cubes}), Gate()
    answers: list[tuple[str, int, Any]] = []

    async def ask(query: Callable[[Connection, int], Any], of: int) -> None:
        answers.append((query.__name__, of, await reader.read(query, of)))

    questions = [(square, 3), (cube, 2), (square, 3), (cube, 5), (square, 4)]
    await behind(reader, gate, *(partial(ask, *question) for question in questions))
    assert sorted(answers) == [("cube", 2, 8), ("cube", 5, 125), *[("square", 3, [9])] * 2, ("square", 4, [16])]
    assert (sorted(singly), sorted(jointly[0])) == ([3, 4], [2, 5])
    first, second = (answer for name, of, answer in answers if (name, of) == ("square", 3))
    assert first is not second, "each may change its own"
    singly.clear()
    await behind(reader, Gate(), *(partial(ask, cube, of) for of in (0, 1)))
    assert sorted(answers[-2:]) == [("cube", 0, 0), ("cube", 1, 1)]
    assert sorted(singly) == [-1, 0], "each alone, as one may be at fault"


@pytest.fixture
def clock() -> trio.testing.MockClock:
    """Return a clock that a test sets forward, and that runs at a hundredth of the usual speed by itself."""
    return trio.testing.MockClock(rate=0.01)


@pytest.fixture
def breaker() -> Breaker:
    """Return a breaker that opens after two failures, for twenty seconds."""
    spec = CircuitSpec(trip=FailureCount(2), reset=Backoff(20, 20, jitter=0), counts=(StorageUnavailable,))
    return Breaker("database", spec)


def broken(connection: Connection) -> None:
    connection.execute(text("SELECT 1 FROM nothing"))


async def test_a_deadline_is_for_the_database_and_not_for_the_queue(
    clock: trio.testing.MockClock, engine: Engine
) -> None:
    """The second of two reads waits for 4 s, and then takes 4 s itself."""
    reader, gates, answers = ReadPool(engine, 1, 5.0), (Gate(), Gate()), list[str]()

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for gate in gates:
                nursery.start_soon(answer, answers, reader, gate)
                await trio.testing.wait_all_tasks_blocked()
            for gate in gates:
                await trio.to_thread.run_sync(gate.entered.wait)
                clock.jump(4.0)
                await trio.testing.wait_all_tasks_blocked()
                gate.open.set()
    assert answers == ["gate", "gate"]


async def test_reads_are_refused_at_once_after_failures_in_a_row(
    clock: trio.testing.MockClock, engine: Engine, breaker: Breaker
) -> None:
    """No thread is asked then; when its time is over one read finds out, and the others wait for that. The clock is
    slow, so that the one read is not late on a busy machine."""
    reader, entered = ReadPool(engine, 1, 5.0, breaker), []

    reader, entered = ReadPool(engine, 1, 5.0, breaker), []

    def enter(connection: Connection) -> str:
        entered.append(1)
        return "entered"

    for _ in range(2):
        with pytest.raises(StorageUnavailable, match="nothing"):
            await reader.read(broken)
    began = trio.current_time()
    with pytest.raises(StorageUnavailable, match="lately"):
        await reader.read(enter)
    assert trio.current_time() - began < TRIAL_S / 2
    assert entered == []
    clock.jump(20.1)
    gate, answers = Gate(), []

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer, answers, reader, gate)
            while not gate.entered.is_set():  # noqa: ASYNC110 - of a thread
                await trio.sleep(0.01)
            nursery.start_soon(answer, answers, reader, enter)
            await trio.testing.wait_all_tasks_blocked()
            assert entered == [], "one at a time"
            gate.open.set()
    assert answers == ["gate", "entered"]
    assert breaker.state is CircuitState.CLOSED


async def test_a_refusal_for_the_reads_own_sake_opens_no_circuit(engine: Engine, breaker: Breaker) -> None:
    def judged(connection: Connection) -> None:
        raise InvalidCursor("x")

    reader = ReadPool(engine, 1, 5.0, breaker)
    for _ in range(5):
        with pytest.raises(InvalidCursor):
            await reader.read(judged)
        await fail(reader, broken)
    assert breaker.state is CircuitState.CLOSED


async def test_reads_that_fail_together_are_one_failure(engine: Engine, breaker: Breaker) -> None:
    """A connection that breaks takes all reads with it that shared it; that is no trend."""
    reader = ReadPool(engine, 1, 5.0, breaker)
    failures: list[StorageUnavailable] = []

    async def ask() -> None:
        try:
            await reader.read(broken)
        except StorageUnavailable as error:
            failures.append(error)

    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(ask)
    assert len(failures) == 10
    assert breaker.state is CircuitState.CLOSED


async def test_a_read_that_fails_beside_one_that_does_not_is_no_failure(engine: Engine, breaker: Breaker) -> None:
    reader = ReadPool(engine, 1, 5.0, breaker)

    for _ in range(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail, reader, broken)
            nursery.start_soon(reader.read, number)
    assert breaker.state is CircuitState.CLOSED


async def test_reads_that_hang_count(engine: Engine, breaker: Breaker) -> None:
    reader, gate = ReadPool(engine, 1, 0.05, breaker), Gate()
    try:
        for _ in range(2):
            with pytest.raises(StorageUnavailable, match="no answer"):
                await reader.read(gate)
        with pytest.raises(StorageUnavailable, match="lately"):
            await reader.read(gate)
    finally:
        gate.open.set()
