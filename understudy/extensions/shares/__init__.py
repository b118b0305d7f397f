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
        """Return the setting of shares."""
        from understudy.extensions.shares.settings import ShareSettings

        return ShareSettings

    def tables(self) -> "Sequence[Table]":
        """Return the table of links."""
        from understudy.extensions.shares.tables import shares

        return [shares]

    def user_data(self) -> Sequence[UserData]:
        """Return the links to a user's threads, without their tokens."""
        from understudy.extensions.shares.storage import record_of
        from understudy.extensions.shares.tables import shares

        return [UserData("shares", shares, record_of)]

    def routes(self) -> "Sequence[Blueprint]":
        """Return the routes for owners of links, and those behind a link."""
        from understudy.extensions.shares.routes import blueprint

        return [blueprint]

    def children(self, server: "WebContext") -> "Sequence[ChildSpec]":
        """Return the actor that deletes expired links."""
        from actors import ChildSpec
        from understudy.extensions.shares.storage import drop_expired_shares
        from understudy.storage.polling import Expiry

        return [ChildSpec("expiry", partial(Expiry, server.store, drop_expired_shares))]


EXTENSION: Final = Shares()
