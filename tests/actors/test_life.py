"""One life of an actor: its hooks, its timers, and what it is given while it is busy."""

import pytest
import trio
import trio.testing

from actors import (
    Actor,
    ChildSpec,
    DeadLetter,
    Lane,
    MailboxFull,
    MailboxSpec,
    MessageUnhandled,
    Normal,
    Restart,
    Shutdown,
    StartChild,
    StopChild,
    StopMode,
    Supervision,
    Terminated,
    UnhandledMessage,
)
from tests.actors.troupe import Hang, Player, Read, Run, held, of_type, player, settled, tell


class Patient(Player):
    """Gets "silence" when it was told nothing for ten seconds: a timer, set again under its key by each message.

    Each incarnation adds what it hears as a list of its own to `lives`.
    """

    def __init__(self, lives):
        super().__init__("patient")
        lives.append(self.heard)

    async def on_start(self, context):
        await super().on_start(context)
        context.set_timer("receive timeout", 10.0, "silence")

    async def receive(self, message, context):
        if message == "enough":
            context.cancel_timer("receive timeout")
        elif message != "silence":
            context.set_timer("receive timeout", 10.0, "silence")
        await super().receive(message, context)


@pytest.mark.promise("timers.receive-timeout", "timers.replace")
async def test_a_receive_timeout_is_a_timer_that_each_message_sets_again(autojump_clock, system):
    lives = []
    ref = await system.spawn(ChildSpec("patient", lambda: Patient(lives)))
    for number in range(5):
        await trio.sleep(9)
        ref.tell(number)
    await trio.sleep(9.9)
    assert "silence" not in lives[-1]
    await trio.sleep(0.2)
    assert lives[-1] == [0, 1, 2, 3, 4, "silence"]
    ref.tell("enough")
    await trio.sleep(100)
    assert lives[-1][-1] == "enough"


@pytest.mark.promise("timers.die")
@pytest.mark.parametrize("end", ["crash", "kill"])
async def test_a_timer_that_fired_while_its_actor_was_busy_is_not_the_next_incarnations(autojump_clock, ref, end):
    async def busy(context):
        context.set_timer("t", 1, "ghost")
        await trio.sleep(2)
        if end == "kill":
            context.ref.kill()
        else:
            raise ValueError("crash")

    ref.tell(Run(busy))
    await trio.sleep(10)
    assert await ref.ask(Read()) == []


@pytest.mark.promise("mailbox.control-when-full", "report.tree")
async def test_a_busy_actor_with_a_full_mailbox_is_watched_read_and_stopped(autojump_clock, system):
    ref = await system.spawn(player("small", mailbox=MailboxSpec(capacity=2), supervision=Supervision()))
    watcher = await system.spawn(player("watcher"))
    await tell(ref, Hang())
    ref.tell(1)
    ref.tell(2)
    with pytest.raises(MailboxFull):
        ref.tell(3)
    await watcher.ask(Run(lambda context: context.watch(ref)))
    assert system.tree().children[0].depth == {"normal": 2}
    assert ref.statistics()[Lane.NORMAL].rejected == 1
    assert system.explain("/test/small").state.value == "running"
    assert await ref.stop(StopMode.NOW) == Shutdown()
    assert trio.current_time() == 0
    assert len(await watcher.ask(Read())) == 1


@pytest.mark.promise("mailbox.unexpected")
async def test_an_unexpected_message_is_told_and_counted(autojump_clock, system, events):
    ref = await system.spawn(ChildSpec("plain", Actor))
    ref.tell(object())
    ref.tell("what?", lane=Lane.ALERT)
    with pytest.raises(UnhandledMessage, match="Read"):
        await ref.ask(Read())
    unknown = of_type(events, MessageUnhandled)
    assert [(event.path, event.message_type) for event in unknown] == [
        ("/test/plain", "str"), ("/test/plain", "object"), ("/test/plain", "Read"),
    ]  # fmt: skip
    assert system.unhandled == 3
    assert system.explain(ref.path).incarnation == 1


@pytest.mark.promise("mailbox.unexpected-may-fail")
async def test_an_actor_may_take_an_unexpected_message_for_a_failure(autojump_clock, system):
    class Strict(Actor):
        async def receive(self, message, context):
            raise UnhandledMessage(context.path, type(message).__name__)

    ref = await system.spawn(ChildSpec("strict", Strict))
    await tell(ref, "what?")
    assert (ref.alive, system.explain(ref.path).incarnation) == (True, 2)
    assert system.tree().children[0].last_error == "UnhandledMessage: /test/strict does not understand str"


@pytest.mark.promise("ask.many", "ask.late-reply")
async def test_an_answer_takes_no_room_in_the_mailbox_of_the_asker(autojump_clock, system, ref):
    asker = await system.spawn(player("asker", mailbox=MailboxSpec(capacity=5)))

    async def fill_and_ask(context):
        for number in range(5):
            context.ref.tell(number)
        return await ref.ask(Run(lambda _: "answer"))

    assert await asker.ask(Run(fill_and_ask)) == "answer"
    await settled()
    assert await asker.ask(Read()) == [0, 1, 2, 3, 4]


@pytest.mark.promise("ask.cancel-scope")
async def test_an_ask_ends_at_the_earlier_of_its_timeout_and_its_callers_deadline(autojump_clock, ref):
    ref.tell(Hang())
    with trio.move_on_after(2) as scope:
        await ref.ask(Read(), timeout_s=5)
    assert (scope.cancelled_caught, trio.current_time()) == (True, 2)
    with pytest.raises(trio.TooSlowError), trio.fail_after(5):
        await ref.ask(Read(), timeout_s=2)
    assert trio.current_time() == pytest.approx(4, abs=0.02)
    assert held(ref) == {}


@pytest.mark.promise("tell.never-blocks", "tell.dead-letter")
async def test_tell_is_a_plain_call_whatever_becomes_of_the_message(autojump_clock, system):
    ref = await system.spawn(player("a"))
    await tell(ref, Hang())
    assert ref.tell("busy") is None
    await ref.stop()
    assert ref.tell("dead") is None
    assert {letter.message: letter.why for letter in system.dead_letters if isinstance(letter.message, str)} == {
        "busy": "stopped",
        "dead": "dead",
    }


@pytest.mark.promise("bitten.three-stops")
@pytest.mark.parametrize("by", ["reference", "name", "handler"])
async def test_every_stop_finishes_the_message_in_work_and_no_other(autojump_clock, system, events, by):
    done = []
    parent = await system.spawn(player("parent", supervision=Supervision()))
    watcher = await system.spawn(player("watcher"))
    ref = await parent.ask(StartChild(player("child", restart=Restart.TRANSIENT)))
    await watcher.ask(Run(lambda context: context.watch(ref)))

    async def work(context):
        if by == "handler":
            context.stop()
        await trio.sleep(1)
        done.append("finished")

    await tell(ref, Run(work), "waits")
    match by:
        case "reference":
            await ref.stop()
        case "name":
            await parent.ask(StopChild("child"))
        case "handler":
            await ref.wait_stopped()
    assert trio.current_time() == 1
    assert done == ["finished"]
    letters = [(event.path, event.message, event.why) for event in of_type(events, DeadLetter)]
    assert letters == [("/test/parent/child", "waits", "stopped")]
    assert not ref.alive
    assert await watcher.ask(Read()) == [Terminated(ref, Normal() if by == "handler" else Shutdown())]


@pytest.mark.promise("timers.replace", "timers.receive-timeout")
async def test_a_timer_that_fired_already_can_still_be_taken_back(autojump_clock, ref):
    async def busy(context):
        context.set_timer("t", 1, "late")
        await trio.sleep(2)
        context.cancel_timer("t")

    await ref.ask(Run(busy))
    await trio.sleep(5)
    assert await ref.ask(Read()) == []
