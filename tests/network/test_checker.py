"""The judge of a chaos finds each fault of steers, questions and payments."""

from typing import Any

import pytest

from tests.network.checker import Checker
from tests.network.planned_agent import answer_to
from tests.network.received import Ledger, ReceivedLog, SentMessage

PLAN = "words=3 pace=1 tool=3 fail=0 name=m"
ACCEPTED = ("message_accepted", {"message_id": "m", "content": PLAN})
STARTED, ENDED = ("agent_started", {"agent_id": "a"}), ("agent_completed", {"agent_id": "a"})
CALLED = ("tool_executing", {"call_id": "c"})
PAID = ("tool_completed", {"call_id": "c", "tool_name": "pay", "status": "ok"})
STEER, TAKEN = ("steer_accepted", {"steer_id": "s"}), ("steer_taken", {"steer_id": "s"})
QUESTION, ANSWER = ("question_asked", {"question_id": "q"}), ("question_answered", {"question_id": "q"})
UNDO, UNDONE = ("undo_started", {"call_ids": ["c"]}), ("call_undone", {"call_id": "c", "status": "ok"})


def final(read: str = "") -> tuple[str, dict[str, Any]]:
    return "final_response", {"status": "success", "message": answer_to(PLAN) + read}


def faults(
    *events: tuple[str, dict[str, Any]], asked: tuple[str, ...] = (), booked: tuple[str, ...] = (), content: str = PLAN
) -> str:
    """Return what the judge says of one run with these events."""
    log = [{"type": kind, "seq": seq, "run_id": "r", "data": data} for seq, (kind, data) in enumerate(events, start=1)]
    ledger = Ledger(said={"m": SentMessage("m", "ada", "t", content)})
    checker = Checker(ledger, "", {("ada", "t"): log})
    checker.check()
    checker.check_bank(asked, booked)
    return "; ".join(checker.faults)


def test_a_run_in_which_each_thing_happened_once_has_no_fault() -> None:
    events = (ACCEPTED, STEER, STARTED, CALLED, QUESTION, ANSWER, PAID, TAKEN, ENDED, final(" read: s"), UNDO, UNDONE)
    assert not faults(*events, asked=("not paid c", "paid again c"), booked=("c.paid", "c.undone"))


@pytest.mark.parametrize(
    ("events", "fault"),
    [
        ((STEER, ENDED, final()), "a steer was not taken or withdrawn once"),
        ((STEER, TAKEN, TAKEN, ENDED, final(" read: s")), "a steer was not taken or withdrawn once"),
        ((STEER, STEER, TAKEN, ENDED, final(" read: s")), "a steer was accepted twice"),
        ((STEER, TAKEN, ENDED, final(" read: s,s")), "has another answer"),
        ((STEER, TAKEN, ENDED, final()), "has another answer"),
        ((QUESTION, QUESTION, ANSWER, ENDED, final()), "a question was asked twice"),
        ((QUESTION, ANSWER, ANSWER, ENDED, final()), "a question was answered twice"),
        ((CALLED, PAID, ENDED, final()), "the payment c has a result and was not made"),
        ((ENDED, final(), UNDO, UNDONE), "the payment c was undone and is not"),
        ((ENDED, final(), UNDO, UNDONE, UNDONE), "was undone 2 times"),
        ((ENDED, ("error", {"code": "model_unavailable"})), "has lost its model, which was there"),
    ],
)
def test_a_fault_in_the_log_is_found(events: tuple[Any, ...], fault: str) -> None:
    assert fault in faults(ACCEPTED, STARTED, *events)


def test_messages_with_one_end_are_counted() -> None:
    """Of a message that was accepted twice, one that has no end and one that has two, none ended once."""
    log = [
        {"type": kind, "run_id": run, "data": {"message_id": run[0]}}
        for run, ends in (("a1", 1), ("b1", 1), ("b2", 0), ("c1", 0), ("d1", 2))
        for kind in ("message_accepted", *["error"] * ends)
    ]
    ledger = Ledger(said={name: SentMessage(name, "ada", "t", PLAN) for name in "abcde"})
    assert Checker(ledger, "", {("ada", "t"): log}).ended_once() == 1


def test_an_end_must_follow_from_what_was_done() -> None:
    """A run whose model fails never succeeds, and no other loses its model."""
    fails = PLAN.replace("fail=0", "fail=1")
    accepted = ("message_accepted", {"message_id": "m", "content": fails})
    assert "succeeded, and its model fails" in faults(accepted, STARTED, ENDED, final(), content=fails)
    assert not faults(accepted, STARTED, ENDED, ("error", {"code": "model_unavailable"}), content=fails)


def test_a_text_that_is_no_beginning_of_the_answer_is_a_fault_unless_a_dead_server_showed_it() -> None:
    answer = answer_to(PLAN)
    old, mixed = f"{answer[:4]}\n\n{answer} read: s", f"{answer[:6]}{answer[:4]}"
    for text, resumed, count in ((answer[:5], (), 0), (old, (), 1), (old, ("r",), 0), (mixed, ("r",), 1)):
        log = [
            {"type": kind, "seq": seq, "run_id": "r", "thread_id": "t", "data": data}
            for seq, (kind, data) in enumerate((ACCEPTED, STEER, STARTED, TAKEN, ENDED, final(" read: s")), start=1)
        ]
        ledger = Ledger(said={"m": SentMessage("m", "ada", "t", PLAN)})
        client = ReceivedLog("tab", ledger)
        client.take(log[0])
        client.take_text("r", 0, text)
        for event in log[1:]:
            client.take(event)
        ledger.received.append((client, "ada", ("t",)))
        checker = Checker(ledger, "", {("ada", "t"): log}, resumed=set(resumed))
        checker.check()
        assert len(checker.faults) == count, checker.faults
        assert all("is no part of its answer: after" in fault and "5 agent" in fault for fault in checker.faults)


def test_a_message_that_a_steer_became_has_the_plan_of_an_earlier_one() -> None:
    """Its server had died, and had shown more of a turn than was recorded before a further steer cut it."""
    answer = answer_to(PLAN)
    plan = "words=1 pace=1 tool=0 fail=0 name=s1 steer=1"
    steered = ("message_accepted", {"message_id": "s1", "content": plan})
    end = ("final_response", {"status": "success", "message": f"{answer[:6]}\n\n{answer} read: s"})
    for message_id, text, count in (("s1", answer[:9], 0), ("s1", answer[3:9], 1), ("m", answer[:9], 1)):
        accepted = (steered[0], {**steered[1], "message_id": message_id})
        withdrawn = ("steer_withdrawn", {"steer_id": "s1", "message_id": "s1"})
        events = [("r0", *withdrawn), *(("r", *pair) for pair in (accepted, STEER, STARTED, TAKEN, ENDED, end))]
        log = [
            {"type": kind, "seq": seq, "run_id": run_id, "thread_id": "t", "data": data}
            for seq, (run_id, kind, data) in enumerate(events, start=1)
        ]
        ledger = Ledger()
        client = ReceivedLog("tab", ledger)
        client.take(log[1])
        client.take_text("r", 0, text)
        for event in log[2:]:
            client.take(event)
        checker = Checker(ledger, "", {("ada", "t"): log}, resumed={"r"})
        (mismatch,) = client.mismatches
        checker._check_text(mismatch, log)
        assert len(checker.faults) == count, (message_id, text, checker.faults)


def test_a_fault_of_the_bank_is_found() -> None:
    whole = (ACCEPTED, STARTED, CALLED, PAID, ENDED, final())
    assert "was made twice" in faults(*whole, asked=("paid again c", "not paid c"), booked=("c.paid",))
    assert "was undone unasked" in faults(*whole, booked=("c.paid", "c.undone"))
