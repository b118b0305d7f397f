"""Identical calls in a row are counted; the model is told, and its run is closed."""

from understudy.extensions.repetition.repetition import RepetitionOfRun


def test_three_are_told_and_the_fourth_ends_the_run() -> None:
    repetition, call = RepetitionOfRun(), ("look", {"at": 1}, {"found": 0})
    assert repetition.count([call]) == ([], None)
    assert repetition.count([call]) == ([], None)
    (note,), ended = repetition.count([call])
    assert note.startswith("This is call number 3 of look with the same arguments")
    assert ended is None
    _, ended = repetition.count([call])
    assert ended.ended_by == "repetition"
    assert ended.message == "Stopped: look was called 4 times with the same arguments and the same result."
    assert ended.note.startswith("This is the last turn: you repeated a call")


def test_calls_of_one_turn_do_not_end_a_run_that_was_not_told() -> None:
    notes, ended = RepetitionOfRun().count([("look", {}, 0)] * 5)
    assert [note.partition(" of ")[0] for note in notes] == [f"This is call number {count}" for count in (3, 4, 5)]
    assert ended is None


def test_another_result_or_other_arguments_start_again() -> None:
    """A tool that is polled until its result changes is no repetition."""
    repetition = RepetitionOfRun()
    for result in (0, 0, 1, 1):
        assert repetition.count([("poll", {}, result)]) == ([], None)
    for at in range(9):
        assert repetition.count([("look", {"at": at}, 0)]) == ([], None)
