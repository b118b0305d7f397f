"""The settings of sessions, and of tokens of an identity provider."""

from attrs import field, frozen
from attrs.validators import ge, gt, optional


@frozen
class JwtSettings:
    """Tokens of an identity provider."""

    keys: str = ""
    """A file or an address with the public keys of an identity provider; a path in a settings file is relative to that
    file's folder."""
    issuer: str = ""
    """The required `iss` of the provider's tokens."""
    audience: str = ""
    """The required `aud` of the provider's tokens; needed with `jwt.keys`."""


@frozen
class SessionSettings:
    """Session tokens, and how long a session lasts."""

    token_ttl_s: int = field(default=7 * 24 * 3600, validator=gt(0))
    """How long a session token is valid."""
    max_s: int = field(default=30 * 24 * 3600, validator=gt(0))
    """How long after signing in a session can be renewed."""
    refresh_grace_s: int | None = field(default=None, validator=optional(ge(0)))
    """How long after its end an anonymous user's token can still be renewed; as long as `token_ttl_s` unless set."""
