"""Watches: notify an actor when another one ends or restarts.

1. Each watch brings one `Terminated`, also if the target was dead before; none after `unwatch`.
2. A restart is no end. A new actor under an old path is another actor.
3. A watch belongs to the watcher's incarnation and leaves no entry behind.
4. A notice is received after all messages that waited in the watcher's mailbox when the target ended, since the target
   may have sent them: Erlang's order of signals. The notice of an urgent watch is received before all lanes.
"""

from __future__ import annotations

from attrs import frozen

from .cell import Cell, Watch
from .errors import DeathPact
from .exit_reasons import NORMAL, Exit
from .lanes import Notice
from .ref import ActorRef


@frozen
class Terminated(Notice):
    """A watched actor ended for good."""

    ref: ActorRef
    reason: Exit


@frozen
class Restarted(Notice):
    """A watched actor runs again as `incarnation`, after the one before ended for `reason`."""

    ref: ActorRef
    incarnation: int
    reason: Exit


class VitalTerminated:
    """The end of an actor that was watched as `vital`."""

    __slots__ = ("notice",)

    def __init__(self, notice: Terminated) -> None:
        self.notice: Terminated = notice


def watch(watcher: Cell, target: Cell, options: Watch) -> None:
    """Send `watcher` one `Terminated` when `target` ends. A second watch adds its options to those of the first."""
    if target.buried:
        _notify(watcher, Terminated(target.ref, target.exit or NORMAL), options)
        return
    if target.watchers is None:
        target.watchers = {}
    existing = target.watchers.get(watcher)
    if existing is not None:
        existing.add(options)
        return
    target.watchers[watcher] = options
    life = watcher.incarnation
    if life.watching is None:
        life.watching = {}
    life.watching[target] = options


def outlive(watcher: Cell, target: Cell) -> None:
    """Make the watch of `target` no longer vital."""
    life = watcher.incarnation
    if life.vital_watch is target.ref:
        life.vital_watch = None
    if life.watching is not None and target in life.watching:
        life.watching[target].vital = False


def check_vital_watch(watcher: Cell, notice: Terminated) -> None:
    """Raise `DeathPact` unless the watcher called `outlive` while or before it received the notice."""
    if watcher.incarnation.vital_watch is not None:
        watcher.incarnation.vital_watch = None
        raise DeathPact(watcher.path, notice.ref.path, str(notice.reason))


def unwatch(watcher: Cell, target: Cell) -> None:
    """Remove the watch, and a notice that was not received yet."""
    if target.watchers is not None:
        target.watchers.pop(watcher, None)
    watching = watcher.incarnation.watching
    if watching is not None:
        watching.pop(target, None)

    def is_of_target(item: object) -> bool:
        notice = item.notice if isinstance(item, VitalTerminated) else item
        return isinstance(notice, Terminated | Restarted) and notice.ref is target.ref

    inbox = watcher.inbox
    if inbox.control is not None:
        for item in tuple(inbox.control):
            if is_of_target(item):
                inbox.control.remove(item)
    if inbox.barriers is not None:
        inbox.remove_notices(is_of_target)


def unwatch_all(watcher: Cell) -> None:
    """Remove all watches of an incarnation that ends."""
    life = watcher.incarnation
    for target in tuple(life.watching or ()):
        if target.watchers is not None:
            target.watchers.pop(watcher, None)
    life.watching = None


def notify_restart(target: Cell) -> None:
    """Send `Restarted` to the watchers that asked for it."""
    notice = Restarted(target.ref, target.history.incarnations, target.exit or NORMAL)
    for watcher, options in tuple((target.watchers or {}).items()):
        if options.restarts:
            _notify(watcher, notice, options)


def notify_watchers(target: Cell, reason: Exit) -> None:
    """Send `Terminated` to all watchers of an actor that ended for good."""
    watchers, target.watchers = target.watchers, None
    for watcher, options in (watchers or {}).items():
        watching = watcher.incarnation.watching
        if watching is not None:
            watching.pop(target, None)
        _notify(watcher, Terminated(target.ref, reason), options)


def _notify(watcher: Cell, notice: Terminated | Restarted, options: Watch) -> None:
    item = VitalTerminated(notice) if options.vital and isinstance(notice, Terminated) else notice
    if options.urgent:
        watcher.put_control(item)
    elif not watcher.down:  # else there is no incarnation to receive it
        watcher.inbox.add_notice(item)
