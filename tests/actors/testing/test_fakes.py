"""The stand-ins are verified: the same scripts see the same in a real system and under a recorder."""

import pytest
import trio
from attrs import frozen

from actors import (
    ActorDied,
    ActorError,
    AlreadyStarted,
    Ask,
    AskTimeout,
    Context,
    DeathPact,
    Normal,
    NotSupervising,
    SelfCall,
    Shutdown,
    Stash,
    StashFull,
    StopMode,
    Supervision,
    Supervisor,
    Terminated,
    TooManyChildren,
    UnhandledMessage,
)
from actors.ref import ActorRef
from actors.testing.fakes import FakeRef, RecordedContext
from tests.actors.testing.stages import PATH, Crash, RealStage, RecordedStage
from tests.actors.troupe import Player, Read, Run, player


@frozen(eq=False)
class Get(Ask[int]):
    """A request to a peer."""

    n: int = 0


class Strange(Ask[int]):
    """A request nobody knows."""


class Watcher(Player):
    """A player that leaves what it does not know to the runtime, and can live without what it is told to."""

    def __init__(self, *args, outlives=False, **options):
        super().__init__(*args, **options)
        self.outlives = outlives

    async def receive(self, message, context):
        if isinstance(message, Strange):
            context.unhandled(message)
            return
        if isinstance(message, Terminated) and self.outlives:
            context.outlive(message.ref)
        await super().receive(message, context)


@pytest.fixture(params=["real", "recorded"])
async def stage(request, autojump_clock, system):
    return RealStage(system) if request.param == "real" else RecordedStage()


async def run(stage, act):
    return await stage.ask(Run(act))


@pytest.fixture
async def boss(stage):
    await stage.open(Watcher("boss", supervision=Supervision(max_children=2)))
    return stage


async def test_an_actor_knows_its_place(autojump_clock, boss):
    assert await run(boss, lambda context: context.path) == PATH
    assert await run(boss, lambda context: context.incarnation) == 1
    assert await run(boss, lambda context: context.parent.path) == "/test"
    assert await run(boss, lambda context: context.ref.path) == PATH
    assert await run(boss, lambda context: context.ref.alive)
    assert 0 <= await run(boss, lambda context: context.system.random.random()) < 1


async def test_children_come_by_spawning_and_go_by_their_end(autojump_clock, boss):
    first = await run(boss, lambda context: context.spawn(player("first")))
    second = await run(boss, lambda context: context.spawn(player("second")))
    assert (first.path, first.alive) == (f"{PATH}/first", True)
    assert await run(boss, lambda context: context.children()) == [first, second]
    assert await run(boss, lambda context: context.ref.children()) == [first, second]
    assert await run(boss, lambda context: context.child("second")) is second
    assert await run(boss, lambda context: context.child("third")) is None

    async def taken(context):
        with pytest.raises(AlreadyStarted) as refused:
            await context.spawn(player("first"))
        return refused.value.ref

    async def too_many(context):
        with pytest.raises(TooManyChildren) as refused:
            await context.spawn(player("third"))
        return str(refused.value)

    assert await run(boss, taken) is first
    assert await run(boss, too_many) == f"{PATH} has 2 children already"
    await boss.end(first)
    assert not first.alive
    assert await run(boss, lambda context: context.children()) == [second]
    assert (await run(boss, lambda context: context.spawn(player("first")))) is not first


async def test_an_actor_without_supervision_has_no_children(autojump_clock, stage):
    await stage.open(Player())

    async def spawn(context):
        with pytest.raises(NotSupervising, match="has no supervision"):
            await context.spawn(player("a"))
        return context.children()

    assert await run(stage, spawn) == []


async def test_a_supervisors_own_children_start_with_it(autojump_clock, stage):
    paths = []

    class Boss(Supervisor):
        async def receive(self, message, context):
            paths.extend(ref.path for ref in context.children())
            message.reply(None)

    await stage.open(Boss([player("a"), player("b")]))
    await stage.ask(Read())
    assert paths == [f"{PATH}/a", f"{PATH}/b"]


async def test_told_messages_arrive_in_order(autojump_clock, boss):
    peer = await boss.peer("peer")

    async def talk(context):
        peer.tell(1)
        await peer.send(2)
        await peer.channel().send(3)
        peer.channel().send_nowait(4)
        with pytest.raises(TypeError):
            peer.tell(Terminated(peer, Normal()))

    await run(boss, talk)
    assert await boss.told("peer") == [1, 2, 3, 4]


async def test_a_message_told_to_itself_comes_back(autojump_clock, stage):
    actor = Player()
    await stage.open(actor)
    assert await run(stage, lambda context: context.ref.tell("later") or list(actor.heard)) == []
    assert await stage.ask(Read()) == ["later"]


async def test_an_ask_ends_with_the_answer(autojump_clock, boss):
    peer = await boss.peer("peer")

    def answer(request):
        if request.n < 0:
            raise LookupError("below zero")
        return request.n * 2

    boss.answer("peer", Get, answer)

    async def ask(context):
        request = Get(4)
        assert await peer.ask(request) == 8
        with pytest.raises(LookupError, match="below"):
            await peer.ask(Get(-1))
        with pytest.raises(ActorError, match="asked before"):
            await peer.ask(request)
        return request.waiting

    assert await run(boss, ask) is False


async def test_an_ask_ends_without_an_answer_too(autojump_clock, boss):
    peer, dead = await boss.peer("peer"), await boss.peer("dead")
    await boss.end(dead)

    async def ask(context):
        with pytest.raises(AskTimeout, match="peer did not answer Get within 2 s"):
            await peer.ask(Get(), timeout_s=2.0)
        assert trio.current_time() == pytest.approx(2, abs=0.02)
        with pytest.raises(ActorDied):
            await dead.ask(Get())
        for wrong in (context.ref.ask(Get()), context.ref.stop(), context.ref.wait_stopped()):
            with pytest.raises(SelfCall):
                await wrong
        return "done"

    assert await run(boss, ask) == "done"


async def test_requests_end_as_the_actor_wants(autojump_clock, boss):
    with pytest.raises(UnhandledMessage):
        await boss.ask(Strange())
    assert await run(boss, lambda context: context.system.unhandled) == 1

    class Twice(Run):
        def reply(self, value):
            super().reply(value)
            super().reply("again")
            super().fail(ValueError())

    assert await boss.ask(Twice(lambda context: 1)) == 1

    class Failing(Run):
        def reply(self, value):
            assert self.waiting
            self.fail(LookupError("no"))
            assert not self.waiting

    with pytest.raises(LookupError, match="no"):
        await boss.ask(Failing(lambda context: 1))


async def test_timers_come_once_and_only_the_last_of_a_key(autojump_clock, boss):
    def set_timers(context):
        context.set_timer("a", 1.0, "a too early")
        context.set_timer("a", 3.0, "a")
        context.set_timer("b", 2.0, "b")
        context.set_timer("c", 1.0, "c")
        context.cancel_timer("c")
        context.cancel_timer("never set")

    await run(boss, set_timers)
    await boss.advance(2.5)
    assert await boss.ask(Read()) == ["b"]
    await boss.advance(10)
    assert await boss.ask(Read()) == ["b", "a"]


async def test_own_tasks_run(autojump_clock, boss):
    peer = await boss.peer("peer")

    async def task(*words):
        peer.tell(words)

    await run(boss, lambda context: context.start_soon(task, "one", "two"))
    assert await boss.told("peer") == [("one", "two")]


async def test_a_watcher_hears_of_an_end_once(autojump_clock, boss):
    first, second = await boss.peer("first"), await boss.peer("second")

    def watch(context):
        context.watch(first)
        context.watch(second)
        context.unwatch(second)

    await run(boss, watch)
    await boss.end(first)
    await boss.end(second)
    assert await boss.ask(Read()) == [Terminated(first, Shutdown())]
    assert not first.alive


@pytest.mark.parametrize("outlives", [False, True])
async def test_a_watcher_that_cannot_live_without_the_other_fails(autojump_clock, stage, outlives):
    await stage.open(Watcher(outlives=outlives))
    other = await stage.peer("other")
    await run(stage, lambda context: context.watch(other, vital=True))
    await stage.end(other)
    if outlives:
        assert await stage.ask(Read()) == [Terminated(other, Shutdown())]
    else:
        with pytest.raises(ActorDied) as died:
            await stage.ask(Read())
        assert str(died.value.reason) == "crashed: DeathPact"
        assert str(died.value.reason.error) == str(DeathPact(PATH, "/test/other", "shutdown"))


async def test_an_actor_can_stop_another(autojump_clock, boss):
    other = await boss.peer("other")

    async def end(context):
        reason = await other.stop()
        return reason, other.alive, await other.wait_stopped()

    assert await run(boss, end) == (Shutdown(), False, Shutdown())


async def test_an_actor_can_stop_itself_after_the_message_in_work(autojump_clock, stage):
    diary = []
    await stage.open(Player("a", diary))
    assert await run(stage, lambda context: context.stop() or "answered") == "answered"
    with pytest.raises(ActorDied) as died:
        await stage.ask(Read())
    assert died.value.reason == Normal()
    await stage.stop()
    assert diary == ["start a", "stop a (normal)"]


async def test_stashed_messages_come_back_in_order(autojump_clock, stage):
    class Shy(Player):
        async def on_start(self, context):
            self.stash = Stash(context, capacity=2)
            self.open = False

        async def receive(self, message, context):
            if message == "open":
                self.open = True
                self.heard.append("open")
                self.stash.unstash_all()
            elif not self.open and isinstance(message, Run):
                await super().receive(message, context)
            elif not self.open:
                self.stash.stash(message)
            else:
                await super().receive(message, context)

    await stage.open(Shy())
    peer = await stage.peer("peer")

    def tell_itself(*messages):
        return lambda context: [context.ref.tell(message) for message in messages]

    await run(stage, tell_itself("one", "two", "open", "three"))
    assert await stage.ask(Read()) == ["open", "one", "two", "three"]
    assert peer.alive


async def test_a_stash_has_its_bounds(autojump_clock, stage):
    stashes = []

    class Full(Player):
        async def on_start(self, context):
            stashes.append(Stash(context, capacity=1))

    await stage.open(Full())

    def overfill(context):
        stashes[0].stash("one")
        with pytest.raises(StashFull):
            stashes[0].stash("two")
        return list(stashes[0])

    assert await run(stage, overfill) == ["one"]
    await stage.stop()
    with pytest.raises(ActorDied):
        stashes[0].stash("late")


async def test_an_actor_knows_whether_it_is_stopping(autojump_clock, stage):
    modes = []
    await stage.open(Player(stopping=lambda context: modes.append(context.stopping)))
    assert await run(stage, lambda context: context.stopping) is None
    assert await run(stage, lambda context: context.stop() or context.stopping) is StopMode.AFTER_MESSAGE
    await stage.stop()
    assert modes == [StopMode.AFTER_MESSAGE]


async def test_a_request_reports_its_end(autojump_clock, boss):
    ends = []

    class Noted(Run):
        def reply(self, value):
            self.when_ended(lambda: ends.append("ended"))
            assert ends == []
            super().reply(value)
            assert ends == ["ended"]

    assert await boss.ask(Noted(lambda context: 1)) == 1
    assert ends == ["ended"]


async def test_after_an_error_it_is_over(autojump_clock, stage):
    diary = []
    await stage.open(Player("a", diary))

    def fail(context):
        raise OSError("broken")

    with pytest.raises(Crash) as crash:
        await run(stage, fail)
    assert isinstance(crash.value.__cause__, OSError)
    with pytest.raises(ActorDied, match="crashed: OSError"):
        await stage.ask(Read())
    await stage.stop()
    assert diary == ["start a", "stop a (crashed: OSError)"]


async def test_a_context_is_of_no_use_after_the_end(autojump_clock, boss):
    context = await run(boss, lambda context: context)
    assert isinstance(context, Context)
    await boss.stop()
    with pytest.raises(ActorDied):
        context.set_timer("a", 1.0, "late")
    with pytest.raises(ActorDied):
        context.start_soon(trio.sleep, 1)
    with pytest.raises(ActorDied):
        await context.spawn(player("late"))


def test_nothing_public_reaches_the_tree_past_the_fakes():
    def public(kind):
        return {name for name in vars(kind) if not name.startswith("_")}

    assert public(Context) - public(RecordedContext) == {"incarnation", "path", "ref"}  # slots that both set
    assert public(ActorRef) - public(FakeRef) == {"channel", "path", "try_tell"}
