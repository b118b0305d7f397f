"""Mistakes that are caught where they are written, with a sentence that says what to write."""

from contextlib import asynccontextmanager
from functools import wraps

import pytest

from actors import Actor, ActorCrashed, ActorSystem, ChildSpec, CoordinatedShutdown, InvalidActor, InvalidSpec
from tests.actors.troupe import Player, Read, Run, of_type, settled


def plain(self, *_):
    """Not async."""


async def coroutine(self, *_):
    """Async."""


def generator(self, *_):
    yield


async def async_generator(self, *_):
    yield


@pytest.mark.promise("bad.kind-of-function")
@pytest.mark.parametrize(
    ("name", "hook", "problem"),
    [
        *((name, plain, f"Wrong: {name} is a plain function; write `async def {name}`")
          for name in ("receive", "on_start", "on_idle", "on_stop")),
        ("receive", generator, "receive is a generator: it must not yield"),
        ("receive", async_generator, "receive is a generator: it must not yield"),
        ("on_start", async_generator, "on_start is a generator"),
        ("report_state", coroutine, "report_state is async; write `def report_state`"),
        ("static_children", coroutine, "static_children is async"),
        ("lifespan", async_generator, "put `@asynccontextmanager` above it"),
        ("lifespan", coroutine, "put `@asynccontextmanager` above it"),
    ],
)  # fmt: skip
def test_a_hook_of_the_wrong_kind_is_refused_when_its_class_is_made(name, hook, problem):
    with pytest.raises(InvalidActor) as caught:
        type("Wrong", (Actor,), {name: hook})
    assert problem in str(caught.value)


def test_hooks_may_be_wrapped():
    def traced(hook):
        @wraps(hook)
        def call(*args):
            return hook(*args)

        return call

    class Traced(Actor):
        @traced
        async def receive(self, message, context):
            """Nothing."""

        @asynccontextmanager
        async def lifespan(self, context):
            yield

    assert issubclass(Traced, Actor)


@pytest.mark.promise("bad.kind-of-function")
async def test_a_coroutine_in_place_of_a_function_is_refused(autojump_clock, ref):
    """`start_soon(work())` starts nothing, and leaves no coroutine behind that was never awaited."""

    def act(context):
        with pytest.raises(TypeError, match=r"as in start_soon\(work, 5\), not work\(5\)"):
            context.start_soon(coroutine(context))
        with pytest.raises(TypeError, match="an async function that returns"):
            context.start_soon(async_generator)

    await ref.ask(Run(act))
    assert await ref.ask(Read()) == []


@pytest.mark.promise("bad.kind-of-function")
async def test_a_plain_function_as_a_task_crashes_its_actor_by_name(autojump_clock, ref, events):
    """It cannot be told from a function that returns something to await before it is called."""

    def work():
        """Nothing to await."""

    await ref.ask(Run(lambda context: context.start_soon(work)))
    await settled()
    (crash,) = of_type(events, ActorCrashed)
    assert "work must be an async function: it returned NoneType" in crash.traceback


async def test_a_plain_function_as_a_task_of_a_phase_fails_by_name():
    failed = []
    phases = CoordinatedShutdown(report=failed.append)
    phases.add_task("drain", lambda: None, "note")
    await phases.run()
    assert "must be an async function" in failed[0].problem


@pytest.mark.promise("bad.kind-of-function")
async def test_async_functions_that_nobody_would_await_are_refused(autojump_clock, system):
    with pytest.raises(InvalidSpec, match="on_event: must be a plain function"):
        ActorSystem("s", on_event=coroutine)
    with pytest.raises(InvalidSpec, match="redact"):
        ActorSystem("s", redact=coroutine)
    with pytest.raises(InvalidSpec, match="listener"):
        system.listen(coroutine)
    with pytest.raises(InvalidSpec, match="interceptor"):
        system.intercept(coroutine)
    with pytest.raises(InvalidSpec, match="factory: must be a plain function"):
        ChildSpec("a", coroutine)


def test_an_actor_in_place_of_its_factory_is_told_what_to_pass():
    with pytest.raises(InvalidSpec, match=r"Player is given: pass its class, or `lambda: Player\(...\)`"):
        ChildSpec("a", Player())
