"""The current keys of an identity provider, and the actor that fetches them.

Verification looks keys up and never waits. An unknown key triggers a fetch at once, but at most one per `cool_down_s`,
however many tokens name one: a flood of forged tokens does not become requests to the provider.
"""

import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

import trio
from attrs import frozen

from actors import Actor, ActorRef, Context
from transport.auth.jwks import KeySet, PublicKey
from transport.auth.tokens import JoseHeader
from transport.wire.errors import FetchFailed, KeySetInvalid

MAX_WAITERS: Final = 100

log: Final = logging.getLogger("transport.keys")


@frozen
class KeyTimes:
    """The schedule of fetches, in seconds.

    `refresh_s`: after a success; a key withdrawn by the provider stays valid for at most that long. `retry_s`, doubled
    up to `max_retry_s`: after a failure. `cool_down_s`: between two fetches for unknown keys. `stale_s`: how long keys
    stay valid while none can be fetched.
    """

    refresh_s: float = 300.0
    retry_s: float = 1.0
    max_retry_s: float = 60.0
    cool_down_s: float = 10.0
    stale_s: float = 86_400.0


class Keyring:
    """The current keys. `clock` returns monotonic seconds."""

    def __init__(self, times: KeyTimes | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.times = times or KeyTimes()
        self._clock = clock
        self._keys: KeySet | None = None
        self._fresh_at = 0.0
        self._asked_at = -self.times.cool_down_s
        self._fetcher: ActorRef | None = None
        self._fetch_done: trio.Event | None = None
        self._waiters = 0

    def __repr__(self) -> str:
        return f"Keyring(keys={0 if self._keys is None else len(self._keys.keys)})"

    @property
    def stale(self) -> bool:
        """Whether no keys are valid: none were fetched yet, or more than `stale_s` ago."""
        return self._keys is None or self._clock() - self._fresh_at >= self.times.stale_s

    @property
    def current(self) -> KeySet | None:
        """The valid keys, or None."""
        return None if self.stale else self._keys

    def find(self, head: JoseHeader) -> PublicKey | None:
        """Return the key for a token; if it is unknown, request a fetch and return None."""
        keys = self.current
        key = None if keys is None else keys.find(head)
        if key is None:
            self._request_fetch()
        return key

    def replace(self, keys: KeySet) -> None:
        """Replace the keys."""
        self._keys, self._fresh_at = keys, self._clock()

    def attach_fetcher(self, keeper: ActorRef) -> None:
        """Attach the fetching actor, which fetches at once."""
        self._fetcher = keeper
        self._mark_fetching()

    @contextlib.contextmanager
    def fetching(self) -> Iterator[None]:
        """Mark a fetch as running within the block. Waiting tasks resume at its end, whether it succeeded or not."""
        under_way = self._mark_fetching()
        try:
            yield
        finally:
            under_way.set()
            if self._fetch_done is under_way:
                self._fetch_done = None

    async def wait_fetched(self, within_s: float) -> None:
        """Wait at most `within_s` seconds for the end of the running fetch. Return at once if there is none.

        At most MAX_WAITERS tasks wait at a time; further calls return at once.
        """
        if self._fetch_done is None or self._waiters >= MAX_WAITERS:
            return
        self._waiters += 1
        try:
            with trio.move_on_after(within_s):
                await self._fetch_done.wait()
        finally:
            self._waiters -= 1

    def _request_fetch(self) -> None:
        if self._fetcher is None or self._fetch_done is not None:
            return  # the running fetch may bring the key
        if self._clock() - self._asked_at < self.times.cool_down_s:
            return
        self._asked_at = self._clock()
        self._mark_fetching()
        self._fetcher.tell(_Fetch())

    def _mark_fetching(self) -> trio.Event:
        """Return the event that is set at the end of the running or requested fetch; create it if there is none."""
        if self._fetch_done is None:
            self._fetch_done = trio.Event()
        return self._fetch_done


@frozen
class _Fetch:
    """Fetch the keys now."""


class KeyFetcher(Actor):
    """Fetches the keys at its start, periodically, and on request.

    `fetch` returns them, or raises FetchFailed, KeySetInvalid or OSError.
    """

    def __init__(self, keyring: Keyring, fetch: Callable[[], Awaitable[KeySet]]) -> None:
        self._keyring = keyring
        self._fetch = fetch
        self._failures = 0

    async def on_start(self, context: Context) -> None:
        """Request the first fetch, without waiting for it."""
        self._keyring.attach_fetcher(context.ref)
        context.ref.tell(_Fetch())

    async def receive(self, message: object, context: Context) -> None:
        """Fetch; after a failure retry with exponential backoff."""
        times = self._keyring.times
        with self._keyring.fetching():
            try:
                keys = await self._fetch()
            except (FetchFailed, KeySetInvalid, OSError) as error:
                self._failures += 1
                extra = {"reason": str(error), "failures": self._failures, "stale": self._keyring.stale}
                log.warning("keys.not_fetched", extra=extra)
            else:
                self._failures = 0
                self._keyring.replace(keys)
                log.info("keys.fetched", extra={"keys": len(keys.keys), "left_out": keys.skipped})
        again_s = min(times.max_retry_s, times.retry_s * 2.0 ** min(self._failures - 1, 20))
        context.set_timer("fetch", again_s if self._failures else times.refresh_s, _Fetch())
