"""Two servers while a shared backend or one of them fails: no event is lost or delivered twice."""

import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import define

from tests.rigs.answer_view import AnswerView
from tests.rigs.chat_client import check_arc, connected
from tests.rigs.process import started
from tests.rigs.scripted_model import Gate, Say, scripted
from tests.rigs.server_pair import Begin, backends_environment, eventually, post, resume, token_of, two_servers
from tests.rigs.telling_agent import TELLER, long_text
from tests.servers.postgresql import Postgres
from tests.servers.redis import Redis
from transport.outbox.outbox import OutboxLimits
from understudy.app.server import Running
from understudy.chat.placement import Active, Missed, News
from understudy.extensions.nodes import storage as nodes
from understudy.extensions.nodes.bus import MessageBus
from understudy.extensions.nodes.notify import NotifyWakeups
from understudy.extensions.nodes.redis_wakeups import RedisWakeups
from understudy.extensions.nodes.storage import LEASE_S
from understudy.extensions.nodes.wakeups import Wakeups
from understudy.storage.errors import StorageUnavailable, WakeupsUnavailable

WORDS = "one two three four five six seven eight nine ten eleven twelve"


@define
class Cut:
    """Wakeups between nodes are lost while `cut`, as with the connections that carry them."""

    cut: bool = False


@pytest.fixture
def wakeups(monkeypatch: pytest.MonkeyPatch, carrier: str) -> Cut:
    kind: Any = RedisWakeups if carrier == "redis" else NotifyWakeups
    state, publish, listen = Cut(), kind.publish, kind.listen

    async def cut_publish(wakeups: Wakeups, messages: Sequence[tuple[str, str]]) -> None:
        if state.cut:
            raise WakeupsUnavailable("cut")
        await publish(wakeups, messages)

    async def cut_listen(wakeups: Wakeups, *args: Any) -> None:
        async def watch() -> None:
            while not state.cut:  # noqa: ASYNC110 - a test sets it
                await trio.sleep(0.01)
            raise WakeupsUnavailable("cut")

        if state.cut:
            raise WakeupsUnavailable("cut")
        with collapsed():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(watch)
                nursery.start_soon(listen, wakeups, *args)

    monkeypatch.setattr(kind, "publish", cut_publish)
    monkeypatch.setattr(kind, "listen", cut_listen)
    return state


@contextmanager
def collapsed() -> Iterator[None]:
    try:
        yield
    except BaseExceptionGroup as group:
        lost, others = group.split(WakeupsUnavailable)
        if others is not None or lost is None:
            raise
        raise WakeupsUnavailable("cut") from None


async def living(running: Running, names: list[str]) -> None:
    """Wait until these nodes are alive; on a busy machine one may be late to renew its lease."""
    with trio.fail_after(60):
        while await running.store.read(nodes.living) != names:  # noqa: ASYNC110 - it is in the database
            await trio.sleep(0.05)


async def in_mid_answer(client: Any, gate: Gate, thread_id: str = "t") -> AnswerView:
    """Send a message and read until the text has begun."""
    await client.say("go", thread_id=thread_id, agent_type="script")
    await gate.reached.wait()
    screen = AnswerView()
    while "three" not in screen.text:
        screen.shows(await client.read())
    return screen


async def test_wakeups_lost_in_mid_answer_cost_a_moment_and_nothing_else(begin: Begin, wakeups: Cut) -> None:
    """Meanwhile numbered events come from the log, and commands by the inbox, which is polled. Later text streams."""
    gate = Gate(open_after=6)
    two = await begin(scripted(Say(WORDS, gate)))
    token = token_of()
    async with connected(two.a.address, token) as on_a, connected(two.b.address, token) as on_b:
        screen = await in_mid_answer(on_a, gate)
        while "three" not in screen.text:
            screen.shows(await on_b.read())
        wakeups.cut = True
        gate.opened.set()
        await on_a.until_end()
        await on_b.until_end()
        assert on_b.durable() == on_a.durable()
        again = {"content": "go", "thread_id": "t", "agent_type": "script"}
        assert (await post(two.b, token, "user_message", **again))[0] == 202
        await on_a.until_end()
        await on_b.until_end()
        wakeups.cut = False
        streams = False
        with trio.fail_after(60):
            while not streams:  # to hear again takes longer than sending
                pieces = len(on_b.seen)
                assert (await post(two.b, token, "user_message", **again))[0] == 202
                await on_b.until_end()
                await on_a.until_end()
                streams = "partial_result" in [event["type"] for event in on_b.seen[pieces:]]
        assert on_b.durable() == on_a.durable()


@pytest.mark.proof("timing")
async def test_a_database_outage_longer_than_a_lease_loses_nothing(
    serve: Any, tmp_path: Path, own_postgres: Postgres, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """Both servers keep their identity and the answer continues on both; no resume attempt is counted, as
    neither died.
    """
    gate = Gate(open_after=6)
    two = await two_servers(serve, tmp_path, own_postgres.create(), redis.url, scripted(Say(WORDS, gate)))
    token, names = token_of(), await two.a.store.read(nodes.living)
    async with AsyncExitStack() as clients:
        on_a = await clients.enter_async_context(connected(two.a.address, token))
        await in_mid_answer(on_a, gate)
        # Only now: what came before is read once, by the resume.
        on_b = await clients.enter_async_context(connected(two.b.address, token))
        await resume(on_b)
        screen = AnswerView()
        while "three" not in screen.text:
            screen.shows(await on_b.read())
        await trio.to_thread.run_sync(own_postgres.stop)
        await trio.sleep(1.5 * LEASE_S)
        await trio.to_thread.run_sync(own_postgres.start)
        with trio.fail_after(60):
            while True:
                with suppress(StorageUnavailable):
                    if await two.a.store.read(nodes.living) == names:
                        break
                await trio.sleep(0.05)
        await trio.sleep(2 * LEASE_S)
        await living(two.b, names)
        (run,) = await two.a.store.unfinished_runs()
        assert run.attempts == 0
        gate.opened.set()
        for client in (on_a, on_b):
            assert (await client.until_end())["data"]["message"].strip() == WORDS
        assert on_b.durable() == on_a.durable()
        check_arc(on_a.durable())
    messages = {record.getMessage() for record in caplog.records}
    assert not messages & {"run.taken_up", "conversation.fenced", "conversation.outrun", "node.lapsed"}


async def test_a_thread_that_begins_and_ends_unheard_reaches_the_other_server(begin: Begin, wakeups: Cut) -> None:
    """B is not told of it. Its client, which never named the thread, gets all of it."""
    two = await begin(scripted(Say(WORDS)))
    token = token_of()
    async with connected(two.a.address, token) as on_a, connected(two.b.address, token) as on_b:
        wakeups.cut = True
        await on_a.ask("go", thread_id="t", agent_type="script")
        with trio.fail_after(60):
            await on_b.until_end()
        assert on_b.durable() == on_a.durable()
        wakeups.cut = False
        await on_a.ask("more", thread_id="t", agent_type="script")
        await on_b.until_end()
        assert on_b.durable() == on_a.durable()


async def test_a_thread_whose_news_were_lost_reaches_a_page_that_has_been_open_for_a_while(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B starts its proxy when it is told that it has missed something: the thread has ended by then."""
    token, broadcast = token_of(), MessageBus.broadcast
    missed: list[MessageBus] = []

    def lose(bus: MessageBus, news: News) -> None:
        if isinstance(news, Active):
            missed.append(bus)
        else:
            broadcast(bus, news)

    monkeypatch.setattr(MessageBus, "broadcast", lose)
    two = await begin(scripted(Say(WORDS)))
    async with connected(two.a.address, token) as on_a, connected(two.b.address, token) as on_b:
        await trio.sleep(OutboxLimits().defer_s)  # a younger page waits for what its client asks for
        await on_a.ask("go", thread_id="t", agent_type="script")
        async with connected(two.b.address, token) as opened_later:
            broadcast(missed[0], Missed(time.time()))
            with trio.fail_after(60):
                await on_b.until_end()
            assert on_b.durable() == on_a.durable()
            await opened_later.ask("more", thread_id="t", agent_type="script")
            assert opened_later.durable()[0]["seq"] == len(on_a.durable()) + 1


async def test_a_command_that_comes_before_the_news_of_its_thread_takes_no_event_from_other_pages(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MessageBus, "broadcast", lambda *_: None)
    gate = Gate(open_after=4)
    two = await begin(scripted(Say(WORDS, gate)))
    token = token_of()
    async with connected(two.a.address, token) as on_a, connected(two.b.address, token) as on_b:
        accepted = await on_a.ask("go", thread_id="t", agent_type="script", until="message_accepted")
        await gate.reached.wait()
        await post(two.b, token, "cancel", run_id=accepted["run_id"])
        with trio.fail_after(60):
            await on_a.until_end()
            await on_b.until_end()
        assert on_b.durable() == on_a.durable()


async def test_a_client_that_connects_after_an_answer_gets_only_its_own(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script connects for each message, to any server. A page that was open has both answers."""
    monkeypatch.setattr(MessageBus, "broadcast", lambda *_: None)
    two = await begin(scripted(Say("first"), Say("second")))
    token = token_of()
    async with connected(two.b.address, token) as page:
        async with connected(two.a.address, token) as script:
            first = await script.ask("go", thread_id="t", agent_type="script")
        async with connected(two.b.address, token) as script:
            await trio.sleep(OutboxLimits().defer_s)  # until then it waits for what its client asks for
            second = await script.ask("more", thread_id="t", agent_type="script")
        assert first["run_id"] not in {event["run_id"] for event in script.durable()}
        with trio.fail_after(60):
            while page.durable()[-1:] != [second]:
                await page.read()
        assert {event["run_id"] for event in page.durable()} == {first["run_id"], second["run_id"]}


async def test_a_thread_that_begins_while_a_server_cannot_read_reaches_its_clients_later(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B is told of the thread while its database is away, as A's is back already."""
    two = await begin(scripted(Say(WORDS)))
    token, announced = token_of(), trio.Event()
    claim, away = nodes.claim, True

    async def unavailable(store: Any, owner: str, thread_id: str, node: str) -> Any:
        if store is two.b.store and away:
            announced.set()
            raise StorageUnavailable("the database is away")
        return await claim(store, owner, thread_id, node)

    monkeypatch.setattr(nodes, "claim", unavailable)
    async with connected(two.a.address, token) as on_a, connected(two.b.address, token) as on_b:
        await on_a.ask("go", thread_id="t", agent_type="script")
        with trio.fail_after(60):
            await announced.wait()
        away = False
        with trio.fail_after(60):
            await on_b.until_end()
        assert on_b.durable() == on_a.durable()


async def test_subscribers_keep_their_events_when_all_proxies_are_killed(begin: Begin, wakeups: Cut) -> None:
    """All proxies of B are killed. Its client, which sends nothing, still gets the messages sent on A.

    A continues to send to B, as it was not notified.
    """
    two = await begin(scripted(Say(WORDS)))
    token = token_of()
    async with connected(two.a.address, token) as on_a, connected(two.b.address, token) as on_b:
        await on_a.ask("go", thread_id="t", agent_type="script")
        await on_b.until_end()  # without a subscription
        conversations = two.b.system.find("/system/conversations")
        assert len(conversations.children()) == 1
        wakeups.cut = True
        conversations.kill()
        await eventually(lambda: not conversations.children())
        wakeups.cut = False
        await on_a.ask("more", thread_id="t", agent_type="script")
        with trio.fail_after(60):
            await on_b.until_end()
        assert on_b.durable() == on_a.durable()


@pytest.mark.proof("chaos")
async def test_a_server_whose_cluster_supervisor_was_killed_rejoins(begin: Begin) -> None:
    two = await begin(scripted(Say(WORDS)))
    token, names = token_of(), await two.a.store.read(nodes.living)
    async with connected(two.a.address, token) as on_a, connected(two.b.address, token) as on_b:
        part = two.b.system.find("/system/cluster")
        before = sorted(child.path for child in part.children())
        part.kill()
        await trio.sleep(2 * LEASE_S)
        await living(two.a, names)
        assert sorted(child.path for child in part.children()) == before
        for client in (on_b, on_a):
            await client.say("go", thread_id="t", agent_type="script")
            await on_a.until_end()
            await on_b.until_end()
    assert on_b.durable() == on_a.durable()


async def test_a_server_killed_in_mid_answer_is_taken_over_by_the_other(
    tmp_path: Path, postgres: Postgres, redis: Redis
) -> None:
    await taken_over(tmp_path, postgres, redis)


@pytest.mark.proof("timing")
async def test_a_killed_server_is_taken_over_within_seconds(tmp_path: Path, postgres: Postgres, redis: Redis) -> None:
    assert await taken_over(tmp_path, postgres, redis) < 6


async def taken_over(tmp_path: Path, postgres: Postgres, redis: Redis) -> float:
    """Kill a server in mid answer. Return the seconds until a client of the other one is shown more of it."""
    shared, token = backends_environment(postgres, redis, 5), token_of()
    screen, other = AnswerView(), AnswerView()
    async with (
        started(tmp_path / "a", TELLER, log=tmp_path / "a.log", **shared) as a,
        started(tmp_path / "b", TELLER, log=tmp_path / "b.log", **shared) as b,
    ):
        async with connected(b.address, token) as on_b:
            async with connected(a.address, token) as on_a:
                await on_a.say(long_text(40), thread_id="t", agent_type="teller", context={"pause_s": 0.2})
                await on_a.until("message_accepted")
                while len(screen.text) < 40 or len(other.text) < 40:
                    if len(screen.text) < 40:
                        screen.shows(await on_b.read())
                    else:
                        other.shows(await on_a.read())
                await a.kill()
                before = on_a.durable()
            async with connected(b.address, token) as back:
                began = trio.current_time()
                await resume(back, after=before[-1]["seq"])
                while True:
                    event = await back.read()
                    other.shows(event)
                    if event["type"] == "partial_result" and len(other.text) > 60:
                        break
                took_s = trio.current_time() - began
                end = await back.until_end()
                await on_b.until_end()
        assert end["type"] == "final_response"
        check_arc(before + back.durable())
        check_arc(on_b.durable())
        assert screen.shows(*on_b.seen).text.strip() == end["data"]["message"].strip()
        assert other.shows(*back.seen).text.strip() == end["data"]["message"].strip()
        assert (screen.jumps, other.jumps) == (0, 0)
        return float(took_s)
