"""An actor that may change how it behaves from the next message on."""

from __future__ import annotations

from attrs import define

from actors.actor import Actor, Context
from actors.errors import ActorError
from actors.interception import Receive

MAX_KEPT = 100
"""Behaviours that may lie on top of each other: more is a `become` without its `unbecome`."""


@define
class TooManyBehaviours(ActorError, RecursionError):
    """An actor kept more behaviours to return to than `most`. It still behaves as before."""

    path: str
    most: int

    def __str__(self) -> str:
        return f"{self.path} keeps {self.most} behaviours to return to, and no more"


class Becoming(Actor):
    """Handles each message with the behaviour it became last; with `first` until it became one."""

    _behaviours: tuple[Receive, ...] = ()

    async def first(self, message: object, context: Context) -> None:
        """The behaviour of a new incarnation. Override it."""
        context.unhandled(message)

    def become(self, behaviour: Receive, context: Context, *, keep: bool = False) -> None:
        """Behave like this from the next message on. `keep`: `unbecome` returns to the present behaviour.

        Raises `TooManyBehaviours` when there would be more than a hundred to return to.
        """
        below = self._behaviours if keep else self._behaviours[:-1]
        if len(below) >= MAX_KEPT:
            raise TooManyBehaviours(context.path, MAX_KEPT)
        self._behaviours = (*below, behaviour)

    def unbecome(self) -> None:
        """Return to the behaviour that was kept last; to `first` when there is none."""
        self._behaviours = self._behaviours[:-1]

    async def receive(self, message: object, context: Context) -> None:
        """Hand the message to the present behaviour."""
        behaviour = self._behaviours[-1] if self._behaviours else self.first
        await behaviour(message, context)
