"""What causes each alert, on real parts. Pure of Prometheus: a cause says on which node the alert should fire.

Each cause is a context manager of a site: it begins the incident, and ends it as an operator would. What goes on then,
so that the end can be seen, is done until the alert is gone.
"""

import json
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from typing import Final

import h11
import trio
import trio_websocket
from attrs import field, frozen

from tests.deploy.incidents.site import Node, Site, holding
from tests.rigs.detectors import BREAKING
from tests.rigs.http import request
from tests.rigs.model_provider import KEY, Provider, Script, end_chunk, text_chunk, usage_chunk
from tests.rigs.server_pair import token_of
from tests.servers.needed import free_port

PAUSED_S: Final = 4.0
"""Twice the lease of a node."""
HELD_S: Final = 0.8
"""How long commits wait for a lock."""
READS: Final = 250
"""Reads at once."""
HELD_UP_S: Final = 4.5
"""Less than reads may take, in seconds."""
LEFT: Final = 24
"""Users who leave before their answer ends."""
DEATHS: Final = 12
"""Starts after which a run should have been set aside: five attempts, and those that died before they were ready."""
TABS: Final = 10
"""Tabs that read nothing, or say nothing, at a time."""
DEAF_S: Final = 22.0
"""Longer than a server waits for a client that does not read."""
MUTE_S: Final = 3.0
"""Longer than a server waits for a client that says nothing, if it pings once a second."""
KILLED: Final = "/system/observe/loop_lag"
CLOSED: Final = (trio_websocket.ConnectionClosed, trio_websocket.HandshakeError, h11.RemoteProtocolError)


@frozen
class Incident:
    """The node on which an alert should fire, how the incident ends, and when it began, on trio's clock."""

    node: Node
    end: Callable[[], Awaitable[object]]
    began: float = field(factory=trio.current_time)


Cause = Callable[[Site, trio.Nursery], AbstractAsyncContextManager[Incident]]


async def ends_itself() -> None:
    """Do nothing: it is over."""


async def ask_again_and_again(
    node: Node, agent: str = "asks", pause_s: float = 0.1, user: str = "ada", **payload: str
) -> None:
    """Ask an agent until cancelled, also if it fails: the server is in trouble."""
    while True:
        with suppress(OSError, trio.BrokenResourceError, trio.TooSlowError, AssertionError, *CLOSED):
            await node.ask(agent, user, **payload)
        await trio.sleep(pause_s)


def end_by_file(node: Node) -> Incident:
    """Return the incident of a node whose agents go on once a file is there."""

    async def end() -> None:
        node.over.touch()

    return Incident(node, end)


# nodes


@asynccontextmanager
async def node_down(site: Site, nursery: trio.Nursery) -> AsyncIterator[Incident]:
    """A node is killed, and started again."""
    async with site.node() as node:
        node.kill()
        yield Incident(node, node.start)


@asynccontextmanager
async def taken_for_dead(site: Site, nursery: trio.Nursery) -> AsyncIterator[Incident]:
    """A machine sleeps for longer than the lease of its node, whose thread another node takes."""
    async with site.postgresql() as database, site.redis() as redis:
        stores = {"UNDERSTUDY_DATABASE_URL": database.create(), "UNDERSTUDY_NODES_REDIS_URL": redis.url}
        async with site.node(**stores) as node, site.node(**stores) as other:
            await node.ask("asks", thread_id="t")
            node.signal(signal.SIGSTOP)
            await trio.sleep(PAUSED_S)
            await other.ask("asks", thread_id="t")
            node.signal(signal.SIGCONT)
            yield Incident(node, ends_itself)


@asynccontextmanager
async def loop_late(site: Site, nursery: trio.Nursery) -> AsyncIterator[Incident]:
    """A tool holds the event loop."""
    async with site.node() as node, node.client() as client:
        await client.say("Go on.", agent_type="hold")
        yield end_by_file(node)


@asynccontextmanager
async def memory_grows(site: Site, nursery: trio.Nursery) -> AsyncIterator[Incident]:
    """A tool keeps more and more."""
    async with site.node() as node, node.client() as client:
        await client.say("Go on.", agent_type="leak")
        yield end_by_file(node)


# stores and models


@asynccontextmanager
async def storage_away(site: Site, nursery: trio.Nursery) -> AsyncIterator[Incident]:
    """PostgreSQL crashes, and is started again."""
    async with site.postgresql() as database, site.node(UNDERSTUDY_DATABASE_URL=database.create()) as node:
        nursery.start_soon(ask_again_and_again, node)
        await trio.to_thread.run_sync(database.stop, "immediate")
        yield Incident(node, partial(trio.to_thread.run_sync, database.start))


@asynccontextmanager
async def redis_away(site: Site, nursery: trio.Nursery) -> AsyncIterator[Incident]:
    """Redis is killed, and started again, empty."""
    async with site.postgresql() as database, site.redis() as redis:
        stores = {"UNDERSTUDY_DATABASE_URL": database.create(), "UNDERSTUDY_NODES_REDIS_URL": redis.url}
        async with site.node(**stores) as node:
            redis.kill()
            yield Incident(node, partial(trio.to_thread.run_sync, redis.start))


@asynccontextmanager
async def reads_wait(site: Site, nursery: trio.Nursery) -> AsyncIterator[Incident]:
    """PostgreSQL is held up again and again, for less than reads may take, while many users read."""
    async with site.postgresql() as database, site.node(UNDERSTUDY_DATABASE_URL=database.create()) as node:
        over = trio.Event()

        async def read(user: str) -> None:
            while not over.is_set():
                with suppress(OSError, trio.BrokenResourceError, trio.TooSlowError, *CLOSED):
                    await request(node.address, "GET", "/api/threads", token=token_of(user))

        async def hold() -> None:
            while not over.is_set():
                database.pause()
                await trio.sleep(HELD_UP_S)
                database.resume()
                await trio.sleep(HELD_S)

        nursery.start_soon(hold)
        for number in range(READS):
            nursery.start_soon(read, f"user-{number % 8}")

        async def end() -> None:
            over.set()

        yield Incident(node, end)


@asynccontextmanager
async def commits_slow(site: Site, nursery: trio.Nursery) -> AsyncIterator[Incident]:
    """Something else holds the table of events, again and again."""
    async with site.postgresql() as database:
        address = database.create()
        async with site.node(UNDERSTUDY_DATABASE_URL=address) as node:
            over = trio.Event()

            async def hold() -> None:
                while not over.is_set():
                    async with holding(address, "events"):
                        await trio.sleep(HELD_S)
                    await trio.sleep(HELD_S / 4)

            nursery.start_soon(ask_again_and_again, node)
            nursery.start_soon(hold)

            async def end() -> None:
                over.set()

            yield Incident(node, end)


@asynccontextmanager
async def model_away(site: Site, nursery: trio.Nursery) -> AsyncIterator[Incident]:
    """A provider refuses connections, and comes back."""
    port = free_port()  # below those that a system gives to whoever connects, so nobody takes it before the provider
    keys = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1"}
    # The provider stops after the node, for whose connection it waits.
    async with AsyncExitStack() as stack, site.node(INCIDENT_MODEL="openai-chat:tiny", **keys) as node:
        nursery.start_soon(ask_again_and_again, node, "asks", 0.5)

        async def end() -> None:
            provider = Provider(port)
            provider.scripts = [Script([text_chunk("Hello."), end_chunk("stop"), usage_chunk(20, 8)])] * 1_000
            stack.enter_context(provider)

        yield Incident(node, end)


# answers


@asynccontextmanager
async def runs_silent(site: Site, nursery: trio.Nursery) -> AsyncIterator[Incident]:
    """A tool hangs, and no sign of life is sent meanwhile."""
    async with site.node(INCIDENT="silent") as node, node.client() as client:
        await client.say("Go on.", agent_type="hang")
        yield end_by_file(node)


@asynccontextmanager
async def answers_fail(site: Site, nursery: trio.Nursery) -> AsyncIterator[Incident]:
    """The code of an agent is broken, and mended."""
    async with site.node() as node:
        failing = trio.CancelScope()

        async def fail() -> None:
            with failing:
                await ask_again_and_again(node, "fails")

        nursery.start_soon(fail)

        async def end() -> None:
            failing.cancel()
            nursery.start_soon(ask_again_and_again, node)

        yield Incident(node, end)


@asynccontextmanager
async def answers_abandoned(site: Site, nursery: trio.Nursery) -> AsyncIterator[Incident]:
    """Users leave before the end of their answers."""
    async with site.node() as node:

        async def leave(number: int) -> None:
            async with node.client(f"user-{number}") as client:
                await client.say("Go on.", agent_type="slow")
                await client.until("message_accepted")

        async with trio.open_nursery() as users:
            for number in range(LEFT):
                users.start_soon(leave, number)
        yield Incident(node, ends_itself)


@asynccontextmanager
async def messages_repeated(site: Site, nursery: trio.Nursery) -> AsyncIterator[Incident]:
    """A client sends its message again and again, though it was accepted."""
    async with site.node() as node:
        over = trio.Event()

        async def repeat() -> None:
            async with node.client() as client:
                while not over.is_set():
                    await client.say("Go on.", agent_type="asks", thread_id="t", message_id="m")
                    while (await client.read())["type"] != "message_accepted":
                        pass
                    await trio.sleep(0.2)

        nursery.start_soon(repeat)

        async def end() -> None:
            over.set()

        yield Incident(node, end)


@asynccontextmanager
async def tab(node: Node, user: str) -> AsyncIterator[None]:
    """Open a WebSocket that reads nothing after its handshake, and answers no ping."""
    with trio.socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await raw.connect(("127.0.0.1", node.port))
        key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
        upgrade = f"Host: {node.where}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{key}"
        await raw.send(f"GET /ws?session_token={token_of(user)} HTTP/1.1\r\n{upgrade}\r\n\r\n".encode())
        assert (await raw.recv(12)).endswith(b"101")
        yield


@asynccontextmanager
async def tabs(
    site: Site, nursery: trio.Nursery, open_s: float, agent: str | None = None, pause_s: float = 0.0, **settings: str
) -> AsyncIterator[Incident]:
    """Each of some users opens a tab that reads and says nothing, asks an agent in another, and begins anew."""
    async with site.node(**settings) as node:
        over = trio.CancelScope()

        async def user(number: int) -> None:
            await trio.sleep(number * open_s / TABS)
            while True:
                async with tab(node, f"user-{number}"):
                    with trio.move_on_after(open_s):
                        if agent is None:
                            await trio.sleep_forever()
                        await ask_again_and_again(node, agent, pause_s, user=f"user-{number}")

        async def users() -> None:
            with over:
                async with trio.open_nursery() as each:
                    for number in range(TABS):
                        each.start_soon(user, number)

        nursery.start_soon(users)

        async def end() -> None:
            over.cancel()

        yield Incident(node, end)


@asynccontextmanager
async def events_dropped(site: Site, nursery: trio.Nursery) -> AsyncIterator[Incident]:
    """A tab reads nothing while its user gets a long answer in another, and then types."""
    async with site.node(UNDERSTUDY_LIMITS_SIGNALS_PER_MINUTE="1000000") as node:
        over = trio.CancelScope()

        async def types() -> None:
            with over:
                while True:
                    async with tab(node, "ada"), node.client() as client:
                        await client.say("Go on.", agent_type="long", thread_id="t")
                        await client.until_end()
                        with trio.move_on_after(DEAF_S):
                            while True:
                                await client.send({"type": "typing", "payload": {"thread_id": "t"}})
                                await trio.sleep(0.02)

        nursery.start_soon(types)

        async def end() -> None:
            over.cancel()

        yield Incident(node, end)


@asynccontextmanager
async def set_aside(site: Site, nursery: trio.Nursery) -> AsyncIterator[Incident]:
    """A tool ends the process whenever its run goes on."""
    async with site.node() as node:
        with suppress(OSError, trio.BrokenResourceError, AssertionError, *CLOSED):
            await node.ask("die", thread_id="t")
        started_again = 0
        while "run.set_aside" not in (node.folder / "log").read_text():
            if not node.runs:
                started_again += 1
                assert started_again <= DEATHS, "the run was not set aside"
                with suppress(AssertionError):  # it died before it was ready
                    await node.start()
            await trio.sleep(0.1)
        yield Incident(node, ends_itself)


# promises, which nothing here can break: see `tests.deploy.incidents.node`


@asynccontextmanager
async def promise_broken(wrong: str, site: Site, nursery: trio.Nursery) -> AsyncIterator[Incident]:
    """Events of runs reach the metrics as they never should."""
    async with site.node(INCIDENT=wrong) as node:
        await node.ask("stay")
        yield end_by_file(node)


# actors and tools


@asynccontextmanager
async def restarts_go_on(site: Site, nursery: trio.Nursery) -> AsyncIterator[Incident]:
    """Somebody kills the same actor again and again."""
    async with site.node() as node:
        over = trio.Event()

        async def kill() -> None:
            while not over.is_set():
                status = await node.post("/api/observer/kill", json.dumps({"path": KILLED}).encode())
                assert status in (202, 404), status
                await trio.sleep(1.0)

        nursery.start_soon(kill)

        async def end() -> None:
            over.set()

        yield Incident(node, end)


@asynccontextmanager
async def actors_linger(site: Site, nursery: trio.Nursery) -> AsyncIterator[Incident]:
    """A tool shields itself from the end of its run."""
    async with site.node() as node, node.client() as client:
        await client.say("Go on.", agent_type="linger", thread_id="t")
        began = await client.until("tool_executing")
        await client.send({"type": "cancel", "payload": {"run_id": began["run_id"]}})
        yield end_by_file(node)


@asynccontextmanager
async def mailboxes_fill(site: Site, nursery: trio.Nursery) -> AsyncIterator[Incident]:
    """The outboxes of three tabs hang while an answer is written."""
    async with site.node(INCIDENT="stuck") as node, node.client(), node.client(), node.client() as client:
        await client.say("Go on.", agent_type="floods")
        yield end_by_file(node)


@asynccontextmanager
async def threads_lost(site: Site, nursery: trio.Nursery) -> AsyncIterator[Incident]:
    """A function works for longer than its call may take."""
    async with site.node() as node:
        await node.ask("stay")
        yield end_by_file(node)


@asynccontextmanager
async def detector_fails(site: Site, nursery: trio.Nursery) -> AsyncIterator[Incident]:
    """A detector fails on what a user says."""
    async with site.node() as node, node.client() as client:
        await client.say(BREAKING, agent_type="asks", thread_id="t")
        await client.until("error", code="content_blocked")
        yield Incident(node, ends_itself)


CAUSES: Final[dict[str, Cause]] = {
    "UnderstudyNodeDown": node_down,
    "UnderstudyStorageAway": storage_away,
    "UnderstudyRedisAway": redis_away,
    "UnderstudyNodeTakenForDead": taken_for_dead,
    "UnderstudyModelAway": model_away,
    "UnderstudyRunsSetAside": set_aside,
    "UnderstudyReadsWait": reads_wait,
    "UnderstudyCommitsSlow": commits_slow,
    "UnderstudyRestartsGoOn": restarts_go_on,
    "UnderstudyPromiseBroken": partial(promise_broken, "twice"),
    "UnderstudyRunsSilent": runs_silent,
    "UnderstudyToolUnpaired": partial(promise_broken, "unpaired"),
    "UnderstudyEventMisplaced": partial(promise_broken, "misplaced"),
    "UnderstudyMessagesRepeated": messages_repeated,
    "UnderstudyClientsFallSilent": partial(tabs, open_s=MUTE_S, UNDERSTUDY_LIMITS_HEARTBEAT_S="1"),
    "UnderstudyClientsTurnedAway": partial(tabs, open_s=DEAF_S, agent="long", pause_s=DEAF_S),
    "UnderstudyEventsDropped": events_dropped,
    "UnderstudyAnswersAbandoned": answers_abandoned,
    "UnderstudyAnswersFail": answers_fail,
    "UnderstudyMailboxesFill": mailboxes_fill,
    "UnderstudyLoopLate": loop_late,
    "UnderstudyMemoryGrows": memory_grows,
    "UnderstudyToolThreadsLost": threads_lost,
    "UnderstudyActorsLinger": actors_linger,
    "UnderstudyDetectorFails": detector_fails,
}
"""The cause of each alert but UnderstudyNobodyServes, which is about all nodes: see `tests.deploy.incidents.play`."""
