"""The metrics of actors: restarts, dead letters, blocked loops, mailboxes and breakers."""

from collections.abc import Callable

from actors.events import ActorRestarting, DeadLetter, ShutdownOverdue, SlowHandler, WatchdogDied
from understudy.observe.collectors import DELIVERY_S, MailboxDepths, MetricRegistry, ScrapedNode
from understudy.observe.paths import OTHER, PathLabels
from understudy.observe.recent import Recent


class ActorMetrics:
    """Counts the events of the actor tree, and the states of breakers."""

    def __init__(self, registry: MetricRegistry, recent: Recent) -> None:
        self._registry = registry
        self._recent = recent
        self._paths = PathLabels()
        self._restarts = registry.counter("understudy_actor_restarts", "Restarts of actors.", "path")
        self._dead_letters = registry.counter("understudy_dead_letters", "Messages to dead actors.", "why")
        self._slow_handlers = registry.counter(
            "understudy_loop_held",
            "Tasks of actors that blocked the event loop for over 50 ms; `other`: a task that no actor started.",
            "path",
        )
        self._watchdogs_died = registry.counter(
            "understudy_watchdog_died",
            "Ends of the thread that looks for held loops, by an error of its own: `understudy_loop_held` "
            "counts no more until the server is restarted.",
        )
        self._lingering = registry.counter(
            "understudy_actors_lingering", "Actors that were killed and had not ended 5 s later.", "path"
        )
        self._breakers = registry.gauge(
            "understudy_breaker_state",
            "0 while closed (calls pass), 2 while open (calls are refused after repeated failures), 1 while "
            "half open (one call probes); of the `database` (reads) and of each `model`.",
            "breaker",
        )
        self.loop_lag = registry.histogram(
            "understudy_loop_lag_seconds",
            "How late the event loop handles a timer, measured once a second.",
            buckets=DELIVERY_S,
        )

    def observe_tree(self, tree: Callable[[], ScrapedNode | None]) -> None:
        """Count the actors and waiting messages of the supervision tree, which `tree` returns, at each scrape."""
        self._registry.register(MailboxDepths(tree))

    def record(self, event: object) -> None:
        """Count an event of the actor tree."""
        match event:
            case ActorRestarting():
                label = self._paths.label(event.path)
                self._restarts[label].inc()
                self._recent.count("restart", label)
            case DeadLetter():
                self._dead_letters[event.why].inc()
            case SlowHandler():
                label = self._paths.label(event.path or OTHER)
                self._slow_handlers[label].inc()
                self._recent.observe("loop_held", event.held_s, label)
            case WatchdogDied():
                self._watchdogs_died.inc()
            case ShutdownOverdue():
                self._lingering[self._paths.label(event.path)].inc()

    def breaker_changed(self, name: str, state: str) -> None:
        """Record the state of a breaker: closed, half open or open."""
        self._breakers[name].set(("closed", "half_open", "open").index(state))
