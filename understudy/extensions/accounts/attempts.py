"""Counts attempts to sign in, by key, in the database, so that all nodes count together.

1. An attempt is counted before its password is checked, so concurrent attempts cannot pass a limit together.
2. At most `MOST` keys are stored. Beyond that the keys that would expire next are deleted at once.
"""

import math
from typing import Final

from sqlalchemy import Connection, delete, func, select, update

from understudy.extensions.accounts.tables import sign_in_attempts
from understudy.storage.write import put, write

MOST: Final = 20_000
"""Limit of stored keys, of some 100 bytes each. It exists because an attacker can invent names and addresses."""
LONGEST_S: Final = 900.0
"""Longest wait until the next attempt."""
FORGET_S: Final = 24 * 3600.0
"""Seconds without an attempt after which a key is forgotten."""
NOTED: Final = -1
"""Result for an attempt that must be noted in the audit log if it is refused."""

_k = sign_in_attempts.c


@write
def take_attempt(
    connection: Connection, keys: tuple[tuple[str, int], ...], now: float, noted: tuple[str, ...] = ()
) -> int:
    """Count an attempt at `now` (Unix seconds) under each of `keys`: pairs of a key and its number of free attempts.

    Each attempt beyond the free ones doubles the wait until the next, from one second to `LONGEST_S`. If the attempt
    comes too soon for a key, count nothing and return the milliseconds to wait. Else return `NOTED` if the attempt is
    the first under all keys of `noted` or the one with which the waits of one of these begin, and 0 otherwise.
    """
    names = sorted(key for key, _ in keys)  # all nodes lock the rows in this order, so they cannot deadlock
    connection.execute(delete(sign_in_attempts).where(_k.forget_at <= now))
    for key in names:
        fresh = {"key": key, "attempts": 0, "retry_at": 0.0, "forget_at": now + FORGET_S}
        connection.execute(put(connection, sign_in_attempts).values(**fresh).on_conflict_do_nothing())
    _make_room(connection, names)
    counted = select(_k.key, _k.attempts, _k.retry_at).where(_k.key.in_(names)).order_by(_k.key).with_for_update()
    rows = {key: (attempts, retry_at) for key, attempts, retry_at in connection.execute(counted)}
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
    """After a successful sign-in, subtract one attempt from the keys `give_back` and delete `forget`. Return True."""
    for key in sorted(give_back):
        counted = update(sign_in_attempts).where(_k.key == key, _k.attempts > 0)
        connection.execute(counted.values(attempts=_k.attempts - 1, retry_at=0.0))
    connection.execute(delete(sign_in_attempts).where(_k.key.in_(sorted(forget))))
    return True


def _make_room(connection: Connection, keep: list[str]) -> None:
    """If more than `MOST` keys are stored, delete those that have been unused for longest, except `keep`."""
    count = connection.scalar(select(func.count()).select_from(sign_in_attempts)) or 0
    if count <= MOST:
        return
    oldest = select(_k.key).where(_k.key.not_in(keep)).order_by(_k.forget_at, _k.key).limit(count - MOST)
    connection.execute(delete(sign_in_attempts).where(_k.key.in_(oldest.scalar_subquery())))
