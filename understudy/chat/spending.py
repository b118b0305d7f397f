"""What users may still spend on models, as the chat asks. A server without the extension `spending` bounds nobody."""

from collections.abc import Callable
from typing import Protocol

from transport.auth.identity import Identity
from understudy.storage.polling import Expiry
from understudy.storage.spending import KEPT_DAYS, day_of, forget_spending
from understudy.storage.store import Store


class Spender(Protocol):
    """The user who spends, by the key of the user's data; what bounds users may read more of it."""

    @property
    def user(self) -> str: ...  # noqa: D102 - see the class


class SpendingOfUsers:
    """What users may still spend: everything."""

    async def check(self, who: Identity) -> None:
        """Refuse a run of a user who has spent what they may.

        Raises:
            CommandRejected: A limit is reached (`quota_exceeded`); `retry_after` is the time until there is more.
            StorageUnavailable: The database cannot be read or written.
        """

    async def exceeded(self, who: Spender) -> object | None:
        """Return the limit that is reached by now, or None. Raises StorageUnavailable."""
        return None


def spending_expiry(store: Store, clock: Callable[[], float]) -> Expiry:
    """Return the actor that removes old rows of what turns cost."""
    return Expiry(store, lambda: forget_spending(day_of(clock()) - KEPT_DAYS))
