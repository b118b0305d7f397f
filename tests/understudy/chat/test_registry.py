"""The registry's requests to a conversation that has more to do; all else of it is in tests of whole conversations."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing

from actors import Actor, ActorRef, Ask, ChildSpec, Context, open_system
from actors.testing import settle
from sanitization import Sanitized
from understudy.chat.messages import AcceptSteer, CancelRun, Delta, HandBack, TakeOver, WithdrawSteer
from understudy.chat.registry import ConversationRegistry, Entry

REQUESTS: dict[str, Callable[[], Ask[Any]]] = {
    "steer": lambda: AcceptSteer("r", "s", True, Sanitized("shorter"), None),
    "unsteer": lambda: WithdrawSteer("r", "s"),
    "take over": lambda: TakeOver("r", "op", "why"),
    "hand back": lambda: HandBack("r", "op"),
    "cancel": lambda: CancelRun("r"),
}
"""Messages about a run: all go ahead of its text but the last."""


class Writing(Actor):
    """A conversation that publishes its run's text piece by piece once it may, and replies to requests in between."""

    def __init__(self, may: trio.Event, taken: list[str]) -> None:
        self.may = may
        self.taken = taken

    async def receive(self, message: object, context: Context) -> None:
        await self.may.wait()
        match message:
            case Delta(text=text):
                self.taken.append(text)
            case Ask():
                self.taken.append("request")
                message.reply(None)


async def check_order(name: str, send: Callable[[ActorRef, Ask[Any]], Awaitable[Any]]) -> None:
    """Send a request to a conversation that is busy with the first of three pieces; check before which it is taken."""
    may, taken = trio.Event(), list[str]()
    async with open_system("s", []) as system, trio.open_nursery() as nursery:
        conversation = await system.spawn(ChildSpec("talk", lambda: Writing(may, taken)))
        for text in "abc":
            conversation.tell(Delta("r", text, ()))
            await settle()
        nursery.start_soon(send, conversation, REQUESTS[name]())
        await settle()
        may.set()
    assert taken == (["a", "b", "c", "request"] if name == "cancel" else ["a", "request", "b", "c"])


class Known(ConversationRegistry):
    def __init__(self, conversation: ActorRef) -> None:
        self.conversation = conversation

    async def get_or_start(self, owner: str, thread_id: str, after: int | None = None, *, here: bool = False) -> Entry:
        return Entry(self.conversation)


@pytest.mark.parametrize("name", REQUESTS)
async def test_what_is_said_to_a_run_goes_ahead_of_the_text_that_it_writes(
    autojump_clock: trio.testing.MockClock, name: str
) -> None:
    await check_order(name, lambda conversation, request: Known(conversation).ask("ann", "t", lambda: request))
