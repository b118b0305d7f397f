"""Why a sign-in fails, for those who sign in; `SignInFailed` is what a user reads of it."""


class OAuthError(Exception):
    """A sign-in, or the refresh of its token, failed; the text says why, without secrets."""


class Untrusted(OAuthError):
    """What a server said cannot be relied on: addresses that may not be called, or names that do not match."""


class Unreachable(OAuthError):
    """A server did not answer, or answers with a fault of its own; it may be tried again."""


class GrantRefused(OAuthError):
    """The authorization server refuses: a code or a token that it does not accept, or a client that it does not know.

    `code` is the one of RFC 6749.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class SignInFailed(Exception):
    """A sign-in cannot be started or finished. `code` is one of `transport.wire.codes`, `message` is for its user."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message
