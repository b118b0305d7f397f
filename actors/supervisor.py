"""The requests that any actor with children serves."""

from __future__ import annotations

from attrs import frozen

from .actor import Supervisor
from .children import Children, ChildrenRequest
from .errors import ActorError, NoSuchChild, StartFailed
from .exit_reasons import NORMAL, Exit
from .lifecycle import State, StopMode
from .ref import ActorRef, AlreadyStarted
from .spec import ChildSpec


@frozen
class StartChild(ChildrenRequest[ActorRef]):
    """Ask a supervising actor to start a child. The answer is its reference, once it runs.

    Fails with the errors of `Context.spawn`. The supervisor serves others meanwhile. If the caller leaves or its time
    is up, the start is cancelled at once; a new request for the same id waits for that, and then starts the child.
    """

    spec: ChildSpec

    def act(self, family: Children) -> None:
        """Begin to start the child, and answer once that has ended."""
        _start(family, self.spec, self)


@frozen
class RestartChild(ChildrenRequest[ActorRef]):
    """Ask a supervising actor to start a stopped child of its own spec again, by id.

    Fails with `NoSuchChild`, with `AlreadyStarted` if it is alive, or with the errors of `Context.spawn`.
    """

    id: str

    def act(self, family: Children) -> None:
        """Begin to start the child from its spec."""
        child = family.by_id.get(self.id)
        if child is None:
            self.fail(NoSuchChild(family.owner.path, self.id))
        else:
            _start(family, child.spec, self)


@frozen
class ForgetChild(ChildrenRequest[None]):
    """Ask a supervising actor to remove the spec of a stopped child, so that its id cannot be restarted.

    Fails with `NoSuchChild`, and with `AlreadyStarted` if it is alive: stop it first.
    """

    id: str

    def act(self, family: Children) -> None:
        """Remove the spec."""
        child = family.by_id.get(self.id)
        if child is None:
            self.fail(NoSuchChild(family.owner.path, self.id))
        elif not child.buried:
            self.fail(AlreadyStarted(child.ref))
        else:
            family.forget(self.id)
            self.reply(None)


@frozen
class ChildCount:
    """Counts of the children of a supervising actor.

    `specs` counts all specs, `active` the children with a running incarnation, `supervisors` and `workers` the live
    ones with and without children of their own.
    """

    specs: int
    active: int
    supervisors: int
    workers: int


class CountChildren(ChildrenRequest[ChildCount]):
    """Ask a supervising actor for the counts of its children."""

    def act(self, family: Children) -> None:
        """Count the children."""
        living = family.living()
        supervisors = sum(1 for cell in living if cell.children is not None or issubclass(cell.kind, Supervisor))
        active = sum(1 for cell in living if cell.state is State.RUNNING)
        self.reply(ChildCount(len(family.by_id), active, supervisors, len(living) - supervisors))


class ListSpecs(ChildrenRequest[tuple[ChildSpec, ...]]):
    """Ask a supervising actor for the specs of its children in start order, including those of stopped static ones.

    The spec of a temporary child has no factory: it was released when the child started.
    """

    def act(self, family: Children) -> None:
        """Reply with the specs."""
        self.reply(tuple(cell.spec for cell in family.by_id.values()))


@frozen
class StopChild(ChildrenRequest[Exit]):
    """Ask a supervising actor to stop a child for good, as `ActorRef.stop` does. The answer is its exit, once it is
    dead.

    Fails with `NoSuchChild`. Harmless if the child is stopped already.
    """

    id: str
    mode: StopMode = StopMode.AFTER_MESSAGE

    def act(self, family: Children) -> None:
        """Tell the child to stop, and answer once it is dead."""
        cell = family.by_id.get(self.id)
        if cell is None:
            self.fail(NoSuchChild(family.owner.path, self.id))
            return
        cell.order_stop(self.mode)
        cell.when_dead(lambda: self.reply(cell.exit or NORMAL))


def _start(family: Children, spec: ChildSpec, request: ChildrenRequest[ActorRef]) -> None:
    if not family.groups.call_when_started(lambda: request.perform(family) if request.waiting else None):
        return
    cancelled = family.cancelled_start(spec)
    if cancelled is not None:
        cancelled.when_dead(lambda: request.perform(family) if request.waiting else None)
        return
    try:
        cell = family.start_child(spec)
    except ActorError as error:
        request.fail(error)
        return
    answered = False

    def answer() -> None:
        nonlocal answered
        answered = True
        error: StartFailed | None = cell.history.start_error
        if not request.waiting:
            cell.order_stop(StopMode.NOW)
        elif error is None:
            request.reply(cell.ref)
        else:
            error.__cause__ = error.cause
            request.fail(error)

    def cancel_start() -> None:
        if not answered:
            cell.order_stop(StopMode.NOW)

    cell.when_started(answer)
    request.when_ended(cancel_start)
