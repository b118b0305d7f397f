"""The state of a run: what it used, what is left, and what it waits for."""

from transport.wire.events import Event
from understudy import Agent, Budget
from understudy.storage.limits import Limits
from understudy.storage.records import RunRecord, StepRecord
from understudy.web.run_report import report
from understudy.wire import events as wire

RUN = RunRecord("r", "ann", "t", "m", None, "liaison", "insights", "running", 1.0)
AGENT = Agent("insights", pillar="insights", budget=Budget(turns=10, tokens=100))
ACCEPTED = wire.MessageAccepted("m", "r", "go", settings={"max_turns": 4})
STARTED = wire.AgentStarted("a-1", "on it", 1.0)


def step(number: int, kind: str, result: object, ended_at: float | None = 2.0) -> StepRecord:
    return StepRecord("r", number, kind, "n", "c" if kind == "tool" else None, None, result, "ok", 1.0, ended_at)


def begun(call_id: str) -> wire.ToolExecuting:
    return wire.ToolExecuting("a-1", call_id, "pay", {}, "", 1.0)


STEPS = [
    step(1, "model", {"usage": {"input": 10, "output": 5, "turns": 1, "cost": 0.25}}),
    step(2, "tool", {}),
    step(3, "steer", {"text": "faster"}),
    step(4, "summary", {"usage": {"input": 20, "output": 5, "turns": 1}}),
    step(5, "model", {"text": "so far"}, None),
]


def test_all_kinds_of_steps_are_counted_for_what_they_are() -> None:
    state = report(RUN, [ACCEPTED], STEPS, AGENT, Limits())
    assert state["agent"] == "insights"
    assert (state["usage"].input, state["usage"].output, state["usage"].cost) == (30, 10, 0.25)
    assert state["steps"] == {"turns": 1, "calls": 1, "worked_s": 1.0}
    assert state["budget_left"] == {"turns": 3, "calls": 499, "tokens": 60, "wall_s": 3599.0}


def test_a_run_waits_for_what_is_not_decided() -> None:
    events: list[Event] = [ACCEPTED, STARTED, begun("c1"), begun("c2")]
    events += [wire.ApprovalRequired("a-1", call_id, "pay", {"to": "bob"}, 9.0) for call_id in ("c1", "c2")]
    events.append(wire.ApprovalDecided("c1", wire.ApprovalDecision.DENY))
    (waiting,) = report(RUN, events, [], AGENT, Limits())["waits_for"]
    assert (waiting["kind"], waiting["call_id"]) == ("approval", "c2")


def test_a_run_does_not_wait_for_the_questions_of_a_call_that_has_ended() -> None:
    questions = [
        wire.QuestionAsked(f"q{n}", "a-1", "Sure?", {}, 9.0, "tool", call_id=call) for n, call in enumerate("ccd")
    ]
    ended = wire.ToolCompleted("a-1", "c", "pay", None, "", wire.ToolStatus.TIMED_OUT, 5.0, 9.0)
    events = [ACCEPTED, STARTED, begun("c"), begun("d"), *questions, ended]
    (waiting,) = report(RUN, events, [], AGENT, Limits())["waits_for"]
    assert (waiting["kind"], waiting["question_id"]) == ("question", "q2")


def test_a_run_whose_agent_is_gone_has_no_budget() -> None:
    assert report(RUN, [ACCEPTED], STEPS, None, Limits())["budget_left"] is None
