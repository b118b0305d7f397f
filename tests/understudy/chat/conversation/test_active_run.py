"""How often a run is taken up that lost its server, after how long, and when it cannot be."""

import random

import pytest
from attrs import evolve

from understudy.agents.agent import Agent
from understudy.chat.conversation.active_run import JITTER, MAX_ATTEMPTS, ResumeAttempt
from understudy.chat.run_state.past import Past
from understudy.chat.run_state.records import ToolCallRecord
from understudy.chat.run_state.turns import PastTurn
from understudy.models.model import Reply, ToolRequest
from understudy.storage.records import RunRecord, StepRecord
from understudy.tools.tool import tool

RUN = RunRecord("r", "ada", "t", "m", "c", "liaison", "sea", "running", 1.0)
AGENTS = {"guide": Agent("guide"), "sailor": Agent("sailor", pillar="sea")}


@tool
async def sail() -> str:
    """Sail."""
    return "away"


def test_an_attempt_counts_until_a_step_was_finished_since() -> None:
    assert ResumeAttempt.next_of(RUN, Past(), finished_steps=0).number == 1
    assert ResumeAttempt.next_of(evolve(RUN, attempts=3, progress=2), Past(), finished_steps=2).number == 4
    assert ResumeAttempt.next_of(evolve(RUN, attempts=3, progress=2), Past(), finished_steps=3).number == 1
    assert ResumeAttempt.next_of(evolve(RUN, attempts=3, progress=2), Past(), finished_steps=3).progress == 3
    assert ResumeAttempt.next_of(evolve(RUN, attempts=3, progress=2), None).number == 4


def test_the_first_attempt_is_made_at_once_and_the_others_rest_longer_and_longer() -> None:
    rests = [ResumeAttempt(number, 0, Past(), "guide").backoff_s(random.Random(7)) for number in range(1, 6)]
    assert rests[0] == 0.0
    for rest, meant in zip(rests[1:], (1, 4, 16, 16), strict=True):
        assert meant * (1 - JITTER) <= rest <= meant * (1 + JITTER)
    assert len({ResumeAttempt(2, 0, Past(), "guide").backoff_s(random.Random(seed)) for seed in range(5)}) == 5


@pytest.mark.parametrize(("resume_at", "left_s"), [(None, 0), (90.0, 0), (101.5, 1.5), (9e9, 20)])
def test_the_time_left_is_bounded_whatever_the_clocks_say(resume_at: float | None, left_s: float) -> None:
    attempt = ResumeAttempt.next_of(evolve(RUN, attempts=4, resume_at=resume_at), Past(), finished_steps=0)
    assert attempt.left_s(100.0) == left_s


@pytest.mark.parametrize(
    ("attempt", "why"),
    [
        (ResumeAttempt(MAX_ATTEMPTS + 1, 0, Past(), "liaison", "sea"), "set_aside"),
        (ResumeAttempt(1, 0, None, "guide"), "unreadable"),
        (ResumeAttempt(1, 0, None, "guide", later_release=True), "later_release"),
        (ResumeAttempt(1, 0, Past(), "liaison", "moon"), "no_agent"),
        (ResumeAttempt(1, 0, Past(agents=(("gone-12345678", "gone"),)), "guide"), "no_agent"),
        (ResumeAttempt(1, 0, Past(agents=(("guide-12345678", "guide"), ("x-12345678", "x"))), "guide"), "no_agent"),
        (ResumeAttempt(1, 0, Past(unmatched_tools=("sail",)), "guide"), "unknown"),
    ],
)
def test_a_run_that_cannot_go_on_has_a_reason(attempt: ResumeAttempt, why: str) -> None:
    assert attempt.unresumable_reason(AGENTS)[0] == why


def test_the_tools_in_doubt_are_named() -> None:
    step = StepRecord("r", 2, "tool", "sail", "x", {}, None, "started", 1.0)
    calls = tuple(
        ToolCallRecord("x", ToolRequest("c", "sail", {}), step=evolve(step, number=number)) for number in (2, 3)
    )
    agents = {"guide": Agent("guide")}  # its tool is gone
    for count, end in ((1, "sail was at work: whether it took"), (2, "sail were at work: whether they took")):
        past = Past((("guide-12345678", "guide"),), turns=(PastTurn(Reply(), calls[:count]),))
        reason = ResumeAttempt(1, 0, past, "guide").unresumable_reason(agents)
        assert reason == ("unknown", f"The work on this message was interrupted while {end} effect is unknown.")


def test_its_first_agent_is_the_one_that_began_or_that_the_message_went_to() -> None:
    assert ResumeAttempt(MAX_ATTEMPTS, 0, Past(), "liaison", "sea").unresumable_reason(AGENTS) is None
    assert ResumeAttempt(1, 0, Past(), "liaison", "sea").agent(AGENTS) == "sailor"
    assert ResumeAttempt(1, 0, Past(agents=(("guide-12345678", "guide"),)), "liaison", "sea").agent(AGENTS) == "guide"


@pytest.mark.parametrize("names", [("desk", None), ("guide", None), ("default_guide", None)])
def test_a_run_goes_on_with_its_agent_though_its_users_roles_are_not_known(names: tuple[str, None]) -> None:
    """Permission was checked when the message was accepted; `guide` and `default_guide` are the default agent."""
    agents = {"desk": Agent("desk", allow=["group:support"]), "other": Agent("other")}
    attempt = ResumeAttempt(1, 0, Past(), *names)
    assert (attempt.agent(agents), attempt.unresumable_reason(agents)) == ("desk", None)
