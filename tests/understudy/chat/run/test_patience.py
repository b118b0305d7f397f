"""How long questions wait: longer for a user who has no page open, within bounds."""

from understudy.chat.run.patience import MOST_OF_USER, Patience
from understudy.storage.limits import Limits

LIMITS = Limits(approval_s=10.0, approval_unseen_s=100.0, runs_waiting=48)


def test_a_question_that_nobody_sees_waits_longer() -> None:
    patience = Patience(LIMITS)
    assert patience.wait_s("ann", present=True) == 10.0
    assert patience.wait_s("ann", present=False) == patience.longest_s() == 100.0
    assert Patience(Limits(approval_s=10.0, approval_unseen_s=1.0)).wait_s("ann", present=False) == 10.0


def test_one_user_and_all_together_have_so_many_long_waits_only() -> None:
    patience = Patience(LIMITS)
    for _ in range(MOST_OF_USER):
        patience.begin("ann", 100.0)
    assert (patience.wait_s("ann", present=False), patience.wait_s("bob", present=False)) == (10.0, 100.0)
    patience.begin("bob", 100.0)
    patience.begin("bob", 100.0)
    assert patience.wait_s("cy", present=False) == 10.0
    patience.begin("cy", 5.0)  # a short one takes no place
    patience.end("cy", 5.0)
    patience.end("ann", 100.0)
    assert patience.wait_s("cy", present=False) == 100.0
