"""Families that the tests of supervisors share."""

from actors import ChildSpec, Restart, Supervisor
from tests.actors.troupe import Boom, settled


async def open_family(system, *specs, restart=Restart.TEMPORARY, **options):
    """A supervisor of these specs, and its children by name."""
    ref = await system.spawn(ChildSpec("sup", lambda: Supervisor(specs, **options), restart=restart))
    return ref, {child.path.rsplit("/", 1)[-1]: child for child in ref.children()}


async def crash(ref, error=None):
    """Crash an actor and wait for what follows."""
    ref.tell(Boom(error) if error else Boom())
    await settled()
