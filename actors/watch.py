"""Who wants to know when whom ends.

1. One notice for each watch, also when the target was dead before; none after `unwatch`.
2. A restart is no end. A new actor under an old path is another actor.
3. A watch belongs to the watcher's incarnation and leaves no entry behind.
4. A notice stands behind all that waited in the watcher's mailbox when the other actor ended, since that may be from
   the dead: Erlang's order of signals between two processes. The notice of an urgent watch goes before all lanes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from .errors import DeathPact
from .exit_reasons import NORMAL, Exit
from .lifecycle import State

if TYPE_CHECKING:
    from .cell import Cell
    from .incarnation import Incarnation
    from .ref import ActorRef


class Notice:
    """What comes from the runtime only: `tell` refuses to carry one."""

    __slots__ = ()


@frozen
class Terminated(Notice):
    """A watched actor ended for good."""

    ref: ActorRef
    reason: Exit


@frozen
class Restarted(Notice):
    """A watched actor runs again, in this incarnation, after the one before ended for `reason`."""

    ref: ActorRef
    incarnation: int
    reason: Exit


class VitalTerminated:
    """The end of an actor that the watcher said it cannot live without."""

    __slots__ = ("notice",)

    def __init__(self, notice: Terminated) -> None:
        self.notice: Terminated = notice


class Watch:
    """What one actor wants to hear of another. `vital`: the watcher cannot live without it."""

    __slots__ = ("restarts", "urgent", "vital")

    def __init__(self, *, vital: bool, restarts: bool, urgent: bool) -> None:
        self.vital: bool = vital
        self.restarts: bool = restarts
        self.urgent: bool = urgent

    def add(self, more: Watch) -> None:
        """Wish for what `more` does, too."""
        self.vital |= more.vital
        self.restarts |= more.restarts
        self.urgent |= more.urgent


def watch(watcher: Cell, target: Cell, *, vital: bool = False, restarts: bool = False, urgent: bool = False) -> None:
    """Note that `watcher` wants one `Terminated` of `target`. A second watch adds its wishes to those of the first."""
    wishes = Watch(vital=vital, restarts=restarts, urgent=urgent)
    if target.buried:
        _tell_end(watcher, target, wishes, target.exit or NORMAL)
        return
    if target.watchers is None:
        target.watchers = {}
    known = target.watchers.get(watcher)
    if known is not None:
        known.add(wishes)
        return
    target.watchers[watcher] = wishes
    life = watcher.incarnation
    if life.watching is None:
        life.watching = {}
    life.watching[target] = wishes


def outlive(watcher: Incarnation, target: Cell) -> None:
    """Note that the watcher can live without the target after all."""
    if watcher.vital_watch is target.ref:
        watcher.vital_watch = None
    if watcher.watching is not None and target in watcher.watching:
        watcher.watching[target].vital = False


def check_vital_watch(watcher: Incarnation, notice: Terminated) -> None:
    """The watcher has heard of the end: raise `DeathPact` unless it said that it can live with that."""
    if watcher.vital_watch is not None:
        watcher.vital_watch = None
        raise DeathPact(watcher.cell.path, notice.ref.path, str(notice.reason))


def unwatch(watcher: Cell, target: Cell) -> None:
    """Take the watch back, and a notice that was not received yet."""
    if target.watchers is not None:
        target.watchers.pop(watcher, None)
    watching = watcher.incarnation.watching
    if watching is not None:
        watching.pop(target, None)

    def unwanted(item: object) -> bool:
        notice = item.notice if isinstance(item, VitalTerminated) else item
        return isinstance(notice, Terminated | Restarted) and notice.ref is target.ref

    if watcher.control:
        for item in tuple(watcher.control):
            if unwanted(item):
                watcher.control.remove(item)
    if watcher.mailbox.barriers is not None:
        watcher.mailbox.remove_notices(unwanted)


def unwatch_all(watcher: Incarnation) -> None:
    """Take back all watches of an incarnation that ends."""
    for target in tuple(watcher.watching or ()):
        if target.watchers is not None:
            target.watchers.pop(watcher.cell, None)
    watcher.watching = None


def notify_restart(target: Cell) -> None:
    """Tell those who asked for it that the actor runs again."""
    notice = Restarted(target.ref, target.incarnations, target.exit or NORMAL)
    for watcher, wishes in tuple((target.watchers or {}).items()):
        if wishes.restarts:
            _put(watcher, notice, wishes)


def notify_watchers(target: Cell, reason: Exit) -> None:
    """Tell everybody who watches an actor that ended for good."""
    watchers, target.watchers = target.watchers, None
    for watcher, wishes in (watchers or {}).items():
        watching = watcher.incarnation.watching
        if watching is not None:
            watching.pop(target, None)
        _tell_end(watcher, target, wishes, reason)


def _tell_end(watcher: Cell, target: Cell, wishes: Watch, reason: Exit) -> None:
    notice = Terminated(target.ref, reason)
    _put(watcher, VitalTerminated(notice) if wishes.vital else notice, wishes)


def _put(watcher: Cell, notice: Notice | VitalTerminated, wishes: Watch) -> None:
    if wishes.urgent:
        watcher.put_control(notice)
    elif watcher.state not in (State.STOPPED, State.BACKING_OFF):  # else no incarnation is there to hear it
        watcher.mailbox.add_notice(notice)
