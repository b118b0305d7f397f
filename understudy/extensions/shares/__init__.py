"""Shares: links by which anybody reads a conversation as it was, until they are revoked or expire."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from understudy.extension import Extension, UserData

if TYPE_CHECKING:
    from quart import Blueprint
    from sqlalchemy import Table

    from actors import ChildSpec
    from understudy.web.context import WebContext


class Shares(Extension):
    """See the module."""

    name = "shares"
    about = "let anybody read a conversation by a link"
    requires = ("files",)

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
        from understudy.extensions.shares.storage import record_of
        from understudy.extensions.shares.tables import shares

        return [UserData("shares", shares, record_of)]

    def routes(self) -> "Sequence[Blueprint]":
        """What owners do to links, and what is behind a link."""
        from understudy.extensions.shares.routes import blueprint

        return [blueprint]

    def children(self, server: "WebContext") -> "Sequence[ChildSpec]":
        """The actor that deletes the links that have expired."""
        from actors import ChildSpec
        from understudy.extensions.shares.storage import drop_expired_shares
        from understudy.storage.polling import Expiry

        return [ChildSpec("expiry", partial(Expiry, server.store, drop_expired_shares))]


EXTENSION: Final = Shares()
