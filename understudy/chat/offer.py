"""Telling an actor something that is no loss to it when it has no room."""

import logging

from actors import ActorRef, Lane, MailboxFull

log = logging.getLogger(__name__)


def offer(ref: ActorRef | None, message: object, lane: Lane = Lane.NORMAL) -> None:
    """Tell an actor something, unless its mailbox is full; nothing when there is none to tell.

    For what can be had again: durable events, which an outbox reads from the log when it drains, and signs of life.
    """
    if ref is None:
        return
    try:
        ref.tell(message, lane=lane)
    except MailboxFull:
        log.debug("offer.declined", extra={"path": ref.path, "message_type": type(message).__name__})
