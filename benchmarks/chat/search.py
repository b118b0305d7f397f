"""How many users fit: a search over loads of which each costs half a minute, so it takes few of them. Pure."""

from __future__ import annotations

from collections.abc import Callable


def most(fits: Callable[[int], bool], first: int, probes: int, within: float) -> int:
    """Return the largest number of users that was seen to fit; 0 if none was.

    It begins with `first`, goes up or down by a third until one fits and one does not, and then halves what lies
    between, geometrically. It ends after `probes` loads, or when those two are within the factor `within`.
    """
    good, bad = 0, 0
    users = max(1, first)
    for _ in range(probes):
        if fits(users):
            good = users
        else:
            bad = users
        if bad == 1 or (good and bad and bad <= max(good * within, good + 1)):
            break
        if not bad:
            users = max(users + 1, round(users * 4 / 3))
        elif not good:
            users = max(1, round(users * 3 / 4))
        else:
            users = min(max(good + 1, round((good * bad) ** 0.5)), bad - 1)
    return good
