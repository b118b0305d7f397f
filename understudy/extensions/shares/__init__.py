"""Shares: links by which anybody reads a conversation as it was, until they are revoked or expire."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from understudy.extension import Extension, UserData

if TYPE_CHECKING:
    from quart import Blueprint
    from sqlalchemy import Table


class Shares(Extension):
    """See the module."""

    name = "shares"
    about = "let anybody read a conversation by a link"

    def settings(self) -> type:
        """Whether there are links at all: none unless it is asked for."""
        from understudy.extensions.shares.settings import ShareSettings

        return ShareSettings

    def tables(self) -> "Sequence[Table]":
        """A row a link."""
        from understudy.extensions.shares.tables import shares

        return [shares]

    def user_data(self) -> Sequence[UserData]:
        """The links to a user's threads, without their tokens."""
        from understudy.extensions.shares import storage
        from understudy.extensions.shares.tables import shares

        dropped = storage.DropExpiredShares()
        return [UserData("shares", shares, storage.of_owner, storage.record_of, storage.DropShares, dropped)]

    def routes(self) -> "Sequence[Blueprint]":
        """What owners do to links, and what is behind a link."""
        from understudy.extensions.shares.routes import blueprint

        return [blueprint]

    def acts(self) -> Mapping[str, frozenset[str]]:
        """What users do to links."""
        return dict.fromkeys(("share.made", "share.revoked"), frozenset({"share"}))


EXTENSION: Final = Shares()
