"""A store and its writer."""

import contextlib

import trio

from actors import ActorSystem, ChildSpec, Supervisor
from understudy.storage.postgresql import connect_database
from understudy.storage.store import Store
from understudy.storage.writer import StoreWriter


@contextlib.asynccontextmanager
async def running(database, make_writer=None, deadline_s: float = 30.0):
    """A store and its writer, under a supervisor that restarts it as often as a test kills it."""
    writer = ChildSpec("writer", make_writer or (lambda: StoreWriter(database)))
    storage = ChildSpec("storage", lambda: Supervisor(children=[writer], intensity=100_000, period_s=1.0))
    with trio.fail_after(60):
        async with ActorSystem("test", children=[storage]) as system:
            ref = system.find(f"{system.root.path}/storage/writer")
            assert ref is not None
            yield Store(database, lambda: ref, deadline_s=deadline_s), ref


@contextlib.asynccontextmanager
async def serving(address: str, deadline_s: float = 30.0):
    """A store of the database at an address of PostgreSQL, and its writer."""
    with contextlib.closing(connect_database(address)) as database:
        async with running(database, deadline_s=deadline_s) as served:
            yield served
