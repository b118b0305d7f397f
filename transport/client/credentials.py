"""The token of a client: a fixed one, or one from a source that is called again before it expires."""

import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import jwt
import trio

from transport.wire.errors import Unauthenticated

TokenSource: TypeAlias = Callable[[], str | Awaitable[str]]

RENEW_EARLY_S: Final = 300.0
"""Seconds before its expiry at which a token is renewed; at four fifths of its remaining life if that is later."""


class Credentials:
    """The token to present. `now` returns Unix seconds.

    `source` returns a token each time it is called; None: the token is fixed. `connect_s` is its deadline.
    """

    def __init__(self, token: str | TokenSource | None, connect_s: float, now: Callable[[], float] = time.time) -> None:
        self.token = token if isinstance(token, str) else None
        self.source = token if callable(token) else None
        self._connect_s = connect_s
        self._now = now

    async def get_token(self) -> str | None:
        """Return a token from the source, or the fixed one.

        Raises:
            trio.TooSlowError: The source took longer than `connect_s`.
            Unauthenticated: The source returned an invalid token. Its own errors propagate.
        """
        if self.source is not None:
            with trio.fail_after(self._connect_s):
                token = self.source()
                self.token = await token if inspect.isawaitable(token) else token
        if self.token is not None and not (self.token and self.token.isascii() and self.token.isprintable()):
            raise Unauthenticated("unauthenticated", "That cannot be a session token.")
        return self.token

    def renew_in_s(self) -> float | None:
        """Return in how many seconds to renew the token; None if its expiry is unknown. The token is not verified."""
        try:
            claims = jwt.decode(self.token or "", options={"verify_signature": False})
            left_s = float(claims["exp"]) - self._now()
        except (jwt.PyJWTError, LookupError, ValueError, TypeError):
            return None
        return max(left_s - min(RENEW_EARLY_S, left_s / 5), 0.0) if left_s < float("inf") else None
