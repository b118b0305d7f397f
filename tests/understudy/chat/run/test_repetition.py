"""The same call with the same arguments and result is told to the model, and then ends the run."""

from understudy.chat.run.repetition import Repetition


def test_three_are_told_and_the_fourth_ends_the_run() -> None:
    repetition, call = Repetition(), ("look", {"at": 1}, {"found": 0})
    assert repetition.observe([call]) == [""]
    assert repetition.observe([call]) == [""]
    assert repetition.observe([call])[0].startswith("This is call number 3 of look with the same arguments")
    assert repetition.ended is None
    repetition.observe([call])
    assert repetition.ended is not None
    assert repetition.ended.ended_by == "repetition"
    assert repetition.ended.message == "Stopped: look was called 4 times with the same arguments and the same result."


def test_calls_of_one_turn_do_not_end_a_run_that_was_not_told() -> None:
    repetition = Repetition()
    notes = repetition.observe([("look", {}, 0)] * 5)
    assert [bool(note) for note in notes] == [False, False, True, True, True]
    assert repetition.ended is None


def test_another_result_or_other_arguments_start_again() -> None:
    """A tool that is polled until its result changes is no repetition."""
    repetition = Repetition()
    for result in (0, 0, 1, 1):
        assert repetition.observe([("poll", {}, result)]) == [""]
    for at in range(9):
        assert repetition.observe([("look", {"at": at}, 0)]) == [""]
    assert repetition.ended is None
