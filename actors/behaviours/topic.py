"""A topic: sends each publication to all subscribers.

1. Each live subscriber gets each publication once, in the order in which the topic took them, however often it
   subscribed. At most once: a publication is lost to a subscriber without room for it, and counted.
2. The topic waits for no subscriber, and a slow one does not affect the others.
3. Subscriptions belong to the topic's actor, not to one incarnation: they outlive its crash. None outlives its
   subscriber.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, MutableMapping
from weakref import WeakKeyDictionary

import trio
from attrs import Factory, define, frozen

from actors.actor import Actor, Context
from actors.ask import Ask
from actors.checks import check_count
from actors.events import DeadLetter
from actors.lanes import Lane, Notice
from actors.ref import ActorRef
from actors.watch import Terminated

_YIELD_EVERY = 512
"""Subscribers served between two yields to other tasks: about half a millisecond."""


@frozen
class Subscribe(Ask[None]):
    """Send `ref` the retained publications and then each new one, in this lane.

    It may be told or asked. A second one changes the lane and nothing else; for a dead actor it does nothing.
    """

    ref: ActorRef
    lane: Lane = Lane.NORMAL


@frozen
class Unsubscribe(Ask[None]):
    """End the subscription of `ref`; harmless if there is none. Told or asked."""

    ref: ActorRef


@frozen
class Publish:
    """When sent to a topic, `message` goes to every subscriber, as it is. Raises `TypeError` for a runtime's notice."""

    message: object

    def __attrs_post_init__(self) -> None:
        if isinstance(self.message, Notice):
            raise TypeError("notices such as Terminated come from the runtime only")


@frozen
class SubscriberStatistics:
    """One subscriber: publications handed to its mailbox, and those that it refused."""

    path: str
    delivered: int
    dropped: int


@frozen
class TopicStatistics:
    """The numbers of publications by this incarnation and of retained ones, and the subscribers in order."""

    published: int
    retained: int
    subscribers: tuple[SubscriberStatistics, ...]


class InspectTopic(Ask[TopicStatistics]):
    """Ask a topic for its statistics."""


@define
class Subscription:
    """The lane and counts of one subscriber."""

    lane: Lane
    delivered: int = 0
    dropped: int = 0


@define
class SubscriberTable:
    """The state of a topic that outlives an incarnation: the subscribers, and the last publications."""

    retained: deque[object]
    subscriptions: dict[ActorRef, Subscription] = Factory(dict)


class Topic(Actor):
    """Made by `topic`, which lets the incarnations of a topic share its subscribers."""

    def __init__(self, audiences: MutableMapping[ActorRef, SubscriberTable], retain: int = 0) -> None:
        self._audiences = audiences
        self._audience = SubscriberTable(deque(maxlen=retain))
        self._published = 0

    async def on_start(self, context: Context) -> None:
        """Take over the subscribers of the previous incarnation; those that died meanwhile are removed at once."""
        self._audience = self._audiences.setdefault(context.ref, self._audience)
        for ref in self._audience.subscriptions:
            context.watch(ref, urgent=True)

    async def receive(self, message: object, context: Context) -> None:
        """Serve subscriptions, publications and requests for statistics."""
        match message:
            case Publish(published):
                await self._publish(published, context)
            case Subscribe(ref, lane) as request:
                self._subscribe(ref, lane, context)
                request.reply(None)
            case Unsubscribe(ref) as request:
                if self._audience.subscriptions.pop(ref, None) is not None:
                    context.unwatch(ref)
                request.reply(None)
            case Terminated(ref):
                self._audience.subscriptions.pop(ref, None)
            case InspectTopic() as request:
                request.reply(self._statistics())
            case _:
                context.unhandled(message)

    def _subscribe(self, ref: ActorRef, lane: Lane, context: Context) -> None:
        existing = self._audience.subscriptions.get(ref)
        if existing is not None:
            existing.lane = lane
        elif ref.alive:
            context.watch(ref, urgent=True)  # urgent: publications that wait here skip a dead subscriber
            subscription = self._audience.subscriptions[ref] = Subscription(lane)
            for message in self._audience.retained:
                _deliver(message, ref, subscription, context)

    async def _publish(self, message: object, context: Context) -> None:
        self._published += 1
        self._audience.retained.append(message)
        for number, (ref, subscription) in enumerate(self._audience.subscriptions.items(), 1):
            _deliver(message, ref, subscription, context)
            if not number % _YIELD_EVERY:
                await trio.lowlevel.checkpoint()

    def _statistics(self) -> TopicStatistics:
        subscribers = self._audience.subscriptions.items()
        counts = tuple(SubscriberStatistics(ref.path, entry.delivered, entry.dropped) for ref, entry in subscribers)
        return TopicStatistics(self._published, len(self._audience.retained), counts)


def topic(retain: int = 0) -> Callable[[], Topic]:
    """Return the factory of a topic for a `ChildSpec`: `ChildSpec("news", topic(retain=1))`.

    The last `retain` publications are kept, and sent to new subscribers. Several actors may share one factory: each has
    subscribers of its own. Raises `InvalidSpec` for a negative `retain`.
    """
    check_count("retain", retain, least=0)
    audiences: WeakKeyDictionary[ActorRef, SubscriberTable] = WeakKeyDictionary()
    return lambda: Topic(audiences, retain)


def _deliver(message: object, ref: ActorRef, subscription: Subscription, context: Context) -> None:
    try:
        ref.tell(message, lane=subscription.lane)
        subscription.delivered += 1
    except Exception:  # full, or the key of a conflating lane raised: that concerns this subscriber alone
        subscription.dropped += 1
        letter = DeadLetter(ref.path, subscription.lane.name.lower(), message, "overflow")
        context.system.undelivered(letter)
