"""The errors of a sign-in at another server; `SignInFailed` has the sentence for its user."""


class OAuthError(Exception):
    """A sign-in, or the refresh of its token, failed; the text says why, without secrets."""


class Untrusted(OAuthError):
    """A server's answer cannot be trusted: it names an address that may not be called, or a name does not match."""


class Unreachable(OAuthError):
    """A server did not answer, or answered with a fault of its own; a retry may succeed."""


class GrantRefused(OAuthError):
    """The authorization server refuses the code, the token or the client. `code` is an error code of RFC 6749."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class SignInFailed(Exception):
    """A sign-in cannot be started or finished. `code` is one of `transport.wire.codes`, `message` is for its user."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message
