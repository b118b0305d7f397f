"""The token of a client: one that stays, or one that is asked for anew in time."""

import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import jwt
import trio

from transport.wire.errors import Unauthenticated

TokenSource: TypeAlias = Callable[[], str | Awaitable[str]]

RENEW_EARLY_S: Final = 300.0
"""How long before its end a token is renewed; at four fifths of what is left when that is sooner."""
RENEW_AGAIN_S: Final = 30.0
"""After a renewal that gave nothing newer."""


class Credentials:
    """The token to show. `now` gives Unix seconds.

    `source` gives a token each time it is called; None: there is but the one. `connect_s` is its deadline.
    """

    def __init__(self, token: str | TokenSource | None, connect_s: float, now: Callable[[], float] = time.time) -> None:
        self.token = token if isinstance(token, str) else None
        self.source = token if callable(token) else None
        self._connect_s = connect_s
        self._now = now

    async def get_token(self) -> str | None:
        """The token of the source, or the one that stays.

        Raises:
            trio.TooSlowError: The source took longer than `connect_s`.
            Unauthenticated: What it gave cannot be a token. What it raises itself passes.
        """
        if self.source is not None:
            with trio.fail_after(self._connect_s):
                given = self.source()
                self.token = await given if inspect.isawaitable(given) else given
        if self.token is not None and not (self.token and self.token.isascii() and self.token.isprintable()):
            raise Unauthenticated("unauthenticated", "That cannot be a session token.")
        return self.token

    def renew_in_s(self) -> float | None:
        """In how many seconds the token should be renewed; None when that cannot be told. The server checks it."""
        try:
            claims = jwt.decode(self.token or "", options={"verify_signature": False})
            left_s = float(claims["exp"]) - self._now()
        except (jwt.PyJWTError, LookupError, ValueError, TypeError):
            return None
        return max(left_s - min(RENEW_EARLY_S, left_s / 5), 0.0) if left_s < float("inf") else None
