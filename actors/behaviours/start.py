"""Whoever can have children: a system, an actor's context, or the reference of an actor that supervises."""

from __future__ import annotations

from actors.actor import Context
from actors.ref import ActorRef
from actors.spec import ChildSpec
from actors.supervisor import StartChild
from actors.system import ActorSystem

Parent = ActorSystem | Context | ActorRef
"""Where a child may be started; an actor uses its own context, others its reference."""


def system_of(parent: Parent) -> ActorSystem:
    """The system that a parent is, or is in."""
    if isinstance(parent, ActorSystem):
        return parent
    return parent._cell.system


async def start_under(parent: Parent, spec: ChildSpec) -> ActorRef:
    """Start a child and wait until it runs; raises what `Context.spawn` raises, or, by reference, what `ask` does."""
    if isinstance(parent, ActorRef):
        return await parent.ask(StartChild(spec), timeout_s=spec.start_timeout_s)
    return await parent.spawn(spec)
