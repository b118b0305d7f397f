"""The root of a tree of actors: its start, its events and its shutdown."""

from __future__ import annotations

import contextvars
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from types import TracebackType
from typing import Any

import trio
from attrs import evolve

from .actor import Receive, Supervisor
from .cell import Cell, Directory
from .checks import check_plain
from .coordinated_shutdown import PHASES, STOP_ACTORS, CoordinatedShutdown, Phase
from .errors import ActorError, NotEntered, SelfCall, SystemFailed, program_end, split_cancelled, text_of, unwrap
from .events import Event, ShutdownTaskFailed, register
from .exit_reasons import KILLED, Crashed, Exit
from .life import LiveCell
from .lifecycle import State, StopMode
from .ref import ActorRef
from .spec import ChildSpec, Restart, Strategy, check_children
from .timers import Timers
from .tree import TreeNode, TreeStream
from .watchdog import watch_loop

SLOW_HANDLER_S = 0.05
"""Default of `slow_handler_s`. Half of what asyncio's debug mode reports; a shorter hold is often due to other programs
on the machine, or to the garbage collector."""
ROOT_INTENSITY = 5
"""Default of `intensity`: restarts of each child of the root within 5 s. Children of the root are unrelated, so each is
counted by itself. More than two bad messages in a row should pass; a child that cannot work at all exceeds this at
once, and the root fails."""
Interceptor = Callable[[ActorRef, Receive], Receive]
"""Takes an actor and its `receive`, and returns the `receive` to use: the same one, or a wrapper."""


class ActorSystem(Directory):
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
        super().__init__(
            name,
            on_event=on_event,
            redact=redact,
            dead_letter_capacity=dead_letter_capacity,
            seed=seed,
            carry=carry,
            slow_handler_s=slow_handler_s,
        )
        self.owner: Cell | None = None
        self._stopping = False
        self._stopped = trio.Event()
        self._shutdown_scope = trio.CancelScope()
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
        self._cell = LiveCell(self, self, self._root_spec)
        try:
            await self._start_root()
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        cancelled, block_error = split_cancelled(error)
        ending = self._root.incarnation.ending
        root_killed = ending.killed and not ending.no_restart
        leaving, interruption = (cancelled, None) if cancelled is not None else await self._leave()
        self.nursery.cancel_scope.cancel()
        caught = False
        try:
            if leaving is None:
                await self._outer.__aexit__(None, None, None)
            else:
                caught = bool(await self._outer.__aexit__(type(leaving), leaving, leaving.__traceback__))
        except BaseException as problem:
            if cancelled is not None and block_error is not None:
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
        if (root_killed or caught or self._failure is not None) and self._outranks(block_error):
            failed = SystemFailed(self.name)
            if block_error is not None:
                failed.add_note(f"the block of the system raised {text_of(unwrap(block_error))}")
            raise failed from self._failure
        if block_error is not None and block_error is not error:
            raise block_error

    def _outranks(self, error: BaseException | None) -> bool:
        """Whether a failed root is reported instead of `error`, which the block raised.

        The error is often a consequence of that failure: an ask ends with `ActorDied` before the block is cancelled.
        Errors that end the program go first, as does the failed start of a root that never ran.
        """
        return error is None or (isinstance(error, Exception) and self._root.history.ever_started)

    async def _leave(self) -> tuple[BaseException | None, BaseException | None]:
        """Stop in order. Return the cancellation and the error that cut it short; either may be None."""
        try:
            await self.stop()
        except BaseException as error:
            return (error, None) if isinstance(error, trio.Cancelled) else (None, error)
        return None, None

    async def _finish_shutdown(self) -> None:
        """Run the phases after the tree's, since the shutdown of a killed tree has not reached them."""
        names = [phase.name for phase in self.shutdown.phases]
        after = names[names.index(STOP_ACTORS) + 1 :]
        if after:
            await self.shutdown.run(after[0])

    async def _start_root(self) -> None:
        started = trio.Event()
        self._root.when_started(started.set)
        self._root.start()
        await started.wait()
        error = self._root.history.start_error
        if error is not None:
            raise error.cause if isinstance(error.cause, ActorError) else error

    async def spawn(self, spec: ChildSpec) -> ActorRef:
        """Start a child of the root and wait until it runs. Raises the errors of `Context.spawn`."""
        family = self._checked_root().children
        if family is None:
            raise self._root.death_error()
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
            if cell.task is task:
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

    @property
    def killed(self) -> bool:
        """Whether none of its actors comes back: the tree was killed or has ended, or the block was cancelled."""
        return self._root.incarnation.ending.killed or self.nursery.cancel_scope.cancel_called

    def kill(self) -> None:
        """Kill the whole tree now, and cancel the phases of the shutdown: each task gets to its first wait."""
        self._checked_root()
        self._kill_tree()
        self.request_stop()
        self.shutdown.skip_to(None)
        self._shutdown_scope.cancel()

    def _kill_tree(self) -> None:
        self._root.incarnation.end().no_restart = True
        self._root.kill()
        self._root.order_stop(StopMode.NOW)

    async def _shut_down(self) -> None:
        try:
            with self._shutdown_scope:
                await self.shutdown.run()
        finally:
            self._stopped.set()

    def _report_shutdown_failure(self, record: ShutdownTaskFailed) -> None:
        self.emit(evolve(record, problem=self.redacted(record.problem)))

    async def _stop_tree(self) -> None:
        self._root.order_stop(StopMode.AFTER_MESSAGE)
        await self._root.wait_dead()

    def intercept(self, interceptor: Interceptor) -> Callable[[], None]:
        """Put `interceptor` around the `receive` of every actor, from its next message on; the first is the innermost.

        It is called with each actor's reference and `receive`, once for each incarnation and again if the interceptors
        change, and returns the `receive` to use: for tracing, metrics of handling, or chaos. An interceptor that
        returns `receive` unchanged costs nothing from then on. Call the result to remove the interceptor.
        """
        check_plain("interceptor", interceptor)
        remove = register(self.interceptors, interceptor)
        self.interceptors_changed()

        def remove_interceptor() -> None:
            remove()
            self.interceptors_changed()

        return remove_interceptor

    def tree(self) -> TreeNode:
        """Return a snapshot of the live tree."""
        return snapshot(self._root, self.timers.now())

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

    # For the runtime

    def child_ended(self, cell: Cell, reason: Exit) -> None:
        """Bury the root. If it failed or was killed, cancel the system's block."""
        if isinstance(reason, Crashed) and cell.history.ever_started:
            self._failure = reason.error
            self.nursery.cancel_scope.cancel()
        elif reason is KILLED and not cell.incarnation.ending.no_restart:
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


def snapshot(cell: Cell, now: float) -> TreeNode:
    """Return a snapshot of the cell and all below. No recursion: a tree may be deeper than Python's stack."""
    nodes: dict[Cell, TreeNode] = {}
    for current in reversed(list(cell.walk())):
        family = current.children
        nodes[current] = TreeNode(
            path=current.path,
            type=current.kind.__name__,
            state=State.STOPPED if current.buried else current.state,
            depth=current.inbox.depths(),
            restarts=current.history.restarts,
            age_s=max(0.0, now - current.history.since),
            last_error=current.history.last_error,
            children=() if family is None else tuple([nodes.pop(child) for child in family.by_id.values()]),
        )
    return nodes[cell]
