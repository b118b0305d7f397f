import math

import pytest
import trio
import trio.testing

from actors import InvalidSpec, ShutdownTaskFailed
from actors.coordinated_shutdown import UNWIND_S, CoordinatedShutdown, Phase, PhaseOver, check_phases

A, B, C = Phase("a", 10.0), Phase("b", 10.0), Phase("c", 10.0)


@pytest.fixture
def diary():
    return []


@pytest.fixture
def reports():
    return []


@pytest.fixture
def phases(reports):
    return CoordinatedShutdown([A, B, C], report=reports.append)


def note(diary, name, after_s=0.0, error=None):
    """A task that writes its name in the diary, and then may raise."""

    async def task():
        await trio.sleep(after_s)
        diary.append(name)
        if error is not None:
            raise error

    return task


async def test_phases_run_in_order_and_wait_for_all_their_tasks(autojump_clock, phases, diary):
    phases.add_task("c", note(diary, "c1"), "c1")
    phases.add_task("a", note(diary, "a1", 2), "a1")
    phases.add_task("a", note(diary, "a2", 1), "a2")
    phases.add_task("b", note(diary, "b1", 3), "b1")
    assert await phases.run() == ()
    assert diary == ["a2", "a1", "b1", "c1"]
    assert trio.current_time() == 5


async def test_a_task_may_be_taken_back(autojump_clock, phases, diary):
    undos = [phases.add_task("a", note(diary, name), "same") for name in "xyz"]
    undos[1]()
    undos[1]()
    await phases.run()
    assert sorted(diary) == ["x", "z"]


async def test_a_task_may_add_and_take_back_tasks_of_later_phases(autojump_clock, phases, diary):
    async def first():
        undo_later()
        phases.add_task("b", note(diary, "added"), "added")
        with pytest.raises(PhaseOver, match="the rest comes too late for the phase a"):
            phases.add_task("a", note(diary, "never"), "the rest")
        undo_first()
        diary.append("first")

    undo_first = phases.add_task("a", first, "first")
    undo_later = phases.add_task("b", note(diary, "taken back"), "later")
    assert await phases.run() == ()
    assert diary == ["first", "added"]
    with pytest.raises(PhaseOver):
        phases.add_task("c", first, "first")


async def test_a_task_that_fails_is_reported_and_the_rest_goes_on(autojump_clock, phases, diary, reports):
    phases.add_task("a", note(diary, "bad", error=ValueError("boom")), "bad one")
    phases.add_task("a", note(diary, "good", 1), "good one")
    phases.add_task("b", note(diary, "b"), "b")
    failed = await phases.run()
    assert diary == ["bad", "good", "b"]
    assert list(failed) == reports
    (record,) = reports
    assert (record.phase, record.task) == ("a", "bad one")
    assert record.problem.startswith("ValueError: boom (test_coordinated_shutdown.py:")
    assert record.problem.endswith(", in task)")


async def test_a_late_task_is_reported_once_and_cancelled_before_the_next_phase(autojump_clock, phases, diary, reports):
    """Also if it raises as it is cancelled."""

    async def late():
        try:
            await trio.sleep(math.inf)
        finally:
            diary.append("cancelled")
            raise ValueError

    phases.add_task("a", late, "hangs")
    phases.add_task("a", note(diary, "in time", 9), "in time")
    phases.add_task("b", note(diary, "b"), "b")
    assert await phases.run() == (ShutdownTaskFailed("a", "hangs", "not done within 10 s"),)
    assert reports == [ShutdownTaskFailed("a", "hangs", "not done within 10 s")]
    assert diary == ["in time", "cancelled", "b"]
    assert trio.current_time() == 10


async def test_a_late_task_that_does_not_end_holds_up_no_phase_but_the_end(autojump_clock, phases, diary):
    async def stubborn():
        with trio.CancelScope(shield=True):
            await trio.sleep(100)
        diary.append(f"stubborn at {trio.current_time():g}")

    async def at_b():
        diary.append(f"b at {trio.current_time():g}")

    phases.add_task("a", stubborn, "stubborn")
    phases.add_task("b", at_b, "b")
    await phases.run()
    assert diary == [f"b at {10 + UNWIND_S:g}", "stubborn at 100"]


async def test_phases_run_once_and_later_callers_wait_for_the_same_end(autojump_clock, phases, diary):
    phases.add_task("a", note(diary, "a", 3, ValueError()), "a")
    ends = []

    async def ask(after_s):
        await trio.sleep(after_s)
        ends.append((await phases.run(), trio.current_time()))

    async with trio.open_nursery() as nursery:
        for after_s in (0, 1, 2, 7):
            nursery.start_soon(ask, after_s)
    assert diary == ["a"]
    assert [at for _, at in ends] == [3, 3, 3, 7]
    assert len({failed for failed, _ in ends}) == 1


async def test_a_run_may_begin_at_a_later_phase(autojump_clock, phases, diary):
    for name in "abc":
        phases.add_task(name, note(diary, name), name)
    await phases.run(from_phase="b")
    assert diary == ["b", "c"]
    with pytest.raises(PhaseOver):
        phases.add_task("a", note(diary, "a"), "a")


async def test_a_cancelled_run_gives_every_task_a_go_in_order(autojump_clock, phases, diary):
    async def task(name):
        diary.append(f"{name} begins")
        await trio.sleep(1)
        diary.append(f"{name} ends")

    for name in "abc":
        phases.add_task(name, lambda name=name: task(name), name)
    waiting = []

    async def wait():
        await trio.sleep(0.1)
        waiting.append(await phases.run())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        with trio.move_on_after(1.5) as scope:
            await phases.run()
    assert scope.cancelled_caught
    assert diary == ["a begins", "a ends", "b begins", "c begins"]
    assert waiting == [()]


async def test_a_task_cannot_wait_for_the_run_it_belongs_to(autojump_clock, phases, reports):
    async def asks():
        await CoordinatedShutdown([A]).run()
        await phases.run()

    phases.add_task("a", asks, "asks")
    await phases.run()
    assert trio.current_time() == 0
    assert reports[0].problem.startswith("SelfCall: the shutdown cannot wait for itself")


@pytest.mark.promise("restart.never-swallowed")
async def test_a_system_exit_in_a_task_comes_out(autojump_clock, phases, diary):
    async def leave():
        raise SystemExit(3)

    async def begin():
        diary.append("c")
        await trio.sleep(5)

    phases.add_task("a", leave, "leave")
    phases.add_task("b", note(diary, "b", 5), "b")
    phases.add_task("c", begin, "c")
    with pytest.RaisesGroup(SystemExit):
        await phases.run()
    assert diary == ["c"]


async def test_without_a_report_the_log_tells(autojump_clock, caplog):
    phases = CoordinatedShutdown()
    phases.add_task("release", note([], "x", error=OSError("no")), "the files")
    await phases.run()
    assert "shutdown.failed phase=release task=the files problem=OSError: no" in caplog.text


@pytest.mark.promise("start.invalid-specs")
@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (lambda: Phase(""), "name"),
        (lambda: Phase(3), "name"),
        (lambda: Phase("a", 0), "timeout_s"),
        (lambda: Phase("a", -1), "timeout_s"),
        (lambda: Phase("a", math.nan), "timeout_s"),
        (lambda: Phase("a", True), "timeout_s"),
        (lambda: Phase("a", "5"), "timeout_s"),
        (lambda: check_phases([A, B, A]), "phases"),
        (lambda: check_phases(["a"]), "phases"),
        (lambda: CoordinatedShutdown([]), "phases"),
        (lambda: CoordinatedShutdown().add_task("nowhere", trio.sleep_forever, "x"), "phase"),
        (lambda: CoordinatedShutdown().add_task("drain", trio.sleep_forever, ""), "name"),
        (lambda: CoordinatedShutdown().add_task("drain", None, "x"), "task"),
        (lambda: CoordinatedShutdown().run("nowhere").send(None), "phase"),
    ],
)
def test_wrong_arguments_are_refused_by_name(wrong, field):
    with pytest.raises(InvalidSpec, match=f"^{field}: "):
        wrong()
