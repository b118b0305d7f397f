"""Calls: those in doubt, as their server, their actor or their time ended, are settled by `reconcile`."""

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
import trio
import trio.testing
from attrs import evolve, frozen
from trio.testing import MockClock

from actors import ActorRef, Context
from sanitization import STANDARD, Action, Category
from tests.rigs import played_run
from tests.rigs.agent_run import LogOfRun, one_permit, started
from tests.rigs.played_run import NOBODY_ANSWERS, Cut, Recorded, Thinking, played
from tests.rigs.scripted_model import Call, Say, ScriptedModel
from transport.wire.events import Event
from understudy.agents.agent import Agent
from understudy.agents.permissions import Permissions, Rules
from understudy.agents.turn import AgentTurn
from understudy.chat.conversation.run_log import RunLog
from understudy.chat.effects import MAX_ASKED, EffectCall
from understudy.chat.messages import FinishRun, Stop
from understudy.chat.run.call import EFFECT_UNKNOWN, START_S
from understudy.chat.run.call_attempt import MAX_WAITING, PUBLISH_S, ToolCall, publish_partials
from understudy.chat.run.questions import OpenQuestion
from understudy.content.filter import ContentFilter
from understudy.observe.metrics import Metrics
from understudy.storage.limits import Limits
from understudy.tools import Done, NotDone, Tool, ToolContext, ToolError, Unknown, tool
from understudy.wire import events as wire

BANK: Counter[str] = Counter()
"""How often each call took effect."""


async def by_ledger(call_id: str, arguments: dict[str, Any]) -> Any:
    return Done(f"paid {arguments['amount']}") if BANK[call_id] else NotDone()


async def unsure(call_id: str, arguments: dict[str, Any]) -> Any:
    return Unknown()


async def broken(call_id: str, arguments: dict[str, Any]) -> Any:
    raise RuntimeError("the bank is closed")


async def slow(call_id: str, arguments: dict[str, Any]) -> Any:
    await trio.sleep_forever()


def payer(**options: Any) -> Tool:
    @tool(**options)
    async def pay(amount: int, context: ToolContext) -> str:
        """Pay."""
        BANK[context.call_id] += 1
        return f"paid {amount}"

    return pay


def an_agent(pay: Tool) -> Agent:
    return Agent("a", tools=[pay], model=Thinking(Call([("pay", {"amount": 3})]), Say("one two")))


def completed(events: Sequence[Event]) -> wire.ToolCompleted:
    (event,) = (event for event in events if isinstance(event, wire.ToolCompleted))
    return event


async def cut_before_the_outcome(agent: Agent) -> list[Cut]:
    """Return the records of a run that was killed after its call had started."""
    whole = await played([agent])
    number = next(n for n, cut in enumerate(whole.cuts) if any(isinstance(e, wire.ToolCompleted) for e in cut.events))
    return whole.cuts[:number]


async def resumed(pay: Tool, *, effect: int, choices: Sequence[str] = ()) -> tuple[Recorded, wire.ToolCompleted]:
    BANK.clear()
    cuts = await cut_before_the_outcome(an_agent(pay))
    ((call_id, _),) = BANK.items()
    BANK[call_id] = effect
    recorded = await played([an_agent(pay)], cuts, choices, limits=None if choices else NOBODY_ANSWERS)
    return recorded, completed(recorded.events)


async def by_hand(turn: AgentTurn) -> None:
    await turn.call("pay", amount=3.0)


@pytest.mark.parametrize(
    "worker",
    [{"run": by_hand}, {"model": Thinking(Call([("pay", {"amount": 3.0})]), Say("Done."))}],
    ids=["hand", "model"],
)
async def test_arguments_are_read_as_models_write_them_whoever_calls(worker: dict[str, Any]) -> None:
    events = (await played([Agent("a", tools=[payer()], **worker)])).events
    assert [event.parameters for event in events if isinstance(event, wire.ToolExecuting)] == [{"amount": 3}]
    assert completed(events).result == "paid 3"


async def test_a_resumed_run_keeps_its_model_and_the_calls_that_it_had_begun() -> None:
    """It does not know its user's groups: a call that it had not begun is refused."""
    agent = an_agent(payer(retry_safe=True))
    of_staff = ("group:staff",)
    permissions = Permissions(Rules(("staff",), tools={"pay": of_staff}, models={"script": of_staff}))
    begun = await cut_before_the_outcome(agent)
    assert completed((await played([agent], begun, permissions=permissions)).events).status is wire.ToolStatus.OK
    number = next(n for n, cut in enumerate(begun) if any(isinstance(e, wire.ToolExecuting) for e in cut.events))
    BANK.clear()
    refused = completed((await played([agent], begun[:number], permissions=permissions)).events)
    assert (refused.status, refused.result["error"]["code"]) == (wire.ToolStatus.FAILED, "forbidden")
    assert not BANK


@pytest.mark.parametrize(
    ("options", "effect"),
    [({"reconcile": by_ledger}, 1), ({"reconcile": by_ledger}, 0), ({"reconcile": unsure, "retry_safe": True}, 0)],
    ids=["took effect", "took none", "unknown, and safe to repeat"],
)
async def test_a_call_takes_effect_once_under_its_id(options: dict[str, Any], effect: int) -> None:
    _, outcome = await resumed(payer(**options), effect=effect)
    assert (outcome.status, outcome.result, outcome.effect) == (wire.ToolStatus.OK, "paid 3", None)
    assert dict(BANK) == {outcome.call_id: 1}


async def test_the_widget_of_a_blocked_result_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = evolve(STANDARD, tool={**STANDARD.tool, Category.SECRET: Action.BLOCK})
    monkeypatch.setattr(played_run, "GUARD", ContentFilter(policy, Metrics().findings))

    @tool
    async def pay(amount: int) -> str:
        """Pay."""
        return "ghp_16C7e42F292c6912E7710c838347" + "Ae178B4a"

    shown = completed((await played([an_agent(evolve(pay, server="bank", widget="ui://pay"))])).events)
    assert (shown.result["error"]["code"], shown.widget) == ("content_blocked", None)


@pytest.mark.parametrize("approval", [False, True])
async def test_a_tool_may_change_its_arguments_and_their_record_stays(approval: bool) -> None:
    @tool(approval=approval)
    async def order(goods: Any) -> str:
        """Order."""
        return str(goods.pop())

    agent = Agent("a", tools=[order], model=Thinking(Call([("order", {"goods": ["tea"]})]), Say("one two")))
    assert [step.arguments for step in (await played([agent])).steps if step.kind == "tool"] == [{"goods": ["tea"]}]


@pytest.mark.parametrize("reconcile", [unsure, broken, slow])
async def test_a_call_of_unknown_effect_is_not_repeated_and_the_model_is_told(
    reconcile: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "understudy.chat.effects")
    _, outcome = await resumed(payer(reconcile=reconcile, timeout_s=0.2), effect=0)
    assert (outcome.status, outcome.effect) == (wire.ToolStatus.KILLED, "unknown")
    assert outcome.result_summary.endswith(EFFECT_UNKNOWN)
    assert list(BANK.values()) == [0]
    failed = [record for record in caplog.records if record.getMessage() == "effect.failed"]
    assert [hasattr(record, "error_id") for record in failed] == ([] if reconcile is unsure else [True])


@pytest.mark.parametrize(
    ("choice", "status", "effect", "times"),
    [("happened", "ok", None, 0), ("again", "ok", None, 1), ("skip", "killed", "unknown", 0)],
)
async def test_the_user_says_what_became_of_a_call_that_nobody_can_settle(
    choice: str, status: str, effect: str | None, times: int
) -> None:
    undoable = payer(undo=lambda result, arguments: None, undo_s=60)
    recorded, outcome = await resumed(undoable, effect=0, choices=[choice])
    (question,) = (event for event in recorded.events if isinstance(event, wire.QuestionAsked))
    assert (question.title, question.asked_by, question.call_id) == ("Did pay take effect?", "server", outcome.call_id)
    assert question.text == "The call was interrupted, and it is unknown whether it took effect."
    assert [offered["value"] for offered in question.choices or ()] == ["happened", "again", "skip"]
    assert (outcome.status, outcome.effect, list(BANK.values())) == (status, effect, [times])
    assert (outcome.undo_until is not None) == (choice == "again")


async def test_an_answer_counts_after_another_crash_but_a_call_made_again_is_asked_about_again() -> None:
    for choice, times in (("skip", 1), ("again", 2)):
        recorded, _ = await resumed(payer(), effect=0, choices=[choice])
        ends = [n for n, cut in enumerate(recorded.cuts) if any(isinstance(e, wire.ToolCompleted) for e in cut.events)]
        second = await played([an_agent(payer())], recorded.cuts[: ends[-1]], ["skip"])
        questions = [event for event in second.events if isinstance(event, wire.QuestionAsked)]
        assert len({question.question_id for question in questions}) == len(questions) == times
        assert completed(second.events).effect == "unknown"


async def test_a_call_whose_arguments_were_redacted_is_not_made_again_without_them() -> None:
    pay = payer(reconcile=by_ledger)
    cuts = await cut_before_the_outcome(an_agent(pay))
    BANK.clear()
    for step in (step for cut in cuts for step in cut.steps):
        if step.kind == "model" and step.ended_at is not None:
            step.result["calls"][0]["whole"] = False
    outcome = completed((await played([an_agent(pay)], cuts)).events)
    assert (outcome.status, outcome.effect, dict(+BANK)) == (wire.ToolStatus.KILLED, None, {})
    assert "took no effect" in outcome.result_summary


@pytest.mark.parametrize("late", [False, True])
async def test_a_call_whose_actor_is_killed_is_settled_in_the_same_run(
    late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    kills, start = iter([True]), ToolCall.receive

    async def receive(self: ToolCall, message: object, context: Context) -> None:
        if next(kills, False):
            BANK[self.call.call_id] += late
            context.ref.kill()
        else:
            await start(self, message, context)

    monkeypatch.setattr(ToolCall, "receive", receive)
    BANK.clear()
    outcome = completed((await played([an_agent(payer(reconcile=by_ledger))])).events)
    assert (outcome.status, outcome.result, list(BANK.values())) == (wire.ToolStatus.OK, "paid 3", [1])
    assert next(kills, None) is None, "it was killed"


@pytest.mark.parametrize(("kills", "status", "asks"), [(1, "ok", 0), (MAX_ASKED, "killed", 1)])
async def test_a_reconcile_whose_actor_is_killed_is_asked_again(
    kills: int, status: str, asks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The death says nothing about the call; only one that is killed each time leaves it to the user."""
    kills_left, start = iter([True] * kills), EffectCall.on_start

    async def on_start(self: EffectCall, context: Context) -> None:
        if next(kills_left, False):
            context.ref.kill()
        else:
            await start(self, context)

    monkeypatch.setattr(EffectCall, "on_start", on_start)
    recorded, outcome = await resumed(payer(reconcile=by_ledger), effect=1, choices=["skip"])
    assert outcome.status == status
    assert sum(isinstance(event, wire.QuestionAsked) for event in recorded.events) == asks


@frozen
class Confirmation:
    """Shall it be paid?"""

    choice: str


def asker(order: str, **options: Any) -> Tool:
    @tool(**options)
    async def pay(amount: int, context: ToolContext) -> str:
        """Pay."""
        for letter in order:
            if letter == "a":
                BANK[context.call_id] += 1
            else:
                await context.ask(Confirmation)
        return f"paid {amount}"

    return pay


@pytest.mark.parametrize(
    ("order", "reconcile", "paid", "answers", "sources", "times"),
    [
        ("?a", None, 0, ["yes"], ["tool"], 1),
        ("a?", by_ledger, 1, [], ["tool"], 1),
        ("?a", by_ledger, 0, ["yes"], ["tool"], 1),
        ("?a?", None, 1, ["yes", "skip"], ["tool", "tool", "server"], 1),
        ("?a?", by_ledger, 1, ["yes"], ["tool", "tool"], 1),
    ],
    ids=["asks first", "acts and asks", "asks and can tell", "acts between questions", "between, and can tell"],
)
async def test_a_call_that_was_killed_while_it_asked_takes_effect_once(
    order: str, reconcile: Any, paid: int, answers: list[str], sources: list[str], times: int
) -> None:
    """It is made again if it waited for its first question, and is settled if it had acted since or can tell."""
    BANK.clear()
    agent = an_agent(asker(order, reconcile=reconcile))
    cuts = (await played([agent], choices=["yes"] * order.count("?"))).cuts
    wanted = order.count("?") if order != "a?" else 1
    asks = [n for n, cut in enumerate(cuts, 1) if any(isinstance(e, wire.QuestionAsked) for e in cut.events)]
    ((call_id, _),) = BANK.items()
    BANK[call_id] = paid
    recorded = await played([agent], cuts[: asks[wanted - 1]], answers)
    assert [event.asked_by for event in recorded.events if isinstance(event, wire.QuestionAsked)] == sources
    assert BANK[call_id] == times
    assert completed(recorded.events).status is (wire.ToolStatus.KILLED if "server" in sources else wire.ToolStatus.OK)


def refs_of_calls(monkeypatch: pytest.MonkeyPatch) -> list[ActorRef]:
    """Return the actors of the calls, in the order in which they start from now on."""
    refs, start = list[ActorRef](), ToolCall.receive

    async def receive(self: ToolCall, message: object, context: Context) -> None:
        refs.append(context.ref)
        await start(self, message, context)

    monkeypatch.setattr(ToolCall, "receive", receive)
    return refs


async def check_that_it_asks_once() -> None:
    """Run a call that asks, is answered, and pays."""
    BANK.clear()
    events = (await played([an_agent(asker("?a"))], choices=["yes"])).events
    for kind in (wire.QuestionAsked, wire.QuestionAnswered):
        assert sum(isinstance(event, kind) for event in events) == 1
    outcome = completed(events)
    assert (outcome.status, outcome.effect, dict(BANK)) == (wire.ToolStatus.OK, None, {outcome.call_id: 1})


async def test_a_call_whose_actor_is_killed_while_it_asks_asks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    kills, refs, wait = iter([True]), refs_of_calls(monkeypatch), OpenQuestion.wait

    async def wait_or_die(self: OpenQuestion, deadline: float) -> wire.QuestionAnswered:
        if next(kills, False):
            await trio.testing.wait_all_tasks_blocked()
            assert self.pending, "the answer has come, and is not stored"
            refs[0].kill()
            await trio.sleep_forever()
        return await wait(self, deadline)

    monkeypatch.setattr(OpenQuestion, "wait", wait_or_die)
    await check_that_it_asks_once()


@pytest.mark.parametrize("event", [wire.QuestionAsked, wire.QuestionAnswered])
@pytest.mark.parametrize("stored", [False, True], ids=["not stored", "stored"])
async def test_a_call_killed_while_its_question_is_stored_asks_once(
    event: type[Event], stored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log decides whether the question was asked, and whether it was answered."""
    kills, refs, record = iter([True]), refs_of_calls(monkeypatch), RunLog.record

    async def record_or_die(self: RunLog, *events: Event, steps: Any = ()) -> None:
        dies = any(isinstance(kind, event) for kind in events) and next(kills, False)
        if stored or not dies:
            await record(self, *events, steps=steps)
        if dies:
            await trio.testing.wait_all_tasks_blocked()  # a question that was stored has its answer by now
            refs[0].kill()
            await trio.sleep_forever()

    monkeypatch.setattr(RunLog, "record", record_or_die)
    await check_that_it_asks_once()


@pytest.mark.parametrize(
    ("options", "paid", "status", "effect"),
    [
        ({"reconcile": by_ledger}, 1, wire.ToolStatus.OK, None),
        ({"reconcile": by_ledger}, 0, wire.ToolStatus.TIMED_OUT, None),
        ({}, 0, wire.ToolStatus.TIMED_OUT, "unknown"),
        ({"retry_safe": True}, 0, wire.ToolStatus.TIMED_OUT, None),
    ],
)
async def test_a_call_that_ran_out_of_time_is_settled_but_not_made_again(
    options: dict[str, Any], paid: int, status: wire.ToolStatus, effect: str | None
) -> None:
    @tool(timeout_s=0.05, **options)
    async def pay(amount: int, context: ToolContext) -> None:
        """Pay."""
        BANK[context.call_id] += paid
        await trio.sleep_forever()

    BANK.clear()
    outcome = completed((await played([an_agent(pay)])).events)
    assert (outcome.status, outcome.effect, sum(BANK.values())) == (status, effect, paid)


async def test_a_call_that_can_be_undone_says_until_when() -> None:
    pay = payer(undo=lambda result, arguments: None, undo_s=60)
    recorded = await played([an_agent(pay)])
    outcome = completed(recorded.events)
    assert outcome.undo_until == outcome.timestamp + 60
    (step,) = (step for step in recorded.steps if step.kind == "tool")
    assert (step.result["undo_until"], step.result["agent"]) == (outcome.undo_until, "a")

    @tool(undo=lambda result, arguments: None, name="pay")
    async def refuse(amount: int) -> str:
        """Pay nothing."""
        raise ToolError("forbidden", "no")

    assert completed((await played([evolve(an_agent(pay), tools=[refuse])])).events).undo_until is None


async def test_items_come_in_batches_and_a_fast_tool_waits(autojump_clock: MockClock) -> None:
    began, published = trio.current_time(), list[tuple[float, int, int]]()

    async def publish(offset: int, items: list[Any]) -> None:
        published.append((round(trio.current_time() - began, 3), offset, len(items)))

    async with trio.open_nursery() as nursery:
        send, items = trio.open_memory_channel[Any](MAX_WAITING)
        nursery.start_soon(publish_partials, items, publish)
        await send.send("first")
        await trio.testing.wait_all_tasks_blocked()
        for number in range(2 * MAX_WAITING + 1):
            await send.send(number)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert published == [
        (0.0, 0, 1),
        (PUBLISH_S, 1, MAX_WAITING),
        (2 * PUBLISH_S, 1 + MAX_WAITING, MAX_WAITING),
        (round(3 * PUBLISH_S, 3), 1 + 2 * MAX_WAITING, 1),
    ]


@tool(retry_safe=True)
async def double(number: int) -> int:
    """Double a number."""
    return 2 * number


@tool(retry_safe=True, timeout_s=60.0)
async def ponder(number: int) -> int:
    """Double a number, slowly."""
    await trio.sleep(number)
    return 2 * number


@pytest.mark.parametrize(
    ("called", "commits"),
    [(double, [["ToolExecuting", "ToolCompleted"]]), (payer(retry_safe=True), [["ToolExecuting"], ["ToolCompleted"]])],
)
async def test_the_start_of_a_quick_call_is_stored_with_its_end_if_its_tool_cannot_know_its_id(
    called: Tool, commits: list[list[str]]
) -> None:
    model = Thinking(Call([(called.name, {"amount": 3} if called.name == "pay" else {"number": 3})]), Say("six"))
    whole = await played([Agent("a", tools=[called], model=model)])
    kinds = [[type(event).__name__ for event in cut.events] for cut in whole.cuts]
    starts = [[kind for kind in commit if kind in ("ToolExecuting", "ToolCompleted")] for commit in kinds]
    assert [commit for commit in starts if commit] == commits


async def test_the_start_of_a_call_is_stored_within_a_tenth_of_a_second(autojump_clock: MockClock) -> None:
    agent = Agent("a", tools=[ponder], model=ScriptedModel(Call([("ponder", {"number": 8})]), Say("sixteen")))
    async with started(agent, Limits(), one_permit()) as (_, log, _):
        await log.until(wire.AgentCompleted)
    ((began, _),), ((ended, _),) = log.of(wire.ToolExecuting), log.of(wire.ToolCompleted)
    assert (began, ended) == (START_S, 8.0)


async def test_a_run_that_is_stopped_within_that_time_ends_the_call(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the conversation, which closes what the run has not committed yet, however long that takes."""
    finish = LogOfRun.finish

    async def late(self: LogOfRun, command: FinishRun) -> None:
        await trio.sleep(2 * START_S)
        await finish(self, command)

    monkeypatch.setattr(LogOfRun, "finish", late)
    agent = Agent("a", tools=[ponder], model=ScriptedModel(Call([("ponder", {"number": 8})]), Say("sixteen")))
    async with started(agent, Limits(), one_permit()) as (run, log, _):
        await trio.sleep(START_S / 2)
        run.tell(Stop())
        await log.until(wire.FinalResponse)
    assert [call.status for _, call in log.of(wire.ToolCompleted)] == [wire.ToolStatus.CANCELLED]
    assert len(log.of(wire.ToolExecuting)) == 1
