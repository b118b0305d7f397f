"""The recorder of a run, in virtual time."""

import pytest
import trio
import trio.testing

from actors import Actor, ActorRef, ActorSystem, ChildSpec, Context, MailboxSpec
from transport.wire.events import SteerAccepted
from understudy.agents.agent import Agent
from understudy.chat.messages import Delta, Progress, TakeSteers
from understudy.chat.run.recorder import UNYIELDED, Recorder
from understudy.chat.services import ChatSettings


class Listener(Actor):
    def __init__(self, heard: list[tuple[float, object]]) -> None:
        self.heard = heard

    async def receive(self, message: object, context: Context) -> None:
        self.heard.append((trio.current_time(), message))


class Stuck(Actor):
    """A conversation that takes no second message until it may."""

    mailbox = MailboxSpec(capacity=4)

    def __init__(self, heard: list[str], may: trio.Event) -> None:
        self.heard = heard
        self.may = may

    async def receive(self, message: object, context: Context) -> None:
        assert isinstance(message, Delta)
        self.heard.append(message.text)
        await self.may.wait()


class Quiet:
    settings = ChatSettings(silence_s=10.0)


def recorder(conversation: ActorRef) -> Recorder:
    return Recorder("r", conversation, Quiet(), Agent("support"))  # type: ignore[arg-type]


async def test_progress_is_sent_after_each_silence(autojump_clock: trio.testing.MockClock) -> None:
    heard: list[tuple[float, object]] = []
    async with ActorSystem("s", [ChildSpec("c", lambda: Listener(heard))]) as system:
        run = recorder(system.root.children()[0])
        run.activity = "running query_table"
        began = trio.current_time()
        run.last_sent_at = began

        async def keep_alive() -> None:
            for _ in range(10):
                await trio.sleep(run.keep_alive())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep_alive)
            await trio.sleep(25)
            await run.send_delta("some text", ())
            await trio.sleep(9)
            assert len(heard) == 3
            await trio.sleep(2)
            nursery.cancel_scope.cancel()
    signs = [(at - began, message) for at, message in heard if isinstance(message, Progress)]
    assert [round(at) for at, _ in signs] == [10, 20, 35]
    assert all(message.note == "Still running query_table" for _, message in signs)


async def test_steps_are_numbered_from_one(autojump_clock: trio.testing.MockClock) -> None:
    async with ActorSystem("s", [ChildSpec("c", lambda: Listener([]))]) as system:
        run = recorder(system.root.children()[0])
        steps = [run.next_step("model", "offline", None, None, 1.0), run.next_step("tool", "echo", "c", {}, 2.0)]
    assert [(step.number, step.kind, step.status) for step in steps] == [
        (1, "model", "started"),
        (2, "tool", "started"),
    ]


async def test_a_model_that_writes_without_pause_is_held_back_by_a_full_mailbox(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """No piece is lost or overtaken, and no more wait than the mailbox holds."""
    heard, sent, may = list[str](), list[str](), trio.Event()
    async with ActorSystem("s", [ChildSpec("c", lambda: Stuck(heard, may))]) as system:
        run = recorder(system.root.children()[0])

        async def write() -> None:
            for number in range(40):
                await run.send_delta(str(number), ())
                sent.append(str(number))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(write)
            await trio.testing.wait_all_tasks_blocked()
            assert (len(heard), len(sent)) == (1, 5)
            may.set()
        await trio.testing.wait_all_tasks_blocked()
    assert heard == sent == [str(number) for number in range(40)]


@pytest.mark.parametrize("piece", ["piece", ""], ids=["shown", "held back"])
async def test_a_model_that_writes_without_pause_lets_other_tasks_run(
    autojump_clock: trio.testing.MockClock, piece: str
) -> None:
    """One step of theirs for so many pieces, and it can be cancelled meanwhile."""
    steps = pieces = 0
    async with ActorSystem("s", [ChildSpec("c", lambda: Listener([]))]) as system:
        run = recorder(system.root.children()[0])

        async def count() -> None:
            nonlocal steps
            while True:
                await trio.lowlevel.checkpoint()
                steps += 1
                if steps == 20:
                    nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(count)
            while True:
                await run.send_delta(piece)
                pieces += 1
    assert nursery.cancel_scope.cancelled_caught
    assert pieces <= 40 * UNYIELDED


async def test_the_conversation_is_asked_for_steers_only_if_some_wait(autojump_clock: trio.testing.MockClock) -> None:
    asked: list[int] = []

    class Steered(Actor):
        async def receive(self, message: object, context: Context) -> None:
            assert isinstance(message, TakeSteers)
            asked.append(message.turn)
            message.reply((SteerAccepted("s", "shorter", "next"),))

    async with ActorSystem("s", [ChildSpec("c", Steered)]) as system:
        run = recorder(system.root.children()[0])
        waiting: list[str] = []
        run.steers_wait = lambda: bool(waiting)
        assert await run.take_steers(0) == ()
        waiting.append("s")
        assert [each.steer_id for each in await run.take_steers(1)] == ["s"]
    assert asked == [1]
