"""The root of a tree of actors: its start, its events and its shutdown."""

from __future__ import annotations

import contextvars
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from logging import DEBUG
from random import Random, getrandbits
from types import TracebackType
from typing import Any

import trio
from attrs import evolve

from . import dead_letters, termination
from .actor import Receive
from .cell import Cell
from .checks import check_plain, is_number
from .coordinated_shutdown import PHASES, STOP_ACTORS, CoordinatedShutdown, Phase
from .errors import (
    ActorError,
    InvalidSpec,
    NoSuchActor,
    NotEntered,
    SelfCall,
    SystemFailed,
    program_end,
    split_cancelled,
    text_of,
    unwrap,
)
from .events import DeadLetter, DeadLetters, Event, MessageUnhandled, ShutdownTaskFailed, log, log_event, register
from .exit_reasons import KILLED, Crashed, Exit
from .incidents import Explanation, explain
from .lifecycle import StopMode
from .reaper import Reaper
from .ref import ActorRef
from .spec import ChildSpec, Restart, Strategy, check_children
from .supervisor import Supervisor
from .timers import Timers
from .tree import TreeNode, TreeStream, change_of, snapshot
from .watchdog import watch_loop

YIELD_EVERY = 16
"""Starts without a wait until one yields to other tasks: about a third of a millisecond. A start that yields costs a
quarter more."""
SLOW_HANDLER_S = 0.05
"""Default of `slow_handler_s`. Half of what asyncio's debug mode reports; on a shared machine, less is often somebody
else's doing, or the garbage collector's."""
ROOT_INTENSITY = 5
"""Default of `intensity`: restarts of each child of the root within 5 s. Children of the root are unrelated, so each is
counted by itself. More than two bad messages in a row should pass; a child that cannot work at all exceeds this at
once, and the root fails."""
Interceptor = Callable[[ActorRef, Receive], Receive]
"""Takes an actor and its `receive`, and returns the `receive` to use: the same one, or a wrapper."""
OBITUARIES = 100
"""Number of actors that ended abnormally, for good, and are kept for `ActorSystem.explain`; the oldest is dropped."""


class ActorSystem:
    """A tree of actors under one root supervisor (one for one), for the length of an `async with` block.

    Leaving the block stops the tree in order, each actor within its grace; a cancelled block kills it.

    `children` start with the system; the root tolerates `intensity` restarts of each in `period_s` s. `on_event` is
    called with each event of `actors.events`; it must be quick, and its errors are counted and logged.
    `dead_letter_capacity` dead letters are kept. `seed` makes the jitter of backoffs repeatable. `carry` names context
    variables whose values travel with messages. `redact` takes the text of an error, a traceback or a state and returns
    the text to show. A task that keeps the loop for longer than `slow_handler_s` s is reported. `phases` are those of
    the coordinated shutdown; the tree stops in the one named `stop_actors`.

    Raises `InvalidSpec` for invalid arguments, `StartFailed` on entry if a child does not start, and `SystemFailed` on
    exit if the root failed, even if the block itself raised an error, which is then its context.
    """

    def __init__(
        self,
        name: str = "system",
        children: Sequence[ChildSpec] = (),
        *,
        intensity: int = ROOT_INTENSITY,
        period_s: float = 5.0,
        on_event: Callable[[Event], None] | None = None,
        dead_letter_capacity: int = 1000,
        seed: int | None = None,
        carry: Sequence[contextvars.ContextVar[Any]] = (),
        redact: Callable[[str], str] | None = None,
        slow_handler_s: float = SLOW_HANDLER_S,
        phases: Sequence[Phase] = PHASES,
    ) -> None:
        if not (is_number(slow_handler_s) and slow_handler_s > 0):
            raise InvalidSpec("slow_handler_s", "must be above zero; infinite to watch for nothing")
        check_plain("on_event", on_event)
        check_plain("redact", redact)
        self.name = name
        self.on_event: Callable[[Event], None] | None = on_event
        self.dead_letters: DeadLetters = DeadLetters(dead_letter_capacity)
        """The last messages that were not handled, and the count of all."""
        self.event_errors: int = 0
        """Number of errors raised by `on_event` or a listener."""
        self.interceptors_version: int = 0
        """Incremented by each change of the interceptors."""
        self.interceptor_errors: int = 0
        """Number of errors raised by interceptors themselves. Errors of the `receive` they return crash the actor."""
        self._redact = redact
        self._listeners: dict[object, Callable[[Event], None]] = {}
        self.interceptors: dict[object, Interceptor] = {}
        self._emitting = False
        self.streams: list[TreeStream] = []
        self.late_replies: int = 0
        """Number of answers that came after their call had ended."""
        self.unhandled: int = 0
        """Number of messages that their actors did not know."""
        self.random: Random = Random(getrandbits(64) if seed is None else seed)  # noqa: S311 - jitter, not secrets
        self.owner: Cell | None = None
        self.reaper: Reaper = Reaper(self)
        self._unyielded = 0
        self._cell: Cell | None = None
        self._stopping = False
        self._stopped = trio.Event()
        self._shutdown_scope = trio.CancelScope()
        self.carry: tuple[contextvars.ContextVar[Any], ...] = tuple(carry)
        """The context variables that travel with messages."""
        self.slow_handler_s: float = slow_handler_s
        """A task that keeps the loop for longer than this is reported as `SlowHandler`."""
        self._obituaries: OrderedDict[str, Explanation] = OrderedDict()
        self._context = contextvars.Context()
        self._failure: Exception | None = None
        self.shutdown: CoordinatedShutdown = CoordinatedShutdown(phases, report=self._report_shutdown_failure)
        """The phases of the shutdown: `system.shutdown.add_task(phase, async_fn, name)`."""
        self.shutdown.add_task(STOP_ACTORS, self._stop_tree, f"the tree of {name}")
        specs = check_children(children)

        def make_root() -> Supervisor:
            return Supervisor(specs, Strategy.ONE_FOR_ONE, intensity, period_s, per_child=True)

        make_root()
        self._root_spec = ChildSpec(name, make_root, restart=Restart.TEMPORARY)

    async def __aenter__(self) -> ActorSystem:
        if self._cell is not None:
            raise NotEntered(self.name, "can be entered once only")
        self.timers: Timers = Timers()
        self.token: trio.lowlevel.TrioToken = trio.lowlevel.current_trio_token()
        self._outer = trio.open_nursery()
        self.nursery: trio.Nursery = await self._outer.__aenter__()
        self._unwatch_loop = watch_loop(self)
        self.start_soon(self.nursery, f"{self.name} (timers)", self.timers.run)
        self._cell = Cell(self, self, self._root_spec)
        try:
            await self._start_root()
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        cancelled, rest = split_cancelled(error)
        lost = self._root.incarnation.killed and not self._root.incarnation.no_restart
        leaving, interruption = (cancelled, None) if cancelled is not None else await self._leave()
        self.nursery.cancel_scope.cancel()
        caught = False
        try:
            if leaving is None:
                await self._outer.__aexit__(None, None, None)
            else:
                caught = bool(await self._outer.__aexit__(type(leaving), leaving, leaving.__traceback__))
        except BaseException as problem:
            if cancelled is not None and rest is not None:
                return  # the block raised both: let its error go on as it is
            end = program_end(problem)
            if end is not None:
                raise end from None
            raise
        finally:
            try:
                await self._finish_shutdown()
            finally:
                self._unwatch_loop()
                self._stopped.set()
        if interruption is not None:
            raise interruption
        if (lost or caught or self._failure is not None) and self._outranks(rest):
            failed = SystemFailed(self.name)
            if rest is not None:
                failed.add_note(f"the block of the system raised {text_of(unwrap(rest))}")
            raise failed from self._failure
        if rest is not None and rest is not error:
            raise rest

    def _outranks(self, error: BaseException | None) -> bool:
        """Whether a failed root is reported instead of `error`, which the block raised.

        The error is often a consequence of that failure: an ask ends with `ActorDied` before the block is cancelled.
        Errors that end the program go first, as does the failed start of a root that never ran.
        """
        return error is None or (isinstance(error, Exception) and self._root.ever_started)

    async def _leave(self) -> tuple[BaseException | None, BaseException | None]:
        """Stop in order. Return the cancellation and the error that cut it short; either may be None."""
        try:
            await self.stop()
        except BaseException as error:
            return (error, None) if isinstance(error, trio.Cancelled) else (None, error)
        return None, None

    async def _finish_shutdown(self) -> None:
        """Run the phases after the tree's, which a tree that was killed has not reached."""
        names = [phase.name for phase in self.shutdown.phases]
        after = names[names.index(STOP_ACTORS) + 1 :]
        if after:
            await self.shutdown.run(after[0])

    async def _start_root(self) -> None:
        started = trio.Event()
        self._root.when_started(started.set)
        self._root.start_incarnation()
        await started.wait()
        if self._root.start_error is not None:
            cause = self._root.start_error.cause
            raise cause if isinstance(cause, ActorError) else self._root.start_error

    @property
    def _root(self) -> Cell:
        if self._cell is None:
            raise NotEntered(self.name, "has not been entered yet: use `async with`")
        return self._cell

    def _checked_root(self) -> Cell:
        """Return the root. Raises `NotEntered`, and `WrongLoop` unless the system's loop runs in this thread."""
        self._root.mailbox.check_loop()
        return self._root

    @property
    def root(self) -> ActorRef:
        """The root supervisor."""
        return self._root.ref

    async def spawn(self, spec: ChildSpec) -> ActorRef:
        """Start a child of the root and wait until it runs. Raises the errors of `Context.spawn`."""
        family = self._checked_root().children
        if family is None:
            raise dead_letters.death_error(self._root)
        return await family.spawn(spec)

    async def stop(self, grace_s: float | None = None) -> None:
        """Run the phases of the shutdown, in one of which the tree stops in order, and wait for their end.

        `grace_s` bounds all of it, in seconds from now. After half of it, phases before the tree's get no more time;
        after three quarters, if later phases have tasks, the rest of the tree is killed; at the end all tasks of phases
        are cancelled too. The stop goes on if the caller is cancelled; a second call, and the end of the block, wait
        for the same end. Raises `SelfCall` in an actor's own task, which would wait for its own end, and in a task of a
        phase: use `request_stop` there.
        """
        self._checked_root()
        self.shutdown.check_not_in_task()
        task = trio.lowlevel.current_task()
        for cell in () if self._stopped.is_set() else self._root.walk():
            if cell.incarnation.task is task:
                raise SelfCall(cell.path, "await the end of the system of")
        self.request_stop(grace_s)
        await self._stopped.wait()

    def request_stop(self, grace_s: float | None = None) -> None:
        """Begin to `stop`, without waiting: for actors, tasks of a phase, and callbacks.

        Harmless if the system is stopping or has stopped.
        """
        self._checked_root()
        if self._stopped.is_set():
            return
        if grace_s is not None:
            self.timers.after(grace_s / 2, partial(self.shutdown.skip_to, STOP_ACTORS))
            tree_s = grace_s * 3 / 4 if self.shutdown.has_tasks_after(STOP_ACTORS) else grace_s
            self.timers.after(tree_s, self._kill_tree)
            self.timers.after(grace_s, self.kill)
        if not self._stopping:
            self._stopping = True
            self.start_soon(self.nursery, f"{self.name} (shutdown)", self._shut_down)

    def kill(self) -> None:
        """Kill the whole tree now, and cancel the phases of the shutdown: each task gets to its first wait."""
        self._checked_root()
        self._kill_tree()
        self.request_stop()
        self.shutdown.skip_to(None)
        self._shutdown_scope.cancel()

    def _kill_tree(self) -> None:
        self._root.incarnation.no_restart = True
        termination.kill(self._root)
        termination.order_stop(self._root, StopMode.NOW)

    async def _shut_down(self) -> None:
        try:
            with self._shutdown_scope:
                await self.shutdown.run()
        finally:
            self._stopped.set()

    def _report_shutdown_failure(self, record: ShutdownTaskFailed) -> None:
        self.emit(evolve(record, problem=self.redacted(record.problem)))

    async def _stop_tree(self) -> None:
        termination.order_stop(self._root, StopMode.AFTER_MESSAGE)
        await self._root.wait_dead()

    def tree(self) -> TreeNode:
        """Return a snapshot of the live tree."""
        return snapshot(self._root, self.timers.now())

    def find(self, path: str) -> ActorRef | None:
        """Return the live actor at this path, or None."""
        cell = self.cell_at(path)
        if cell is None:
            self._root  # noqa: B018 - raises if the system was not entered
            return None
        return None if cell.buried else cell.ref

    def get(self, path: str) -> ActorRef:
        """Return the live actor at this path, as in `/system/chat/outbox`. Raises `NoSuchActor` if there is none."""
        ref = self.find(path)
        if ref is None:
            raise NoSuchActor(path)
        return ref

    def explain(self, path: str) -> Explanation | None:
        """Return the last ends of incarnations of the actor at this path, and the decision taken each time.

        Knows the live actors, and the last hundred that ended abnormally for good. None for any other path.
        """
        ref = self.find(path)
        return explain(ref._cell) if ref is not None else self._obituaries.get(path)

    @asynccontextmanager
    async def changes(self, capacity: int = 1024) -> AsyncIterator[TreeStream]:
        """Stream the changes of the tree for the length of the block. At most `capacity` of them wait."""
        stream = TreeStream(self.tree, capacity)
        self.streams.append(stream)
        if self._root.buried:
            stream.close()
        try:
            yield stream
        finally:
            self.streams.remove(stream)
            stream.close()

    def listen(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        """Call `listener` with each event from now on, after `on_event`. Call the result to remove it."""
        check_plain("listener", listener)
        return register(self._listeners, listener)

    def intercept(self, interceptor: Interceptor) -> Callable[[], None]:
        """Put `interceptor` around the `receive` of every actor, from its next message on; the first is the innermost.

        It is called with each actor's reference and `receive`, once for each incarnation and again if the interceptors
        change, and returns the `receive` to use: for tracing, metrics of handling, or chaos. One that returns the
        `receive` it was given costs nothing from then on. Call the result to remove it.
        """
        check_plain("interceptor", interceptor)
        remove = register(self.interceptors, interceptor)
        self._interceptors_changed()

        def take_away() -> None:
            remove()
            self._interceptors_changed()

        return take_away

    # For the runtime

    def emit(self, event: Event) -> None:
        """Call `on_event` and the listeners. Their errors are counted and logged, and reach no actor."""
        before, self._emitting = self._emitting, True
        try:
            for key in (None, *self._listeners):
                try:
                    if key is None:
                        (log_event if self.on_event is None else self.on_event)(event)
                    elif key in self._listeners:  # else an earlier listener has removed it
                        self._listeners[key](event)
                except Exception:
                    self.event_errors += 1
                    log.exception("a listener to the events of the actors raised")
        finally:
            self._emitting = before

    def has_listeners(self) -> bool:
        """Whether events of normal operation are listened to, and so worth creating."""
        return self.on_event is not None or bool(self._listeners) or log.isEnabledFor(DEBUG)

    def dead_letter(self, letter: DeadLetter) -> None:
        """Keep, count and emit a dead letter.

        One that a listener caused while it handled an event is kept and counted only: emitting it would call the same
        listener, which would cause another.
        """
        quietly, self._emitting = self._emitting, True
        try:
            self.dead_letters.add(letter, quietly=quietly)
        finally:
            self._emitting = quietly
        if not quietly:
            self.emit(letter)

    def redacted(self, text: str) -> str:
        """Return the redacted text; only the error's type if `redact` raises."""
        if self._redact is None:
            return text
        try:
            return self._redact(text)
        except Exception as error:
            return f"redact raised {type(error).__name__}"

    def intercepted(self, ref: ActorRef, receive: Receive) -> Receive:
        """Return `receive` wrapped by every interceptor."""
        for interceptor in tuple(self.interceptors.values()):
            try:
                receive = interceptor(ref, receive)
            except Exception:
                self.interceptor_errors += 1
                log.exception("an interceptor raised when it was asked about %s; it is left out there", ref.path)
        return receive

    def note_unhandled(self, path: str, message_type: str) -> None:
        """Count and report a message that its actor did not know."""
        self.unhandled += 1
        self.emit(MessageUnhandled(path, message_type))

    def cell_at(self, path: str) -> Cell | None:
        """Return the cell at this path, or None. May be called from any thread."""
        names = path.strip("/").split("/")
        cell: Cell | None = self._cell if names[0] == self.name else None
        for name in names[1:]:
            cell = cell.children.by_id.get(name) if cell is not None and cell.children is not None else None
        return cell

    async def yield_regularly(self) -> None:
        """Yield to other tasks once in `YIELD_EVERY` calls, so that a loop over quick starts starves none."""
        self._unyielded += 1
        if self._unyielded >= YIELD_EVERY:
            self._unyielded = 0
            await trio.lowlevel.cancel_shielded_checkpoint()

    def changed(self, cell: Cell) -> None:
        """Report a new state to the streams of the tree."""
        change = change_of(cell)
        for stream in self.streams:
            stream.add(change)

    def ended(self, cell: Cell, reason: Exit) -> None:
        """Report to the streams that an actor ended for good, and keep an abnormal end for `explain`."""
        if reason.abnormal:
            self._obituaries[cell.path] = explain(cell)
            self._obituaries.move_to_end(cell.path)
            if len(self._obituaries) > OBITUARIES:
                self._obituaries.popitem(last=False)
        if self.streams:
            self.changed(cell)
            if cell is self._root:
                for stream in self.streams:
                    stream.close()

    def _interceptors_changed(self) -> None:
        """Have every actor look up its interceptors before its next message."""
        self.interceptors_version += 1
        for cell in () if self._cell is None else self._cell.walk():
            cell.mailbox.interrupt = True

    def start_soon(
        self, nursery: trio.Nursery, name: str, function: Callable[..., Awaitable[object]], *args: Any
    ) -> None:
        """Start a task in an empty context: an actor does not belong to the request that happened to start it."""
        self._context.run(nursery.start_soon, function, *args, name=name)

    def child_ended(self, cell: Cell, reason: Exit) -> None:
        """Bury the root. If it failed or was killed, cancel the system's block."""
        if isinstance(reason, Crashed) and cell.ever_started:
            self._failure = reason.error
            self.nursery.cancel_scope.cancel()
        elif reason is KILLED and not cell.incarnation.no_restart:
            self.nursery.cancel_scope.cancel()
        cell.bury(reason)

    def resumed(self, cell: Cell, error: Exception) -> None:
        """Do nothing: the root never resumes, since its spec has no directives."""

    def retire(self, cell: Cell, reason: Exit) -> None:
        """Bury the root."""
        cell.bury(reason)


@asynccontextmanager
async def open_system(
    name: str = "system", children: Sequence[ChildSpec] = (), **options: Any
) -> AsyncIterator[ActorSystem]:
    """Open an `ActorSystem` with these arguments for the length of the block."""
    async with ActorSystem(name, children, **options) as system:
        yield system
