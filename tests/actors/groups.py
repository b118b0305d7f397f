"""Families that the tests of supervisors share."""

import trio

from actors import ChildSpec, Restart, Supervisor
from tests.actors.troupe import Boom, Run, settled, tell


async def open_family(system, *specs, restart=Restart.TEMPORARY, **options):
    """A supervisor of these specs, and its children by name."""
    ref = await system.spawn(ChildSpec("sup", lambda: Supervisor(specs, **options), restart=restart))
    return ref, {child.path.rsplit("/", 1)[-1]: child for child in ref.children()}


async def crash(ref, error=None):
    await tell(ref, Boom(error) if error else Boom())


async def supervisor_of(system, *children, **options):
    """A supervisor of these specs, and references to its children."""
    ref = await system.spawn(ChildSpec("sup", lambda: Supervisor(children, **options)))
    return ref, ref.children()


async def end(ref, how):
    """Let an actor end in one of three ways, and wait for what follows."""
    if how == "normal":
        await ref.ask(Run(lambda context: context.stop()))
    elif how == "crash":
        ref.tell(Boom())
    else:
        ref.kill()
    await settled()


def failing_from(start, until=10**9):
    """A start hook that raises in the starts from `start` to before `until`, counted from 1; and the count."""
    starts = []

    def hook(_):
        starts.append(trio.current_time())
        if start <= len(starts) < until:
            raise OSError("not now")

    return hook, starts
