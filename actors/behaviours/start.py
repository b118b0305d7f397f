"""Starting a child under a system, an actor's context, or the reference of a supervising actor."""

from __future__ import annotations

from actors.actor import Context
from actors.cell import Directory
from actors.ref import ActorRef
from actors.spec import ChildSpec
from actors.supervisor import StartChild
from actors.system import ActorSystem

Parent = ActorSystem | Context | ActorRef
"""The parent of a new child; an actor uses its own context, others its reference."""


def system_of(parent: Parent) -> Directory:
    """Return the system of a parent."""
    if isinstance(parent, ActorSystem):
        return parent
    return parent._cell.system


async def start_under(parent: Parent, spec: ChildSpec) -> ActorRef:
    """Start a child and wait until it runs. Raises the errors of `Context.spawn`, or, by reference, of `ask`."""
    if isinstance(parent, ActorRef):
        return await parent.ask(StartChild(spec), timeout_s=spec.start_timeout_s)
    return await parent.spawn(spec)
