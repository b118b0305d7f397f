"""Requests that nobody can answer any more: their callers hear it at once, and not when their time is up."""

import gc
import math

import pytest
import trio
import trio.testing
from attrs import frozen

from actors import Actor, ActorDied, Ask, AskTimeout, ChildSpec, MessageUnhandled, Stash, Unanswered, UnhandledMessage
from tests.actors.troupe import calls


@frozen
class Known(Ask[str]):
    """`how` it is kept until it is answered."""

    how: str = ""


class Unknown(Ask[str]):
    """Matches no case."""


class Answer:
    """Answer what was kept."""


class Matching(Actor):
    """Has no last case that says what is unknown."""

    async def on_start(self, context):
        self.kept = []
        self.stash = Stash(context)

    async def receive(self, message, context):
        match message:
            case Known("stored"):
                self.kept.append(message)
            case Known("in a task"):
                context.start_soon(self.answer_later, message)
            case Known("in a task that forgets it"):
                context.start_soon(self.forget, message)
            case Known("stashed"):
                self.stash.stash(message)
            case Known("while it stops"):
                context.start_soon(trio.sleep_forever)
                context.stop()
            case Known("while it crashes"):
                raise ValueError("boom")
            case Answer():
                for request in self.kept:
                    request.reply("stored")
                for request in self.stash:
                    request.reply("stashed")
            case Known("answered"):
                message.reply("answered")

    async def answer_later(self, request):
        await trio.sleep(1)
        request.reply("later")

    async def forget(self, request):
        await trio.sleep(1)


@pytest.fixture
async def ref(system):
    return await system.spawn(ChildSpec("a", Matching))


@pytest.mark.promise("ask.unanswered")
async def test_a_request_that_no_case_matches_fails_at_once(autojump_clock, system, ref, events):
    with pytest.raises(Unanswered, match="/test/a let go of Unknown without an answer: no case of its `receive`"):
        await ref.ask(Unknown(), timeout_s=math.inf)
    with pytest.raises(UnhandledMessage):
        await ref.ask(Unknown())
    assert trio.current_time() == 0
    assert system.unhandled == 2
    assert MessageUnhandled("/test/a", "Unknown") in events
    assert await ref.ask(Known("answered")) == "answered"


@pytest.mark.promise("ask.unanswered")
@pytest.mark.parametrize(("how", "answer"), [("stored", "stored"), ("stashed", "stashed"), ("in a task", "later")])
async def test_a_request_that_something_holds_may_be_answered_later(autojump_clock, ref, how, answer):

    async with calls(lambda: ref.ask(Known(how), timeout_s=100)) as answers:
        gc.collect()
        await trio.sleep(2)
        ref.tell(Answer())
    assert answers == [answer]


@pytest.mark.promise("ask.unanswered")
@pytest.mark.parametrize(
    ("how", "error", "when"),
    [
        ("stored", AskTimeout, pytest.approx(2, abs=0.02)),
        ("in a task that forgets it", Unanswered, 1),
        ("while it stops", ActorDied, 0),
        ("while it crashes", ActorDied, 0),
    ],
)
async def test_a_request_that_is_never_answered_ends_by_the_way_it_was_kept(autojump_clock, ref, how, error, when):
    with pytest.raises(error):
        await ref.ask(Known(how), timeout_s=2)
    assert trio.current_time() == when


async def test_a_request_that_is_let_go_of_in_a_thread_ends_on_the_loop(autojump_clock, system):
    class Threaded(Actor):
        async def receive(self, message, context):
            held = [message]
            context.start_soon(trio.to_thread.run_sync, held.clear)

    ref = await system.spawn(ChildSpec("a", Threaded))
    with pytest.raises(Unanswered):
        await ref.ask(Unknown(), timeout_s=math.inf)
