"""Sends webhooks and push notifications to their receivers, and remembers which receivers are away.

A receiver that does not answer gets no requests for a while, so that they do not delay those for other receivers.
"""

import random
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

import trio
from attrs import define, field, frozen

from transport.auth.fetch import post
from transport.wire.errors import FetchFailed
from understudy.extensions.notices.webhooks import WebhookRefused, WebhookRules

POST_S: Final = 10.0
"""Timeout of one request, and of the look-up of its host's name."""
CLAIM_S: Final = 20.0
"""Seconds after which a claimed delivery is due again, if its node died: longer than a request."""
FIRST_S: Final = 5.0
FACTOR: Final = 3.0
LONGEST_S: Final = 3600.0
"""Seconds before the second attempt, the factor for each further one, and the longest delay."""
JITTER: Final = 0.2
"""Fraction by which a delay varies, so that a receiver that was away is not called by all nodes at once."""
GIVE_UP_S: Final = 24 * 3600.0
"""Age in seconds after which a delivery is given up."""
AWAY_S: Final = 30.0
"""Seconds for which a receiver that could not be reached gets no requests."""
REMEMBERED: Final = 1000
"""Limit of receivers that are remembered as away."""
GONE: Final = 410


def delay_s(attempts: int, chance: random.Random, first_s: float = FIRST_S) -> float:
    """Return the seconds to wait after this many failed attempts."""
    return min(first_s * FACTOR ** min(attempts - 1, 20), LONGEST_S) * chance.uniform(1 - JITTER, 1 + JITTER)


@frozen
class SendAttempt:
    """The outcome of a request. `reason` is why it failed, empty if it succeeded; `final`: a retry would fail too."""

    reason: str = ""
    final: bool = False


@define(eq=False)
class Receivers:
    """Sends to receivers that the rules allow. `clock` gives Unix seconds."""

    rules: WebhookRules
    clock: Callable[[], float]
    first_s: float = FIRST_S
    chance: random.Random = field(factory=random.Random, init=False)  # jitter
    _away_until: dict[str, float] = field(factory=dict, init=False)

    def away_until(self, url: str) -> float:
        """Return the time until which a receiver gets no requests; 0.0 if it is not away."""
        return self._away_until.get(urlsplit(url).netloc, 0.0)

    async def send(self, url: str, body: bytes, headers: Mapping[str, str]) -> SendAttempt:
        """Send a body to a receiver, at an address that was checked; redirects are not followed."""
        receiver = urlsplit(url).netloc
        try:
            with trio.fail_after(POST_S):
                addresses = await self.rules.resolve(url)
            status = await post(url, body, headers, connect_to=addresses, within_s=POST_S)
        except WebhookRefused as refused:
            return SendAttempt(f"the address {refused}", final=True)
        except trio.TooSlowError:
            reason = "the name of its host is not resolved"
        except (FetchFailed, OSError) as error:
            reason = error.reason if isinstance(error, FetchFailed) else error.strerror or type(error).__name__
        else:
            self._away_until.pop(receiver, None)
            return SendAttempt() if 200 <= status < 300 else SendAttempt(f"it answers {status}", status == GONE)
        while len(self._away_until) >= REMEMBERED:
            del self._away_until[next(iter(self._away_until))]
        self._away_until[receiver] = self.clock() + min(AWAY_S, 6 * self.first_s)
        return SendAttempt(reason)

    def retry_at(self, attempts: int) -> float:
        """Return when to try again after this many failed attempts."""
        return self.clock() + delay_s(attempts, self.chance, self.first_s)
