"""The operator's hooks: for whom a program may send messages, and where their answers are posted."""

import os
import re
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from attrs import field, frozen

from transport.auth.fetch import is_fetchable
from understudy.models.keys import BadKey, file_of, read_secret

NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,31}\Z")
MEMBERS: Final = ("user", "tenant", "agent", "reply_url")
LEAST_SECRET: Final = 16
"""Characters of a secret: Slack's have 32."""


@frozen
class Hook:
    """A hook. Messages are of `user`, for `agent` (None: the one that answers by default). Answers are posted to
    `reply_url`, none if it is empty, with `token` as bearer if there is one. `secret` signs in both directions."""

    name: str
    user: str
    secret: str = field(repr=False)
    tenant: str | None = None
    agent: str | None = None
    reply_url: str = ""
    token: str = field(default="", repr=False)


Hooks: TypeAlias = Mapping[str, Hook]


def read_hooks(given: Any) -> tuple[dict[str, Hook], list[str]]:
    """Read the table `hooks` of a settings file, and the secrets of its hooks from the environment.

    Return the hooks by name, and the faults as sentences.
    """
    if not isinstance(given, dict):
        return {}, ["hooks must be a table: [understudy.hooks.NAME]"]
    read: dict[str, Hook] = {}
    faults: list[str] = []
    for name, row in given.items():
        try:
            read[name] = _read_hook(name, row)
        except (ValueError, BadKey) as error:
            faults.append(str(error))
    return read, faults


def _read_hook(name: str, row: Any) -> Hook:
    where = f"hooks.{name}"
    if not NAME.match(name):
        raise ValueError(f"{where} has a wrong name: 1 to 32 small letters, digits and _, with a letter first")
    if not isinstance(row, dict):
        raise ValueError(f"{where} must be a table")
    for member, value in row.items():
        if member not in MEMBERS:
            raise ValueError(f"{where} has an unknown member {member}")
        if not isinstance(value, str) or not value.isprintable():
            raise ValueError(f"{where}.{member} must be a text")
    if not row.get("user"):
        raise ValueError(f"{where} needs user: whose messages they are")
    url = row.get("reply_url", "")
    if url and (not is_fetchable(url) or "#" in url):
        raise ValueError(f"{where}.reply_url must be an address such as https://slack.com/api/chat.postMessage")
    secret, token = (_from_environment(name, part) for part in ("SECRET", "TOKEN"))
    if len(secret) < LEAST_SECRET:
        raise ValueError(
            f"{where} needs its signing secret in UNDERSTUDY_HOOK_{name.upper()}_SECRET, of {LEAST_SECRET} characters "
            "or more"
        )
    if not (token.isascii() and token.isprintable()):
        raise ValueError(f"UNDERSTUDY_HOOK_{name.upper()}_TOKEN has characters that no header may have")
    return Hook(name, row["user"], secret, row.get("tenant"), row.get("agent"), url, token)


def _from_environment(name: str, part: str) -> str:
    variable = f"UNDERSTUDY_HOOK_{name.upper()}_{part}"
    file = file_of(variable)
    return os.environ.get(variable, "") or ("" if file is None else read_secret(*file))
