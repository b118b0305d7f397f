"""The settings of local accounts."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from attrs import frozen

from transport.auth.identity import is_loopback

if TYPE_CHECKING:
    from understudy.agents.agent import Agent
    from understudy.app.settings import Settings
    from understudy.cli.check_result import CheckResult


@frozen
class AccountSettings:
    """Whether users have accounts of this server."""

    enabled: bool = False
    """Whether the page's users sign in to accounts of this server, with a password or a passkey, which they set by a
    link of `understudy invite`."""

    @property
    def signs_in(self) -> bool:
        """Whether users sign in to accounts."""
        return self.enabled

    @property
    def own_secret(self) -> bool:
        """Tokens of these users are signed with this server's own secret only."""
        return True

    def faults(self, settings: "Settings") -> Iterator[str]:
        """Yield a sentence for each conflict with other settings."""
        if not self.enabled:
            return
        if len(settings.sign_ins) > 1:
            yield (
                "accounts and oidc.issuer are both set: users sign in either with a password or at the provider, or "
                "two people could have one name"
            )
        if settings.tenant_claim:
            yield "accounts have no tenants: leave out tenant_claim, or have an identity provider"
        if not settings.signs:
            yield "accounts on PostgreSQL need secret (UNDERSTUDY_SECRET), of which all nodes have the same"
        private = settings.tls.certificate is not None or settings.public_url.startswith("https:")
        if not is_loopback(settings.host) and not private:
            yield (
                "accounts need https, or anybody in between could read passwords: set public_url "
                "(UNDERSTUDY_PUBLIC_URL) to the address of the proxy that speaks TLS, such as "
                "https://chat.example.org, or tls.certificate and tls.key"
            )

    def checks(self, settings: "Settings", _agents: "Sequence[Agent]", _offline: bool) -> "Iterator[CheckResult]":
        """Yield the result of hashing a password as the server does at a sign-in."""
        if self.enabled:
            from understudy.extensions.accounts.check import check

            yield check(settings)
