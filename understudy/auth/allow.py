"""Lists of those who may use something: entries `user:NAME`, `role:NAME` and `group:NAME`. Pure."""

from collections.abc import Collection, Iterable
from typing import Final, Protocol, TypeAlias

KINDS: Final = ("user", "role", "group")

Allowed: TypeAlias = tuple[str, ...] | None
"""Entries, of which one has to fit; None: everybody."""


class Principal(Protocol):
    """The user about whom is decided: the key of the user's data, and the roles and groups of the token."""

    @property
    def user(self) -> str: ...  # noqa: D102 - see the class
    @property
    def roles(self) -> Collection[str]: ...  # noqa: D102 - see the class
    @property
    def groups(self) -> Collection[str]: ...  # noqa: D102 - see the class


def read_allowed(entries: Iterable[str] | None, what: str) -> Allowed:
    """Return the entries of a list. `what` names the thing in the sentences of errors: `the agent`.

    Raises:
        TypeError: It is one text, or an entry is no text.
        ValueError: It is empty, or an entry is of no known kind, or without a name.
    """
    if entries is None:
        return None
    if isinstance(entries, str):
        raise TypeError(f"a list of texts is needed, not the one text {entries!r}")
    allowed = tuple(entries)
    if not allowed:
        raise ValueError(f"allow=() would let nobody use {what}; leave it out to let everybody use it")
    for entry in allowed:
        if not isinstance(entry, str):
            raise TypeError(f"allow has {entry!r}; an entry is a text: user:NAME, role:NAME or group:NAME")
        kind, _, name = entry.partition(":")
        if kind not in KINDS or not name.strip():
            raise ValueError(f"allow has {entry!r}; an entry is user:NAME, role:NAME or group:NAME")
    return allowed


def fits(entry: str, who: Principal) -> bool:
    """Return whether an entry names this user. The key of a user of a tenant is no name, so `user:` fits none."""
    kind, _, name = entry.partition(":")
    return name in {"user": (who.user,), "role": who.roles, "group": who.groups}[kind]


def is_allowed(allow: Allowed, who: Principal) -> bool:
    """Return whether a list lets this user."""
    return allow is None or any(fits(entry, who) for entry in allow)


def groups_of(allow: Allowed) -> tuple[str, ...]:
    """Return the groups that a list names."""
    return tuple(entry.partition(":")[2] for entry in allow or () if entry.startswith("group:"))
