"""The check of `understudy doctor` for sign-in with a password."""

import time
from typing import TYPE_CHECKING

import trio

from understudy.cli.check_result import CheckResult
from understudy.storage.errors import ExtraNotInstalled

if TYPE_CHECKING:
    from understudy.app.settings import Settings


def check(settings: "Settings") -> CheckResult:
    """Hash a password as the server does at a sign-in, and report how long that takes."""
    try:
        from understudy.extensions.accounts.passwords import Passwords
    except ExtraNotInstalled as error:
        return CheckResult("sign-in", "mend", str(error))
    began = time.perf_counter()
    trio.run(Passwords().hash, "a password that nobody has")
    took_ms = (time.perf_counter() - began) * 1000
    url = settings.public_url or settings.url_at(settings.port)
    text = f"users sign in with a password at {url}; to check one takes {took_ms:.0f} ms"
    return CheckResult("sign-in", "ok", text)
