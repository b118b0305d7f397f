from functools import partial

import pytest
import trio
import trio.testing

from actors import (
    ActorCrashed,
    AlreadyStarted,
    Backoff,
    ChildSpec,
    Crashed,
    Killed,
    Normal,
    Shutdown,
    Supervision,
    Supervisor,
    Terminated,
    UnhandledMessage,
)
from actors.behaviours.job import GetJob, Job, JobCancelled, JobFailed, JobTimedOut, job
from actors.behaviours.job_state import JobState
from actors.behaviours.retry import Retry
from actors.testing import Probe
from tests.actors.troupe import Read, Run, calls, kill, of_type, player, settled

STEADY = Backoff(min_s=1.0, max_s=10.0, jitter=0.0)
THRICE = Retry(3, STEADY)


async def add(a, b, takes_s=1.0):
    await trio.sleep(takes_s)
    return a + b


class Flaky:
    """Fails with each of its errors, in turn, then returns how often it was called; keeps the times of the calls."""

    def __init__(self, *errors, takes_s=0.0):
        self.errors = list(errors)
        self.takes_s = takes_s
        self.times = []

    async def __call__(self):
        self.times.append(trio.current_time())
        await trio.sleep(self.takes_s)
        if self.errors:
            raise self.errors.pop(0)
        return len(self.times)


async def test_a_job_gives_its_result_to_all_its_callers(autojump_clock, system):
    started = await Job.start(system, "sum", add, 1, 2)
    async with calls(*[started.result] * 3) as results:
        pass
    assert results == [3, 3, 3]
    assert started.state is JobState.DONE
    assert await started.ref.wait_stopped() == Normal()
    assert await started.result() == 3
    assert trio.current_time() == 1.0


async def test_starting_a_job_does_not_wait_for_it(autojump_clock, system):
    flaky = Flaky(OSError(), takes_s=1.0)
    started = await Job.start(system, "flaky", flaky, retry=THRICE)
    states = []
    for _ in range(4):
        await trio.sleep(0.8)
        states.append((started.state.value, started.attempt))
    assert states == [("running", 1), ("retrying", 1), ("running", 2), ("done", 2)]

    waiting = await Job.start(system, "waiting", trio.sleep_forever)
    with pytest.raises(AlreadyStarted):
        await Job.start(system, "waiting", trio.sleep_forever)
    assert waiting.ref.path == "/test/waiting"


@pytest.mark.promise("restart.backoff-growth")
async def test_a_job_that_fails_is_tried_again_with_growing_delays(autojump_clock, system):
    flaky = Flaky(OSError(), OSError())
    started = await Job.start(system, "flaky", flaky, retry=THRICE)
    assert await started.result() == 3
    assert flaky.times == [0.0, 1.0, 3.0]


@pytest.mark.promise("bitten.failures-reach-owner")
async def test_a_job_that_fails_too_often_says_so_with_the_cause_of_each_attempt(autojump_clock, system, events):
    errors = [OSError("1"), ValueError("2"), KeyError("3")]
    probe = await Probe.open(system)
    started = await Job.start(system, "flaky", Flaky(*errors), retry=THRICE)
    await probe.watch(started.ref)
    with pytest.raises(JobFailed) as caught:
        await started.result()
    assert (caught.value.path, caught.value.attempts, list(caught.value.causes)) == ("/test/flaky", 3, errors)
    assert caught.value.__cause__ is errors[-1]
    assert str(caught.value) == "/test/flaky gave up after attempt 3: OSError, ValueError, KeyError"
    assert isinstance(caught.value, RuntimeError)
    assert started.state is JobState.FAILED
    ended = await probe.expect(Terminated)
    assert isinstance(ended.reason, Crashed)
    assert isinstance(ended.reason.error, JobFailed)
    (crash,) = of_type(events, ActorCrashed)
    assert (crash.path, crash.decision.value) == ("/test/flaky", "stop")


async def test_only_errors_that_may_pass_are_retried(autojump_clock, system):
    flaky = Flaky(OSError(), ValueError("bug"), OSError())
    started = await Job.start(system, "flaky", flaky, retry=Retry(9, STEADY, on=(OSError,)))
    with pytest.raises(JobFailed) as caught:
        await started.result()
    assert caught.value.attempts == 2
    assert len(flaky.times) == 2


async def test_an_attempt_that_takes_too_long_is_cancelled_and_may_be_retried(autojump_clock, system):
    flaky = Flaky(takes_s=5.0)
    started = await Job.start(system, "slow", flaky, retry=Retry(2, STEADY), attempt_timeout_s=2.0)
    with pytest.raises(JobFailed) as caught:
        await started.result()
    assert flaky.times == [0.0, 3.0]
    assert trio.current_time() == 5.0
    assert [(cause.attempt, cause.timeout_s) for cause in caught.value.causes] == [(1, 2.0), (2, 2.0)]
    assert all(isinstance(cause, trio.TooSlowError) for cause in caught.value.causes)


@pytest.mark.parametrize("timeout_s", [2.5, 3.5])
async def test_a_deadline_holds_over_all_attempts(autojump_clock, system, timeout_s):
    flaky = Flaky(*[OSError()] * 9, takes_s=1.0)
    started = await Job.start(system, "flaky", flaky, retry=Retry(9, STEADY), timeout_s=timeout_s)
    with pytest.raises(JobTimedOut) as caught:
        await started.result()
    assert trio.current_time() == timeout_s
    assert (caught.value.timeout_s, len(caught.value.causes)) == (timeout_s, len(flaky.times) - (timeout_s == 2.5))
    assert isinstance(caught.value, trio.TooSlowError)
    assert started.state is JobState.TIMED_OUT
    assert isinstance(await started.ref.wait_stopped(), Crashed)


async def test_a_job_can_be_cancelled_while_it_works_and_while_it_waits(autojump_clock, system):
    cleaned = []

    async def work():
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(1)
            cleaned.append(trio.current_time())

    started = await Job.start(system, "work", work)
    await settled()
    await started.cancel()
    assert cleaned == [1.0]
    with pytest.raises(JobCancelled) as caught, trio.fail_after(9):
        await started.result()
    assert (caught.value.path, caught.value.reason) == ("/test/work", Shutdown())
    assert started.state is JobState.CANCELLED
    await started.cancel()

    flaky = await Job.start(system, "flaky", Flaky(OSError()), retry=THRICE)
    await trio.sleep(0.5)
    await flaky.cancel()
    with pytest.raises(JobCancelled):
        await flaky.result()


@pytest.mark.promise("bitten.failures-reach-owner")
@pytest.mark.parametrize("begun", [True, False])
async def test_the_end_of_its_supervisor_is_no_silence(autojump_clock, system, begun):
    for end, reason in (("stop", Shutdown()), ("kill", Killed())):
        parent = await system.spawn(ChildSpec(end, Supervisor))
        started = await Job.start(parent, "work", trio.sleep_forever)
        if begun:
            await settled()
        if end == "stop":
            await parent.stop()
        else:
            parent.kill()
        with pytest.raises(JobCancelled) as caught, trio.fail_after(9):
            await started.result()
        assert caught.value.reason == reason


async def test_a_result_in_the_moment_of_the_end_is_not_lost(autojump_clock, system):
    states = set()
    for number in range(30):
        gate = trio.Event()
        work = gate.wait if number % 2 else partial(_fail_after, gate)
        started = await Job.start(system, f"job{number}", work)
        await settled()
        gate.set()
        await started.cancel()
        states.add(started.state)
        with trio.fail_after(1):
            try:
                await started.result()
            except (JobFailed, JobCancelled):
                continue
    assert states <= {JobState.DONE, JobState.FAILED, JobState.CANCELLED}


async def _fail_after(gate):
    await gate.wait()
    raise OSError


@pytest.mark.parametrize("how", ["system", "context", "reference"])
async def test_a_job_starts_under_whoever_can_have_children(autojump_clock, system, how):
    ref = await system.spawn(player("a", supervision=Supervision()))
    if how == "context":
        started = await ref.ask(Run(lambda context: Job.start(context, "sum", add, 1, 2)))
    else:
        started = await Job.start(system if how == "system" else ref, "sum", add, 1, 2)
    assert started.ref.path == ("/test/sum" if how == "system" else "/test/a/sum")
    assert await started.result() == 3


async def test_a_job_of_a_spec_runs_with_its_supervisor_and_stays_to_be_asked(autojump_clock, system):
    parent = await system.spawn(ChildSpec("sup", lambda: Supervisor([job("sum", add, 1, 2), player("b")])))
    ref = system.find("/test/sup/sum")
    await trio.sleep(50)
    sum_job = await ref.ask(GetJob())
    assert await sum_job.result() == 3
    assert await ref.wait_stopped() == Normal()
    assert trio.current_time() == 61.0
    assert await sum_job.result() == 3
    assert [child.path for child in parent.children()] == ["/test/sup/b"]


async def test_a_job_of_a_spec_runs_again_with_the_next_incarnation_of_its_supervisor(autojump_clock, system):
    spec = job("sum", add, 1, 2)
    parent = await system.spawn(ChildSpec("sup", lambda: Supervisor([spec])))
    first = await system.find("/test/sup/sum").ask(GetJob())
    await kill(parent)
    second = await system.find("/test/sup/sum").ask(GetJob())
    with pytest.raises(JobCancelled):
        await first.result()
    assert await second.result() == 3


async def test_a_job_leaves_unknown_requests_unhandled(autojump_clock, system):
    ref = await system.spawn(job("work", trio.sleep_forever))
    with pytest.raises(UnhandledMessage):
        await ref.ask(Read())
    with pytest.raises(UnhandledMessage):
        await (await Job.start(system, "other", trio.sleep_forever)).ref.ask(Read())


@pytest.mark.promise("watch.tables-empty")
async def test_a_job_leaves_nothing_behind(autojump_clock, system):
    await settled()
    tasks = trio.lowlevel.current_statistics().tasks_living
    for name, work in (("sum", partial(add, 1, 2)), ("flaky", Flaky(OSError()))):
        started = await Job.start(system, name, work, retry=THRICE, timeout_s=100, attempt_timeout_s=50)
        await started.result()
        await started.ref.wait_stopped()
    await settled()
    assert trio.lowlevel.current_statistics().tasks_living == tasks
    assert len(system.timers) == 0


def test_an_error_of_many_attempts_stays_readable():
    assert str(JobFailed("/a", (OSError(),) * 7 + (KeyError(),))).endswith(
        "after attempt 8: … OSError, OSError, OSError, OSError, KeyError"
    )


@pytest.mark.promise("names.free-before-terminated")
async def test_the_name_of_a_job_is_free_when_its_result_is_known(autojump_clock, system):
    for _ in range(3):
        started = await Job.start(system, "sum", add, 1, 2)
        assert await started.result() == 3
    for _ in range(2):
        started = await Job.start(system, "bad", Flaky(OSError()))
        with pytest.raises(JobFailed):
            await started.result()
    assert system.find("/test/sum") is None
    assert system.find("/test/bad") is None


async def test_a_job_without_a_name_has_a_number(autojump_clock, system):
    other = await system.spawn(player("other", supervision=Supervision()))
    jobs = [await Job.start(parent, None, add, 1, 2) for parent in (system, system, other)]
    jobs.append(await other.ask(Run(lambda context: Job.start(context, None, add, 1, 2))))
    paths = [started.ref.path for started in jobs]
    assert paths == ["/test/job-1", "/test/job-2", "/test/other/job-3", "/test/other/job-4"]
    assert await jobs[0].result() == 3
    assert (await Job.start(system, None, add, 1, 2)).ref.path == "/test/job-5"
