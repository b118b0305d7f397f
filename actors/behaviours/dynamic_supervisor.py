"""A supervisor whose children are started at run time from one template."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count
from types import MappingProxyType

import trio
from attrs import evolve

from actors.actor import Context, Supervisor
from actors.ask import Ask
from actors.errors import ActorError, InvalidSpec
from actors.ref import ActorRef
from actors.spec import ChildSpec, Strategy

from .forwarding import scope_of

Template = Callable[..., ChildSpec]
"""Makes the spec of a child from the arguments of a `StartFromTemplate`."""


class StartFromTemplate(Ask[ActorRef]):
    """Ask a `DynamicSupervisor` to start one more child. The answer is its reference, once it runs.

    The arguments are the template's. Fails with the errors of the template and of `Context.spawn`, or with
    `InvalidSpec` if the template makes no spec. The supervisor serves others meanwhile. If the caller leaves or its
    time is up, the child is stopped again, since no caller would know of it.
    """

    def __init__(self, *args: object, **named: object) -> None:
        self.args: tuple[object, ...] = args
        self.named: Mapping[str, object] = MappingProxyType(named)

    def __repr__(self) -> str:
        return f"StartFromTemplate({len(self.args) + len(self.named)} arguments)"  # their values may hold users' texts


class DynamicSupervisor(Supervisor):
    """Starts children from `template` on request, one for one, and restarts each with its own arguments.

    `template` is a function that makes a spec from arguments, or a spec, of which each child gets a copy. With
    `numbered`, or if `template` is a spec, each child's id ends in a number: 1 for the first, and none twice. At most
    `max_children` live at a time, including those that start or back off; None leaves them unbounded. The other
    arguments are those of `Supervision`. A child is stopped through its reference or with `StopChild`, and counted with
    `CountChildren`. When the supervisor ends, its children are stopped all at once, unless `stop_together` is a number;
    when it restarts, they do not come back. Raises `InvalidSpec` for any other template.
    """

    def __init__(
        self,
        template: ChildSpec | Template,
        max_children: int | None = None,
        *,
        numbered: bool = False,
        intensity: int = 1,
        period_s: float = 5.0,
        stop_together: bool | int = True,
        per_child: bool = False,
    ) -> None:
        super().__init__(
            (),
            Strategy.ONE_FOR_ONE,
            intensity,
            period_s,
            max_children,
            stop_together=stop_together,
            per_child=per_child,
        )
        self._numbers = count(1) if numbered or isinstance(template, ChildSpec) else None
        self._make: Template = (lambda: template) if isinstance(template, ChildSpec) else template
        if not callable(self._make):
            raise InvalidSpec("template", "must be a ChildSpec, or callable and return one")

    async def receive(self, message: object, context: Context) -> None:
        """Begin to start a child."""
        match message:
            case StartFromTemplate() as request:
                self._begin(request, context)
            case _:
                await super().receive(message, context)

    def _begin(self, request: StartFromTemplate, context: Context) -> None:
        try:
            spec = self._make(*request.args, **request.named)
            if not isinstance(spec, ChildSpec):
                raise InvalidSpec("template", f"made a {type(spec).__name__}, not a ChildSpec")
            if self._numbers is not None:
                spec = evolve(spec, id=f"{spec.id}-{next(self._numbers)}")
        except Exception as error:  # the caller's arguments caused the error
            request.fail(error)
        else:
            unasked = not request.waiting
            scope = trio.CancelScope() if unasked else scope_of(request)
            context.start_soon(_start, spec, request, scope, unasked, context)


async def _start(
    spec: ChildSpec, request: StartFromTemplate, scope: trio.CancelScope, unasked: bool, context: Context
) -> None:
    try:
        with scope:
            ref = await context.spawn(spec)
            if unasked or request.waiting:
                request.reply(ref)
            else:
                await ref.stop()  # the caller left just as the child had started
    except ActorError as error:
        request.fail(error)
