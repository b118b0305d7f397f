"""The tree of actors: its supervisors, and how they restart.

system (one_for_one)
├── storage ─ writer
├── cluster         (PostgreSQL only) the actors by which several nodes work as one; it outlives conversations
├── conversations   (dynamic) one per active thread ─ runs ─ tool calls; or a proxy to the owning node's
├── connections     (dynamic) one per socket or event stream ─ outbox
├── observe ─ recovery, keys, and actors that poll, synchronise and delete expired data
└── NAME            (for each extension with actors) its actors
"""

from collections.abc import Sequence
from functools import partial
from typing import Final

from attrs import evolve, frozen

from actors import ActorDied, ActorRef, ActorSystem, Backoff, ChildSpec, Restart, Supervisor
from actors.behaviours import start_under
from understudy.observe.actor_events import ActorEventRecorder
from understudy.observe.metrics import Metrics
from understudy.observe.paths import CLUSTER
from understudy.storage.database import Database
from understudy.storage.writer import StoreWriter

BACKOFF: Final = Backoff(min_s=0.05, max_s=30.0)
"""Delay before an actor of the server is restarted."""
MAX_RESTARTS: Final = 10_000
"""Restarts in 5 s after which a supervisor of many independent children gives up. The children's backoff keeps them far
below that, because one conversation that cannot start must never end the others."""
GIVES_UP: Final = 100
"""Restarts in 5 s, for each actor of an extension, after which the extension's supervisor gives up."""


@frozen
class Tree:
    """The actor system, with the children of its cluster supervisor."""

    system: ActorSystem
    _cluster: list[ChildSpec]

    def find(self, path: str) -> ActorRef:
        """Return the actor at `path`.

        Raises:
            ActorDied: There is no actor at that path.
        """
        ref = self.system.find(path)
        if ref is None:
            raise ActorDied(path)
        return ref

    async def start_in_cluster(self, child: ChildSpec) -> None:
        """Start a child of the cluster supervisor, now and whenever that supervisor restarts."""
        self._cluster.append(child)
        await start_under(self.find(CLUSTER), child)


def build_tree(database: Database, metrics: Metrics, recorder: ActorEventRecorder, *, shared: bool) -> Tree:
    """Build the actor system with the supervisors that start before all other parts of the server.

    `shared`: other servers may use the database, so there is a cluster supervisor.
    """
    writer = ChildSpec("writer", partial(StoreWriter, database, metrics.storage.committed), backoff=BACKOFF)
    cluster: list[ChildSpec] = []  # read by the supervisor at each restart
    children = [
        supervisor("storage", [writer]),
        *([supervisor("cluster", cluster)] if shared else []),
        supervisor("conversations"),
        supervisor("connections"),
    ]
    system = ActorSystem("system", children, intensity=MAX_RESTARTS, on_event=recorder.record)
    return Tree(system, cluster)


def supervisor(name: str, children: Sequence[ChildSpec] | None = None) -> ChildSpec:
    """Describe a supervisor under the root. When it restarts, it starts the current members of `children`.

    `children` None: they are started dynamically, are all of one kind, and stop together.
    """
    make = partial(
        Supervisor, () if children is None else children, intensity=MAX_RESTARTS, stop_together=children is None
    )
    return ChildSpec(name, make, backoff=BACKOFF)


def supervisor_of(extension: str, children: Sequence[ChildSpec]) -> ChildSpec:
    """Describe the supervisor of an extension's actors. If they fail too often only this supervisor gives up."""
    specs = [child if child.backoff is not None else evolve(child, backoff=BACKOFF) for child in children]
    return ChildSpec(extension, partial(Supervisor, specs, intensity=GIVES_UP * len(specs)), Restart.TEMPORARY)
