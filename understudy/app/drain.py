"""Drain a server: announce it at once, let active runs finish for a while, then close connections in waves.

1. Every client is sent a reconnect delay. The delays differ, so that clients do not reconnect all at once.
2. No run starts any more. Active runs may finish within three fifths of the time. The others are ended in the log,
   where clients find the end after reconnecting.
3. In the remaining time, connections are closed with 1001 in waves. Then the tree is stopped.
"""

import logging
import random
from collections.abc import Callable, Sequence
from typing import Final

import trio

from actors import ActorRef, Lane
from transport.connection.websocket import Close
from transport.wire.events import Drain
from understudy.chat.registry import ConversationRegistry

log = logging.getLogger(__name__)

RECONNECT_AFTER_S: Final = 2.0
"""Minimum reconnect delay in seconds: the time that a restart takes."""
RECONNECTS_PER_S: Final = 500.0
"""Reconnects that are planned for each second. Each costs a handshake, a read of its threads, and missed events."""
MAX_SPREAD_S: Final = 30.0
"""Seconds over which the reconnects are spread at most."""
WAVES: Final = 10
"""Waves in which all connections are closed, of at least `MIN_WAVE` connections each."""
MIN_WAVE: Final = 25


async def drain(
    connections: Sequence[ActorRef],
    threads: ConversationRegistry,
    within_s: float,
    chance: Callable[[], float] = random.random,
) -> None:
    """Drain all connections within `within_s` seconds. `chance` returns a random number from 0 to 1."""
    spread_s = min(MAX_SPREAD_S, len(connections) / RECONNECTS_PER_S)
    for connection in connections:
        connection.tell(Drain(round(RECONNECT_AFTER_S + spread_s * chance(), 3), within_s), lane=Lane.ALERT)
    if not await threads.wait_idle(within_s * 3 / 5):
        log.info("server.leaving_runs", extra={"within_s": within_s})
    with trio.move_on_after(within_s * 2 / 5):
        await _close(connections, within_s / 5 / WAVES)


async def _close(connections: Sequence[ActorRef], pause_s: float) -> None:
    size = max(MIN_WAVE, -(-len(connections) // WAVES))
    for start in range(0, len(connections), size):
        for connection in connections[start : start + size]:
            connection.tell(Close(1001), lane=Lane.ALERT)
        if start + size < len(connections):
            await trio.sleep(pause_s)
    for connection in connections:
        await connection.wait_stopped()
