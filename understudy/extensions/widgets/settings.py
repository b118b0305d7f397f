"""The setting of widgets."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from attrs import frozen

from transport.auth.identity import is_origin

if TYPE_CHECKING:
    from understudy.app.settings import Settings


@frozen
class WidgetSettings:
    """The origin at which user interfaces of MCP servers are shown."""

    origin: str = ""
    """Another name of this server, such as `https://widgets.example.org`, at which user interfaces of MCP servers are
    shown in frames; empty: they are not shown."""

    def faults(self, _: "Settings") -> Iterator[str]:
        """Yield a sentence if the origin is malformed."""
        if self.origin and not is_origin(self.origin):
            yield f"widgets.origin must be an address such as https://widgets.example.org, not {self.origin!r}"
