"""Children that ask, in their start hooks, those who wait for their start."""

import pytest
import trio

from actors import (
    ActorDied,
    ActorError,
    ActorSystem,
    Ask,
    AskCycle,
    ChildCount,
    ChildSpec,
    CountChildren,
    StartChild,
    Supervision,
    Supervisor,
)
from tests.actors.groups import open_family
from tests.actors.troupe import Boom, Read, Run, player, settled, tell


class Steward(Supervisor):
    """A supervisor that can be asked something of its own."""

    async def receive(self, message, context):
        message.reply("steward")


class Name(Ask[str]):
    """Who are you?"""


def asking(target, request, answers):
    """A start hook that asks, and notes the answer or the error, and when it came."""

    async def hook(context):
        ref = target(context)
        try:
            answer = await ref.ask(request())
        except ActorError as error:
            answer = error
        answers.append((answer, trio.current_time()))

    return hook


def parent(context):
    return context.parent


@pytest.mark.promise("start.supervisor-serves")
async def test_a_child_may_ask_its_supervisor_in_its_first_start(autojump_clock):
    answers = []
    leaf = player("leaf", starting=asking(parent, CountChildren, answers))
    above = player("above", starting=asking(lambda context: context.system.root, CountChildren, answers))
    inner = ChildSpec("inner", lambda: Supervisor([player("first"), leaf, player("last")]))
    outer = ChildSpec("outer", lambda: Supervisor([inner, above]))
    async with ActorSystem("s", [outer], on_event=lambda _: None) as system:
        assert answers == [(ChildCount(2, 1, 0, 2), 0), (ChildCount(1, 0, 1, 0), 0)]
        await tell(system.find("/s/outer/inner/leaf"), Boom())
        assert answers[2:] == [(ChildCount(3, 2, 0, 3), 0)]


@pytest.mark.promise("start.supervisor-serves")
async def test_a_child_may_have_another_one_started_in_its_first_start(autojump_clock, system):
    answers = []
    hook = asking(parent, lambda: StartChild(player("helper")), answers)
    ref, _ = await open_family(system, player("a"), player("b", starting=hook), player("c"))
    ((helper, when),) = answers
    assert (helper.path, helper.alive, when) == ("/test/sup/helper", True, 0)
    assert [child.path[-1] for child in ref.children()] == ["a", "b", "r", "c"]


@pytest.mark.promise("start.supervisor-serves")
async def test_timers_and_messages_of_a_supervisor_wait_until_it_has_started(autojump_clock, system):
    received = []

    class Noting(Supervisor):
        async def on_start(self, context):
            context.set_timer("t", 0, "timer")
            context.ref.tell("told")

        async def receive(self, message, context):
            received.append((message, [child.path[-1] for child in context.children()]))

    async def starting(context):
        await trio.sleep(1)
        assert await context.parent.ask(CountChildren()) == ChildCount(1, 0, 0, 1)
        assert received == []

    await system.spawn(ChildSpec("sup", lambda: Noting([player("a", starting=starting)])))
    await settled()
    assert received == [("timer", ["a"]), ("told", ["a"])]


@pytest.mark.promise("start.supervisor-serves", "bad.cycle")
@pytest.mark.parametrize("levels", [1, 2])
async def test_a_child_that_asks_in_its_start_who_waits_for_it_hears_of_the_circle_at_once(
    autojump_clock, system, levels
):
    answers = []

    def target(context):
        return system.find("/test/sup")

    spec = player("leaf", starting=asking(target, Name, answers))
    if levels == 2:
        inner = spec
        spec = ChildSpec("inner", lambda: Supervisor([inner]))
    ref = await system.spawn(ChildSpec("sup", lambda: Steward([spec])))
    ((error, when),) = answers
    assert isinstance(error, AskCycle)
    between = ["/test/sup/inner"][: levels - 1]
    assert error.paths == (f"{(between or ['/test/sup'])[0]}/leaf", "/test/sup", *between)
    assert when == 0
    assert await ref.ask(Name()) == "steward"


@pytest.mark.promise("start.supervisor-serves", "bad.cycle")
@pytest.mark.parametrize("where", ["receive", "on_start"])
@pytest.mark.parametrize("request_type", [Name, CountChildren])
async def test_a_child_that_is_spawned_in_a_handler_cannot_ask_who_waits_for_it(
    autojump_clock, system, where, request_type
):
    answers = []
    spec = player("kid", starting=asking(parent, request_type, answers))
    options = {"supervision": Supervision()}
    if where == "on_start":
        options["starting"] = lambda context: context.spawn(spec)
    ref = await system.spawn(player("boss", **options))
    if where == "receive":
        await ref.ask(Run(lambda context: context.spawn(spec)))
    ((error, when),) = answers
    assert isinstance(error, AskCycle)
    assert error.paths == ("/test/boss/kid", "/test/boss")
    assert when == 0


@pytest.mark.promise("start.supervisor-serves", "bad.cycle")
async def test_a_circle_through_a_third_actor_and_a_start_is_seen(autojump_clock, system):
    answers = []
    third = await system.spawn(player("third"))

    async def ask_boss(context):
        return await system.find("/test/boss").ask(Read())

    spec = player("kid", starting=asking(lambda _: third, lambda: Run(ask_boss), answers))
    boss = await system.spawn(player("boss", supervision=Supervision()))
    await boss.ask(Run(lambda context: context.spawn(spec)), timeout_s=60)
    ((error, when),) = answers
    assert isinstance(error, ActorDied)
    assert isinstance(error.reason.error, AskCycle)
    assert when == 0


@pytest.mark.promise("start.supervisor-serves")
async def test_a_third_actor_is_served_by_a_supervisor_that_starts(autojump_clock, system):
    answers = []
    third = await system.spawn(player("third"))

    async def count(context):
        await trio.sleep(1)
        return await system.find("/test/sup").ask(CountChildren())

    async def later(context):
        await trio.sleep(2)
        return "later"

    third.tell(Run(count))
    spec = player("kid", starting=asking(lambda _: third, lambda: Run(later), answers))
    await open_family(system, spec)
    assert answers == [("later", 3)]
