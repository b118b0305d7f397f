"""Actors that wait for one another."""

import pytest
import trio
import trio.lowlevel
import trio.testing

from actors import (
    Actor,
    ActorDied,
    ActorError,
    Ask,
    AskCycle,
    AskTimeout,
    ChildSpec,
    CountChildren,
    Restart,
    StartChild,
    Supervision,
)
from tests.actors.troupe import Read, Run, during, player, tell


class Question(Ask):
    """A request without content."""


class Asking(Actor):
    """Asks the next one when it is asked; an own task answers when it is told to answer later."""

    def __init__(self, refs, name, *, later=False):
        self.refs = refs
        self.next = name
        self.later = later

    async def receive(self, message, context):
        if self.later:
            context.start_soon(self.answer_later, message)
        else:
            message.reply(await self.refs[self.next].ask(Question(), timeout_s=1000))

    async def answer_later(self, request):
        await trio.sleep(2)
        request.reply("later")


@pytest.mark.promise("bad.cycle", "ask.self")
@pytest.mark.parametrize("names", ["ab", "abc", "abcde"])
async def test_a_circle_of_asks_fails_at_once(autojump_clock, system, names):
    refs = {}
    for name, following in zip(names, names[1:] + names[0], strict=True):
        spec = ChildSpec(name, lambda following=following: Asking(refs, following), restart=Restart.TEMPORARY)
        refs[name] = await system.spawn(spec)
    with pytest.raises(ActorDied):
        await refs["a"].ask(Question(), timeout_s=1000)
    assert trio.current_time() == 0
    error = (await refs[names[-1]].wait_stopped()).error
    assert isinstance(error, AskCycle)
    assert error.paths == tuple(f"/test/{name}" for name in names[-1] + names[:-1])


@pytest.mark.promise("bad.cycle")
async def test_a_circle_in_which_one_answers_from_another_task_is_none(autojump_clock, system):
    """a waits for b, which answers later; b asks c, c asks a: a has its answer in two seconds, and all end well."""
    refs = {}

    class First(Actor):
        async def receive(self, message, context):
            if message == "go":
                self.answer = await refs["b"].ask(Question(), timeout_s=1000)
            else:
                message.reply(self.answer)

    class Later(Asking):
        async def receive(self, message, context):
            self.later = isinstance(message, Question)
            await super().receive(message, context)

    refs["a"] = await system.spawn(ChildSpec("a", First))
    refs["b"] = await system.spawn(ChildSpec("b", lambda: Later(refs, "c")))
    refs["c"] = await system.spawn(ChildSpec("c", lambda: Asking(refs, "a")))
    await tell(refs["a"], "go")
    assert await refs["b"].ask(Run(None), timeout_s=10) == "later"
    assert trio.current_time() == 2


@pytest.mark.promise("bad.cycle")
async def test_a_circle_through_a_request_about_children_is_one(autojump_clock, system):
    parent = await system.spawn(player("parent", supervision=Supervision()))
    kid = await parent.ask(StartChild(player("kid")))
    errors = []

    async def down(_):
        await trio.sleep(1)
        try:
            await kid.ask(Read())
        except ActorError as error:
            errors.append(type(error))

    async with during(parent.ask, Run(down)):
        count = await kid.ask(Run(lambda _: parent.ask(CountChildren())))
    assert errors == [AskCycle]
    assert count.specs == 1


@pytest.mark.promise("bad.cycle", "ask.timeout")
async def test_a_circle_that_nobody_can_see_ends_with_its_timeouts(autojump_clock, system):
    """Each asks from a task of its own within its handler: that is no wait of the actor's own task."""
    refs = {}

    class Hidden(Actor):
        async def receive(self, message, context):
            other = refs["b" if context.path.endswith("a") else "a"]
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(other.ask, Question())
            except* AskTimeout:
                message.reply("timeout")

    for name in "ab":
        refs[name] = await system.spawn(ChildSpec(name, Hidden))
    assert await refs["a"].ask(Question(), timeout_s=100) == "timeout"
    assert trio.current_time() == pytest.approx(5.0, abs=0.02)
