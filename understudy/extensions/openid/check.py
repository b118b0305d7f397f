"""The check by `understudy doctor` of the identity provider."""

import time
from typing import TYPE_CHECKING

import trio

from understudy.cli.check_result import CheckResult
from understudy.extensions.oauth.errors import OAuthError
from understudy.extensions.openid.provider import Provider, Registration

if TYPE_CHECKING:
    from understudy.app.settings import Settings
    from understudy.extensions.openid.settings import OpenIdSettings


def check(table: "OpenIdSettings", settings: "Settings", *, offline: bool) -> CheckResult:
    """Fetch the provider's discovery document, unless `offline`, and report whether users can sign in and out there."""
    if offline:
        return CheckResult("sign-in", "note", f"{table.issuer} was not asked")
    try:
        at = trio.run(Provider(Registration(table.issuer, table.client_id), time.time).metadata)
    except OAuthError as error:
        return CheckResult("sign-in", "mend", f"users cannot sign in at {table.issuer}: {error}")
    back = f"{settings.public_url or settings.url_at(settings.port)}/auth/callback"
    if at.end_session_endpoint is None:
        text = f"users who sign out here stay signed in at {at.issuer}; {back} is the way back"
        return CheckResult("sign-in", "note", text)
    return CheckResult("sign-in", "ok", f"users sign in at {at.issuer}; {back} is the way back")
