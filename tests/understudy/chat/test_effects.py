"""A supervised call of `reconcile` or `undo`: its answer, its crash, its time limit, its being killed."""

from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

from actors import Actor, ActorSystem, ChildSpec, Context, Restart, Supervision, Terminated
from understudy.chat.effects import Attempt
from understudy.tools.errors import ToolError


class Parent(Actor):
    supervision = Supervision()

    def __init__(self, attempt: Attempt, kill: bool) -> None:
        self.attempt = attempt
        self.kill = kill

    async def on_start(self, context: Context) -> None:
        ref = await self.attempt.start(context)
        if self.kill:
            ref.kill()

    async def receive(self, message: object, context: Context) -> None:
        if isinstance(message, Terminated):
            self.attempt.exited(message.reason)


async def answers() -> object:
    return "taken back"


async def refuses() -> object:
    raise ToolError("forbidden", "The bank is closed.")


async def raises() -> object:
    raise RuntimeError("a secret detail")


@pytest.mark.parametrize(
    ("work", "kill", "answer", "sentence"),
    [
        (answers, False, "taken back", ""),
        (refuses, False, None, "The bank is closed."),
        (raises, False, None, "The tool failed. (error "),
        (trio.sleep_forever, False, None, "pay took longer than 5 s."),
        (trio.sleep_forever, True, None, "Was interrupted before it was finished."),
    ],
)
async def test_an_attempt_ends_with_an_answer_or_a_sentence(
    work: Callable[[], Awaitable[object]],
    kill: bool,
    answer: object,
    sentence: str,
    autojump_clock: trio.testing.MockClock,
) -> None:
    attempt = Attempt("undo", "pay", "r", "c", 5.0, work)
    async with ActorSystem("s", [ChildSpec("p", lambda: Parent(attempt, kill), restart=Restart.TEMPORARY)]):
        with trio.fail_after(60):
            await attempt.ended.wait()
    assert attempt.answer == answer
    assert attempt.sentence.startswith(sentence)
    assert "secret" not in attempt.sentence
