"""What a run has spent, when it closes, and what its model is told of it."""

import pytest

from understudy import Agent, Budget
from understudy.chat.run.meter import Meter, worked_s
from understudy.storage.limits import Limits
from understudy.storage.records import StepRecord
from understudy.wire.events import Usage


def meter(settings: dict[str, object] | None = None, **budget: object) -> Meter:
    return Meter.of(Agent("a", budget=Budget(**budget)), Limits(), settings or {}, "EUR")


def test_the_last_turn_of_the_budget_closes_the_run() -> None:
    counted = meter(turns=3)
    counted.add_usage(Usage(1, 1, 1), turns=1)
    assert counted.ended(0) is None
    counted.add_usage(Usage(1, 1, 1), turns=1)
    assert counted.ended(0).data() == {
        "ended_by": "turns", "limit": 3, "spent": 3, "message": "Stopped after 3 turns, the agent's budget.",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ({"calls": 4}, "Stopped after 4 tool calls, the agent's budget."),
        ({"tokens": 1500}, "Stopped after 1,500 tokens, the agent's budget."),
        ({"cost": 0.5}, "Stopped after 0.5 EUR of cost, the agent's budget."),
        ({"wall_s": 60}, "Stopped after 60 seconds of work, the agent's budget."),
    ],
)
def test_every_bound_says_that_it_closed_the_run(budget: dict[str, float], message: str) -> None:
    counted = meter(**budget)
    assert counted.ended(59.9) is None
    counted.add_usage(Usage(1000, 500, 1, 0.5), turns=1)
    counted.add_calls(4)
    assert counted.ended(60.0).message == message


def test_a_bound_of_the_server_or_the_message_is_named_as_such() -> None:
    of_server, of_message = meter(), meter({"max_turns": 1})
    for _ in range(199):
        of_server.add_usage(Usage(), turns=1)
    assert of_server.ended(0).message == "Stopped after 200 turns, the server's limit."
    assert of_message.ended(0).message == "Stopped after 1 turn, the limit of this message."
    of_message = meter({"max_turns": 9, "budget": {"turns": 10, "calls": 2, "joy": 1}}, calls=3)
    assert (of_message.budget.turns, of_message.budget.calls) == (9, 2)
    of_message.add_calls(2)
    assert of_message.ended(0).message == "Stopped after 2 tool calls, the limit of this message."


def test_the_model_is_told_what_is_left_only_near_the_end() -> None:
    counted = meter(turns=10, calls=100)
    assert counted.note(0, counted.ended(0)) == ""
    counted.add_calls(90)
    assert counted.note(0, counted.ended(0)) == "Left of the budget of this run: 10 tool calls. Finish within it."
    for _ in range(8):
        counted.add_usage(Usage(), turns=1)
    left = "Left of the budget of this run: 2 turns, 10 tool calls. Finish within it."
    assert counted.note(0, counted.ended(0)) == left
    counted.add_usage(Usage(), turns=1)
    assert counted.note(0, counted.ended(0)).startswith("This is the last turn: the budget of 10 turns is spent.")


def test_after_a_handoff_the_smaller_bounds_hold() -> None:
    counted = meter(turns=50)
    counted.hand_over(Agent("b", budget=Budget(turns=80, calls=7)), Limits())
    assert (counted.budget.turns, counted.budget.calls) == (50, 7)


def test_a_closing_turn_has_a_tenth_of_the_time() -> None:
    counted = meter(wall_s=100)
    assert counted.closing_s(40) == 60
    assert counted.closing_s(100) == 10
    assert counted.closing_s(200) == 0
    assert meter().closing_s(3_600) == 30


def step(number: int, began: float, ended: float | None, call_id: str | None = None) -> StepRecord:
    return StepRecord("r", number, "tool" if call_id else "model", "n", call_id, None, None, "ok", began, ended)


def test_time_of_work_counts_overlaps_once_and_no_waits() -> None:
    steps = [step(1, 0, 10), step(2, 10, 14, "a"), step(3, 11, 16, "b"), step(4, 16, 118, "c"), step(5, 118, None)]
    assert worked_s(steps, {"a": 4, "b": 5, "c": 2}) == 18
    assert worked_s([], {}) == 0
