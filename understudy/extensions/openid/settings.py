"""The settings of the sign-in at an identity provider."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from attrs import field, frozen
from attrs.validators import ge, le
from typed_settings import SecretStr

from transport.auth.fetch import is_base
from transport.auth.identity import is_loopback

if TYPE_CHECKING:
    from understudy.agents.agent import Agent
    from understudy.app.settings import Settings
    from understudy.cli.check_result import CheckResult

PREFIX: Final = "oidc-"
"""Prefix of the names of sessions that began at the provider."""
SIGN_IN: Final = "/auth/sign-in"
HANDOVER_S: Final = 120
"""Seconds within which a browser must take the first token of a session that has begun in it."""


@frozen
class OpenIdSettings:
    """At which provider the page's users sign in, and what it says of them."""

    issuer: str = ""
    """The identity provider at which the page's users sign in by OpenID Connect: its `issuer`, letter by letter."""
    client_id: str = ""
    """This server's name at the provider; needed with `oidc.issuer`."""
    client_secret: SecretStr = field(default=SecretStr(""), repr=False)
    """This server's secret at the provider; none for a public client."""
    title: str = ""
    """What users call the provider, on the page's button; the host of `oidc.issuer` unless set."""
    scopes: list[str] = field(factory=lambda: ["openid", "profile", "email"])
    """What is asked of the provider; some give a refresh token for `offline_access` only."""
    prompt: str = ""
    """The `prompt` of the request, such as `consent` or `select_account`."""
    name_claim: str = ""
    """The claim that holds what people call the user; unless set, or without it, `name`, `preferred_username` or
    `email`."""
    roles_claim: str = "roles"
    """The claim that holds the user's roles; `realm_access.roles` is a member of a claim."""
    groups_claim: str = "groups"
    """The claim that holds the user's groups."""
    recheck_s: int = field(default=600, validator=[ge(10), le(86_400)])
    """How often the provider is asked whether and as what a user may stay, 10 to 86400; a user who is removed there is
    signed out within that time."""
    outage_s: int = field(default=3600, validator=ge(0))
    """How long sessions go on as they were while the provider is away."""

    @property
    def signs_in(self) -> bool:
        """Whether users sign in at a provider."""
        return bool(self.issuer)

    def faults(self, settings: "Settings") -> Iterator[str]:
        """Yield a sentence for each fault of the settings."""
        if not self.issuer:
            for name in ("client_id", "client_secret"):
                if getattr(self, name):
                    yield f"oidc.{name} (UNDERSTUDY_OIDC_{name.upper()}) has no effect without oidc.issuer"
            return
        if not is_base(self.issuer):
            yield f"oidc.issuer must be an address such as https://id.example.org, not {self.issuer!r}"
        if not self.issuer.startswith("https:") and not is_loopback(urlsplit(self.issuer).hostname or ""):
            yield "oidc.issuer must begin with https, or anybody in between could sign in as anybody"
        if not self.client_id:
            yield "oidc.issuer needs oidc.client_id: register this server at the provider"
        if "openid" not in self.scopes:
            yield "oidc.scopes must hold openid, or the provider does not say who signs in"
        if not settings.signs:
            yield "oidc.issuer needs secret (UNDERSTUDY_SECRET): the server signs the sessions of its users"
        if not settings.public_url and not is_loopback(settings.host):
            yield (
                "oidc.issuer needs public_url (UNDERSTUDY_PUBLIC_URL), such as https://chat.example.org: the provider "
                "sends browsers back there"
            )

    def checks(self, settings: "Settings", _: "Sequence[Agent]", offline: bool) -> "Iterator[CheckResult]":
        """Check the provider by fetching its discovery document, as the server would."""
        if self.issuer:
            from understudy.extensions.openid.check import check

            yield check(self, settings, offline=offline)
