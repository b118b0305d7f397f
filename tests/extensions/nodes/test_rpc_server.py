"""Requests of other nodes are executed by the thread's conversation, and answered whatever becomes of them."""

from typing import Any

import pytest
import trio
import trio.testing

from actors import Actor, ActorRef, ChildSpec, Context, open_system
from transport.wire.errors import CommandRejected
from understudy.chat.messages import CancelRun
from understudy.chat.placement import Moved
from understudy.extensions.nodes import rpc_server
from understudy.extensions.nodes.messages import RpcReply, RpcRequest
from understudy.extensions.nodes.rpc_server import RpcServer

CANCEL = {"run_id": "r1"}


class Bag:
    """A stand-in for the bus: keeps replies, finished letters and dropped ones."""

    def __init__(self) -> None:
        self.answers: list[RpcReply] = []
        self.done: list[str] = []
        self.dropped: list[str] = []

    def reply(self, node: str, answer: RpcReply) -> None:
        self.answers.append(answer)

    def finish(self, letter_id: str) -> None:
        self.done.append(letter_id)

    def drop(self, place: str, error: Exception) -> None:
        self.dropped.append(place)


class Talk(Actor):
    """A conversation: it cancels run `r1`, refuses others, and is silent about `never`."""

    async def receive(self, message: object, context: Context) -> None:
        assert isinstance(message, CancelRun)
        match message.run_id:
            case "r1":
                message.reply(True)
            case "never":
                await trio.sleep_forever()
            case _:
                message.fail(CommandRejected("not_found"))


class Threads:
    """A stand-in for the registry: returns one conversation, or raises an error."""

    parts = ()

    def __init__(self, outcome: ActorRef | Exception) -> None:
        self.outcome = outcome

    async def get_local(self, owner: str, thread_id: str) -> ActorRef:
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


async def answered(request: RpcRequest, bag: Bag, outcome: Exception | None = None) -> RpcReply | None:
    async with open_system("s", []) as system:
        talk = await system.spawn(ChildSpec("talk", Talk))
        server = RpcServer(Threads(outcome or talk), bag)  # type: ignore[arg-type]
        await server.handle("b", request, 2.0)
    assert bag.done == [request.id]
    return bag.answers[0] if bag.answers else None


@pytest.mark.parametrize(
    ("request_", "kind", "text"),
    [
        (RpcRequest("1", "ann", "t", "CancelRun", CANCEL), None, ""),
        (RpcRequest("1", "ann", "t", "CancelRun", {"run_id": "r2"}), "rejected", "not_found"),
        (RpcRequest("1", "ann", "t", "Beckon", {}), "rejected", "unknown_type"),
        (RpcRequest("1", "ann", "t", "CancelRun", {"run_id": 7}), "unavailable", "torn"),
        (RpcRequest("1", "ann", "t", "CancelRun", {}), "unavailable", "torn"),
    ],
)
async def test_a_request_is_answered_by_the_conversation_or_refused(
    autojump_clock: trio.testing.MockClock, request_: RpcRequest, kind: str | None, text: str
) -> None:
    bag = Bag()
    reply = await answered(request_, bag)
    assert reply is not None
    if kind is None:
        assert (reply.value, reply.fault) == (True, None)
        return
    assert reply.fault.kind == kind
    assert text in f"{reply.fault.code} {reply.fault.text}"
    assert bag.dropped == (["b"] if text == "torn" else [])


@pytest.mark.parametrize(("error", "kind"), [(Moved("away"), "moved"), (RuntimeError("a secret"), "unavailable")])
async def test_a_request_whose_thread_is_not_to_be_had_is_answered(
    autojump_clock: trio.testing.MockClock, error: Exception, kind: str
) -> None:
    reply: Any = await answered(RpcRequest("1", "ann", "t", "CancelRun", CANCEL), Bag(), error)
    assert reply.fault.kind == kind
    assert "secret" not in reply.fault.text


async def test_a_request_that_takes_too_long_is_done_with(autojump_clock: trio.testing.MockClock) -> None:
    """Its sender has given up by then."""
    assert await answered(RpcRequest("1", "ann", "t", "CancelRun", {"run_id": "never"}), Bag()) is None


async def test_more_requests_than_can_be_executed_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc_server, "CONCURRENT_REQUESTS", 0)
    server = RpcServer(Threads(Moved("")), bag := Bag())  # type: ignore[arg-type]
    await server.handle("b", RpcRequest("1", "ann", "t", "CancelRun", CANCEL), 2.0)
    assert [answer.fault and answer.fault.text for answer in bag.answers] == ["too much is asked"]
