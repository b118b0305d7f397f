"""The benchmark of questions about tables: no answer is one to another question, and most are answered."""

from benchmarks.answers import agrees, tally
from benchmarks.answers.questions import ASK, HELD, SEEN
from understudy.tools.questions.answer import Answered


def test_no_question_gets_the_answer_of_another_one() -> None:
    """A few tables of both halves, other ones than those that the figures are of."""
    for families, first in ((SEEN, 50_000), (HELD, 60_000)):
        found = tally(families, range(first, first + 4))
        assert found.wrong == []
        assert found.right.total() >= 0.85 * found.tractable
        assert found.refused >= 4


def test_a_wrong_answer_is_seen() -> None:
    given = Answered("total x", "", ("total x",), [[3.0]], 2, figures=True)
    assert agrees(3, given)
    assert not agrees(4, given)
    assert not agrees(ASK, given)
    assert not agrees({"a": 3}, given)
    assert not agrees(("rows", 1), given)
    assert not agrees(("column", "x", [3]), given)
    grouped = Answered("total x by y", "", ("y", "total x"), [["a", 3], ["b", 4]], 2, figures=True)
    assert agrees({"b": 4, "a": 3}, grouped)
    assert not agrees({"a": 3}, grouped)
