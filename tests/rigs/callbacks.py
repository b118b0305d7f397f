"""Callbacks of a connection, of which a test overrides those that it needs."""

from attrs import define, field

from actors import ActorRef
from transport.auth.identity import Identity
from transport.outbox.metrics import ConnectionMetrics
from transport.outbox.outbox import LogPage
from transport.wire.commands import Command
from transport.wire.events import Welcome
from transport.wire.payloads import ChunkBudget
from transport.wire.vocabulary import Vocabulary
from understudy.wire.vocabulary import VOCABULARY


@define
class FakeCallbacks:
    """A `ConnectionCallbacks` that allows everything; methods without a default raise AssertionError."""

    metrics: ConnectionMetrics = field(factory=ConnectionMetrics)
    vocabulary: Vocabulary = VOCABULARY
    chunk_budget: ChunkBudget = field(factory=ChunkBudget)

    def clock(self) -> float:
        return 0.0

    async def join(self, who: Identity, connection_id: str, outbox: ActorRef) -> Welcome:
        raise AssertionError("join was not expected")

    def leave(self, connection_id: str) -> None:
        raise AssertionError("leave was not expected")

    async def dispatch(self, who: Identity, command: Command, outbox: ActorRef | None) -> object:
        raise AssertionError("dispatch was not expected")

    def allow(self, who: Identity, command: Command) -> float:
        return 0.0

    async def verify(self, token: str) -> Identity:
        raise AssertionError("verify was not expected")

    async def read_log(self, who: Identity, thread_id: str, after: int, limit: int) -> LogPage:
        raise AssertionError("read_log was not expected")

    def request_snapshot(self, who: Identity, thread_id: str, outbox: ActorRef) -> None:
        """Ignore it."""
