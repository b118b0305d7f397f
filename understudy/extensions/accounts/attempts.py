"""Reads and writes of attempts to sign in with a password, by key, for all nodes on the database.

1. An attempt is counted before its password is checked: attempts that come at once cannot pass a limit together.
2. There are at most `MOST` keys: beyond them those that would be forgotten next are forgotten at once.
"""

import math
from typing import Final

from sqlalchemy import Connection, delete, func, select, update

from understudy.extensions.accounts.tables import sign_in_attempts
from understudy.storage.write import put, write

MOST: Final = 20_000
"""Keys that are stored, of some 100 bytes each: an attacker can invent names and addresses without end."""
LONGEST_S: Final = 900.0
"""Longest wait until the next attempt."""
FORGET_S: Final = 24 * 3600.0
"""Seconds without an attempt after which a key is forgotten."""
NOTED: Final = -1
"""The answer about an attempt that is to be noted if it is refused."""

_k = sign_in_attempts.c


@write
def take_attempt(
    connection: Connection, keys: tuple[tuple[str, int], ...], now: float, noted: tuple[str, ...] = ()
) -> int:
    """Count an attempt at `now` (Unix seconds) under each of some keys, given with the attempts that each has free.

    Each attempt beyond them doubles the wait until the next, from one second to `LONGEST_S`. Return 0, or the
    milliseconds to wait if the attempt comes too soon for one of the keys; then nothing is counted. It is `NOTED` if
    the attempt is the first under all keys of `noted`, or the one with which the waits under one of these begin.
    """
    names = sorted(key for key, _ in keys)  # in order, so that two nodes do not wait for each other
    connection.execute(delete(sign_in_attempts).where(_k.forget_at <= now))
    for key in names:
        fresh = {"key": key, "attempts": 0, "retry_at": 0.0, "forget_at": now + FORGET_S}
        connection.execute(put(connection, sign_in_attempts).values(**fresh).on_conflict_do_nothing())
    _make_room(connection, names)
    mine = select(_k.key, _k.attempts, _k.retry_at).where(_k.key.in_(names)).order_by(_k.key).with_for_update()
    rows = {key: (attempts, retry_at) for key, attempts, retry_at in connection.execute(mine)}
    wait_s = max((retry_at - now for _, retry_at in rows.values()), default=0.0)
    if wait_s > 0:
        return math.ceil(min(wait_s, LONGEST_S) * 1000)
    is_first, begins_wait = bool(noted), False
    for key, free in sorted(keys):
        attempts = rows.get(key, (0, 0.0))[0] + 1
        if key in noted:
            is_first, begins_wait = is_first and attempts == 1, begins_wait or attempts == free
        over = attempts - free
        retry_at = now + min(2.0 ** min(over, 30), LONGEST_S) if over >= 0 else 0.0
        values = {"attempts": attempts, "retry_at": retry_at, "forget_at": now + FORGET_S}
        connection.execute(update(sign_in_attempts).where(_k.key == key).values(**values))
    return NOTED if is_first or begins_wait else 0


@write
def forgive_attempt(connection: Connection, give_back: tuple[str, ...], forget: tuple[str, ...]) -> bool:
    """Take one attempt back under some keys, and forget all under others: it was the user. Return True."""
    for key in sorted(give_back):
        one = update(sign_in_attempts).where(_k.key == key, _k.attempts > 0)
        connection.execute(one.values(attempts=_k.attempts - 1, retry_at=0.0))
    connection.execute(delete(sign_in_attempts).where(_k.key.in_(sorted(forget))))
    return True


def _make_room(connection: Connection, keep: list[str]) -> None:
    """Forget the keys that nobody has used for longest, if there are too many."""
    count = connection.scalar(select(func.count()).select_from(sign_in_attempts)) or 0
    if count <= MOST:
        return
    oldest = select(_k.key).where(_k.key.not_in(keep)).order_by(_k.forget_at, _k.key).limit(count - MOST)
    connection.execute(delete(sign_in_attempts).where(_k.key.in_(oldest.scalar_subquery())))
