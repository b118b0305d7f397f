"""An actor that may change how it behaves from the next message on."""

from __future__ import annotations

from attrs import define

from actors.actor import Actor, Context, Receive
from actors.errors import ActorError

MAX_KEPT = 100
"""Most behaviours kept to return to; more mean a `become` without its `unbecome`, and raise."""


@define
class TooManyBehaviours(ActorError, RecursionError):
    """An actor would keep more than `most` behaviours to return to. Its behaviour is unchanged."""

    path: str
    most: int

    def __str__(self) -> str:
        return f"{self.path} keeps {self.most} behaviours to return to, and no more"


class Becoming(Actor):
    """An actor whose behaviour can change: `become` replaces it; a new incarnation begins with `first`."""

    _behaviours: tuple[Receive, ...] = ()

    async def first(self, message: object, context: Context) -> None:
        """The behaviour of a new incarnation. Override it."""
        context.unhandled(message)

    def become(self, behaviour: Receive, context: Context, *, keep: bool = False) -> None:
        """Use this behaviour from the next message on. `keep`: `unbecome` returns to the present one.

        Raises `TooManyBehaviours` if more than a hundred would be kept.
        """
        below = self._behaviours if keep else self._behaviours[:-1]
        if len(below) >= MAX_KEPT:
            raise TooManyBehaviours(context.path, MAX_KEPT)
        self._behaviours = (*below, behaviour)

    def unbecome(self) -> None:
        """Return to the behaviour that was kept last, or to `first`."""
        self._behaviours = self._behaviours[:-1]

    async def receive(self, message: object, context: Context) -> None:
        """Hand the message to the present behaviour."""
        behaviour = self._behaviours[-1] if self._behaviours else self.first
        await behaviour(message, context)
