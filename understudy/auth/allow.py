"""Lists of the users who may use an agent or a tool: entries `user:NAME`, `role:NAME` and `group:NAME`. Pure."""

from collections.abc import Collection, Iterable
from typing import Final, Protocol, TypeAlias

KINDS: Final = ("user", "role", "group")

Allowed: TypeAlias = tuple[str, ...] | None
"""Entries, of which one must fit the user; None: everybody may."""


class Principal(Protocol):
    """The user to be checked: the key of the user's data, and the roles and groups of the token."""

    @property
    def user(self) -> str: ...  # noqa: D102 - see the class
    @property
    def roles(self) -> Collection[str]: ...  # noqa: D102 - see the class
    @property
    def groups(self) -> Collection[str]: ...  # noqa: D102 - see the class


def read_allowed(entries: Iterable[str] | None, what: str) -> Allowed:
    """Check the entries of a list, and return them. `what` is the subject in errors, such as `the agent`.

    Raises:
        TypeError: `entries` is a single text, or an entry is no text.
        ValueError: `entries` is empty, or an entry has an unknown kind, or no name.
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
    """Return whether an entry fits a user. `user:` never fits a user of a tenant, whose key is not the plain name."""
    kind, _, name = entry.partition(":")
    return name in {"user": (who.user,), "role": who.roles, "group": who.groups}[kind]


def is_allowed(allow: Allowed, who: Principal) -> bool:
    """Return whether a list allows this user."""
    return allow is None or any(fits(entry, who) for entry in allow)


def groups_of(allow: Allowed) -> tuple[str, ...]:
    """Return the groups that a list names."""
    return tuple(entry.partition(":")[2] for entry in allow or () if entry.startswith("group:"))
