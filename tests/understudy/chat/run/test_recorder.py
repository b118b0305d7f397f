"""The recorder of a run, in virtual time."""

import trio
import trio.testing

from actors import Actor, ActorRef, ActorSystem, ChildSpec, Context
from understudy.agents.agent import Agent
from understudy.chat.messages import Progress
from understudy.chat.run.recorder import Recorder


class Listener(Actor):
    """A conversation that records its messages with their times."""

    def __init__(self, heard: list[tuple[float, object]]) -> None:
        self.heard = heard

    async def receive(self, message: object, context: Context) -> None:
        self.heard.append((trio.current_time(), message))


class Quiet:
    """The services that the recorder uses."""

    silence_s = 10.0


def recorder(conversation: ActorRef) -> Recorder:
    return Recorder("r", conversation, Quiet(), Agent("support"))  # type: ignore[arg-type]


async def test_progress_is_sent_after_each_silence(autojump_clock: trio.testing.MockClock) -> None:
    """After each 10 s without an event, and not sooner, progress with the run's activity is sent."""
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
