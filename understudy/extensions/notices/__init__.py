"""Notices: webhooks, the inbox and alerts.

Webhooks call other servers when a run ends or asks, the inbox lists a user's open items over all threads, and alerts
carry a sentence of an operator to all connections.
"""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from understudy.extension import Extension, UserData
from understudy.observe.spans import Traces

if TYPE_CHECKING:
    from quart import Blueprint
    from sqlalchemy import Table

    from actors import ChildSpec
    from understudy.observe.collectors import CountedBy
    from understudy.web.context import WebContext


class Notices(Extension):
    """See the module."""

    name = "notices"
    about = "webhooks, an inbox over all threads, alerts"
    table = "webhook"

    def settings(self) -> type:
        """Return the settings of webhooks."""
        from understudy.extensions.notices.settings import WebhookSettings

        return WebhookSettings

    def tables(self) -> "Sequence[Table]":
        """Return the queue of webhooks."""
        from understudy.extensions.notices.tables import deliveries

        return [deliveries]

    def user_data(self) -> Sequence[UserData]:
        """Return the webhooks of a user's runs that are not delivered yet."""
        from understudy.extensions.notices.storage import record_of
        from understudy.extensions.notices.tables import deliveries

        return [UserData("webhooks", deliveries, record_of)]

    async def open(self, server: "WebContext") -> None:
        """Add the rules for addresses, and let messages name a webhook if any address may be called."""
        from understudy.chat.run_settings import MessageSetting
        from understudy.extensions.notices.settings import WebhookSettings
        from understudy.extensions.notices.webhooks import WebhookRules, deliveries_of

        rules = WebhookRules.of(settings := server.settings.of(WebhookSettings))
        server.parts.add(rules)
        if settings.urls:
            writes = partial(deliveries_of, server.services.clock)
            server.services.settings.message["webhook"] = MessageSetting(rules.check, writes)

    def routes(self) -> "Sequence[Blueprint]":
        """`/api/inbox` and `/api/alerts`."""
        from understudy.extensions.notices import alert_routes, inbox_routes

        return [inbox_routes.blueprint, alert_routes.blueprint]

    def children(self, server: "WebContext") -> "Sequence[ChildSpec]":
        """Return the actor that delivers webhooks, if any address may be called."""
        from understudy.extensions.notices.settings import WebhookSettings

        if not server.settings.of(WebhookSettings).urls:
            return ()
        from actors import ChildSpec
        from understudy.extensions.notices.webhook_sender import WEBHOOKS, WebhookSender
        from understudy.extensions.notices.webhooks import WebhookRules

        services, count = server.services, partial(server.metrics.count, WEBHOOKS)
        rules = server.parts[WebhookRules]
        sender = partial(WebhookSender, server.store, rules, count, services.clock, traces=services.parts.find(Traces))
        return [ChildSpec("webhooks", sender)]

    def metrics(self) -> "Sequence[CountedBy]":
        """Return the counter of attempts to deliver webhooks."""
        from understudy.extensions.notices.webhook_sender import WEBHOOKS

        return [WEBHOOKS]


EXTENSION: Final = Notices()
