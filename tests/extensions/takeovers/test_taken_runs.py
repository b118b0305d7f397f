"""Which operator has taken over a run, in a conversation over tables in memory."""

import pytest

from tests.rigs.thread_log import Shell, accept, answer, answers
from understudy.chat.messages import CancelRun
from understudy.extensions.takeovers.taken_runs import HandBack, TakenRuns, TakeOver
from understudy.storage.errors import StorageUnavailable


@pytest.fixture
def shell() -> Shell:
    return Shell(parts=(TakenRuns,))


def test_a_run_is_taken_over_by_one_operator_once(shell: Shell) -> None:
    shell.handle(accept(1))
    shell.handle(accept(2))
    shell.failing = [StorageUnavailable("away")]
    assert answers(shell.handle(TakeOver("r1", "other", "Help"))) == ["storage_unavailable"]
    assert answers(shell.handle(TakeOver("r1", "op", "Help"))) == [True]
    assert shell.did == ["Committed", "Published", "Answered"]
    notice = shell.published[-1].event
    assert (notice.thought, notice.notice) == ("An operator has taken over this run: Help", "taken_over")
    assert answers(shell.handle(TakeOver("r1", "op", "Again"))) == [False]
    assert answers(shell.handle(TakeOver("r1", "other", "Mine"))) == ["taken_over"]
    assert shell.published[-1].event is notice
    shell.handle(CancelRun("r1"))
    assert answers(shell.handle(TakeOver("r1", "op", "Help"))) == ["run_ended"]


def test_a_queued_run_is_taken_over_and_starts_in_its_turn(shell: Shell) -> None:
    for number in (1, 2, 3):
        shell.handle(accept(number))
    assert answers(shell.handle(TakeOver("r2", "op", "Soon"))) == [True]
    notice = shell.published[-1].event
    assert (notice.agent_id, notice.notice) == ("", "taken_over")
    shell.handle(TakeOver("r3", "op", "Too"))
    assert answers(shell.handle(HandBack("r3", "op"))) == [True]
    assert shell.at_work == {"r1"}
    answer(shell)
    shell.exit_runs()
    assert shell.at_work == {"r2"}
    answer(shell, "r2")
    shell.exit_runs()
    assert shell.at_work == {"r3"}


def test_a_run_is_handed_back_once(shell: Shell) -> None:
    shell.handle(accept(1))
    assert answers(shell.handle(HandBack("r1", "op"))) == [False]
    shell.handle(TakeOver("r1", "op", "Help"))
    shell.failing = [StorageUnavailable("away")]
    assert answers(shell.handle(HandBack("r1", "other"))) == ["storage_unavailable"]
    assert answers(shell.handle(TakeOver("r1", "other", "Mine"))) == ["taken_over"]
    assert answers(shell.handle(HandBack("r1", "other"))) == [True]
    notice = shell.published[-1].event
    assert notice.thought == "An operator has handed back this run"
    assert notice.notice == "handed_back"
    assert notice.by == "other"
    assert answers(shell.handle(HandBack("r1", "op"))) == [False]
    assert answers(shell.handle(TakeOver("r1", "other", "Mine"))) == [True]
    shell.handle(CancelRun("r1"))
    assert answers(shell.handle(HandBack("r1", "other"))) == ["run_ended"]
