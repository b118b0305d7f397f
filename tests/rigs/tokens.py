"""Tokens as an issuer makes them that has the server's secret."""

import time
from typing import Any

import jwt

from transport.auth.tokens import Tokens

SECRET = "a secret of more than 32 characters, for tests"


def token(user: str, *roles: str, secret: str = SECRET, **claims: Any) -> str:
    """Return a token for a day, unless `claims` say otherwise. The claim of the tenant is `org`."""
    usual = {"sub": user, "sid": f"s-{user}", "exp": time.time() + 24 * 3600, "roles": list(roles)}
    return jwt.encode(usual | claims, secret, "HS256")


OPERATOR = token("op", "operator")


def token_of(user: str, session: str = "s", ttl_s: float = 600.0, **more: Any) -> str:
    """Return a token as the server itself would issue it."""
    return Tokens(SECRET, time.time).issue(user, session, ttl_s=ttl_s, **more)
