"""Every error of the package.

ActorError
├── InvalidSpec (ValueError)          a field of a spec is wrong; nothing was started
├── InvalidActor (TypeError)          a hook has the wrong form, or an actor was used twice
├── NotAnAsk (TypeError)              the request is no `Ask`
├── SpentSpec (RuntimeError)          a spec was taken from a temporary child that runs
├── StartFailed                       a child did not start; `cause` says why
│   └── StartDeclined                 its `on_start` raised `Ignore`
├── StartTimeout (trio.TooSlowError)  a start took longer than `start_timeout_s`
├── AlreadyStarted (ValueError)       the id is taken; `.ref` is its owner (in `ref`)
├── TooManyChildren                   `max_children` is reached
├── NotSupervising (TypeError)        the actor has no `supervision` and cannot have children
├── NoSuchChild (LookupError)         no child has this id
├── NoSuchActor (LookupError)         no live actor is at this path
├── ActorDied (trio.BrokenResourceError)   the target of an ask has ended for good (in `ask`)
│   └── IncarnationDied               the target ended at this request, and is restarted (in `ask`)
├── ActorUnavailable (trio.BusyResourceError)   the target is between two incarnations
├── AskTimeout (trio.TooSlowError)    no answer in time
├── SelfCall (RuntimeError)           an actor waited for itself
├── AskCycle (RuntimeError)           an ask closed a circle of actors that wait for one another
├── MailboxFull (trio.WouldBlock)     no room in the lane
├── UnhandledMessage (TypeError)      the actor does not know this request
│   └── Unanswered                    the actor released the request without an answer
├── IntensityExceeded                 too many restarts: the supervisor itself fails
├── Escalated                         a child's error was handed to its supervisor
├── DeathPact                         an actor ended that the watcher cannot live without
├── RaisedBaseException               an actor raised something that is no `Exception`
├── WrongLoop (RuntimeError)          a call from another thread, or from another trio loop
├── NotEntered (RuntimeError)         the system is used outside of its block
└── SystemFailed                      the root of the tree failed

Not among them: `Ignore`, which a start hook raises to decline, and `InvalidTransition` in `lifecycle`.
"""

from __future__ import annotations

from copy import copy
from typing import overload

import trio
from attrs import define


class Ignore(Exception):
    """Raised in `on_start` to decline: the actor does not run and its later siblings start all the same."""


class ActorError(Exception):
    """The root of the package's errors."""


@define
class InvalidSpec(ActorError, ValueError):
    """A field of a spec is invalid, found when the spec was made, or an id is a duplicate. Nothing was started."""

    field: str
    problem: str

    def __str__(self) -> str:
        return f"{self.field}: {self.problem}"


@define
class InvalidActor(ActorError, TypeError):
    """A class of actors has a hook of the wrong form, or a factory returned an actor a second time.

    `actor` names the class.
    """

    actor: str
    problem: str

    def __str__(self) -> str:
        return f"{self.actor}: {self.problem}"


@define
class NotAnAsk(ActorError, TypeError):
    """The request is no instance of a subclass of `Ask`, so it cannot be answered. It was not sent."""

    path: str
    what: str

    def __str__(self) -> str:
        return f"{self.path} was asked {self.what}, which cannot be answered"


class SpentSpec(ActorError, RuntimeError):
    """A child was started from the spec that `ListSpecs` returned for a temporary child, whose factory was released."""

    def __str__(self) -> str:
        return "the factory of a temporary child is released once the child runs: start another from a spec of your own"


@define
class StartFailed(ActorError):
    """A child did not start. `cause` is the error it raised, or None if it was stopped or killed while starting."""

    path: str
    cause: Exception | None = None

    def __str__(self) -> str:
        why = "it was stopped meanwhile" if self.cause is None else text_of(self.cause)
        return f"{self.path} did not start: {why}"


@define
class StartDeclined(StartFailed):
    """The child's `on_start` raised `Ignore`: it does not run, and that is no failure of its parent."""

    def __str__(self) -> str:
        return f"{self.path} declined to start"


@define
class StartTimeout(ActorError, trio.TooSlowError):
    """An `on_start` took longer than the spec's `start_timeout_s`."""

    path: str
    timeout_s: float

    def __str__(self) -> str:
        return f"{self.path} did not start within {self.timeout_s:g} s"


@define
class TooManyChildren(ActorError):
    """The supervisor has `max_children` children already."""

    path: str
    max_children: int

    def __str__(self) -> str:
        return f"{self.path} has {self.max_children} children already"


@define
class NotSupervising(ActorError, TypeError):
    """The actor's `supervision` is None: it cannot have children."""

    path: str

    def __str__(self) -> str:
        return f"{self.path} has no supervision: set the class attribute `supervision` to let it have children"


@define
class NoSuchChild(ActorError, LookupError):
    """The supervisor has no child of this id."""

    path: str
    id: str

    def __str__(self) -> str:
        return f"{self.path} has no child {self.id!r}"


@define
class NoSuchActor(ActorError, LookupError):
    """No live actor has this path."""

    path: str

    def __str__(self) -> str:
        return f"no live actor is at {self.path}: `ActorSystem.tree` shows all, `explain` those that ended lately"


@define
class ActorUnavailable(ActorError, trio.BusyResourceError):
    """The target is starting, backing off or stopping, and not known to end for good. The request was not sent.

    Raised only to an ask with `fail_fast=True`.
    """

    path: str
    state: str

    def __str__(self) -> str:
        return f"{self.path} is {self.state}"


@define
class AskTimeout(ActorError, trio.TooSlowError):
    """No answer within the ask's `timeout_s`. If the request was still queued it was taken out again."""

    path: str
    message_type: str
    timeout_s: float

    def __str__(self) -> str:
        return f"{self.path} did not answer {self.message_type} within {self.timeout_s:g} s"


@define
class SelfCall(ActorError, RuntimeError):
    """An actor waited, in its own task, for its own answer or its own end, which would never come."""

    path: str
    verb: str

    def __str__(self) -> str:
        return f"{self.path} cannot {self.verb} itself"


@define
class AskCycle(ActorError, RuntimeError):
    """An ask whose answer would never come: each of `paths` waits for the next, and the last for the first."""

    paths: tuple[str, ...]

    def __str__(self) -> str:
        return f"these would wait for one another for ever: {' -> '.join((*self.paths, self.paths[0]))}"


@define
class DeathPact(ActorError):
    """An actor ended that `path` had watched as `vital`, and `path` did not call `outlive` for it."""

    path: str
    ended: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path} cannot live without {self.ended}, which ended: {self.reason}"


@define
class RaisedBaseException(ActorError):
    """An actor raised a `BaseException` that is no `Exception` and does not leave the tree; it is the cause.

    `KeyboardInterrupt`, `SystemExit` and `trio.Cancelled` pass through the tree. Others crash the actor, as any
    exception does.
    """

    path: str
    kind: str

    def __str__(self) -> str:
        return f"{self.path} raised {self.kind}, which is no Exception"


@define
class MailboxFull(ActorError, trio.WouldBlock):
    """The lane is full and its policy keeps what it holds. The message was not delivered; the actor is alive."""

    path: str
    lane: str
    capacity: int

    def __str__(self) -> str:
        full = f"{self.path}: lane {self.lane} holds {self.capacity} messages and is full"
        return f"{full}: wait for room with `send`, or set `mailbox` on its class"


@define
class UnhandledMessage(ActorError, TypeError):
    """The actor has no answer to this type of request."""

    path: str
    message_type: str

    def __str__(self) -> str:
        return f"{self.path} does not understand {self.message_type}"


@define
class Unanswered(UnhandledMessage):
    """The actor released a request without answering it, so that no answer is possible."""

    def __str__(self) -> str:
        why = "no case of its `receive` matched, or the case that matched did not reply"
        return f"{self.path} let go of {self.message_type} without an answer: {why}"


@define
class IntensityExceeded(ActorError):
    """More restarts than the supervision allows; `path` is the supervisor, `offender` the last child that failed."""

    path: str
    offender: str
    intensity: int
    period_s: float

    def __str__(self) -> str:
        return f"{self.path}: more than {self.intensity} restarts in {self.period_s:g} s, the last of {self.offender}"


@define
class Escalated(ActorError):
    """A child failed with an error whose directive is `ESCALATE`: its supervisor fails instead of restarting it."""

    path: str
    offender: str

    def __str__(self) -> str:
        return f"{self.path} fails because {self.offender} escalated"


@define
class WrongLoop(ActorError, RuntimeError):
    """A part of a tree was used in a thread that does not run its trio loop. Nothing was changed."""

    def __str__(self) -> str:
        return (
            "actors belong to the trio loop they were started on, which does not run in this thread: call "
            "trio.from_thread.run_sync(ref.tell, message) or trio.from_thread.run(ref.ask, request), with trio_token= "
            "in a thread that trio did not start"
        )


@define
class NotEntered(ActorError, RuntimeError):
    """The system was used before its `async with` block, or entered a second time."""

    name: str
    problem: str

    def __str__(self) -> str:
        return f"actor system {self.name} {self.problem}"


@define
class SystemFailed(ActorError):
    """The root supervisor failed or was killed: the whole tree is down. The cause is the root's error, if any."""

    name: str

    def __str__(self) -> str:
        return f"actor system {self.name} failed"


@overload
def unwrap(error: Exception) -> Exception: ...
@overload
def unwrap(error: BaseException) -> BaseException: ...
def unwrap(error: BaseException) -> BaseException:
    """Return the only error inside a group, however nested; otherwise `error` itself."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def own_copy(error: Exception) -> Exception:
    """Return a copy of an error, to be raised to one of several callers; the error itself if it cannot be copied.

    A copy for each, since a raised error keeps the frames through which it passes, with all their variables.
    """
    try:
        duplicate = copy(error)
    except Exception:  # the error's `__init__` does not take its `args`
        duplicate = None
    if type(duplicate) is not type(error):
        try:
            duplicate = type(error).__new__(type(error), *error.args)
            duplicate.__dict__.update(error.__dict__)
        except Exception:
            return error
    duplicate.__cause__, duplicate.__context__ = error.__cause__, error.__context__
    duplicate.__suppress_context__ = error.__suppress_context__
    return duplicate.with_traceback(error.__traceback__)


def program_end(error: BaseException) -> BaseException | None:
    """Return the `KeyboardInterrupt` or `SystemExit` in an error that is nothing else, however nested; else None."""
    if isinstance(error, BaseExceptionGroup):
        ends = [program_end(inner) for inner in error.exceptions]
        return None if None in ends else ends[0]
    return error if isinstance(error, KeyboardInterrupt | SystemExit) else None


def split_cancelled(error: BaseException | None) -> tuple[BaseException | None, BaseException | None]:
    """Split an error into its cancellations and the rest; either may be None. Nurseries make groups of both."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(trio.Cancelled)
    return (error, None) if isinstance(error, trio.Cancelled) else (None, error)


def text_of(error: BaseException) -> str:
    """Return the error's type and text; only the type if its `__str__` raises."""
    kind = type(error).__name__
    try:
        return f"{kind}: {error}"
    except Exception:
        return kind
