"""One request to many actors at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Generic, TypeVar

import trio
from attrs import frozen

from actors.ask import Ask
from actors.ref import ASK_TIMEOUT_S, ActorRef

T = TypeVar("T")


@frozen
class Replies(Generic[T]):
    """The results of one request to many actors, in the order given: each actor is in one of the two."""

    answers: Mapping[ActorRef, T]
    failures: Mapping[ActorRef, Exception]


async def ask_all(
    refs: Iterable[ActorRef], make: Callable[[], Ask[T]], *, timeout_s: float = ASK_TIMEOUT_S
) -> Replies[T]:
    """Ask each of the actors with its own request, made by `make`, and wait until all have answered or failed.

    The error of an ask is that actor's failure, so the death or silence of one does not affect the others. Waits at
    most `timeout_s` seconds. Cancelling takes all requests back.
    """
    answers: dict[ActorRef, T] = {}
    failures: dict[ActorRef, Exception] = {}

    async def ask(ref: ActorRef, request: Ask[T]) -> None:
        try:
            answers[ref] = await ref.ask(request, timeout_s=timeout_s)
        except Exception as error:
            failures[ref] = error

    order = tuple(dict.fromkeys(refs))
    async with trio.open_nursery() as nursery:
        for ref in order:
            nursery.start_soon(ask, ref, make())
    return Replies(
        {ref: answers[ref] for ref in order if ref in answers},
        {ref: failures[ref] for ref in order if ref in failures},
    )
