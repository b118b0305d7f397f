"""Concurrent runs of users and tenants over two servers on one PostgreSQL."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from attrs import define, field

from tests.rigs.chat_client import ChatClient, check_arc, connected
from tests.rigs.process import started
from tests.rigs.scripted_model import Gate, Say, scripted
from tests.rigs.server_pair import SECRET, Begin, eventually, token_of, two_servers
from tests.rigs.telling_agent import TELLER, agent, long_text
from tests.rigs.tokens import token
from tests.servers.postgresql import Postgres
from transport.wire.events import Error
from understudy.app.server import Running
from understudy.chat.messages import PermitGranted
from understudy.chat.run_limiter import RunLimiter
from understudy.extensions.nodes import joining
from understudy.extensions.nodes.membership import Member
from understudy.extensions.nodes.shared_limits import SharedLimits, key_of
from understudy.storage.errors import StorageUnavailable
from understudy.storage.limits import Limits
from understudy.storage.owners import owner_of
from understudy.wire.events import FinalResponse
from understudy.wire.vocabulary import from_log

WAITS = "Waiting for a free place: number 1 in line"
TENANT_WAITS = "Your organisation has as many answers at work as it may; number 1 in line"


@pytest.fixture
def carrier() -> str:
    return "postgresql"


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> list[SharedLimits]:
    """Return the limits of each server, in the order in which they are started."""
    limits = list[SharedLimits]()

    def record(*args: Any) -> SharedLimits:
        limits.append(SharedLimits(*args))
        return limits[-1]

    monkeypatch.setattr(joining, "SharedLimits", record)
    return limits


async def until(client: ChatClient, thread_id: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Read up to an event of a thread, after what was read."""
    while True:
        event = await client.read()
        if event.get("thread_id") == thread_id and holds(event):
            return event


async def queued(client: ChatClient, thread_id: str, note: str = WAITS) -> None:
    """Send a message whose run has to wait, and wait until its user is told so."""
    await client.say("go", thread_id=thread_id, agent_type="script", message_id=thread_id)
    await until(client, thread_id, lambda event: event.get("data", {}).get("note") == note)


async def ended(client: ChatClient, thread_id: str, code: str = "none") -> None:
    """Wait until the run of a thread has ended with its answer, or with this code."""
    end = await until(client, thread_id, lambda event: event["type"] in ("final_response", "error"))
    assert end["data"].get("status") == "success" or end["data"].get("code") == code, end
    check_arc([event for event in client.durable() if event["thread_id"] == thread_id])


async def stored_end(running: Running, thread_id: str) -> str:
    """Wait until the run of Ada's thread has ended in the log. Return the status of its answer, or its code."""
    with trio.fail_after(60):
        while True:
            with suppress(StorageUnavailable):  # the database comes back
                last = from_log((await running.store.events("ada", thread_id, 0))[-1].body).event
                if isinstance(last, FinalResponse):
                    return last.status.value
                if isinstance(last, Error):
                    return last.code
            await trio.sleep(0.05)


async def test_a_user_has_the_permits_of_one_server_on_two(begin: Begin, counts: list[SharedLimits]) -> None:
    """A run on the one waits while the other is at work for its user, and starts when that has ended; other users do
    not wait."""
    gate = Gate()
    two = await begin(scripted(Say("word", gate)), limits=Limits(runs_per_user=1))
    async with (
        connected(two.a.address, token_of()) as on_a,
        connected(two.b.address, token_of()) as on_b,
        connected(two.b.address, token_of("bob", "s2")) as bob,
    ):
        await on_a.ask("go", thread_id="t", agent_type="script", until="agent_started")
        a, b = counts
        await eventually(lambda: b.elsewhere("user", "ada", 0) == 1)
        await queued(on_b, "u")
        assert (b.limiter.running, b.limiter.waiting, b.limiter.tenant_at_limit("u")) == (0, 1, False)
        await bob.ask("go", thread_id="t", agent_type="script", until="agent_started")
        await eventually(lambda: a.elsewhere("user", "ada", 1) == 1)  # one permit is left to the run that waits there
        gate.opened.set()
        await ended(on_a, "t")
        await ended(on_b, "u")
        await ended(bob, "t")
        await eventually(lambda: not (a.elsewhere("user", "ada", 1) or b.elsewhere("user", "ada", 1)))


async def test_the_users_of_a_tenant_have_the_permits_of_one_server(begin: Begin, counts: list[SharedLimits]) -> None:
    gate = Gate()
    limits = Limits(runs_per_user=2, runs_per_tenant=1)
    two = await begin(scripted(Say("word", gate)), limits=limits, tenant_claim="org")
    tenants = {"ada": "acme", "cem": "acme", "bob": "other"}
    ada, cem, bob = (token(user, secret=SECRET, org=tenant) for user, tenant in tenants.items())
    async with (
        connected(two.a.address, ada) as on_a,
        connected(two.b.address, cem) as on_b,
        connected(two.b.address, bob) as other,
    ):
        await on_a.ask("go", thread_id="t", agent_type="script", until="agent_started")
        b = counts[1]
        await eventually(lambda: b.elsewhere("tenant", "acme", 0) == 1)
        assert b.elsewhere("user", owner_of("cem", "acme"), 0) == b.elsewhere("tenant", None, 0) == 0
        await queued(on_b, "u", TENANT_WAITS)
        await other.ask("go", thread_id="t", agent_type="script", until="agent_started")
        gate.opened.set()
        for client, thread in ((on_a, "t"), (on_b, "u"), (other, "t")):
            await ended(client, thread)


async def test_each_node_counts_alone_while_the_database_is_away(
    serve: Any, tmp_path: Path, own_postgres: Postgres, counts: list[SharedLimits]
) -> None:
    gate = Gate()
    limits = Limits(runs_per_user=1)
    two = await two_servers(serve, tmp_path, own_postgres.create(), "", scripted(Say("word", gate)), limits=limits)
    async with connected(two.a.address, token_of()) as on_a, connected(two.b.address, token_of()) as on_b:
        await on_a.ask("go", thread_id="t", agent_type="script", until="agent_started")
        b = counts[1]
        await eventually(lambda: b.elsewhere("user", "ada", 0) == 1)
        await queued(on_b, "u")
        await trio.to_thread.run_sync(own_postgres.stop, "immediate")
        await eventually(lambda: b.limiter.running == 1)
        assert counts[0].limiter.running == 1
        await trio.to_thread.run_sync(own_postgres.start)
        gate.opened.set()
        # Not by the sockets: one that had to read its log meanwhile was closed, and its client would connect again.
        assert await stored_end(two.a, "t") == "success"
        # It began while nothing could be stored: it has its answer if the database was back before its deadline.
        assert await stored_end(two.b, "u") in ("success", "storage_unavailable")


async def test_a_resumed_run_does_not_wait_for_its_own_former_count(
    serve: Any, tmp_path: Path, postgres: Postgres, counts: list[SharedLimits]
) -> None:
    """Its node is killed while all that its user may have is at work there, as the other one has seen."""
    database, message = postgres.create(), {"agent_type": "teller", "context": {"pause_s": 0.2}, "thread_id": "t"}
    shared = {"UNDERSTUDY_DATABASE_URL": database, "UNDERSTUDY_SECRET": SECRET, "UNDERSTUDY_LIMITS_RUNS_PER_USER": "1"}
    b = await serve(
        agent, data_dir=tmp_path / "b", database_url=database, secret=SECRET, limits=Limits(runs_per_user=1)
    )
    async with started(tmp_path / "a", TELLER, **shared) as a, connected(b.address, token_of()) as on_b:
        async with connected(a.address, token_of()) as on_a:
            await on_a.ask(long_text(40), **message, until="partial_result")
            await eventually(lambda: counts[0].elsewhere("user", "ada", 0) == 1)
        await a.kill()
        await ended(on_b, "t")
    notes = [event["data"].get("note") for event in on_b.seen if event["type"] == "agent_progress"]
    assert WAITS not in notes


@define
class ReadOnce:
    """A store that answers one read, and hangs after it; and a run that waits."""

    answer: object
    granted: list[object] = field(factory=list)

    async def read(self, *_: object) -> object:
        if self.answer is None:
            await trio.sleep_forever()
        answer, self.answer = self.answer, None
        return answer

    async def commit(self, *_: object) -> None:
        await trio.sleep_forever()

    def tell(self, message: object) -> None:
        self.granted.append(message)


@asynccontextmanager
async def one_run_waits() -> AsyncIterator[tuple[SharedLimits, ReadOnce]]:
    """Limits read once: a run of ada waits, as she has one on another node. Then the database is silent."""
    limiter: RunLimiter[Any] = RunLimiter(1, 8)
    store: Any = ReadOnce({"other": (1.7, {key_of("user", "ada"): 1}), "third": (1.7, {key_of("user", "bob"): 1})})
    limits = SharedLimits(store, Member(store), 1, limiter, lambda: True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(limits.synchronise)
        await trio.testing.wait_all_tasks_blocked()
        assert not limiter.acquire("r", "ada", store)
        yield limits, store
        nursery.cancel_scope.cancel()


async def test_a_waiting_run_begins_when_the_lease_of_the_other_node_ends(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with one_run_waits() as (_, store):
        await trio.sleep(1.6)
        assert not store.granted
        await trio.sleep(0.2)
        assert store.granted == [PermitGranted("r")]


async def test_a_waiting_run_begins_as_soon_as_the_other_node_is_dead(autojump_clock: trio.testing.MockClock) -> None:
    async with one_run_waits() as (limits, store):
        limits.forget("third")
        assert not store.granted
        limits.forget("other")
        assert store.granted == [PermitGranted("r")]
