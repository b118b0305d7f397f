"""Who wants to know when whom ends.

1. One notice for each watch, also when the target was dead before; none after `unwatch`.
2. A restart is no end. A new actor under an old path is another actor.
3. A watch belongs to the watcher's incarnation and leaves no entry behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from .errors import DeathPact
from .exits import NORMAL, Exit

if TYPE_CHECKING:
    from .cell import Cell
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


class VitalEnd:
    """The end of an actor that the watcher said it cannot live without."""

    __slots__ = ("notice",)

    def __init__(self, notice: Terminated) -> None:
        self.notice: Terminated = notice


def watch(watcher: Cell, target: Cell, *, vital: bool = False, restarts: bool = False) -> None:
    """Note that `watcher` wants one `Terminated` of `target`; watching it a second time changes the wishes only."""
    if target.buried:
        _tell_end(watcher, target, vital, target.exit or NORMAL)
        return
    if target.watchers is None:
        target.watchers = {}
    target.watchers[watcher] = restarts
    if watcher.watching is None:
        watcher.watching = {}
    watcher.watching[target] = vital


def outlive(watcher: Cell, target: Cell) -> None:
    """Note that the watcher can live without the target after all."""
    if watcher.pact is target.ref:
        watcher.pact = None
    if watcher.watching is not None and target in watcher.watching:
        watcher.watching[target] = False


def check_pact(watcher: Cell, notice: Terminated) -> None:
    """The watcher has heard of the end: raise `DeathPact` unless it said that it can live with that."""
    if watcher.pact is not None:
        watcher.pact = None
        raise DeathPact(watcher.path, notice.ref.path, str(notice.reason))


def unwatch(watcher: Cell, target: Cell) -> None:
    """Take the watch back, and a notice that was not received yet."""
    if target.watchers is not None:
        target.watchers.pop(watcher, None)
    if watcher.watching is not None:
        watcher.watching.pop(target, None)
    if watcher.control:
        for item in tuple(watcher.control):
            notice = item.notice if isinstance(item, VitalEnd) else item
            if isinstance(notice, Terminated | Restarted) and notice.ref is target.ref:
                watcher.control.remove(item)


def unwatch_all(watcher: Cell) -> None:
    """Take back all watches of an incarnation that ends."""
    for target in tuple(watcher.watching or ()):
        if target.watchers is not None:
            target.watchers.pop(watcher, None)
    watcher.watching = None


def notify_restart(target: Cell) -> None:
    """Tell those who asked for it that the actor runs again."""
    notice = Restarted(target.ref, target.incarnation, target.exit or NORMAL)
    for watcher, restarts in tuple((target.watchers or {}).items()):
        if restarts:
            watcher.control_message(notice)


def notify_watchers(target: Cell, reason: Exit) -> None:
    """Tell everybody who watches an actor that ended for good."""
    watchers, target.watchers = target.watchers, None
    for watcher in watchers or ():
        vital = watcher.watching.pop(target, False) if watcher.watching is not None else False
        _tell_end(watcher, target, vital, reason)


def _tell_end(watcher: Cell, target: Cell, vital: bool, reason: Exit) -> None:
    notice = Terminated(target.ref, reason)
    watcher.control_message(VitalEnd(notice) if vital else notice)
