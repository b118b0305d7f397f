"""Topics: who gets what is published, and who is harmed by whom."""

import gc
import weakref

import pytest
import trio
import trio.testing

from actors import (
    ChildSpec,
    Conflate,
    Lane,
    MailboxSpec,
    Normal,
    Overflow,
    Restart,
    Strategy,
    Supervisor,
    Terminated,
)
from actors.behaviours.topic import InspectTopic, Publish, Subscribe, SubscriberStatistics, Unsubscribe, topic
from tests.actors.troupe import Boom, Hang, Read, held, kill, player, settled, tell


@pytest.fixture
async def news(system):
    return await system.spawn(ChildSpec("news", topic()))


def reader(name, capacity=100, overflow=Overflow.WAIT):
    return player(name, mailbox=MailboxSpec(capacity=capacity, overflow=overflow), restart=Restart.TEMPORARY)


async def subscribed(system, news, name, **options):
    ref = await system.spawn(reader(name, **options))
    await news.ask(Subscribe(ref))
    return ref


async def counts(news):
    """What each subscriber was given and what it lost, by name."""
    rows = (await news.ask(InspectTopic())).subscribers
    return {row.path.rsplit("/", 1)[-1]: (row.delivered, row.dropped) for row in rows}


@pytest.mark.promise("topic.once")
async def test_everybody_who_subscribed_gets_it_once_and_in_order(autojump_clock, system, news):
    readers = [await subscribed(system, news, name) for name in "abc"]
    news.tell(Subscribe(readers[0]))
    await news.ask(Subscribe(readers[0]))
    for number in range(3):
        news.tell(Publish(number))
    await settled()
    assert [await ref.ask(Read()) for ref in readers] == [[0, 1, 2]] * 3


@pytest.mark.promise("topic.once", "watch.tables-empty")
async def test_an_unsubscribed_actor_gets_nothing_more(autojump_clock, system, news):
    ref = await subscribed(system, news, "a")
    news.tell(Publish(1))
    await news.ask(Unsubscribe(ref))
    await news.ask(Unsubscribe(ref))
    assert held(ref) == {}
    news.tell(Publish(2))
    await news.ask(Subscribe(ref))
    await tell(news, Publish(3))
    assert await ref.ask(Read()) == [1, 3]


@pytest.mark.promise("watch.tables-empty", "topic.once")
async def test_the_dead_leave_by_themselves(autojump_clock, system, news):
    refs = [await subscribed(system, news, name) for name in "abcd"]
    refs[0].kill()
    await refs[1].stop()
    await tell(refs[2], Boom())
    await news.ask(Subscribe(refs[0]))
    news.tell(Publish("still here"))
    assert await counts(news) == {"d": (1, 0)}
    assert system.dead_letters.count == 0
    await refs[3].stop()
    assert await counts(news) == {}
    assert held(news) == {}


async def test_a_subscriber_that_restarts_stays_subscribed(autojump_clock, ref, news):
    await news.ask(Subscribe(ref))
    await kill(ref)
    await tell(news, Publish("news"))
    assert await ref.ask(Read()) == ["news"]


@pytest.mark.promise("topic.once", "bitten.every-drop-counted")
async def test_a_full_subscriber_harms_nobody_else(autojump_clock, system, news):
    full = await subscribed(system, news, "full", capacity=2)
    other = await subscribed(system, news, "other")
    await tell(full, Hang())
    for number in range(5):
        news.tell(Publish(number))
    await settled()
    assert await other.ask(Read()) == [0, 1, 2, 3, 4]
    assert await counts(news) == {"full": (2, 3), "other": (5, 0)}
    lost = [(letter.path, letter.lane, letter.message, letter.why) for letter in system.dead_letters]
    assert lost == [("/test/full", "normal", number, "overflow") for number in (2, 3, 4)]


async def test_a_subscriber_whose_mailbox_raises_harms_nobody_else(autojump_clock, system, news):
    """The key of its conflating lane does not understand the message."""
    await subscribed(system, news, "picky", overflow=Conflate(len))
    other = await subscribed(system, news, "other")
    await tell(news, Publish(1))
    assert await other.ask(Read()) == [1]
    assert await counts(news) == {"picky": (0, 1), "other": (1, 0)}


async def test_a_subscription_has_a_lane(autojump_clock, system, news):
    ref = await system.spawn(reader("a"))
    await news.ask(Subscribe(ref, Lane.LOW))
    await news.ask(Subscribe(ref, Lane.ALERT))
    await tell(ref, Hang())
    await tell(news, Publish("urgent"))
    assert {lane: queue.depth for lane, queue in ref.statistics().items()} == {Lane.ALERT: 1, Lane.NORMAL: 0}


async def test_retained_messages_are_given_to_new_subscribers(autojump_clock, system):
    news = await system.spawn(ChildSpec("news", topic(retain=2)))
    old = await subscribed(system, news, "old")
    for number in range(4):
        news.tell(Publish(number))
    new = await subscribed(system, news, "new")
    await news.ask(Subscribe(new))
    await tell(news, Publish(4))
    assert await old.ask(Read()) == [0, 1, 2, 3, 4]
    assert await new.ask(Read()) == [2, 3, 4]


async def test_subscriptions_outlive_a_crash_of_the_topic(autojump_clock, system):
    first = await system.spawn(player("first"))
    spec = ChildSpec("news", topic(retain=1))
    below = await system.spawn(
        ChildSpec("sup", lambda: Supervisor([player("store"), spec], strategy=Strategy.REST_FOR_ONE, intensity=9))
    )
    news = below.children()[1]
    a, b = [await subscribed(system, news, name) for name in "ab"]
    await news.ask(Subscribe(first))
    await tell(news, Publish("kept"))
    news.kill()
    await b.stop()
    await settled()
    await kill(below.children()[0])
    late = await subscribed(system, news, "late")
    await tell(news, Publish("new"))
    assert [await ref.ask(Read()) for ref in (first, a, late)] == [["kept", "new"]] * 3
    assert sorted(await counts(news)) == ["a", "first", "late"]
    assert system.dead_letters.count == 0


@pytest.mark.promise("watch.tables-empty")
async def test_a_topic_that_ended_leaves_nothing_behind(autojump_clock, system):
    class News:
        """Can be referred to weakly."""

    factory, published = topic(retain=1), News()
    news = await system.spawn(ChildSpec("news", factory))
    ref = await subscribed(system, news, "a")
    await tell(news, Publish(published))
    await news.stop()
    assert held(ref) == {}
    again = await system.spawn(ChildSpec("news", factory))
    again.tell(Publish("new"))
    assert await counts(again) == {}
    assert await ref.ask(Read()) == [published]
    await ref.stop()
    reference = weakref.ref(published)
    del news, published
    gc.collect()
    assert reference() is None


async def test_a_notice_cannot_be_forged_by_way_of_a_topic(autojump_clock, system, news):
    with pytest.raises(TypeError, match="from the runtime only"):
        Publish(Terminated(news, Normal()))


async def test_the_topic_in_numbers(autojump_clock, system, news):
    ref = await subscribed(system, news, "a")
    news.tell(Publish(1))
    news.tell("what?")
    statistics = await news.ask(InspectTopic())
    assert (statistics.published, statistics.retained) == (1, 0)
    assert statistics.subscribers == (SubscriberStatistics(ref.path, delivered=1, dropped=0),)
    assert system.unhandled == 1


class Steps(trio.abc.Instrument):
    """Counts the steps of a task."""

    def __init__(self, name):
        self.name = name
        self.count = 0

    def after_task_step(self, task):
        self.count += task.name == self.name


async def test_a_large_audience_does_not_hold_the_loop(autojump_clock, system, news):
    refs = [await subscribed(system, news, f"r{number}") for number in range(1100)]
    steps = Steps(news.path)
    trio.lowlevel.add_instrument(steps)
    await tell(news, Publish("all"))
    trio.lowlevel.remove_instrument(steps)
    assert steps.count >= 3
    assert all(ref.statistics()[Lane.NORMAL].high_water == 1 for ref in refs)
