import pytest

from actors.behaviours.job_state import ENDS, TRANSITIONS, JobLifecycle, JobState, JobStep
from actors.lifecycle import InvalidTransition


def test_a_course_from_retries_to_its_end():
    course, errors = JobLifecycle(), [OSError("1"), OSError("2")]
    states = [course.state]
    for error in errors:
        course.begin()
        states.append(course.state)
        course.fail(error, again=True)
        states.append(course.state)
    course.begin()
    course.finish(3)
    assert [state.value for state in [*states, course.state]] == [
        "pending", "running", "retrying", "running", "retrying", "done",
    ]  # fmt: skip
    assert (course.value, course.attempt, course.causes) == (3, 3, errors)


def test_giving_up_is_the_end():
    course, error = JobLifecycle(), ValueError()
    course.begin()
    course.fail(error, again=False)
    assert (course.state, course.ended, course.causes) == (JobState.FAILED, True, [error])


@pytest.mark.parametrize(
    ("step", "state"), [(JobStep.CANCEL, JobState.CANCELLED), (JobStep.TIME_UP, JobState.TIMED_OUT)]
)
def test_an_end_from_outside_comes_in_time_or_changes_nothing(step, state):
    course = JobLifecycle()
    course.begin()
    assert course.end(step)
    assert course.state is state
    done = JobLifecycle()
    done.begin()
    done.finish(1)
    assert not done.end(step)
    assert done.state is JobState.DONE


def test_a_step_that_is_not_in_the_table_is_an_error():
    with pytest.raises(InvalidTransition, match="finish cannot happen while pending"):
        JobLifecycle().finish(1)
    assert {state for state, _ in TRANSITIONS} == set(JobState) - ENDS
    assert set(TRANSITIONS.values()) | {JobState.PENDING} == set(JobState)
