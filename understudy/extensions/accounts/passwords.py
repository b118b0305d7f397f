"""Hashes passwords with Argon2id in worker threads, a bounded number at once.

1. A hash takes 64 MiB and about 0.1 s of processor time. At most `AT_ONCE` are computed at a time and `WAITING`
   callers wait; further callers are refused, so a flood of attempts cannot exhaust the machine.
2. `verify` does the same work whether or not there is a hash to compare with, so its duration shows nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import trio
from attrs import define, field

from transport.wire.errors import CommandRejected
from understudy.storage.errors import ExtraNotInstalled

try:
    import argon2
    from argon2.exceptions import InvalidHashError, VerificationError
except ImportError as missing:
    raise ExtraNotInstalled("accounts", "accounts") from missing

AT_ONCE: Final = 2
"""Hashes that are computed at a time: 128 MiB."""
WAITING: Final = 32
"""Limit of waiting callers; the last of them waits about two seconds."""
RETRY_S: Final = 2.0


@define(eq=False)
class Passwords:
    """Hashes and verifies passwords. `computed` counts the hashes; `hasher` has the parameters of the second option
    that RFC 9106 recommends (64 MiB, 3 passes, 4 lanes)."""

    hasher: argon2.PasswordHasher = field(factory=argon2.PasswordHasher, repr=False)
    computed: int = field(default=0, init=False)
    _slots: trio.CapacityLimiter = field(factory=lambda: trio.CapacityLimiter(AT_ONCE), init=False, repr=False)
    _callers: int = field(default=0, init=False)
    _decoy: str = field(default="", init=False, repr=False)
    _decoy_lock: trio.Lock = field(factory=trio.Lock, init=False, repr=False)

    async def hash(self, password: str) -> str:
        """Return the hash of a password, with its salt and parameters.

        Raises:
            CommandRejected: Too many callers wait (`busy`).
        """
        with self._place():
            self.computed += 1
            return await trio.to_thread.run_sync(self.hasher.hash, password, limiter=self._slots)

    async def verify(self, password: str, hashed: str) -> bool:
        """Return whether this is the password of a hash. For an empty hash do the same work, and return False.

        Raises:
            CommandRejected: Too many callers wait (`busy`).
        """
        with self._place():
            async with self._decoy_lock:
                if not self._decoy:  # made at the first comparison of any kind, so an empty hash does not take longer
                    self._decoy = await trio.to_thread.run_sync(self.hasher.hash, "a password that nobody has")
            self.computed += 1
            matches = await trio.to_thread.run_sync(self._compare, password, hashed or self._decoy, limiter=self._slots)
            return matches and bool(hashed)

    def is_outdated(self, hashed: str) -> bool:
        """Return whether a hash was made with other parameters than the present ones."""
        return self.hasher.check_needs_rehash(hashed)

    def _compare(self, password: str, hashed: str) -> bool:
        try:
            return self.hasher.verify(hashed, password)
        except (VerificationError, InvalidHashError):
            return False

    @contextmanager
    def _place(self) -> Iterator[None]:
        """Count a caller. Raises CommandRejected (`busy`) if as many are here as may be."""
        if self._callers >= AT_ONCE + WAITING:
            raise CommandRejected("busy", "Too many people sign in at this moment; try again.", RETRY_S)
        self._callers += 1
        try:
            yield
        finally:
            self._callers -= 1
