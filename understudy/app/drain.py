"""How a server goes away: said at once, answers at work given a while to end, connections closed in waves.

1. Every client is told when to come back, each at a time of its own, so that they do not come all at once.
2. No more work is begun. What is at work may end in three fifths of the time; what does not is closed in the log, where
   its client finds it when it comes back.
3. Connections are closed with 1001, so many at a time, in the rest of it; then the tree is stopped.
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
"""What a client waits at least: the time that a restart takes."""
RECONNECTS_PER_S: Final = 500.0
"""How many come back in a second: each one costs a handshake, a look at its threads and what it missed."""
MAX_SPREAD_S: Final = 30.0
"""Longest time over which they are spread."""
WAVES: Final = 10
"""In so many steps all connections are closed; fewer than `WAVE_AT_LEAST` go together."""
MIN_WAVE: Final = 25


async def drain(
    connections: Sequence[ActorRef],
    threads: ConversationRegistry,
    within_s: float,
    chance: Callable[[], float] = random.random,
) -> None:
    """Take leave of all connections, in `within_s` seconds at most. `chance` gives 0 to 1."""
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
