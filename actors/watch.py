"""Who wants to know when whom ends.

1. One notice for each watch, also when the target was dead before; none after `unwatch`.
2. A restart is no end. A new actor under an old path is another actor.
3. A watch belongs to the watcher's incarnation and leaves no entry behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from .exits import NORMAL, Exit

if TYPE_CHECKING:
    from .cell import Cell
    from .ref import ActorRef


@frozen
class Terminated:
    """A watched actor ended for good. Comes from the runtime only: `tell` refuses to carry one."""

    ref: ActorRef
    reason: Exit


def watch(watcher: Cell, target: Cell) -> None:
    """Note that `watcher` wants one `Terminated` of `target`; a second watch of a live target changes nothing."""
    if target.buried:
        watcher.control_message(Terminated(target.ref, target.exit or NORMAL))
        return
    if target.watchers is None:
        target.watchers = {}
    target.watchers[watcher] = None
    if watcher.watching is None:
        watcher.watching = {}
    watcher.watching[target] = None


def unwatch(watcher: Cell, target: Cell) -> None:
    """Take the watch back, and a notice that was not received yet."""
    if target.watchers is not None:
        target.watchers.pop(watcher, None)
    if watcher.watching is not None:
        watcher.watching.pop(target, None)
    if watcher.control:
        for item in tuple(watcher.control):
            if isinstance(item, Terminated) and item.ref is target.ref:
                watcher.control.remove(item)


def unwatch_all(watcher: Cell) -> None:
    """Take back all watches of an incarnation that ends."""
    for target in tuple(watcher.watching or ()):
        if target.watchers is not None:
            target.watchers.pop(watcher, None)
    watcher.watching = None


def notify_watchers(target: Cell, reason: Exit) -> None:
    """Tell everybody who watches an actor that ended for good."""
    watchers, target.watchers = target.watchers, None
    for watcher in watchers or ():
        if watcher.watching is not None:
            watcher.watching.pop(target, None)
        watcher.control_message(Terminated(target.ref, reason))
